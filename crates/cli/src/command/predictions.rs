//! Predictions that were kept with their date, and what has become of them.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use spec::run::short;

use crate::command::table::table;
use crate::exit::{Failure, print};
use crate::place::Place;
use crate::points::RunPoint;

/// Runs within this share of the compute that was asked for tell what it reached.
const NEAR: f64 = 0.15;

/// Where predictions are kept.
fn file(place: &Place) -> PathBuf {
    place.state.path().join("predictions.jsonl")
}

/// A prediction, one line of `predictions.jsonl` in the state folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When, in milliseconds since 1970.
    pub(crate) predicted_ms: i64,
    pub(crate) sweep: String,
    pub(crate) model: Option<String>,
    pub(crate) epochs: Option<f64>,
    pub(crate) compute: Option<f64>,
    /// The loss, and where one run is expected with 95 % confidence.
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) by: String,
    /// The loss, where it was there already: then this is no prediction.
    pub(crate) known: Option<f64>,
}

impl Kept {
    /// The lowest loss of the runs it speaks of.
    pub(crate) fn outcome(&self, runs: &[RunPoint]) -> Option<f64> {
        let meant = |run: &&RunPoint| match (&self.model, self.epochs, self.compute) {
            (Some(model), Some(epochs), _) => run.model == *model && run.epochs == Some(epochs),
            (_, _, Some(compute)) => (run.compute / compute).ln().abs() <= NEAR.ln_1p(),
            _ => false,
        };
        runs.iter().filter(meant).filter_map(|run| run.loss).min_by(f64::total_cmp)
    }

    /// Whether this loss lies where one run was expected.
    fn holds(&self, loss: f64) -> bool {
        self.low <= loss && loss <= self.high
    }

    /// Appends it to the file of the state folder.
    pub(crate) fn keep(&self, place: &Place) -> Result<(), Failure> {
        let path = file(place);
        let refuse = |error: std::io::Error| Failure::environment(format!("cannot write {}: {error}", path.display()));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(refuse)?;
        // One write, so that two commands do not mix their lines.
        file.write_all(format!("{}\n", json!(self)).as_bytes()).and_then(|()| file.sync_all()).map_err(refuse)
    }
}

/// A prediction that was kept, and the loss that came of it.
pub(crate) struct Scored {
    kept: Kept,
    outcome: Option<f64>,
}

/// What [`Scored::cells`] are.
pub(crate) const HEADER: [&str; 4] = ["prediction", "loss", "outcome", "verdict"];

impl Scored {
    /// For people.
    pub(crate) fn cells(&self) -> Vec<String> {
        let Scored { kept, outcome } = self;
        let of = match (&kept.model, kept.epochs, kept.compute) {
            (Some(model), Some(epochs), _) => format!("{model} at {} epochs", short(epochs)),
            (_, _, compute) => format!("compute {}", compute.map(short).unwrap_or_default()),
        };
        let verdict = match (kept.known, outcome) {
            (Some(_), _) => "was known already".to_owned(),
            (None, None) => "no run yet".to_owned(),
            (None, Some(loss)) if kept.holds(*loss) => "inside".to_owned(),
            (None, Some(loss)) => format!("outside, {:+.2} % off", 100.0 * (kept.value / loss - 1.0)),
        };
        let predicted = format!("{:.4} [{:.4}, {:.4}]", kept.value, kept.low, kept.high);
        vec![of, predicted, outcome.map(|loss| format!("{loss:.4}")).unwrap_or_default(), verdict]
    }

    fn as_json(&self) -> serde_json::Value {
        let Scored { kept, outcome } = self;
        let inside = outcome.map(|loss| kept.holds(loss));
        let error = outcome.map(|loss| (kept.value / loss).ln());
        json!({"prediction": kept, "loss": outcome, "inside": inside, "error": error})
    }
}

/// What was predicted for a sweep and what came of it.
pub(crate) fn scored(place: &Place, sweep: &str, runs: &[RunPoint]) -> Result<Vec<Scored>, Failure> {
    let path = file(place);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::environment(format!("cannot read {}: {error}", path.display()))),
    };
    // A torn last line is no prediction.
    let kept = text.lines().filter_map(|line| serde_json::from_str::<Kept>(line).ok());
    let of_sweep = kept.filter(|kept| kept.sweep == sweep);
    Ok(of_sweep.map(|kept| Scored { outcome: kept.outcome(runs), kept }).collect())
}

/// Shows what was predicted for a sweep and what came of it.
pub(crate) fn scores(place: &Place, sweep: &str, runs: &[RunPoint]) -> Result<u8, Failure> {
    let scored = scored(place, sweep, runs)?;
    if place.json {
        let all: Vec<serde_json::Value> = scored.iter().map(Scored::as_json).collect();
        print(&json!({"schema_version": 1, "predictions": all}).to_string());
    } else {
        print(&table(&HEADER, scored.iter().map(Scored::cells)));
    }
    Ok(0)
}
