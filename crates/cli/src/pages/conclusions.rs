//! What the runs of a sweep say: laws with their intervals and warnings, and what they predict.

use fit::{Form, LawFit};
use report::Part;
use spec::run::short;

use super::{Told, heading, table};
use crate::answer::{self, interval};
use crate::args::{Compute, How, Law, Stage};
use crate::command::predictions::{self, Scored};
use crate::command::table::count;
use crate::exit::Failure;
use crate::laws::{self, Answer};
use crate::place::Place;
use crate::points::{self, Points};

/// Times the largest compute of the frontier at which the law is read off.
const FURTHER: [f64; 4] = [1.0, 3.0, 10.0, 30.0];

/// The laws of a sweep, fitted once.
pub(crate) struct Conclusions {
    /// Of the stages that have points: what was asked, and the answer.
    laws: Vec<(String, Answer, Points)>,
    kept: Vec<Scored>,
}

impl Conclusions {
    pub(crate) fn draw(place: &Place, told: &Told) -> Result<Conclusions, Failure> {
        let how = How::default();
        let of = |compute, stage| points::of_sweep(&told.rows, &told.verdicts, compute, stage);
        let hours = of(Compute::TrainHours, Stage::Pretraining);
        let flops = of(Compute::Flops, Stage::Pretraining);
        let tuned = of(Compute::TrainHours, Stage::Finetuning);
        let kept = predictions::scored(place, &told.sweep.name, &flops.runs)?;
        let mut laws = Vec::new();
        let mut ask = |law: Law, options: &str, points: Points, even_refused: bool| {
            let answer = laws::fit_law(law, &points.runs, &how, None);
            if even_refused || !answer.is_refusal() {
                laws.push((format!("scalelaw fit {}{options}", answer::law_name(law)), answer, points));
            }
        };
        ask(Law::Frontier, "", hours.clone(), true);
        ask(Law::Lr, "", hours, true);
        // A surface that the runs do not carry was not asked for.
        ask(Law::Parametric, "", flops, false);
        if !tuned.runs.is_empty() {
            ask(Law::Frontier, " --stage finetuning", tuned, true);
        }
        Ok(Conclusions { laws, kept })
    }

    fn frontier(&self) -> Option<(&LawFit, &Points)> {
        self.laws.iter().find_map(|(_, answer, points)| match answer {
            Answer::Curve(_, fitted, _) => Some((&**fitted, points)),
            _ => None,
        })
    }

    /// How far off the law of the frontier was where it could be put to the test.
    fn doubts(&self) -> Option<String> {
        let tested = self.laws.iter().find_map(|(_, answer, _)| match answer {
            Answer::Curve(_, _, Some(checks)) => Some(&checks.backtest),
            _ => None,
        })?;
        let (error, inside) = (tested.mean_error?, tested.coverage?);
        Some(format!(
            "Put to the test on its own largest budgets, which it was fitted without, it predicted them {:+.1} % off on average, with \
             {:.0} % of them inside their interval.",
            100.0 * error,
            100.0 * inside
        ))
    }

    /// The answer in a line or two.
    pub(crate) fn in_short(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match (self.frontier(), self.laws.first()) {
            (Some((law, points)), _) => {
                let alpha = law.params.get("alpha").map(interval).unwrap_or_default();
                let form = if law.form == Form::Power { "falls as a power of compute" } else { "falls and levels off" };
                lines.push(format!("The lowest held-out loss {form}: {}, exponent {alpha}.", answer::equation(law)));
                lines.push(format!("C: {}; L: {}; intervals are 95 %.", points.axes.compute, points.axes.loss));
                lines.extend(self.doubts());
                let warnings = law.warnings.len();
                if warnings > 0 {
                    lines.push(format!("The fit has {}, below under Fits.", count(warnings, "warning")));
                }
            }
            (None, Some((_, Answer::Refused(refusal), _))) => {
                lines.push(format!("The runs carry no law of compute: {refusal}. To mend it: {}.", refusal.mend()));
            }
            _ => {}
        }
        lines
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
            Some((law, points)) => {
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
