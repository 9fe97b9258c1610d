//! `scalelaw data`: getting data sets, looking at them and measuring how fast they are read.

mod bench;
mod chosen;
mod head;
mod verify;

use std::time::Instant;

use data::fetch;
use serde_json::json;

use super::table::{count, grouped};
use crate::args::{Data, DataCommand, DataSet};
use crate::exit::{Failure, print, say};
use crate::place::{Place, cache};
use chosen::Chosen;

pub(crate) fn run(place: &Place, options: &Data) -> Result<u8, Failure> {
    match &options.command {
        DataCommand::Fetch { dataset } => {
            let folder = fetch::fetch(&cache()?, dataset, &say)?;
            let found = json!({"schema_version": 1, "dataset": dataset, "folder": folder});
            print(&if place.json { found.to_string() } else { folder.display().to_string() });
            Ok(0)
        }
        DataCommand::Inspect(dataset) => inspect(place, dataset),
        DataCommand::Index(dataset) => index(place, dataset),
        DataCommand::Verify(options) => verify::run(place, options),
        DataCommand::Head(options) => head::run(place, options),
        DataCommand::Bench(options) => bench::run(place, options),
    }
}

fn inspect(place: &Place, options: &DataSet) -> Result<u8, Failure> {
    let Chosen { name, dataset, .. } = Chosen::open(options)?;
    let facts = &dataset.facts;
    if place.json {
        let found = json!({
            "schema_version": 1,
            "dataset": name,
            "train_examples": facts.train_examples,
            "heldout_examples": facts.heldout_examples,
            "channels": facts.channels,
            "resolution": facts.resolution,
            "classes": facts.classes,
            "class_names": dataset.class_names,
            "examples_per_class": facts.per_class,
            "multi_label": facts.multi_label,
            "mean": facts.mean,
            "std": facts.std,
            "fingerprint": facts.fingerprint,
            "passed_over": dataset.train.passed_over().map_or(0, |passed| passed.total()),
            "heldout_passed_over": dataset.heldout.passed_over().map_or(0, |passed| passed.total()),
        });
        print(&found.to_string());
        return Ok(0);
    }
    let size = match facts.resolution {
        Some(side) => format!("{side} x {side} pixels"),
        None => "JPEG, PNG or WebP of any size".to_owned(),
    };
    let classes = if facts.multi_label { "classes, any number for each example" } else { "classes" };
    let mut lines = vec![
        name,
        format!("  train        {}", grouped(facts.train_examples)),
        format!("  held out     {}", grouped(facts.heldout_examples)),
        format!("  pictures     {size}, {}", count(facts.channels as usize, "channel")),
        format!("  classes      {} {classes}", grouped(u64::from(facts.classes))),
        format!("  mean, std    {}, {}", facts.mean, facts.std),
        format!("  fingerprint  {}", facts.fingerprint),
    ];
    if let Some(line) = smallest_and_largest(&facts.per_class, &dataset.class_names) {
        lines.insert(5, line);
    }
    print(&lines.join("\n"));
    say_passed_over(&dataset);
    Ok(0)
}

/// Says what the files hold that became no example.
fn say_passed_over(dataset: &data::Dataset) {
    for (part, split) in [("train", &dataset.train), ("held out", &dataset.heldout)] {
        if let Some(passed) = split.passed_over().filter(|passed| passed.total() > 0) {
            say(&format!("{part}: {passed}"));
        }
    }
}

/// The classes with the fewest and the most training examples.
fn smallest_and_largest(per_class: &[[u64; 2]], names: &[String]) -> Option<String> {
    let counts = || per_class.iter().map(|[train, _]| *train).enumerate();
    let (least, most) = (counts().min_by_key(|(_, count)| *count)?, counts().max_by_key(|(_, count)| *count)?);
    if least.1 == most.1 {
        return Some(format!("  per class    {} each", grouped(most.1)));
    }
    let of = |(class, count): (usize, u64)| {
        let name = names.get(class).map_or_else(|| class.to_string(), Clone::clone);
        format!("{} ({name})", grouped(count))
    };
    Some(format!("  per class    {} to {} to train on", of(least), of(most)))
}

fn index(place: &Place, options: &DataSet) -> Result<u8, Failure> {
    let began = Instant::now();
    let Chosen { name, dataset, .. } = Chosen::indexed(options, true)?;
    let seconds = began.elapsed().as_secs_f64();
    let (train, heldout) = (&dataset.facts.train_examples, &dataset.facts.heldout_examples);
    let encoded = dataset.train.is_encoded();
    if place.json {
        let found = json!({
            "schema_version": 1, "dataset": name, "indexed": encoded, "train_examples": train,
            "heldout_examples": heldout, "fingerprint": dataset.facts.fingerprint, "seconds": seconds,
        });
        print(&found.to_string());
    } else if encoded {
        let (train, heldout) = (grouped(*train), grouped(*heldout));
        print(&format!("{name}: {train} examples to train on and {heldout} held out are indexed ({seconds:.1} s)"));
        say_passed_over(&dataset);
    } else {
        print(&format!("{name}: pictures of one size need no index; they are held in memory"));
    }
    Ok(0)
}
