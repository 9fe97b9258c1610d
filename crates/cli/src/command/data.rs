//! `scalelaw data`: getting data sets and looking at them.

use std::path::Path;

use data::{Dataset, fetch};
use serde_json::json;

use super::table::count;
use crate::args::{Data, DataCommand};
use crate::exit::{Failure, print, say};
use crate::place::{Place, cache};

pub(crate) fn run(place: &Place, options: &Data) -> Result<u8, Failure> {
    match &options.command {
        DataCommand::Fetch { dataset } => {
            let folder = fetch::fetch(&cache()?, dataset, &say)?;
            let found = json!({"schema_version": 1, "dataset": dataset, "folder": folder});
            print(&if place.json { found.to_string() } else { folder.display().to_string() });
        }
        DataCommand::Inspect { dataset } => {
            let known = dataset == "fashion-mnist";
            let folder = if known { fetch::cached(&cache()?, dataset) } else { Path::new(dataset).to_owned() };
            let remedy = if known {
                "get it with `scalelaw data fetch fashion-mnist`"
            } else {
                "a data set is four IDX files named as MNIST's are"
            };
            let facts = Dataset::open(&folder, remedy)?.facts;
            let found = json!({
                "schema_version": 1,
                "folder": folder,
                "train_examples": facts.train_examples,
                "heldout_examples": facts.heldout_examples,
                "channels": facts.channels,
                "resolution": facts.resolution,
                "classes": facts.classes,
                "mean": facts.mean,
                "std": facts.std,
                "fingerprint": facts.fingerprint,
            });
            let text = format!(
                "{}: {} pictures to train on, {} held out, {} x {} pixels, {}, {} classes, mean {}, std {}, fingerprint {}",
                folder.display(),
                facts.train_examples,
                facts.heldout_examples,
                facts.resolution,
                facts.resolution,
                count(facts.channels as usize, "channel"),
                facts.classes,
                facts.mean,
                facts.std,
                facts.fingerprint,
            );
            print(&if place.json { found.to_string() } else { text });
        }
    }
    Ok(0)
}
