//! `scalelaw verify samples`: recomputes what every epoch must have consisted of.

use serde_json::json;
use spec::order::{Digest, epochs};
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
    let (mut digests, mut runs, mut wrong) = (0, 0, Vec::new());
    let rows = store.runs(sweep.sweep_id).await?;
    let finished = rows.iter().filter(|row| matches!(row.state, RunState::Completed | RunState::Diverged));
    for row in finished {
        let recorded = store.epochs(row.run).await?;
        runs += 1;
        digests += recorded.len();
        wrong.extend(check(row, &recorded));
    }
    if place.json {
        print(
            &json!({"schema_version": 1, "sweep": sweep.name, "runs": runs, "epochs": digests, "wrong": wrong})
                .to_string(),
        );
    } else if runs == 0 {
        print(&format!("{}: no run has finished yet, so there is nothing to verify", sweep.name));
    } else if wrong.is_empty() {
        let all = count(runs, "run");
        print(&format!(
            "{}: each example exactly once in every epoch ({}, {})",
            sweep.name,
            count(digests, "epoch"),
            all
        ));
    } else {
        print(&wrong.join("\n"));
    }
    Ok(if wrong.is_empty() { 0 } else { SOME_FAILED })
}

/// The first epoch of the run that is not what it must be. A diverged run has ended early: its epochs up to there count.
fn check(row: &RunRow, recorded: &[EpochRow]) -> Option<String> {
    let label = format!("{} (run {})", row.label(), row.run);
    let order = row.spec.order()?;
    for (epoch, samples) in epochs(row.spec.draws(), order.examples()) {
        match recorded.iter().find(|one| one.epoch == epoch) {
            None if row.state == RunState::Diverged => return None,
            None => return Some(format!("{label}: epoch {epoch} left no digest")),
            Some(found)
                if found.samples != samples || found.digest != Digest::expected(&order, epoch, samples).to_string() =>
            {
                return Some(format!("{label}: epoch {epoch} did not see each of its {samples} examples exactly once"));
            }
            Some(_) => {}
        }
    }
    None
}
