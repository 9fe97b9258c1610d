//! Two sweeps, or the two families of one, at equal compute.

use std::collections::BTreeSet;

use fit::{AtEqual, Comparison, Factor, Lower, Refusal};
use report::{Document, Part};
use serde_json::{Value, json};

use super::conclusions::Conclusions;
use super::{Told, happened, heading, provenance, table};
use crate::answer::{equation, interval};
use crate::args::{Compute, Stage};
use crate::command::table::si;
use crate::exit::Failure;
use crate::figure_file::Drawn;
use crate::frontiers::{FamilyLaw, laws_of_families};
use crate::place::Place;
use crate::points::{self, Axes, Points, RunPoint};

/// What is compared: two names, and the runs of each stage that belong to them.
pub(crate) struct Sides {
    pub(crate) names: [String; 2],
    pub(crate) compute: Compute,
    stages: Vec<Compared>,
}

/// One stage of both sides.
pub(crate) struct Compared {
    pub(crate) stage: Stage,
    pub(crate) axes: Axes,
    /// Runs of both; the family of each is its side.
    pub(crate) runs: Vec<RunPoint>,
    /// The law of each side, in the order of the names.
    pub(crate) laws: Vec<FamilyLaw>,
    pub(crate) found: Result<Comparison, Refusal>,
}

impl Sides {
    /// Two sweeps, or the two families of one.
    pub(crate) fn of(told: &[Told], compute: Compute) -> Result<Sides, Failure> {
        let names = names(told)?;
        let mut sides = Sides { names, compute, stages: Vec::new() };
        for stage in [Stage::Pretraining, Stage::Finetuning] {
            let points: Vec<Points> =
                told.iter().map(|told| points::of_sweep(&told.rows, &told.verdicts, compute, stage)).collect();
            sides.stages.extend(sides.compared(stage, points));
        }
        Ok(sides)
    }

    /// One stage; none where a side has no runs of it.
    fn compared(&self, stage: Stage, points: Vec<Points>) -> Option<Compared> {
        let axes = points.first()?.axes.clone();
        let by_sweep = points.len() == 2;
        let mut runs = Vec::new();
        for (points, name) in points.into_iter().zip(&self.names) {
            let before = runs.iter().map(|run: &RunPoint| run.row).max().unwrap_or(0);
            runs.extend(points.runs.into_iter().map(|mut run| {
                // Rows are numbered on, so that each is one run.
                run.row += before;
                if by_sweep {
                    run.family = name.clone();
                }
                run
            }));
        }
        tell_apart(&mut runs, &self.names);
        let mut laws = laws_of_families(&runs);
        laws.sort_by_key(|law| self.names.iter().position(|name| *name == law.family));
        let [one, other] = &laws[..] else { return None };
        let law = |side: &FamilyLaw| side.found.as_ref().map(|(_, law)| (**law).clone()).map_err(Clone::clone);
        let found = law(one).and_then(|one| fit::compare(&one, &law(other)?));
        Some(Compared { stage, axes, runs, laws, found })
    }

    pub(crate) fn stages(&self) -> &[Compared] {
        &self.stages
    }

    /// Whether any stage could be compared.
    pub(crate) fn has_answer(&self) -> bool {
        self.stages.iter().any(|compared| compared.found.is_ok())
    }

    /// The answers, one line each.
    pub(crate) fn in_short(&self) -> Vec<String> {
        let [one, other] = &self.names;
        if self.stages.is_empty() {
            return vec![format!("There are no finished runs of both {one} and {other} yet.")];
        }
        self.stages.iter().flat_map(|compared| compared.in_short([one, other])).collect()
    }

    /// The contract of `comparison.json` and of `scalelaw compare --json`.
    pub(crate) fn as_json(&self, warnings: &[String]) -> Value {
        let stage = |compared: &Compared| {
            let law = |law: &FamilyLaw| match &law.found {
                Ok((_, law)) => json!(**law),
                Err(refusal) => json!({"refused": refusal.to_string(), "mend": refusal.mend()}),
            };
            let (found, refusal) = match &compared.found {
                Ok(found) => (json!(found), Value::Null),
                Err(refusal) => (Value::Null, json!({"reason": refusal.to_string(), "mend": refusal.mend()})),
            };
            json!({
                "stage": if compared.stage == Stage::Pretraining { "pretraining" } else { "finetuning" },
                "compute": compared.axes.compute,
                "loss": compared.axes.loss,
                "laws": compared.laws.iter().map(law).collect::<Vec<_>>(),
                "comparison": found,
                "refusal": refusal,
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

fn names(told: &[Told]) -> Result<[String; 2], Failure> {
    match told {
        [one, other] if one.sweep.name != other.sweep.name => Ok([one.sweep.name.clone(), other.sweep.name.clone()]),
        [one, ..] => {
            let families: BTreeSet<String> = one.rows.iter().filter(|row| row.wanted).map(points::family).collect();
            let known = families.iter().cloned().collect::<Vec<_>>().join(", ");
            families.into_iter().collect::<Vec<_>>().try_into().map_err(|_| {
                let name = &one.sweep.name;
                Failure::usage(format!(
                    "{name} alone is compared by its two families, and it has: {known}; name two sweeps: scalelaw compare {name} OTHER"
                ))
            })
        }
        [] => Err(Failure::usage("name two sweeps: scalelaw compare ONE OTHER")),
    }
}

/// Models that both sides have under one name get the name of their side, too.
fn tell_apart(runs: &mut [RunPoint], names: &[String; 2]) {
    let of = |side: &String| -> BTreeSet<String> {
        runs.iter().filter(|run| run.family == *side).map(|run| run.model.clone()).collect()
    };
    let both: BTreeSet<String> = of(&names[0]).intersection(&of(&names[1])).cloned().collect();
    for run in runs.iter_mut().filter(|run| both.contains(&run.model)) {
        run.model = format!("{} {}", run.family, run.model);
    }
}

impl Compared {
    /// What is measured, in a few words.
    fn measured(&self) -> &'static str {
        if self.stage == Stage::Pretraining { "held-out loss" } else { "top-1 error after fine-tuning" }
    }

    fn in_short(&self, [one, other]: [&str; 2]) -> Vec<String> {
        let what = self.measured();
        let found = match &self.found {
            Ok(found) => found,
            Err(refusal) => {
                let of = self
                    .laws
                    .iter()
                    .find(|law| law.found.is_err())
                    .map_or(String::new(), |law| format!(" of {}", law.family));
                return vec![format!(
                    "The lowest {what} cannot be compared at equal compute{of}: {refusal}. To mend it: {}.",
                    refusal.mend()
                )];
            }
        };
        let middle = &found.at[found.at.len() / 2];
        let verdict = match found.lower {
            Lower::One => format!("{one} has the lower {what} wherever both were trained"),
            Lower::Other => format!("{other} has the lower {what} wherever both were trained"),
            Lower::OneInPlaces => format!("{one} has the lower {what} at some computes and {other} surely nowhere"),
            Lower::OtherInPlaces => format!("{other} has the lower {what} at some computes and {one} surely nowhere"),
            Lower::Cross => format!("the {what} of {one} is lower at some computes and that of {other} at others"),
            Lower::CannotTell => {
                format!("the two cannot be told apart by their {what} at any compute that both were trained with")
            }
        };
        let mut lines = vec![format!(
            "By the laws of their frontiers {verdict} (C from {} to {}; 95 %).",
            si(found.range.0),
            si(found.range.1)
        )];
        let certain = if middle.ratio.low <= 1.0 && middle.ratio.high >= 1.0 { ", which may be none" } else { "" };
        lines.push(format!(
            "At C = {}, in the middle, that of {other} differs from that of {one} by {}{certain}.",
            si(middle.compute),
            percent(middle)
        ));
        lines.extend(middle.factor.as_ref().map(|factor| {
            format!("To reach there what {one} reaches, {other} needs {} times the compute.", times(factor))
        }));
        let exponents = &found.exponents;
        let faster = if exponents.low > 0.0 {
            format!("{other} falls faster")
        } else if exponents.high < 0.0 {
            format!("{other} falls more slowly")
        } else {
            "no difference is certain".to_owned()
        };
        lines.push(format!("Exponent of {other} less that of {one}: {}: {faster}.", interval(exponents)));
        lines
    }

    fn parts(&self, [one, other]: [&str; 2]) -> Vec<Part> {
        let mut parts = Vec::new();
        let law = |law: &FamilyLaw| match &law.found {
            Ok((_, fitted)) => {
                let alpha = fitted.params.get("alpha").map(interval).unwrap_or_default();
                format!("{}: {}, exponent {alpha}, from {} points.", law.family, equation(fitted), fitted.used.len())
            }
            Err(refusal) => format!("{}: no law: {refusal}. To mend it: {}.", law.family, refusal.mend()),
        };
        parts.push(Part::Text(format!("C: {}; L: {}; all intervals are 95 %.", self.axes.compute, self.axes.loss)));
        parts.push(Part::List(self.laws.iter().map(law).collect()));
        if let Ok(found) = &self.found {
            let row = |at: &AtEqual| {
                let factor = at.factor.as_ref().map_or("does not get there".to_owned(), times);
                vec![si(at.compute), interval(&at.one), interval(&at.other), percent(at), factor]
            };
            let difference = format!("{other} against {one}");
            let needs = format!("times the compute {other} needs");
            parts.push(table(&["C", one, other, &difference, &needs], found.at.iter().map(row).collect()));
        }
        parts
    }
}

/// The difference in percent of the first.
fn percent(at: &AtEqual) -> String {
    let of = |ratio: f64| 100.0 * (ratio - 1.0);
    format!("{:+.2} % [{:+.2}, {:+.2}]", of(at.ratio.value), of(at.ratio.low), of(at.ratio.high))
}

fn times(factor: &Factor) -> String {
    let low = factor.low.map_or("under 0.0001".to_owned(), |low| format!("{low:.2}"));
    let high = factor.high.map_or("over 10,000".to_owned(), |high| format!("{high:.2}"));
    format!("{:.2} [{low}, {high}]", factor.value)
}

/// What makes a comparison unfair.
pub(crate) fn warnings(told: &[Told], compute: Compute) -> Vec<String> {
    let mut warnings = Vec::new();
    let heldout: BTreeSet<String> = told
        .iter()
        .flat_map(|told| &told.rows)
        .filter(|row| row.wanted && row.spec.pretrained.is_none())
        .map(|row| {
            let data = &row.spec.data;
            format!(
                "{}, {} held-out examples of {} classes, {}",
                data.dataset, data.heldout_examples, data.classes, data.fingerprint
            )
        })
        .collect();
    if heldout.len() > 1 {
        let sets = heldout.into_iter().collect::<Vec<_>>().join("; ");
        warnings.push(format!("the held-out sets differ, so the losses cannot be compared: {sets}"));
    }
    let hardware: BTreeSet<&str> =
        told.iter().flat_map(|told| &told.worked).filter_map(|worked| worked.hardware.as_deref()).collect();
    if hardware.len() > 1 && compute != Compute::Flops {
        let names = hardware.into_iter().collect::<Vec<_>>().join("; ");
        warnings
            .push(format!("hours of different hardware were compared: {names}; --compute flops does not depend on it"));
    }
    warnings
}

/// The page of a comparison.
pub(crate) fn document(place: &Place, told: &[Told], sides: &Sides, drawn: &[Drawn]) -> Result<Document, Failure> {
    let [one, other] = &sides.names;
    let mut parts = vec![heading("Question")];
    let mut questions: Vec<Part> = told.iter().map(happened::question).collect();
    questions.dedup();
    parts.extend(questions);
    parts.extend([heading("Answer"), Part::List(sides.in_short())]);
    let warnings = warnings(told, sides.compute);
    if !warnings.is_empty() {
        parts.push(Part::List(warnings.iter().map(|warning| format!("Warning: {warning}.")).collect()));
    }
    parts.push(heading("At equal compute"));
    for compared in sides.stages() {
        parts.extend(compared.parts([one, other]));
        let name = figure_name(compared.stage);
        parts.extend(drawn.iter().filter(|figure| figure.name.starts_with(name)).map(|figure| Part::Figure {
            name: figure.name.clone(),
            svg: figure.svg.clone(),
            caption: format!(
                "{}{} of {one} and {other} against compute: of each model and epoch budget the best learning rate, and the law of \
                 each frontier with its 95 % band.",
                compared.measured()[..1].to_uppercase(),
                &compared.measured()[1..]
            ),
        }));
    }
    let again = match told {
        [only] => format!("scalelaw compare {}", only.sweep.name),
        _ => format!("scalelaw compare {one} {other}"),
    };
    for told in told {
        let conclusions = Conclusions::draw(place, told, sides.compute)?;
        let mut own = happened::parts(told);
        own.extend(conclusions.fits());
        own.extend(happened::certificates(told));
        own.extend(happened::spent(told));
        own.extend(provenance::parts(told));
        own.extend(happened::runs(told));
        own.extend([heading("Sweep file"), Part::Verbatim(told.source.clone())]);
        own.extend(provenance::reproduce(told, &again));
        let of = |part| match part {
            Part::Heading(text) if told_apart(told, sides) => Part::Heading(format!("{}: {text}", told.sweep.name)),
            part => part,
        };
        parts.extend(own.into_iter().map(of));
    }
    Ok(Document { title: format!("{one} against {other}"), parts })
}

/// Whether the sweep is one of two.
fn told_apart(told: &Told, sides: &Sides) -> bool {
    sides.names.contains(&told.sweep.name)
}

/// What the files of a comparison's figure are called.
pub(crate) fn figure_name(stage: Stage) -> &'static str {
    if stage == Stage::Pretraining { "scaling" } else { "transfer" }
}
