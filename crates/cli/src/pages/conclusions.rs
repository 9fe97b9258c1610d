//! What the runs of a sweep say: laws with their intervals and warnings, and what they predict.

use report::Part;
use spec::run::short;

use super::{Told, heading, table};
use crate::answer::{self, interval};
use crate::args::{Compute, How, Law, Stage};
use crate::command::predictions::{self, Scored};
use crate::command::table::count;
use crate::exit::Failure;
use crate::frontiers::{FamilyLaw, laws_of_families};
use crate::laws::{self, Answer};
use crate::place::Place;
use crate::plot_command::word;
use crate::points::{self, Points};
use crate::surfaces::Fitted;

/// Times the largest compute of the frontier at which the law is read off.
const FURTHER: [f64; 4] = [1.0, 3.0, 10.0, 30.0];

/// What has to be typed for a compute that is not the usual one.
pub(crate) fn flag(compute: Compute) -> String {
    if compute == Compute::TrainHours { String::new() } else { format!(" --compute {}", word(compute)) }
}

/// The laws of a sweep, fitted once.
pub(crate) struct Conclusions {
    /// Of the stages that have points: what was asked, and the answer.
    laws: Vec<(String, Answer, Points)>,
    /// The frontier of the grid by family.
    families: Vec<FamilyLaw>,
    sweep: String,
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
        // Learning rates of different optimisers have nothing in common.
        for family in &families {
            let own = Points { runs: family.points.clone(), ..points.clone() };
            ask(
                Law::Lr,
                &if families.len() > 1 { format!(", of {}", family.family) } else { String::new() },
                own,
                true,
            );
        }
        // A surface that the runs do not carry was not asked for.
        ask(Law::Parametric, "", flops, false);
        if !tuned.runs.is_empty() {
            ask(Law::Frontier, &format!(" --stage finetuning{counted}"), tuned, true);
        }
        Ok(Conclusions { laws, families, sweep: told.sweep.name.clone(), kept })
    }

    /// The answer in a few lines.
    pub(crate) fn in_short(&self) -> Vec<String> {
        let Some((_, _, points)) = self.laws.first() else { return Vec::new() };
        if self.families.is_empty() {
            return vec!["No run has a result yet.".to_owned()];
        }
        let mut lines: Vec<String> = self.families.iter().map(|law| self.of_family(law)).collect();
        lines.push(format!("C: {}; L: {}; intervals are 95 %.", points.axes.compute, points.axes.loss));
        lines.extend(self.families.iter().filter_map(|law| self.doubts(law)));
        lines.extend(self.growth());
        if self.families.len() == 2 {
            lines.push(format!("Which of the two is lower at equal compute says scalelaw compare {}.", self.sweep));
        }
        if self.families.iter().any(|law| law.found.as_ref().is_ok_and(|(_, law)| !law.warnings.is_empty())) {
            lines.push("The fits have warnings: they stand under Fits.".to_owned());
        }
        lines
    }

    /// Nothing where there is one family.
    fn whose(&self, of: &FamilyLaw) -> String {
        if self.families.len() > 1 { format!(" of {}", of.family) } else { String::new() }
    }

    /// How far off a law of the frontier was where it could be put to the test.
    fn doubts(&self, of: &FamilyLaw) -> Option<String> {
        let tested = &of.tested()?.backtest;
        let (error, inside) = (tested.mean_error?, tested.coverage?);
        Some(format!(
            "Put to the test on its own largest budgets, which it was fitted without, the law{} predicted them {:+.1} % off on average, \
             with {:.0} % of them inside their interval.",
            self.whose(of),
            100.0 * error.exp_m1(),
            100.0 * inside
        ))
    }

    /// What the largest run of the frontier has measured, to hold the law against.
    fn measured(&self, of: &FamilyLaw) -> Option<String> {
        let largest = of.found.as_ref().ok()?.0.pareto.iter().max_by(|a, b| a.compute.total_cmp(&b.compute))?;
        Some(format!("Measured at C = {}{}: {:.4}.", short(largest.compute), self.whose(of), largest.loss))
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
        let whose = self.whose(of);
        match &of.found {
            Ok((frontier, law)) => {
                let alpha = law.params.get("alpha").map(interval).unwrap_or_default();
                let certain = if of.law().is_some() { "" } else { ", which may be 0" };
                let (equation, points) = (answer::equation(law), count(frontier.pareto.len(), "point"));
                format!(
                    "The lowest held-out loss{whose} against compute: {equation}, exponent {alpha}{certain}, from {points} of its frontier."
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
        if self.families.len() > 1 {
            let families: Vec<&str> = self.families.iter().map(|law| law.family.as_str()).collect();
            let text = "Where a command takes all families together, it says so; the answer above and the figures have a law for each of";
            parts.insert(1, Part::Text(format!("{text} {}.", families.join(" and "))));
            let warned = self.families.iter().filter_map(|of| Some((of, &of.found.as_ref().ok()?.1)));
            let warnings = warned.flat_map(|(of, law)| {
                law.warnings.iter().map(move |warning| format!("Warning on the law of {}: {warning}.", of.family))
            });
            parts.insert(2, Part::List(warnings.collect()));
        }
        parts
    }

    /// What the laws of the frontiers say beyond their runs, and what was predicted earlier.
    pub(crate) fn predictions(&self) -> Vec<Part> {
        let mut parts = vec![heading("Predictions")];
        let laws = self.families.iter().filter_map(|of| Some((of, &of.found.as_ref().ok()?.1)));
        let rows = laws.flat_map(|(of, law)| {
            FURTHER.iter().map(move |times| {
                let compute = times * law.x_range.1;
                let cells = [format!("{times}"), short(compute), interval(&law.predict(compute))];
                std::iter::once(of.family.clone()).chain(cells).collect::<Vec<String>>()
            })
        });
        let rows: Vec<Vec<String>> = rows.collect();
        match self.laws.first() {
            Some((_, _, points)) if !rows.is_empty() => {
                let text = format!(
                    "By the law of the frontier, if it goes on as it was fitted: the lowest loss at this many times the largest compute of the \
                     frontier. The interval is that of the law, not of a single run; beyond ten times it says little. C: {}.",
                    points.axes.compute
                );
                parts.push(Part::Text(text));
                parts.extend(self.families.iter().filter_map(|law| self.doubts(law)).map(Part::Text));
                parts.push(table(&["family", "times", "C", "lowest loss"], rows));
                parts.push(Part::List(self.families.iter().filter_map(|law| self.measured(law)).collect()));
            }
            _ => parts.push(Part::Text("Without a law of the frontier there is nothing to extrapolate.".to_owned())),
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
