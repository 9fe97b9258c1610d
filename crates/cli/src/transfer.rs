//! Points of fine-tuning: what pre-training was worth on the task behind it (figure 1 of arXiv 2310.16764).

use std::collections::BTreeMap;

use fit::Excluded;
use spec::run::short;
use store::RunRow;

use crate::args::{Compute, Stage};
use crate::points::{Axes, Points, Rates, RunPoint, compute_of, family, no_point};

/// Why a model and budget is left out whose best run makes no mistake.
pub(crate) const FLAWLESS: &str = "a run of its model and budget makes no mistake, and an error of 0 has no logarithm";

/// A run with the one whose weights it started from.
struct Tuned<'a> {
    row: usize,
    tuned: &'a RunRow,
    pretrained: &'a RunRow,
}

impl Tuned<'_> {
    /// Share of wrong answers in percent, with the most likely class as the answer; `None`: diverged.
    fn error(&self) -> Option<f64> {
        self.tuned.result.as_ref().and_then(|result| result.accuracy).map(|accuracy| 100.0 * (1.0 - accuracy))
    }

    fn pretraining_lr(&self) -> f64 {
        self.pretrained.spec.train.lr
    }
}

/// Top-1 error against the compute of the pre-training. Epochs are those of the pre-training, learning rates those of the
/// fine-tuning. Where runs of several pre-training rates were fine-tuned, those of the rate with the lowest error count.
pub(crate) fn of_sweep(rows: &[RunRow], compute: Compute) -> Points {
    let axes = Axes::of_sweep(compute, Stage::Finetuning);
    let mut points = Points { runs: Vec::new(), left_out: Vec::new(), rates: Rates::Tried, axes, unsteady: None };
    let by_id = store::by_id(rows);
    let mut groups: BTreeMap<(&str, u64), Vec<Tuned<'_>>> = BTreeMap::new();
    for (index, tuned) in rows.iter().enumerate() {
        let Some(pretrained) = tuned.spec.pretrained.and_then(|parent| by_id.get(&parent).copied()) else { continue };
        let row = index + 1;
        let of_parent = || pretrained.excluded.as_ref().map(|reason| format!("its pre-training is excluded: {reason}"));
        if let Some(reason) = no_point(tuned).or_else(of_parent) {
            points.left_out.push(Excluded { row, reason });
        } else {
            let group = (tuned.model.as_str(), pretrained.spec.train.epochs.to_bits());
            groups.entry(group).or_default().push(Tuned { row, tuned, pretrained });
        }
    }
    for group in groups.values() {
        let best = best_pretraining_lr(group);
        // A logarithm has no place for the best of this group, and the second best must not stand for it.
        let flawless = group.iter().any(|one| one.error() == Some(0.0));
        for one in group {
            if flawless {
                points.left_out.push(Excluded { row: one.row, reason: FLAWLESS.to_owned() });
                continue;
            }
            if one.pretraining_lr() != best {
                let reason = format!(
                    "pre-trained at {}, which after fine-tuning is worse than {}",
                    short(one.pretraining_lr()),
                    short(best)
                );
                points.left_out.push(Excluded { row: one.row, reason });
                continue;
            }
            points.runs.push(RunPoint {
                row: one.row,
                run: Some(one.tuned.run),
                model: one.tuned.model.clone(),
                family: family(one.tuned),
                parameters: Some(one.pretrained.parameters as f64),
                epochs: Some(one.pretrained.spec.train.epochs),
                samples: Some(one.pretrained.spec.samples() as f64),
                lr: Some(one.tuned.spec.train.lr),
                seed: Some(one.tuned.spec.seed),
                compute: compute_of(one.pretrained, compute),
                loss: one.error(),
                verified: true,
            });
        }
    }
    points.runs.sort_by_key(|point| point.row);
    points.left_out.sort_by_key(|left_out| left_out.row);
    points
}

/// The learning rate of pre-training with the lowest error, averaged over seeds, at its best rate of fine-tuning.
fn best_pretraining_lr(group: &[Tuned<'_>]) -> f64 {
    let mut cells: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    for one in group {
        let cell = (one.pretraining_lr().to_bits(), one.tuned.spec.train.lr.to_bits());
        cells.entry(cell).or_default().push(one.error().unwrap_or(f64::INFINITY));
    }
    let mean = |errors: &Vec<f64>| errors.iter().sum::<f64>() / errors.len() as f64;
    let best = cells.iter().min_by(|a, b| mean(a.1).total_cmp(&mean(b.1)));
    best.map_or(f64::NAN, |((lr, _), _)| f64::from_bits(*lr))
}
