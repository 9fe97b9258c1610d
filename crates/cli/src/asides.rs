//! Runs beside those that count: still at work, or excluded by a person. Figures show them hollow; no fit sees them.

use std::collections::BTreeMap;

use report::PointKind;
use spec::run::RunId;
use spec::state::RunState;
use store::RunRow;

use crate::args::{Compute, Stage};
use crate::command::table::count;
use crate::points::{compute_of, family};

/// A run that has a loss and does not count.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    pub(crate) model: String,
    pub(crate) family: String,
    pub(crate) parameters: f64,
    pub(crate) epochs: f64,
    /// That of the steps whose loss it is.
    pub(crate) compute: f64,
    pub(crate) loss: f64,
    pub(crate) kind: PointKind,
}

/// All of them, and how many runs do not count, with a loss or without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asides {
    /// Of each model and epoch budget the best one at work, and the best excluded one.
    pub(crate) best: Vec<Aside>,
    pub(crate) unfinished: usize,
    /// Failed or cancelled.
    pub(crate) given_up: usize,
    pub(crate) excluded: usize,
    /// Whether those at work stand at billed hours on an axis of others.
    billed: bool,
}

/// Those of one stage of a sweep. `newest`: step and held-out loss that runs have recorded on their way.
pub(crate) fn of_sweep(
    rows: &[RunRow],
    newest: &BTreeMap<RunId, (u64, f64)>,
    compute: Compute,
    stage: Stage,
) -> Asides {
    let mut asides = Asides { billed: compute == Compute::TrainHours, ..Asides::default() };
    let mut best: BTreeMap<(bool, &str, u64), Aside> = BTreeMap::new();
    let by_id = store::by_id(rows);
    let of_stage = |row: &&RunRow| row.wanted && row.spec.pretrained.is_some() == (stage == Stage::Finetuning);
    for row in rows.iter().filter(of_stage) {
        let parent = row.spec.pretrained.and_then(|parent| by_id.get(&parent).copied());
        let excluded = row.excluded.is_some() || parent.is_some_and(|parent| parent.excluded.is_some());
        let finished = matches!(row.state, RunState::Completed | RunState::Diverged);
        let found = match (excluded, stage) {
            (true, Stage::Pretraining) => row.result.as_ref().map(|r| (compute_of(row, compute), r.heldout_loss)),
            (true, Stage::Finetuning) => row
                .result
                .as_ref()
                .and_then(|result| Some((compute_of(parent?, compute), 100.0 * (1.0 - result.accuracy?)))),
            (false, Stage::Pretraining) if matches!(row.state, RunState::Queued | RunState::Running) => {
                newest.get(&row.run).map(|at| so_far(row, *at, compute))
            }
            _ => None,
        };
        asides.excluded += usize::from(excluded);
        let given_up = matches!(row.state, RunState::Failed(_) | RunState::Cancelled);
        asides.given_up += usize::from(!excluded && given_up);
        asides.unfinished += usize::from(!excluded && !finished && !given_up);
        let Some((compute, loss)) = found.filter(|(x, y)| [x, y].iter().all(|v| **v > 0.0 && v.is_finite())) else {
            continue;
        };
        let of = parent.unwrap_or(row);
        let kind = if excluded { PointKind::Excluded } else { PointKind::Running };
        let (model, epochs) = (row.model.as_str(), of.spec.train.epochs);
        let aside = Aside {
            model: model.to_owned(),
            family: family(row),
            parameters: of.parameters as f64,
            epochs,
            compute,
            loss,
            kind,
        };
        let entry = best.entry((excluded, model, epochs.to_bits())).or_insert_with(|| aside.clone());
        if loss < entry.loss {
            *entry = aside;
        }
    }
    asides.best = best.into_values().collect();
    asides
}

/// The compute up to a step, and the loss there. The median time of a step is not known yet, so the hours are those billed.
fn so_far(row: &RunRow, (step, loss): (u64, f64), compute: Compute) -> (f64, f64) {
    let of = |all: f64, steps: u64| all * step as f64 / steps.max(1) as f64;
    let at = match compute {
        Compute::Flops => of(row.flops, row.steps),
        Compute::DeviceHours | Compute::TrainHours => of(compute_of(row, Compute::DeviceHours), row.step.max(step)),
    };
    (at, loss)
}

impl Asides {
    /// What a figure that draws the best of them says of all.
    pub(crate) fn note(&self) -> Option<String> {
        let counts: Vec<String> =
            [(self.unfinished, "not finished yet"), (self.given_up, "given up"), (self.excluded, "excluded")]
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| format!("{} {what}", count(number, "run")))
                .collect();
        let drawn = match self.best.is_empty() {
            true => " and left out",
            false => "; of each model and budget the best with a loss is drawn",
        };
        let at_work = self.best.iter().any(|one| one.kind == PointKind::Running);
        // The median time of a step is known at the end only.
        let hours = if at_work && self.billed { " Runs at work stand at their billed hours." } else { "" };
        (!counts.is_empty()).then(|| format!("{}{drawn}.{hours}", counts.join(", ")))
    }

    /// Everything that a figure takes from them.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}
