//! From points to the figures of `report`.

use std::collections::BTreeSet;

use fit::{Form, LawFit, Optimum, Side};
use report::{Edge, LawPoint, LrPoint, LrSeries, OptimalLrFigure, Point, PointKind, Reference, ScalingFigure, Series};

use crate::answer;
use crate::command::table::count;
use crate::laws;
use crate::points::{Points, Rates, RunPoint};

/// Points of a law's curve.
const CURVE: usize = 100;

/// Words on a figure.
pub(crate) struct Words {
    pub(crate) title: Option<String>,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
}

/// Held-out loss against compute: the best learning rate of each model and budget, and the law of the frontier.
pub(crate) fn scaling(points: &[RunPoint], law: Option<&LawFit>, words: Words) -> ScalingFigure {
    let frontier = fit::frontier(&laws::frontier_runs(points));
    let unverified: BTreeSet<usize> =
        points.iter().filter(|point| !point.verified && point.loss.is_some()).map(|point| point.row).collect();
    let series = laws::models(points).into_iter().map(|model| {
        let mut best: Vec<_> = frontier.optimal.iter().filter(|point| point.group == model).collect();
        best.sort_by(|a, b| a.compute.total_cmp(&b.compute));
        let point = |point: &&fit::FrontierPoint| Point {
            x: point.compute,
            y: point.loss,
            budget: point.budget,
            kind: if point.rows.iter().any(|row| unverified.contains(row)) {
                PointKind::Unverified
            } else {
                PointKind::Finished
            },
        };
        Series { name: model, points: best.iter().map(point).collect() }
    });
    let diverged = points.iter().filter(|point| point.loss.is_none()).count();
    let zero = points.iter().filter(|point| point.loss.is_some_and(|loss| loss <= 0.0)).count();
    let mut notes = Vec::new();
    if diverged > 0 {
        notes.push(format!("{} left out.", count(diverged, "diverged run")));
    }
    if zero > 0 {
        notes.push(format!("{} at 0 left out, which a logarithmic axis has no place for.", count(zero, "run")));
    }
    if !unverified.is_empty() {
        let runs = count(unverified.len(), "run");
        notes.push(format!("{runs} without a valid digest of the samples, crossed where drawn."));
    }
    let Words { title, x_label, y_label } = words;
    let mut figure =
        ScalingFigure { title, x_label, y_label, series: series.collect(), law: None, references: Vec::new(), notes };
    figure.law = law.zip(figure.x_range()).map(|(law, range)| curve(law, range));
    figure
}

/// Points of other work, by model; rows without a compute or loss that a logarithmic axis has a place for are left out.
pub(crate) fn references(points: &[RunPoint]) -> Vec<Reference> {
    let points_of = |model: &String| {
        let own = points.iter().filter(|point| point.model == *model);
        let drawable = |value: &f64| value.is_finite() && *value > 0.0;
        own.filter_map(|point| Some((point.compute, point.loss?)))
            .filter(|(compute, loss)| drawable(compute) && drawable(loss))
            .collect()
    };
    laws::models(points).into_iter().map(|name| Reference { points: points_of(&name), name }).collect()
}

fn curve(law: &LawFit, (low, high): (f64, f64)) -> report::Law {
    let at = |index: usize| {
        let x = (low.ln() + (high.ln() - low.ln()) * index as f64 / (CURVE - 1) as f64).exp();
        let estimate = law.predict(x);
        LawPoint { x, y: estimate.value, low: estimate.low, high: estimate.high }
    };
    let alpha = law.params.get("alpha");
    let alpha =
        alpha.map_or(String::new(), |alpha| format!("\nα = {:.3} [{:.3}, {:.3}]", alpha.value, alpha.low, alpha.high));
    let form = if law.form == Form::Power { "" } else { "\nsaturating" };
    report::Law {
        curve: (0..CURVE).map(at).filter(|point| point.y > 0.0 && point.low > 0.0).collect(),
        data_range: law.x_range,
        label: format!("{}{alpha}{form}", answer::equation(law)),
    }
}

/// Optimal learning rate against epochs.
pub(crate) fn optimal_lr(points: &Points, words: Words) -> OptimalLrFigure {
    let groups = laws::groups(&points.runs);
    let mut unknown = 0;
    let mut series = Vec::new();
    for model in laws::models(&points.runs) {
        let mut found: Vec<LrPoint> = if points.rates == Rates::Optimal {
            let own = points.runs.iter().filter(|point| point.model == model);
            own.filter_map(|point| Some(LrPoint { epochs: point.epochs?, lr: point.lr?, interval: None, edge: None }))
                .collect()
        } else {
            let own = groups.iter().filter(|group| group.model == model);
            own.filter_map(|group| match (group.epochs, group.optimum.as_ref()) {
                (Some(epochs), Ok(optimum)) => Some(lr_point(epochs, optimum)),
                _ => {
                    unknown += 1;
                    None
                }
            })
            .collect()
        };
        found.sort_by(|a, b| a.epochs.total_cmp(&b.epochs));
        series.push(LrSeries { name: model, points: found });
    }
    let mut notes = Vec::new();
    if series.iter().flat_map(|series| &series.points).any(|point| point.interval.is_some()) {
        notes.push("Bars: 95 % intervals.".to_owned());
    }
    if unknown > 0 {
        notes.push(format!("{} without an optimum left out.", count(unknown, "cell")));
    }
    let Words { title, x_label, y_label } = words;
    OptimalLrFigure { title, x_label, y_label, series, notes }
}

fn lr_point(epochs: f64, optimum: &Optimum) -> LrPoint {
    match optimum {
        Optimum::Inside { lr, .. } => LrPoint { epochs, lr: lr.value, interval: Some((lr.low, lr.high)), edge: None },
        Optimum::AtEdge { side, best_tried, .. } => {
            let edge = if *side == Side::Low { Edge::Low } else { Edge::High };
            LrPoint { epochs, lr: *best_tried, interval: None, edge: Some(edge) }
        }
    }
}
