//! From points to the figures of `report`.

use std::collections::BTreeSet;

use fit::{Form, Optimum, Side};
use report::{
    Edge, LawPoint, LrPoint, LrSeries, OptimalLrFigure, Point, PointKind, Reference, ScalingFigure, Series, Words,
};

use crate::answer;
use crate::asides::{Aside, Asides};
use crate::command::table::count;
use crate::frontiers::FamilyLaw;
use crate::laws;
use crate::points::{Points, Rates, RunPoint};

/// Points of a law's curve.
const CURVE: usize = 100;
/// Runs that do not count are drawn as far as this share of the span of those that do beyond them: they must not flatten these.
const BESIDE: f64 = 0.25;

/// Held-out loss against compute: the best learning rate of each model and budget, the laws of the frontiers, what does not count,
/// and other work.
pub(crate) fn scaling(
    points: &[RunPoint],
    asides: &Asides,
    laws: &[FamilyLaw],
    references: Vec<Reference>,
    words: Words,
) -> ScalingFigure {
    let frontier = fit::frontier(&laws::frontier_runs(points));
    let unverified: BTreeSet<usize> =
        points.iter().filter(|point| !point.verified && point.loss.is_some()).map(|point| point.row).collect();
    let kind = |point: &fit::FrontierPoint| {
        if point.rows.iter().any(|row| unverified.contains(row)) { PointKind::Unverified } else { PointKind::Finished }
    };
    let counted: Vec<(f64, f64)> = frontier.optimal.iter().map(|point| (point.compute, point.loss)).collect();
    let (beside, far): (Vec<&Aside>, Vec<&Aside>) = asides.best.iter().partition(|one| is_near(one, &counted));
    let series = models(points, &beside).into_iter().map(|(family, model)| {
        let mut best: Vec<_> = frontier.optimal.iter().filter(|point| point.group == model).collect();
        best.sort_by(|a, b| a.compute.total_cmp(&b.compute));
        let point = |point: &&fit::FrontierPoint| Point {
            x: point.compute,
            y: point.loss,
            budget: point.budget,
            kind: kind(point),
        };
        let aside = |one: &&&Aside| one.model == model;
        let hollow = |one: &&Aside| Point { x: one.compute, y: one.loss, budget: Some(one.epochs), kind: one.kind };
        let points = best.iter().map(point).chain(beside.iter().filter(aside).map(hollow)).collect();
        Series { name: model, family, points }
    });
    let mut words = words;
    words.notes.extend(left_out(points, unverified.len()));
    words.notes.extend(asides.note());
    words.notes.extend((!far.is_empty()).then(|| format!("{} of these outside the figure.", far.len())));
    let mut figure = ScalingFigure { words, series: series.collect(), laws: Vec::new(), references };
    if let Some(range) = figure.x_range() {
        figure.laws = laws.iter().filter_map(|of| curve(of, range)).collect();
    }
    figure
}

/// What a reader of the figure must know of the runs that count.
fn left_out(points: &[RunPoint], unverified: usize) -> Vec<String> {
    let diverged = points.iter().filter(|point| point.loss.is_none()).count();
    let zero = points.iter().filter(|point| point.loss.is_some_and(|loss| loss <= 0.0)).count();
    let said = |number: usize, noun: &str, what: &str| (number > 0).then(|| format!("{}{what}", count(number, noun)));
    [
        said(diverged, "diverged run", " left out."),
        said(zero, "run", " at 0 or below left out, which a logarithmic axis cannot show."),
        said(unverified, "run", " without a valid digest of the samples, crossed where drawn."),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a run that does not count has a place near those that do; without any of these it has.
fn is_near(one: &Aside, counted: &[(f64, f64)]) -> bool {
    let near = |value: f64, others: &dyn Fn(&(f64, f64)) -> f64| {
        let logs = || counted.iter().map(|point| others(point).ln());
        let (low, high) = (logs().fold(f64::INFINITY, f64::min), logs().fold(f64::NEG_INFINITY, f64::max));
        // One point alone has no span: a decade will do.
        let more = if high > low { BESIDE * (high - low) } else { std::f64::consts::LN_10 };
        (low - more..=high + more).contains(&value.ln())
    };
    counted.is_empty() || near(one.compute, &|point| point.0) && near(one.loss, &|point| point.1)
}

/// Families and models in the order of their colours: families by name, models by size.
fn models(points: &[RunPoint], asides: &[&Aside]) -> Vec<(String, String)> {
    let own = points.iter().map(|point| (&point.family, point.parameters.unwrap_or(0.0), &point.model));
    let others = asides.iter().map(|one| (&one.family, one.parameters, &one.model));
    let mut models: Vec<(&String, f64, &String)> = Vec::new();
    for found in own.chain(others) {
        if !models.iter().any(|(_, _, model)| *model == found.2) {
            models.push(found);
        }
    }
    models.sort_by(|a, b| a.0.cmp(b.0).then(a.1.total_cmp(&b.1)));
    models.into_iter().map(|(family, _, model)| (family.clone(), model.clone())).collect()
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
    let reference = |(family, name): (String, String)| Reference { points: points_of(&name), name, family };
    models(points, &[]).into_iter().map(reference).collect()
}

/// The law of a family where it surely falls.
fn curve(of: &FamilyLaw, (low, high): (f64, f64)) -> Option<report::Law> {
    let (law, (frontier, _)) = (of.law()?, of.found.as_ref().ok()?);
    let at = |index: usize| {
        let x = (low.ln() + (high.ln() - low.ln()) * index as f64 / (CURVE - 1) as f64).exp();
        let estimate = law.predict(x);
        LawPoint { x, y: estimate.value, low: estimate.low, high: estimate.high }
    };
    let exponent = law.params.get("alpha");
    let exponent = exponent.map_or(String::new(), |alpha| {
        format!("\nα = {:.3} [{:.3}, {:.3}] (95 %)", alpha.value, alpha.low, alpha.high)
    });
    let form = if law.form == Form::Power { "" } else { "\nsaturating" };
    let (equation, points, r2) = (answer::equation(law), frontier.pareto.len(), law.quality.r2);
    Some(report::Law {
        curve: (0..CURVE).map(at).filter(|point| point.y > 0.0 && point.low > 0.0).collect(),
        data_range: law.x_range,
        label: format!("{equation}{exponent}{form}\nn = {points}, R^2 = {r2:.3}"),
        family: of.family.clone(),
    })
}

/// Optimal learning rate against epochs.
pub(crate) fn optimal_lr(points: &Points, words: Words) -> OptimalLrFigure {
    let groups = laws::groups(&points.runs);
    let mut unknown = 0;
    let mut series = Vec::new();
    for (family, model) in models(&points.runs, &[]) {
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
        series.push(LrSeries { name: model, family, points: found });
    }
    let mut words = words;
    if series.iter().flat_map(|series| &series.points).any(|point| point.interval.is_some()) {
        words.notes.push("Bars: 95 % intervals.".to_owned());
    }
    if unknown > 0 {
        words.notes.push(format!("{} without an optimum left out.", count(unknown, "cell")));
    }
    OptimalLrFigure { words, series }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count_must_not_flatten_what_does() {
        let aside = |compute, loss| Aside {
            model: "F0".to_owned(),
            family: String::new(),
            parameters: 1e6,
            epochs: 1.0,
            compute,
            loss,
            kind: PointKind::Running,
        };
        let counted = [(1e15, 3.0), (1e17, 2.0)];
        assert!(is_near(&aside(5e14, 3.2), &counted) && is_near(&aside(2e17, 1.9), &counted));
        assert!(!is_near(&aside(1e14, 2.5), &counted) && !is_near(&aside(1e16, 6.9), &counted));
        assert!(is_near(&aside(3e14, 3.5), &counted[..1]) && is_near(&aside(1.0, 9.0), &[]));
        // Models come by family, then by size.
        let small = Aside { family: "ViT".to_owned(), model: "Ti".to_owned(), ..aside(1.0, 1.0) };
        let large = Aside { parameters: 2e6, family: "NFNet".to_owned(), ..aside(1.0, 1.0) };
        let names = models(&[], &[&small, &large]);
        assert_eq!(names, [("NFNet", "F0"), ("ViT", "Ti")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
