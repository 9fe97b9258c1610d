//! What the runs of a sweep say: laws with their intervals and warnings, and what they predict.

use clap::ValueEnum;
use fit::LawFit;
use report::Part;
use spec::run::short;

use super::{Told, heading, table};
use crate::answer::{self, interval};
use crate::args::{Compute, How, Law, Stage};
use crate::command::predictions::{self, Scored};
use crate::command::table::count;
use crate::exit::Failure;
use crate::frontiers::{FamilyLaw, laws_of_families};
use crate::laws::{self, Answer, Checks};
use crate::place::Place;
use crate::points::{self, Points};
use crate::surfaces::Fitted;

/// Times the largest compute of the frontier at which the law is read off.
const FURTHER: [f64; 4] = [1.0, 3.0, 10.0, 30.0];

/// What has to be typed for a compute that is not the usual one.
pub(crate) fn flag(compute: Compute) -> String {
    let named = compute.to_possible_value().filter(|_| compute != Compute::TrainHours);
    named.map_or(String::new(), |compute| format!(" --compute {}", compute.get_name()))
}

/// The laws of a sweep, fitted once.
pub(crate) struct Conclusions {
    /// Of the stages that have points: what was asked, and the answer.
    laws: Vec<(String, Answer, Points)>,
    /// The frontier of the grid by family.
    families: Vec<FamilyLaw>,
    kept: Vec<Scored>,
}

impl Conclusions {
    pub(crate) fn draw(place: &Place, told: &Told, compute: Compute) -> Result<Conclusions, Failure> {
        let how = How::default();
        let of = |compute, stage| points::of_sweep(&told.rows, &told.verdicts, compute, stage);
        let points = of(compute, Stage::Pretraining);
        let flops = of(Compute::Flops, Stage::Pretraining);
        let tuned = of(compute, Stage::Finetuning);
        let kept = predictions::scored(place, &told.sweep.name, &flops.runs)?;
        let mut laws = Vec::new();
        let counted = flag(compute);
        let mut ask = |law: Law, options: &str, points: Points, even_refused: bool| {
            let answer = laws::fit_law(law, &points.runs, &how, None);
            if even_refused || !answer.is_refusal() {
                let command = format!("scalelaw fit {} {}{options}", answer::law_name(law), told.sweep.name);
                laws.push((command, answer, points));
            }
        };
        let families = laws_of_families(&points.runs);
        ask(Law::Frontier, &counted, points.clone(), true);
        ask(Law::Lr, "", points, true);
        // A surface that the runs do not carry was not asked for.
        ask(Law::Parametric, "", flops, false);
        if !tuned.runs.is_empty() {
            ask(Law::Frontier, &format!(" --stage finetuning{counted}"), tuned, true);
        }
        Ok(Conclusions { laws, families, kept })
    }

    /// The law of the frontier of the grid, whatever families are in it.
    fn frontier(&self) -> Option<(&LawFit, &Points, Option<&Checks>)> {
        match self.laws.first() {
            Some((_, Answer::Curve(_, fitted, checks), points)) => Some((&**fitted, points, checks.as_ref())),
            _ => None,
        }
    }

    /// How far off the law of the frontier was where it could be put to the test.
    fn doubts(&self) -> Option<String> {
        let tested = &self.frontier()?.2?.backtest;
        let (error, inside) = (tested.mean_error?, tested.coverage?);
        Some(format!(
            "Put to the test on its own largest budgets, which it was fitted without, it predicted them {:+.1} % off on average, with \
             {:.0} % of them inside their interval.",
            100.0 * error,
            100.0 * inside
        ))
    }

    /// The answer in a few lines.
    pub(crate) fn in_short(&self) -> Vec<String> {
        let Some((_, _, points)) = self.laws.first() else { return Vec::new() };
        if self.families.is_empty() {
            return vec!["No run has a result yet.".to_owned()];
        }
        let mut lines: Vec<String> = self.families.iter().map(|law| self.of_family(law)).collect();
        lines.push(format!("C: {}; L: {}; intervals are 95 %.", points.axes.compute, points.axes.loss));
        if self.families.len() == 1 {
            lines.extend(self.doubts());
        }
        lines.extend(self.growth());
        let warnings = self.frontier().map_or(0, |(law, ..)| law.warnings.len());
        if warnings > 0 {
            lines.push(format!("The fit has {}, below under Fits.", count(warnings, "warning")));
        }
        lines
    }

    /// How the best size and the samples grow with compute, where the runs carry a law of both.
    fn growth(&self) -> Option<String> {
        let surface = self.laws.iter().find_map(|(_, answer, _)| match answer {
            Answer::Wide(wide) => match &wide.law {
                Fitted::Surface(fitted, _) => Some(fitted),
                _ => None,
            },
            _ => None,
        })?;
        let (size, samples) = (surface.summary.params.get("a")?, surface.summary.params.get("b")?);
        Some(format!(
            "By the law of size and samples the best size grows with the operations to the power {}, and the samples to {}.",
            interval(size),
            interval(samples)
        ))
    }

    fn of_family(&self, of: &FamilyLaw) -> String {
        let whose = if self.families.len() > 1 { format!(" of {}", of.family) } else { String::new() };
        match &of.found {
            Ok((_, law)) => {
                let alpha = law.params.get("alpha").map(interval).unwrap_or_default();
                let certain = if of.law().is_some() { "" } else { ", which may be 0" };
                let (equation, points) = (answer::equation(law), law.used.len());
                format!(
                    "The lowest held-out loss{whose} against compute: {equation}, exponent {alpha}{certain}, from {}.",
                    count(points, "run")
                )
            }
            Err(refusal) => {
                format!("The runs{whose} carry no law of compute: {refusal}. To mend it: {}.", refusal.mend())
            }
        }
    }

    /// Every law as `scalelaw fit` prints it.
    pub(crate) fn fits(&self) -> Vec<Part> {
        let mut parts = vec![heading("Fits")];
        for (command, answer, points) in &self.laws {
            parts.push(Part::Text(format!("{command}, in {}:", points.axes.compute)));
            parts.push(Part::Verbatim(answer.as_text(points)));
        }
        parts
    }

    /// What the law of the frontier says beyond its runs, and what was predicted earlier.
    pub(crate) fn predictions(&self) -> Vec<Part> {
        let mut parts = vec![heading("Predictions")];
        match self.frontier() {
            Some((law, points, _)) => {
                let largest = law.x_range.1;
                let row = |times: &f64| {
                    let at = law.predict(times * largest);
                    vec![format!("{times}"), short(times * largest), interval(&at)]
                };
                let text = format!(
                    "By the law of the frontier, if it goes on as it was fitted: the lowest loss at this many times the largest compute of the \
                     frontier. The interval is that of the law, not of a single run; beyond ten times it says little. C: {}.",
                    points.axes.compute
                );
                parts.push(Part::Text(text));
                parts.extend(self.doubts().map(Part::Text));
                parts.push(table(&["times", "C", "lowest loss"], FURTHER.iter().map(row).collect()));
            }
            None => parts.push(Part::Text("Without a law of the frontier there is nothing to extrapolate.".to_owned())),
        }
        if !self.kept.is_empty() {
            parts.push(Part::Text(
                "Predictions that were kept before their runs existed (scalelaw predict --save):".to_owned(),
            ));
            let rows = self.kept.iter().map(Scored::cells).collect();
            parts.push(table(&predictions::HEADER, rows));
        }
        parts
    }
}
