//! `scalelaw data bench`: pictures a second from the files to training batches.

use std::sync::Arc;
use std::time::Duration;

use data::loader::MOST_BATCHES;
use data::throughput::{Trial, measure};
use serde_json::json;

use super::super::table::bytes;
use super::chosen::Chosen;
use crate::args::BenchData;
use crate::exit::{Failure, print};
use crate::place::Place;

pub(crate) fn run(place: &Place, options: &BenchData) -> Result<u8, Failure> {
    let chosen = Chosen::open(&options.chosen)?;
    let recipe = chosen.recipe_at(options.resolution);
    let Chosen { name, dataset, .. } = chosen;
    let threads = options.threads.map_or_else(super::super::run::cores, |threads| threads as usize);
    let duration = Duration::try_from_secs_f64(options.seconds)
        .map_err(|error| Failure::usage(format!("--seconds {}: {error}", options.seconds)))?;
    let trial = Trial { recipe, batch: u64::from(options.batch), threads, duration };
    let speed = measure(&Arc::new(dataset), &trial)?;
    let share = speed.decoded_per_second.map(|decoded| speed.pictures_per_second / decoded);
    let most = (speed.batch_bytes * MOST_BATCHES) as u64;
    if place.json {
        let found = json!({
            "schema_version": 1,
            "dataset": name,
            "threads": threads,
            "batch": options.batch,
            "resolution": recipe.side,
            "pictures_per_second": speed.pictures_per_second,
            "decoded_per_second": speed.decoded_per_second,
            "share_of_decoder": share,
            "most_bytes_of_batches": most,
        });
        print(&found.to_string());
        return Ok(0);
    }
    print(&format!(
        "{name}: {:.0} pictures a second to {side} x {side} on {threads} threads",
        speed.pictures_per_second,
        side = recipe.side
    ));
    if let (Some(decoded), Some(share)) = (speed.decoded_per_second, share) {
        print(&format!(
            "  the decoder alone, of whole pictures: {decoded:.0} a second; all of it together comes to {:.0} % of that",
            100.0 * share
        ));
    }
    print(&format!("  at most {} of batches in memory, {MOST_BATCHES} at a time", bytes(most)));
    Ok(0)
}
