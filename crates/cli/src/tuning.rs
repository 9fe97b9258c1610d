//! Figures of optima: of the learning rate, and of model size and epochs at equal compute.

use fit::{Isoflop, Optimum, Side};
use report::{
    BackTest, Edge, LawPoint, OptimumFigure, OptimumPoint, OptimumSeries, PointKind, Profile, ProfileFigure,
    ProfileOptimum, ProfilePanel, Residual, ResidualPanel, ResidualSeries, ResidualsFigure, Words,
};

use crate::frontiers::FamilyLaw;
use crate::laws;
use crate::points::RunPoint;
use crate::surfaces::Cells;

/// Points of a parabola or a law.
const CURVE: usize = 60;

/// Held-out loss against learning rate: a panel per model, a curve per epoch budget.
pub(crate) fn rates(points: &[RunPoint], words: Words) -> ProfileFigure {
    let groups = laws::groups(points);
    let panel = |model: String| {
        let own = groups.iter().filter(|group| group.model == model);
        let curves = own.filter_map(|group| Some(rate_curve(points, group, group.epochs?))).collect();
        let family = points.iter().find(|point| point.model == model).map(|point| point.family.clone());
        ProfilePanel { name: model, family: family.unwrap_or_default(), curves }
    };
    let panels = laws::models(points).into_iter().map(panel).filter(|panel| !panel.curves.is_empty()).collect();
    ProfileFigure { words, budget_label: "Epochs:".to_owned(), panels }
}

fn rate_curve(points: &[RunPoint], group: &laws::Group, epochs: f64) -> Profile {
    let own = || points.iter().filter(|point| point.model == group.model && point.epochs == Some(epochs));
    let kind = |point: &RunPoint| if point.verified { PointKind::Finished } else { PointKind::Unverified };
    let tried: Vec<(f64, f64, PointKind)> =
        own().filter_map(|point| Some((point.lr?, point.loss.filter(|loss| *loss > 0.0)?, kind(point)))).collect();
    let diverged = own().filter(|point| point.loss.is_none()).filter_map(|point| point.lr).collect();
    let ends = tried.iter().fold((f64::INFINITY, 0.0f64), |(low, high), p| (low.min(p.0), high.max(p.0)));
    let (fit, optimum) = match &group.optimum {
        Ok(Optimum::Inside { lr, loss, curvature, .. }) => {
            // The parabola holds near its lowest place: it is drawn as far as the loss it was fitted to.
            let top = tried.iter().map(|point| point.1).fold(*loss, f64::max);
            let at = |i: usize| ends.0 * (ends.1 / ends.0).powf(i as f64 / CURVE as f64);
            let loss_at = |x: f64| loss + 0.5 * curvature * (x / lr.value).log2().powi(2);
            let fit = (0..=CURVE).map(at).map(|x| (x, loss_at(x))).filter(|spot| spot.1 > 0.0 && spot.1 <= top);
            let optimum = ProfileOptimum { x: lr.value, y: *loss, interval: Some((lr.low, lr.high)), edge: None };
            (fit.collect(), Some(optimum).filter(|_| *loss > 0.0))
        }
        Ok(Optimum::AtEdge { side, best_tried, loss, .. }) => {
            let edge = Some(if *side == Side::Low { Edge::Low } else { Edge::High });
            let optimum = ProfileOptimum { x: *best_tried, y: *loss, interval: None, edge };
            (Vec::new(), Some(optimum).filter(|_| *loss > 0.0))
        }
        Err(_) => (Vec::new(), None),
    };
    Profile { name: report::epochs_label(epochs), budget: epochs, points: tried, diverged, fit, optimum }
}

/// Held-out loss against model size, a curve for each group of equal compute, with its parabola.
pub(crate) fn isoflop(cells: &Cells, fitted: &Isoflop, unit: &str, words: Words) -> ProfileFigure {
    let groups = cells.by_compute(fitted);
    let kind = |used: &bool| if *used { PointKind::Finished } else { PointKind::Excluded };
    let parabola = |valley: &fit::Valley| {
        let (low, high) = valley.window;
        let at = |i: usize| low * (high / low).powf(i as f64 / CURVE as f64);
        (0..=CURVE).map(at).map(|size| (size, valley.at(size))).collect()
    };
    let curve = |(valley, runs): (&fit::Valley, &Vec<(f64, f64, bool)>)| Profile {
        name: format!("{}{unit}", power_of_ten(valley.compute)),
        budget: valley.compute,
        points: runs.iter().map(|(size, loss, used)| (*size, *loss, kind(used))).collect(),
        diverged: Vec::new(),
        fit: parabola(valley),
        optimum: Some(ProfileOptimum {
            x: valley.size.value,
            y: valley.loss.value,
            interval: Some((valley.size.low, valley.size.high)),
            edge: None,
        }),
    };
    let curves = fitted.valleys.iter().zip(&groups).map(curve).collect();
    let panels = vec![ProfilePanel { curves, ..ProfilePanel::default() }];
    ProfileFigure { words, budget_label: String::new(), panels }
}

/// A number as `2.4×10^18`.
fn power_of_ten(value: f64) -> String {
    let text = format!("{value:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match mantissa.trim_end_matches(".0") {
        "1" => format!("10^{exponent}"),
        mantissa => format!("{mantissa}×10^{exponent}"),
    }
}

/// The best model size, or the best epochs, against compute; `unique` samples make an epoch.
pub(crate) fn optimum(fitted: &Isoflop, unique: Option<f64>, words: Words) -> OptimumFigure {
    let (trend, letter, scale) = match unique {
        None => (&fitted.size, "N", 1.0),
        Some(unique) => (&fitted.samples, "E", 1.0 / unique),
    };
    let point = |valley: &fit::Valley| {
        let size = valley.size;
        let (y, interval) = match unique {
            None => (size.value, (size.low, size.high)),
            // At this compute twice the size is half the samples.
            Some(unique) => {
                let samples = |other: f64| valley.samples * size.value / other / unique;
                (samples(size.value), (samples(size.high), samples(size.low)))
            }
        };
        OptimumPoint { x: valley.compute, y, interval: Some(interval), edge: None }
    };
    let series = vec![OptimumSeries { name: "isoFLOP".to_owned(), points: fitted.valleys.iter().map(point).collect() }];
    let mut figure = OptimumFigure { words, series, law: None };
    figure.law = figure.x_range().map(|(low, high)| {
        let at = |i: usize| {
            let x = low * (high / low).powf(i as f64 / CURVE as f64);
            let y = trend.predict(x);
            LawPoint { x, y: scale * y.value, low: scale * y.low, high: scale * y.high }
        };
        let data =
            fitted.valleys.iter().fold((high, low), |(a, b), valley| (a.min(valley.compute), b.max(valley.compute)));
        let exponent = trend.exponent;
        report::Law {
            curve: (0..=CURVE).map(at).collect(),
            data_range: data,
            label: format!(
                "{letter} ~ C^{:.2}, exponent in [{:.2}, {:.2}] (95 %)",
                exponent.value, exponent.low, exponent.high
            ),
            family: String::new(),
        }
    });
    figure
}

/// How far the best runs are from the law of their frontier, in percent, and how far the law is from itself where it is fitted
/// without its largest budgets: a panel for each family.
pub(crate) fn residuals(laws: &[FamilyLaw], words: Words) -> ResidualsFigure {
    let several = laws.len() > 1;
    let panels: Vec<ResidualPanel> = laws.iter().filter_map(|of| panel(of, several)).collect();
    let mut words = words;
    if panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points).any(|point| point.held_back) {
        words.notes.push("Hollow: not on the frontier that the law was fitted to.".to_owned());
    }
    ResidualsFigure { words, panels }
}

fn panel(of: &FamilyLaw, several: bool) -> Option<ResidualPanel> {
    let (frontier, law) = of.found.as_ref().ok()?;
    let percent = |value: f64, x: f64| 100.0 * (value / law.predict(x).value - 1.0);
    let series = laws::models(&of.points).into_iter().map(|model| {
        let own = frontier.optimal.iter().filter(|point| point.group == model);
        let residual = |point: &fit::FrontierPoint| Residual {
            x: point.compute,
            residual: percent(point.loss, point.compute),
            // The law rests on the frontier alone.
            held_back: !point.rows.iter().all(|row| law.used.contains(row)),
        };
        ResidualSeries { points: own.map(residual).filter(|point| point.residual.is_finite()).collect(), name: model }
    });
    let series: Vec<ResidualSeries> = series.filter(|series| !series.points.is_empty()).collect();
    let computes = || series.iter().flat_map(|series| &series.points).map(|point| point.x);
    let (low, high) = (computes().fold(f64::INFINITY, f64::min), computes().fold(0.0, f64::max));
    let places: Vec<f64> = (0..=CURVE).map(|i| low * (high / low).powf(i as f64 / CURVE as f64)).collect();
    let band = places.iter().map(|x| (*x, law.predict(*x)));
    let band = band.map(|(x, at)| (x, percent(at.low, x), percent(at.high, x)));
    let back_test = of.tested().and_then(|tested| {
        let (step, without) = tested.step.as_ref()?;
        let curve = places.iter().map(|x| (*x, percent(without.predict(*x).value, *x)));
        let curve = curve.filter(|spot| spot.1.is_finite()).collect();
        Some(BackTest { cut: without.x_range.1, curve, label: missed(step) })
    });
    Some(ResidualPanel {
        name: if several { of.family.clone() } else { String::new() },
        series,
        band: band.filter(|(_, low, high)| low.is_finite() && high.is_finite()).collect(),
        back_test,
    })
}

/// What a law without its largest budgets says of them, in words.
fn missed(step: &fit::Step) -> String {
    let largest = match step.left_out {
        1 => "the largest budget".to_owned(),
        more => format!("the {more} largest budgets"),
    };
    let mean = step.misses.iter().map(|miss| miss.error).sum::<f64>() / step.misses.len().max(1) as f64;
    let off = 100.0 * mean.exp_m1();
    let too = if off < 0.0 { "low" } else { "high" };
    format!("fitted without {largest}: {:.1} % too {too} there", off.abs())
}
