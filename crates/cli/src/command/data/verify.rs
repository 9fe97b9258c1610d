//! `scalelaw data verify`: decodes every picture in parallel and lists what is damaged.

use data::check::{Broken, every_example};
use data::crew::Crew;
use serde_json::json;

use super::super::table::{count, grouped, table};
use super::chosen::Chosen;
use crate::args::CheckData;
use crate::exit::{Failure, SOME_FAILED, print, say};
use crate::indexing::Bar;
use crate::place::Place;

/// Lines of the table; the whole list is in the JSON.
const LISTED: usize = 50;

pub(crate) fn run(place: &Place, options: &CheckData) -> Result<u8, Failure> {
    let Chosen { name, dataset, .. } = Chosen::open(&options.chosen)?;
    let threads = options.threads.map_or_else(crate::command::run::cores, |threads| threads as usize);
    let crew = Crew::of(threads).map_err(|error| Failure::environment(format!("starting threads: {error}")))?;
    let mut broken: Vec<(&str, Broken)> = Vec::new();
    let mut examples = 0;
    for (part, split) in [("train", &dataset.train), ("heldout", &dataset.heldout)] {
        let bar = Bar::new(&format!("{part}: decoding"), split.len());
        every_example(split, dataset.facts.classes, &crew, |one| broken.push((part, one)), |done| bar.set(done))?;
        bar.end();
        examples += split.len();
    }
    super::say_passed_over(&dataset);
    if place.json {
        let list: Vec<_> = broken
            .iter()
            .map(|(part, one)| json!({"part": part, "example": one.id, "name": one.name, "problem": one.problem}))
            .collect();
        print(&json!({"schema_version": 1, "dataset": name, "examples": examples, "damaged": list}).to_string());
    } else if broken.is_empty() {
        print(&format!("{name}: all {} pictures can be decoded", grouped(examples)));
    } else {
        let rows = broken
            .iter()
            .take(LISTED)
            .map(|(part, one)| vec![(*part).to_owned(), one.id.to_string(), one.name.clone(), one.problem.clone()]);
        print(&table(&["part", "example", "name", "problem"], rows));
        if broken.len() > LISTED {
            say(&format!("and {} more, which --json lists", grouped((broken.len() - LISTED) as u64)));
        }
        let share = broken.len() as f64 / examples.max(1) as f64;
        let damaged = count(broken.len(), "picture");
        say(&format!(
            "{name}: {damaged} of {} damaged ({:.3} %); mend or remove them, or let a sweep leave them out with data.skip_damaged",
            grouped(examples),
            100.0 * share
        ));
    }
    Ok(if broken.is_empty() { 0 } else { SOME_FAILED })
}
