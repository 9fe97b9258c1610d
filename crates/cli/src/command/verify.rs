//! `scalelaw verify`: recomputes what every epoch must have consisted of, and where every run must stand.

use serde_json::{Value, json};
use spec::run::RunId;
use store::{RunRow, Store, SweepRow};

use super::table::count;
use crate::args::{Verifiable, Verify};
use crate::exit::{Failure, SOME_FAILED, print};
use crate::place::Place;
use crate::samples::{Verdict, verdicts};

pub(crate) async fn run(place: &Place, options: &Verify) -> Result<u8, Failure> {
    let store = place.read().await?;
    if options.what == Verifiable::Database {
        return database(place, &store).await;
    }
    let (sweep, only) = choose(place, &store, options.target.as_deref()).await?;
    let mut rows = store.runs(sweep.sweep_id).await?;
    rows.retain(|row| only.is_none_or(|run| row.run == run));
    let verdicts = verdicts(&store, &rows).await?;
    let checked: Vec<(&RunRow, &Verdict)> =
        rows.iter().filter_map(|row| verdicts.get(&row.run).map(|verdict| (row, verdict))).collect();
    let wrong = checked.iter().any(|(_, verdict)| verdict.wrong.is_some());
    print(&if place.json { as_json(&sweep, &checked).to_string() } else { as_text(&sweep, only, &checked) });
    Ok(if wrong { SOME_FAILED } else { 0 })
}

/// The whole database, whatever sweep is meant.
async fn database(place: &Place, store: &Store) -> Result<u8, Failure> {
    let damage = store.damage().await?;
    let wrong = if damage.is_empty() { store.inconsistent_runs().await? } else { Vec::new() };
    let path = place.state.database();
    if place.json {
        print(&json!({"schema_version": 1, "damage": damage, "inconsistent_runs": wrong}).to_string());
    } else if damage.is_empty() && wrong.is_empty() {
        print(&format!("{}: whole, and every run stands where its moves lead", path.display()));
    } else {
        let moved = wrong.iter().map(|run| format!("run {run} does not stand where its moves lead"));
        print(&damage.iter().cloned().chain(moved).collect::<Vec<_>>().join("\n"));
    }
    Ok(if damage.is_empty() && wrong.is_empty() { 0 } else { SOME_FAILED })
}

/// The sweep that is meant, and the run of it if one is. A name comes before an identity.
async fn choose(place: &Place, store: &Store, target: Option<&str>) -> Result<(SweepRow, Option<RunId>), Failure> {
    let named = place.choose(store, target).await;
    match (named, target.and_then(|target| target.parse::<RunId>().ok())) {
        (Ok(sweep), _) => Ok((sweep, None)),
        (Err(failure), None) => Err(failure),
        (Err(_), Some(run)) => match store.sweep_of(run).await? {
            Some(sweep) => Ok((sweep, Some(run))),
            None => Err(Failure::usage(format!(
                "no run or sweep {run} in {}; `scalelaw export csv` lists the runs of a sweep",
                place.state.database().display()
            ))),
        },
    }
}

fn as_text(sweep: &SweepRow, only: Option<RunId>, checked: &[(&RunRow, &Verdict)]) -> String {
    let name = only.map_or_else(|| sweep.name.clone(), |run| format!("{} (run {run})", sweep.name));
    if checked.is_empty() {
        let what = if only.is_some() { "this run has not finished" } else { "no run has finished" };
        return format!("{name}: {what} yet, so there is nothing to verify");
    }
    let wrong: Vec<String> = checked.iter().filter_map(|(row, verdict)| problem(row, verdict)).collect();
    let skipped: usize = checked.iter().map(|(_, verdict)| verdict.skipped.len()).sum();
    let mut lines = if wrong.is_empty() {
        let epochs = checked.iter().map(|(_, verdict)| verdict.epochs).sum();
        let (epochs, runs) = (count(epochs, "epoch"), count(checked.len(), "run"));
        let but = if skipped > 0 { " but for those skipped" } else { "" };
        vec![format!("{name}: each example exactly once in every epoch{but} ({epochs}, {runs})")]
    } else {
        wrong
    };
    if skipped > 0 {
        let were = if skipped == 1 { "was" } else { "were" };
        lines.push(format!("{} {were} skipped as damaged, listed by --json", count(skipped, "example")));
    }
    lines.join("\n")
}

/// The first epoch of a run that is not what it must be.
fn problem(row: &RunRow, verdict: &Verdict) -> Option<String> {
    verdict.wrong.as_ref().map(|wrong| format!("{} (run {}): {wrong}", row.label(), row.run))
}

fn as_json(sweep: &SweepRow, checked: &[(&RunRow, &Verdict)]) -> Value {
    let wrong = checked.iter().filter_map(|(row, verdict)| problem(row, verdict));
    let first_wrong = checked.iter().filter_map(|(row, verdict)| {
        let wrong = verdict.wrong.as_ref()?;
        Some(json!({"run_id": row.run, "epoch": wrong.epoch, "difference": wrong.what.to_string()}))
    });
    let skipped = checked.iter().flat_map(|(row, verdict)| {
        let one = |one: &spec::samples::Skipped| {
            json!({"run_id": row.run, "epoch": one.epoch, "example": one.example, "reason": one.reason})
        };
        verdict.skipped.iter().map(one)
    });
    json!({
        "schema_version": 1,
        "sweep": sweep.name,
        "runs": checked.len(),
        "epochs": checked.iter().map(|(_, verdict)| verdict.epochs).sum::<usize>(),
        "wrong": wrong.collect::<Vec<_>>(),
        "first_wrong_epochs": first_wrong.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
    })
}
