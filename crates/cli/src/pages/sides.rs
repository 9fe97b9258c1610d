//! The two sides of a comparison: two sweeps, or the two families of one, and their laws stage by stage.

use std::collections::BTreeSet;

use fit::{Comparison, LawFit, Refusal};
use serde_json::{Value, json};
use spec::run::RunId;

use super::{Told, is_simulated};
use crate::args::{Compute, Stage};
use crate::command::table::count;
use crate::exit::Failure;
use crate::frontiers::{FamilyLaw, laws_of_families};
use crate::points::{self, Axes, Points, RunPoint};

/// What is compared.
pub(crate) struct Sides {
    pub(crate) names: [String; 2],
    pub(crate) compute: Compute,
    pub(crate) stages: Vec<Compared>,
}

/// What divides the runs into two sides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Division {
    Sweeps,
    Families,
}

/// One stage of both sides.
pub(crate) struct Compared {
    pub(crate) stage: Stage,
    pub(crate) axes: Axes,
    /// Runs of both, rows of the second sweep numbered on; the family of each is its side.
    pub(crate) runs: Vec<RunPoint>,
    /// The law of each side, in the order of the names.
    pub(crate) laws: [FamilyLaw; 2],
    pub(crate) found: Result<Comparison, Refusal>,
    /// What has to be said of the points of each side.
    pub(crate) doubts: Vec<String>,
    /// Why what was measured is not comparable at all.
    pub(crate) incomparable: Option<String>,
}

impl Sides {
    /// Two sweeps, or the two families of one.
    pub(crate) fn of(told: &[Told], compute: Compute) -> Result<Sides, Failure> {
        let (names, division) = names(told)?;
        let mut sides = Sides { names, compute, stages: Vec::new() };
        for stage in [Stage::Pretraining, Stage::Finetuning] {
            let points: Vec<Points> =
                told.iter().map(|told| points::of_sweep(&told.rows, &told.verdicts, compute, stage)).collect();
            sides.stages.extend(
                sides
                    .compared(stage, points, division)
                    .map(|compared| Compared { incomparable: incomparable(told, stage), ..compared }),
            );
        }
        Ok(sides)
    }

    /// One stage; none where a side has no runs of it.
    fn compared(&self, stage: Stage, points: Vec<Points>, division: Division) -> Option<Compared> {
        let axes = points.first()?.axes.clone();
        let (mut runs, mut doubts) = (Vec::new(), Vec::new());
        for (points, name) in points.into_iter().zip(&self.names) {
            let whose = if division == Division::Sweeps { format!("{name}: ") } else { String::new() };
            doubts.extend(
                points.warning().into_iter().chain(points.unsteady.clone()).map(|warning| format!("{whose}{warning}")),
            );
            let before = runs.iter().map(|run: &RunPoint| run.row).max().unwrap_or(0);
            runs.extend(points.runs.into_iter().map(|mut run| {
                run.row += before;
                if division == Division::Sweeps {
                    run.family = name.clone();
                }
                run
            }));
        }
        let diverged = runs.iter().filter(|run| run.loss.is_none()).count();
        if diverged > 0 {
            doubts.push(format!("{} diverged and have no place on a frontier", count(diverged, "run")));
        }
        points::tell_apart(&mut runs);
        let mut laws = laws_of_families(&runs);
        laws.sort_by_key(|law| self.names.iter().position(|name| *name == law.family));
        let laws: [FamilyLaw; 2] = laws.try_into().ok()?;
        let law = |side: &FamilyLaw| side.found.as_ref().map(|(_, law)| (**law).clone()).map_err(Clone::clone);
        let found = law(&laws[0]).and_then(|one| fit::compare(&one, &law(&laws[1])?));
        for law in &laws {
            let warnings = fitted(law).map(|fitted| fitted.warnings.as_slice()).unwrap_or_default();
            doubts.extend(warnings.iter().map(|warning| format!("{}: {warning}", law.family)));
        }
        Some(Compared { stage, axes, runs, laws, found, doubts, incomparable: None })
    }

    /// Whether any stage could be compared.
    pub(crate) fn has_answer(&self) -> bool {
        self.stages.iter().any(|compared| compared.found.is_ok() && compared.incomparable.is_none())
    }

    /// The contract of `comparison.json`; with `--json` it stands under `answer`.
    pub(crate) fn as_json(&self, warnings: &[String]) -> Value {
        let refused = |refusal: &Refusal| json!({"reason": refusal.to_string(), "mend": refusal.mend()});
        let stage = |compared: &Compared| {
            let law = |law: &FamilyLaw| match &law.found {
                Ok((frontier, law)) => json!({"law": **law, "frontier": frontier.pareto.len()}),
                Err(refusal) => json!({"refusal": refused(refusal)}),
            };
            let (found, refusal) = match &compared.found {
                Ok(found) => (json!(found), Value::Null),
                Err(refusal) => (Value::Null, refused(refusal)),
            };
            json!({
                "stage": if compared.stage == Stage::Pretraining { "pretraining" } else { "finetuning" },
                "compute": compared.axes.compute,
                "loss": compared.axes.loss,
                "laws": compared.laws.iter().map(law).collect::<Vec<_>>(),
                "comparison": found,
                "refusal": refusal,
                "incomparable": compared.incomparable,
                "warnings": compared.doubts,
            })
        };
        json!({
            "schema_version": 1,
            "one": self.names[0],
            "other": self.names[1],
            "stages": self.stages.iter().map(stage).collect::<Vec<_>>(),
            "warnings": warnings,
        })
    }
}

/// The law of a side, where there is one.
pub(crate) fn fitted(law: &FamilyLaw) -> Option<&LawFit> {
    law.found.as_ref().ok().map(|(_, law)| &**law)
}

fn names(told: &[Told]) -> Result<([String; 2], Division), Failure> {
    match told {
        [one, other] => Ok(([one.sweep.name.clone(), other.sweep.name.clone()], Division::Sweeps)),
        [only] => {
            let families: BTreeSet<String> = only.rows.iter().filter(|row| row.wanted).map(points::family).collect();
            let known = families.iter().cloned().collect::<Vec<_>>().join(", ");
            let two: Result<[String; 2], _> = families.into_iter().collect::<Vec<_>>().try_into();
            let name = &only.sweep.name;
            two.map(|names| (names, Division::Families)).map_err(|_| {
                Failure::usage(format!(
                    "{name} alone is compared by its two families, and it has: {known}; name two sweeps: scalelaw compare {name} OTHER"
                ))
            })
        }
        _ => Err(Failure::usage("name two sweeps: scalelaw compare ONE OTHER")),
    }
}

/// Why what the sweeps measured in a stage is not the same thing.
fn incomparable(told: &[Told], stage: Stage) -> Option<String> {
    let rows = told.iter().flat_map(|told| &told.rows);
    let of_stage = rows.filter(|row| row.wanted && row.spec.pretrained.is_some() == (stage == Stage::Finetuning));
    let set = |row: &store::RunRow| {
        let data = &row.spec.data;
        let classes = data.keep_classes.as_ref().map_or(String::new(), |kept| format!(", of them {kept:?}"));
        format!(
            "{} with {} held-out examples of {} classes{classes} ({})",
            data.dataset, data.heldout_examples, data.classes, data.fingerprint
        )
    };
    let sets: BTreeSet<String> = of_stage.map(set).collect();
    let measured = if stage == Stage::Finetuning { "errors after fine-tuning" } else { "losses" };
    let named = sets.iter().cloned().collect::<Vec<_>>().join("; ");
    (sets.len() > 1).then(|| format!("the held-out sets differ, so the {measured} cannot be compared: {named}"))
}

/// What makes a comparison unfair.
pub(crate) fn warnings(told: &[Told], sides: &Sides) -> Vec<String> {
    let mut warnings: Vec<String> = sides.stages.iter().filter_map(|compared| compared.incomparable.clone()).collect();
    if let [one, other] = told {
        let runs: BTreeSet<RunId> = one.rows.iter().filter(|row| row.wanted).map(|row| row.run).collect();
        let shared = other.rows.iter().filter(|row| row.wanted && runs.contains(&row.run)).count();
        if shared > 0 {
            let runs = count(shared, "run");
            warnings.push(format!(
                "{runs} belong to both, so their errors are not independent, as the intervals take them to be"
            ));
        }
    }
    let hardware: BTreeSet<&str> =
        told.iter().flat_map(|told| &told.worked).filter_map(|worked| worked.hardware.as_deref()).collect();
    if hardware.len() > 1 && sides.compute != Compute::Flops {
        let names = hardware.into_iter().collect::<Vec<_>>().join("; ");
        warnings
            .push(format!("hours of different hardware were compared: {names}; those of --compute flops are equal"));
    }
    for told in told.iter().filter(|told| is_simulated(&told.rows)) {
        warnings.push(format!("{} is SIMULATED: its runs only pretended to train", told.sweep.name));
    }
    warnings
}
