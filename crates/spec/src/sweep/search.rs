//! The table `[search]`: which learning rates are tried.

use crate::document::{Node, Place};
use crate::fields::{Fields, Problems};

pub(crate) const SEARCH_KEYS: [&str; 3] = ["strategy", "max_extra", "noise"];
pub(crate) const NOISE_KEYS: [&str; 2] = ["cells", "seeds"];

/// Which learning rates are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// The rule.
    pub strategy: Strategy,
    /// Rates that a model and budget may get on either side of those of the grid; 0 for the full grid.
    pub max_extra: u32,
    /// Repeats with other seeds.
    pub noise: Option<Noise>,
    /// Where the table stands, or the file where there is none.
    pub place: Place,
}

/// How the learning rates of a model and budget are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All of the grid.
    Grid,
    /// The best one of the next smaller model and the next shorter budget, and the next lower one (arXiv 2310.16764).
    TwoTrial,
    /// All of the grid, and then neighbours of an optimum at its edge.
    Refine,
}

/// More seeds where they are cheap, for the noise between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// How many cells are repeated: the best ones of the cheapest models and budgets.
    pub cells: u32,
    /// Seeds that each of them has in the end.
    pub seeds: u32,
}

pub(crate) fn read(node: &Node, problems: &mut Problems) -> Search {
    let fields = Fields::of(node, "search", &SEARCH_KEYS, problems);
    let strategies = [("grid", Strategy::Grid), ("two-trial", Strategy::TwoTrial), ("refine", Strategy::Refine)];
    let strategy = fields.word("strategy", &strategies, problems).unwrap_or(Strategy::Grid);
    let max_extra = fields.whole("max_extra", 0, 16, problems).map(|extra| extra as u32);
    if strategy == Strategy::Grid && max_extra.is_some() {
        let message =
            "search.max_extra: the full grid has no rates beyond it; strategies that do are two-trial and refine";
        problems.add(fields.place_of("max_extra"), message);
    }
    let noise = fields.get("noise").map(|node| {
        let noise = Fields::of(node, "search.noise", &NOISE_KEYS, problems);
        noise.require("cells", "how many cells are repeated, as in { cells = 2, seeds = 3 }", problems);
        noise.require("seeds", "how many seeds each of them has in the end, as in { cells = 2, seeds = 3 }", problems);
        let mut whole = |key, low| noise.whole(key, low, 1000, problems).unwrap_or(low) as u32;
        Noise { cells: whole("cells", 1), seeds: whole("seeds", 2) }
    });
    let max_extra = if strategy == Strategy::Grid { 0 } else { max_extra.unwrap_or(2) };
    Search { strategy, max_extra, noise, place: fields.place() }
}
