//! `scalelaw verify samples`: recomputes what every epoch must have consisted of.

use serde_json::json;
use spec::order::{Digest, epoch_spans};
use spec::state::RunState;
use store::{EpochRow, RunRow};

use super::table::count;
use crate::args::{Verifiable, Verify};
use crate::exit::{Failure, SOME_FAILED, print};
use crate::place::Place;

pub(crate) async fn run(place: &Place, options: &Verify) -> Result<u8, Failure> {
    let Verifiable::Samples = options.what;
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let (mut epochs, mut runs, mut wrong) = (0, 0, Vec::new());
    for row in store.runs(sweep.sweep_id).await?.iter().filter(|row| row.state == RunState::Completed) {
        let recorded = store.epochs(row.run).await?;
        runs += 1;
        epochs += recorded.len();
        wrong.extend(check(row, &recorded));
    }
    if place.json {
        print(
            &json!({"schema_version": 1, "sweep": sweep.name, "runs": runs, "epochs": epochs, "wrong": wrong})
                .to_string(),
        );
    } else if wrong.is_empty() {
        let all = count(runs, "run");
        print(&format!(
            "{}: each example exactly once in every epoch ({}, {})",
            sweep.name,
            count(epochs, "epoch"),
            all
        ));
    } else {
        print(&wrong.join("\n"));
    }
    Ok(if wrong.is_empty() { 0 } else { SOME_FAILED })
}

/// The first epoch of the run that is not what it must be.
fn check(row: &RunRow, recorded: &[EpochRow]) -> Option<String> {
    let label = format!("{} (run {})", row.label(), row.run);
    let order = row.spec.order()?;
    for span in epoch_spans(row.spec.samples(), order.examples()) {
        let expected = Digest::expected(&order, span.epoch, span.from, span.to).to_string();
        match recorded.iter().find(|epoch| epoch.epoch == span.epoch) {
            None => return Some(format!("{label}: epoch {} left no digest", span.epoch)),
            Some(found) if found.samples != span.to || found.digest != expected => {
                return Some(format!(
                    "{label}: epoch {} did not see each of its {} examples exactly once",
                    span.epoch, span.to
                ));
            }
            Some(_) => {}
        }
    }
    None
}
