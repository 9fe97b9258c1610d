//! Search strategies: pure functions from the results so far to the learning rates that are to be tried.
//!
//! The same results name the same rates, whatever order they came in, so a search that was stopped goes on by asking again.
//! Whatever is known counts, whoever had it trained, and nothing is asked for twice.

pub mod replay;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::sweep::Strategy;

/// The learning rates that a model and budget can be tried at: those of the grid and so many beyond either end, without those
/// that a skip rule leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Ascending.
    pub rates: Vec<f64>,
    /// Which of them are the grid's.
    pub grid: Range<usize>,
}

impl Ladder {
    /// The ladder of the rates in `grid`. Beyond either end it goes on by the factor between the two outermost ones; a single
    /// rate has no factor.
    pub fn new(grid: &[f64], max_extra: u32, skipped: impl Fn(f64) -> bool) -> Ladder {
        let mut inside = grid.to_vec();
        inside.sort_by(f64::total_cmp);
        let beyond = |edge: f64, neighbour: f64| {
            let rates = (1..=max_extra as i32).map(move |steps| nine_digits(edge * (edge / neighbour).powi(steps)));
            // Two rates that differ by less than rounding have nothing between or beyond them.
            rates.filter(move |lr| lr.is_normal() && (*lr < edge) == (edge < neighbour) && *lr != edge)
        };
        let mut ends = [Vec::new(), Vec::new()];
        if let ([first, second, ..], [.., before, last]) = (&inside[..], &inside[..]) {
            ends = [beyond(*first, *second).collect(), beyond(*last, *before).collect()];
        }
        let mut keep = |rates: &mut Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates.dedup();
            rates.retain(|lr| !skipped(*lr));
        };
        ends.iter_mut().for_each(&mut keep);
        keep(&mut inside);
        if inside.is_empty() {
            return Ladder { rates: inside, grid: 0..0 };
        }
        let [below, above] = ends;
        let grid = below.len()..below.len() + inside.len();
        Ladder { rates: [below, inside, above].concat(), grid }
    }

    /// The rung that is nearest to `lr` in ratio; `None` where there is none.
    fn nearest(&self, lr: f64) -> Option<usize> {
        let distance = |rung: &usize| (self.rates[*rung] / lr).ln().abs();
        (0..self.rates.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }
}

/// Rounded to nine digits, so that 0.2 / 2 and 0.1 are one cell and not two.
pub(crate) fn nine_digits(exact: f64) -> f64 {
    format!("{exact:.8e}").parse().unwrap_or(exact)
}

/// What the runs of one learning rate have come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rating {
    /// Not all of its seeds have ended.
    Open,
    /// Mean held-out loss over its seeds.
    Loss(f64),
    /// With some seed it diverged: infinitely bad.
    Diverged,
    /// Some seed has ended without a result.
    GivenUp,
}

/// One model and budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What it can be tried at.
    pub ladder: Ladder,
    /// What each of these rates has come to.
    pub ratings: Vec<Rating>,
}

/// How far the search of one model and budget has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Rungs of the ladder that are asked for, with those whose results are there anyway.
    pub tried: BTreeSet<usize>,
    /// The one with the lowest loss.
    pub best: Option<usize>,
    /// Nothing else will be tried, unless a run that was given up gets its result after all.
    pub is_over: bool,
    /// Rungs that will be asked for besides: at least, and at most.
    pub to_follow: [usize; 2],
}

/// Where the search of a model and budget goes from its best rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onward {
    Nowhere,
    Down,
    DownAndUp,
}

/// How far the searches of all models and budgets of one family are. In `groups` stands a row for each model, the smallest
/// first, with as many budgets each, the shortest first.
pub fn standings(strategy: Strategy, groups: &[Vec<Group>]) -> Vec<Vec<Standing>> {
    let of_grid = |onward| {
        let walk = |group: &Group| walk(&group.ratings, group.ladder.grid.clone(), onward);
        groups.iter().map(|row| row.iter().map(walk).collect()).collect()
    };
    match strategy {
        Strategy::Grid => of_grid(Onward::Nowhere),
        Strategy::Refine => of_grid(Onward::DownAndUp),
        Strategy::TwoTrial => two_trial(groups),
    }
}

/// The optimal learning rate falls slowly and monotonically with model and budget, so the search of one begins where those of the
/// next smaller model and the next shorter budget have ended, at the higher of the two, with this rate and the next lower one
/// (arXiv 2310.16764).
fn two_trial(groups: &[Vec<Group>]) -> Vec<Vec<Standing>> {
    let mut standings: Vec<Vec<Standing>> = Vec::new();
    for (model, row) in groups.iter().enumerate() {
        standings.push(Vec::new());
        for (budget, group) in row.iter().enumerate() {
            let smaller: Vec<(usize, usize)> = (0..model).rev().map(|smaller| (smaller, budget)).collect();
            let shorter: Vec<(usize, usize)> = (0..budget).rev().map(|shorter| (model, shorter)).collect();
            let standing = |(model, budget): &(usize, usize)| &standings[*model][*budget];
            let waits = |before: &[(usize, usize)]| before.first().is_some_and(|next| !standing(next).is_over);
            let optimum = |before: &[(usize, usize)]| {
                let rate = |at: &(usize, usize)| Some(groups[at.0][at.1].ladder.rates[standing(at).best?]);
                before.iter().find_map(rate)
            };
            let found = if waits(&smaller) || waits(&shorter) {
                not_yet(group)
            } else {
                match optimum(&smaller).into_iter().chain(optimum(&shorter)).max_by(f64::total_cmp) {
                    Some(lr) => descend(group, lr),
                    None => bracket(group),
                }
            };
            standings[model].push(found);
        }
    }
    standings
}

/// A search that waits for another one.
fn not_yet(group: &Group) -> Standing {
    let tried = known(&group.ratings);
    let others = group.ladder.rates.len() - tried.len();
    // The lowest rung has none below it.
    let at_least = 1_usize.min(group.ladder.rates.len()).saturating_sub(tried.len());
    Standing { best: best(&group.ratings, &tried), tried, is_over: false, to_follow: [at_least, others] }
}

/// From the middle of the grid in both directions.
fn bracket(group: &Group) -> Standing {
    let grid = &group.ladder.grid;
    let middle = grid.start + grid.len() / 2;
    let first = middle.saturating_sub(1)..(middle + 2).min(group.ladder.rates.len());
    walk(&group.ratings, first, Onward::DownAndUp)
}

/// From `lr` downwards.
fn descend(group: &Group, lr: f64) -> Standing {
    let start = group.ladder.nearest(lr);
    walk(&group.ratings, start.into_iter().chain(start.and_then(|rung| rung.checked_sub(1))), Onward::Down)
}

/// Tries the rungs in `first` and goes on from the best one until its neighbours are tried, too. Where all diverge, the optimum
/// is below.
fn walk(ratings: &[Rating], first: impl IntoIterator<Item = usize>, onward: Onward) -> Standing {
    let mut tried = known(ratings);
    tried.extend(first);
    loop {
        let best = best(ratings, &tried);
        let any = |rating: Rating| tried.iter().any(|rung| ratings[*rung] == rating);
        if any(Rating::Open) {
            let untried = |range: Range<usize>| range.filter(|rung| !tried.contains(rung)).count();
            let below = untried(0..tried.last().copied().unwrap_or(0));
            let above = untried(tried.first().copied().unwrap_or(0)..ratings.len());
            let at_most = match onward {
                Onward::Nowhere => 0,
                Onward::Down => below,
                Onward::DownAndUp => below.max(above),
            };
            return Standing { tried, best, is_over: false, to_follow: [0, at_most] };
        }
        let lower = |rung: usize| rung.checked_sub(1).filter(|rung| !tried.contains(rung));
        let higher = |rung: usize| Some(rung + 1).filter(|rung| *rung < ratings.len() && !tried.contains(rung));
        let next = match (onward, best) {
            _ if any(Rating::GivenUp) => None,
            (Onward::Nowhere, _) => None,
            (_, None) => tried.first().and_then(|lowest| lower(*lowest)),
            (Onward::Down, Some(best)) => lower(best),
            (Onward::DownAndUp, Some(best)) => lower(best).or_else(|| higher(best)),
        };
        match next {
            Some(rung) => tried.insert(rung),
            None => return Standing { tried, best, is_over: true, to_follow: [0, 0] },
        };
    }
}

/// The rungs that have a result.
fn known(ratings: &[Rating]) -> BTreeSet<usize> {
    let there = |rung: &usize| matches!(ratings[*rung], Rating::Loss(_) | Rating::Diverged);
    (0..ratings.len()).filter(there).collect()
}

fn best(ratings: &[Rating], tried: &BTreeSet<usize>) -> Option<usize> {
    let losses = tried.iter().filter_map(|rung| match ratings[*rung] {
        Rating::Loss(loss) => Some((loss, *rung)),
        _ => None,
    });
    losses.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, rung)| rung)
}
