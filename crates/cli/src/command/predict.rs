//! `scalelaw predict`: what a run, or the best use of some compute, will reach, with intervals.

use std::fmt::Write;

use fit::{Backtest, Estimate, Refusal, SurfaceSettings};
use serde_json::{Value, json};
use spec::run::short;

use crate::answer::interval;
use crate::args::{Compute, Law, Predict, Stage};
use crate::command::predictions::{self, Kept};
use crate::exit::{Failure, NO_FIT, print, say};
use crate::growth::now_ms;
use crate::laws::{self, Answer};
use crate::place::{self, Place};
use crate::points::{self, Needs, Points, RunPoint};
use crate::samples;
use crate::surfaces::{Cells, cells};
use crate::wide_answer::wide_interval;

/// Times the largest compute of the runs beyond which a prediction is called far.
const FAR: f64 = 10.0;

pub(crate) async fn run(place: &Place, options: &Predict) -> Result<u8, Failure> {
    if options.columns.points.is_some() && !options.together.with.is_empty() {
        return Err(Failure::usage("--with adds a sweep to a sweep: it has no effect on --points"));
    }
    // Without sizes there is still the law of compute.
    let of_file = points::of_file(&options.columns, Needs::SizeAndLoss).or_else(|failure| match options.at_compute {
        Some(_) => points::of_file(&options.columns, Needs::ComputeAndLoss),
        None => Err(failure),
    });
    let (sweep, points) = match of_file? {
        Some(points) => (None, points),
        None => {
            let store = place.read().await?;
            let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
            let rows = place::rows(place, &store, sweep.sweep_id, &options.together.with).await?;
            let verdicts = samples::verdicts(&store, &rows).await?;
            store.close().await;
            (Some(sweep.name), points::of_sweep(&rows, &verdicts, Compute::Flops, Stage::Pretraining))
        }
    };
    if let (true, Some(sweep)) = (options.scores, &sweep) {
        return predictions::scores(place, sweep, &points.runs);
    }
    let prediction = match (options.at_compute, options.model.as_deref()) {
        (Some(compute), _) => at_compute(&points, options, compute),
        (None, Some(model)) => of_model(&points, options, model)?,
        (None, None) => return Err(Failure::usage("say what to predict: --compute C, or --model NAME --epochs E")),
    };
    print(&if place.json { prediction.as_json().to_string() } else { prediction.as_text() });
    if let (true, Some(sweep)) = (options.save, sweep) {
        keep(place, sweep, options, &prediction, &points.runs)?;
    }
    Ok(if prediction.numbers.is_empty() { NO_FIT } else { 0 })
}

/// Keeps the loss of one run, or what else there is of the loss.
fn keep(place: &Place, sweep: String, options: &Predict, found: &Prediction, runs: &[RunPoint]) -> Result<(), Failure> {
    let of_one = found.numbers.iter().find(|(name, ..)| *name == "loss_of_one_run");
    let Some((_, estimate, by)) = of_one.or(found.numbers.iter().find(|(name, ..)| *name == "loss")) else {
        return Ok(());
    };
    let mut kept = Kept {
        predicted_ms: now_ms(),
        sweep,
        model: options.model.clone(),
        epochs: options.epochs.filter(|_| options.model.is_some()),
        compute: options.at_compute,
        value: estimate.value,
        low: estimate.low,
        high: estimate.high,
        by: by.clone(),
        known: None,
    };
    kept.known = kept.outcome(runs);
    kept.keep(place)?;
    say(&format!("kept; {} scores it", place.command("predict --scores")));
    Ok(())
}

/// What is predicted, number by number.
#[derive(Default)]
struct Prediction {
    of: String,
    numbers: Vec<(&'static str, Estimate, String)>,
    refusals: Vec<(&'static str, Refusal)>,
    warnings: Vec<String>,
}

/// The surface that the runs carry: with repeated samples worth less where they tell.
enum Surface {
    Fresh(fit::SurfaceFit),
    Repeated(fit::RepeatedFit),
}

fn surface(cells: &Cells, options: &Predict) -> Result<Surface, Refusal> {
    let settings = SurfaceSettings { resamples: options.how.resamples, ..options.how.of_surface(cells.flops_per) };
    match fit::repeated(&cells.points, &settings) {
        Ok(fit) => Ok(Surface::Repeated(fit)),
        Err(_) => fit::parametric(&cells.points, &settings).map(Surface::Fresh),
    }
}

impl Surface {
    fn backtest(&self, cells: &Cells, options: &Predict, noise: Option<f64>) -> Backtest {
        let settings = SurfaceSettings {
            resamples: 0,
            intervals: fit::Intervals::Delta,
            ..options.how.of_surface(cells.flops_per)
        };
        match self {
            Surface::Fresh(_) => fit::backtest_surface(&cells.points, &settings, noise),
            Surface::Repeated(_) => fit::backtest_repeated(&cells.points, &settings, noise),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Surface::Fresh(_) => "parametric",
            Surface::Repeated(_) => "repeated",
        }
    }
}

/// Whether two intervals have nothing in common.
fn apart(one: &Estimate, other: &Estimate) -> bool {
    one.high < other.low || other.high < one.low
}

/// What is to be said of laws that disagree by more than their intervals: which predicted the largest runs better.
fn disagreement(of_compute: &Backtest, of_sizes: &Backtest, name: &str) -> String {
    let percent = |error: f64| format!("{:.2} %", 100.0 * error);
    let better = match (of_compute.rmse_log, of_sizes.rmse_log) {
        (Some(one), Some(other)) => {
            let favoured = if one < other { "law of compute".to_owned() } else { format!("{name} law") };
            format!(
                "fitted without the largest budgets, the law of compute was {} off there and the {name} law {}: that favours the {favoured}",
                percent(one),
                percent(other),
            )
        }
        _ => "there are too few budgets to tell by extrapolation which is better".to_owned(),
    };
    format!("the law of compute and the {name} law disagree by more than their intervals; {better}")
}

/// Samples in the data set: those seen over the epochs they took.
fn data_set(points: &[RunPoint]) -> Option<f64> {
    let mut all: Vec<f64> =
        points.iter().filter_map(|p| Some(p.samples? / p.epochs?)).filter(|n| n.is_finite() && *n > 0.0).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

fn at_compute(points: &Points, options: &Predict, compute: f64) -> Prediction {
    let mut found = Prediction { of: format!("compute {}", short(compute)), ..Prediction::default() };
    found.warnings.extend(points.repeated());
    let curve = |law| laws::fit_curve(law, &points.runs, &options.how.of_settings());
    let curve = match curve(Law::Saturating) {
        Answer::Refused(_) => curve(Law::Frontier),
        answer => answer,
    };
    let mut of_compute = None;
    match curve {
        Answer::Curve(frontier, fitted, _) => {
            let loss = fitted.predict(compute);
            of_compute = Some((loss, laws::backtest(&points.runs, frontier.as_ref(), &fitted)));
            found.add("loss", loss, format!("by the law of compute, {}", crate::answer::equation(&fitted)));
            found.far(compute, fitted.x_range.1);
        }
        Answer::Refused(refusal) => found.refusals.push(("the law of compute", refusal)),
        Answer::Rates(..) | Answer::Wide(_) => {}
    }
    let cells = cells(&points.runs, &options.how);
    found.warnings.extend(cells.warning());
    let noise = laws::noise(&points.runs).map(|noise| noise.for_intervals());
    let unique = options.unique.or_else(|| data_set(&points.runs));
    match surface(&cells, options) {
        Err(refusal) => found.refusals.push(("the law of size and samples", refusal)),
        Ok(surface) => {
            let (size, samples, loss, run) = match &surface {
                Surface::Fresh(fit) => {
                    let best = fit.allocate(compute, noise);
                    (best.size, best.samples, best.loss, best.run)
                }
                Surface::Repeated(fit) => {
                    let best = fit.allocate(compute, unique.unwrap_or(f64::MAX), noise);
                    (best.size, best.samples, best.loss, best.run)
                }
            };
            let name = format!("by the {} law", surface.name());
            found.add("best_size", size, name.clone());
            found.add("best_samples", samples, name.clone());
            let epochs = unique.map(|unique| scaled(&samples, 1.0 / unique));
            found.numbers.extend(epochs.map(|epochs| ("best_epochs", epochs, name.clone())));
            found.add("loss_at_best_size", loss, name.clone());
            if let Some((_, tested)) = of_compute.filter(|(other, _)| apart(other, &loss)) {
                let own = surface.backtest(&cells, options, noise);
                found.warnings.push(disagreement(&tested, &own, surface.name()));
            }
            found.add("loss_of_one_run", run, format!("{name}, noise between runs included"));
            if let Some(epochs) = epochs {
                found.rate(points, epochs.value, size.value);
            }
        }
    }
    found
}

fn of_model(points: &Points, options: &Predict, model: &str) -> Result<Prediction, Failure> {
    let names = laws::models(&points.runs);
    let size = points.runs.iter().find(|point| point.model == model).and_then(|point| point.parameters);
    let size = size.ok_or_else(|| Failure::usage(format!("no model {model:?}; there are {}", names.join(", "))))?;
    let epochs = options.epochs.ok_or_else(|| Failure::usage("say for how many epochs: --epochs E"))?;
    let unique = options.unique.or_else(|| data_set(&points.runs));
    let unique = unique.ok_or_else(|| Failure::usage("say how many samples an epoch has: --unique U"))?;
    let mut found = Prediction { of: format!("{model} at {} epochs", short(epochs)), ..Prediction::default() };
    let cells = cells(&points.runs, &options.how);
    let noise = laws::noise(&points.runs).map(|noise| noise.for_intervals());
    let samples = epochs * unique;
    match surface(&cells, options) {
        Err(refusal) => found.refusals.push(("the law of size and samples", refusal)),
        Ok(surface) => {
            let (loss, run, largest) = match &surface {
                Surface::Fresh(fit) => {
                    (fit.predict(size, samples), fit.predict_run(size, samples, noise), fit.samples_range.1)
                }
                Surface::Repeated(fit) => {
                    let run = fit.predict_run(size, samples, epochs, noise);
                    (fit.predict(size, samples, epochs), run, fit.epochs * unique)
                }
            };
            let name = format!("by the {} law", surface.name());
            found.add("loss", loss, name.clone());
            found.add("loss_of_one_run", run, format!("{name}, noise between runs included"));
            found.far(samples, largest);
        }
    }
    found.rate(points, epochs, size);
    Ok(found)
}

fn scaled(estimate: &Estimate, by: f64) -> Estimate {
    Estimate { value: estimate.value * by, low: estimate.low * by, high: estimate.high * by }
}

impl Prediction {
    fn add(&mut self, name: &'static str, estimate: Estimate, by: String) {
        self.numbers.push((name, estimate, by));
    }

    fn far(&mut self, asked: f64, largest: f64) {
        if asked > FAR * largest {
            self.warnings.push(format!(
                "{} times beyond the largest run: the intervals hold for the law as fitted and know nothing of its end",
                short((asked / largest).round())
            ));
        }
    }

    /// The learning rate, where the runs have tried some.
    fn rate(&mut self, points: &Points, epochs: f64, size: f64) {
        if points.runs.iter().all(|point| point.lr.is_none()) {
            return;
        }
        match laws::fit_curve(Law::Lr, &points.runs, &fit::Settings::default()) {
            Answer::Rates(_, Ok(law), _) => {
                self.add("best_lr", law.predict(epochs, Some(size)), "by the law of the learning rate".to_owned());
            }
            Answer::Rates(_, Err(refusal), _) | Answer::Refused(refusal) => {
                self.refusals.push(("the law of the learning rate", refusal));
            }
            Answer::Curve(..) | Answer::Wide(_) => {}
        }
    }

    fn as_json(&self) -> Value {
        let number = |(name, estimate, by): &(&str, Estimate, String)| {
            (name.to_string(), json!({"value": estimate.value, "low": estimate.low, "high": estimate.high, "by": by}))
        };
        let refusal = |(what, refusal): &(&str, Refusal)| json!({"of": what, "reason": refusal.to_string(), "mend": refusal.mend()});
        json!({
            "schema_version": 1,
            "of": self.of,
            "predictions": self.numbers.iter().map(number).collect::<serde_json::Map<String, Value>>(),
            "refusals": self.refusals.iter().map(refusal).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }

    fn as_text(&self) -> String {
        let mut text = format!("{}\n", self.of);
        for (name, estimate, by) in &self.numbers {
            let numbers = if *name == "best_lr" { interval(estimate) } else { wide_interval(estimate) };
            let _ = writeln!(text, "  {:<18} {numbers}  {by}", name.replace('_', " "));
        }
        for (what, refusal) in &self.refusals {
            let _ = writeln!(text, "  no answer from {what}: {refusal}\n    to mend it: {}", refusal.mend());
        }
        self.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        text
    }
}
