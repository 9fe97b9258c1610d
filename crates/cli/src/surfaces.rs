//! Points as the laws of size and samples want them, and these laws.

use std::collections::BTreeSet;

use fit::{
    Allocation, Backtest, Choice, CurveFit, CurveForm, CurveSettings, EpochAllocation, Excluded, IsoPoint, IsoSettings,
    Isoflop, Loss, Refusal, RepeatedFit, SurfaceFit, SurfaceForm, SurfacePoint, SurfaceSettings, Variant, not_positive,
};

use crate::args::{How, Intervals, Law};
use crate::laws::{frontier_runs, noise};
use crate::points::RunPoint;

/// Operations per parameter and sample where nothing is known: once forwards, twice backwards, two for each.
const USUAL_FLOPS_PER: f64 = 6.0;

/// What was fitted robustly or in several variables, with what belongs to it.
pub(crate) struct Wide {
    pub(crate) law: Fitted,
    pub(crate) backtest: Option<Backtest>,
    pub(crate) sensitivity: Option<Vec<Variant>>,
    /// Points that are in no fit, beyond those the law itself leaves out.
    pub(crate) excluded: Vec<Excluded>,
    pub(crate) warnings: Vec<String>,
}

/// The law.
pub(crate) enum Fitted {
    Curve(Box<CurveFit>),
    Surface(Box<SurfaceFit>, Allocation),
    Repeated(Box<RepeatedFit>, EpochAllocation),
    Isoflop(Box<Isoflop>),
    Auto { curves: Result<Choice<CurveForm>, Refusal>, surfaces: Option<Choice<SurfaceForm>> },
}

/// The same runs counted otherwise, each with what is counted.
pub(crate) type Otherwise = Vec<(String, Vec<RunPoint>)>;

/// Points of a surface.
pub(crate) struct Cells {
    pub(crate) points: Vec<SurfacePoint>,
    /// The compute of each, where it has one.
    compute: Vec<Option<f64>>,
    pub(crate) excluded: Vec<Excluded>,
    /// k of C = k N D.
    pub(crate) flops_per: f64,
    /// Smallest and largest k of the points, where they have a compute.
    spread: Option<(f64, f64)>,
}

impl Default for How {
    /// What is taken where nothing is typed.
    fn default() -> How {
        How { seed: 0, resamples: 2000, huber_delta: None, intervals: None, end_weight: 0.0, flops_per: None }
    }
}

impl How {
    fn loss(&self) -> Loss {
        match self.huber_delta {
            None => Loss::Robust,
            Some(delta) if delta.is_infinite() => Loss::Squares,
            Some(delta) => Loss::Huber(delta),
        }
    }

    fn intervals(&self) -> fit::Intervals {
        match self.intervals.unwrap_or(Intervals::Delta) {
            Intervals::Delta => fit::Intervals::Delta,
            Intervals::Runs => fit::Intervals::Runs,
            Intervals::Cells => fit::Intervals::Cells,
        }
    }

    pub(crate) fn of_surface(&self, flops_per: f64) -> SurfaceSettings {
        let (loss, intervals) = (self.loss(), self.intervals());
        SurfaceSettings { seed: self.seed, resamples: self.resamples, loss, intervals, flops_per }
    }

    pub(crate) fn of_settings(&self) -> fit::Settings {
        fit::Settings { seed: self.seed, resamples: self.resamples }
    }

    pub(crate) fn of_curve(&self) -> CurveSettings {
        CurveSettings {
            seed: self.seed,
            resamples: self.resamples,
            loss: self.loss(),
            intervals: self.intervals(),
            end_weight: self.end_weight,
        }
    }
}

/// The runs of the best learning rate of every model and number of samples; all runs where no learning rate is known.
pub(crate) fn cells(points: &[RunPoint], how: &How) -> Cells {
    let mut excluded = Vec::new();
    let mut wide: Vec<(&RunPoint, f64, f64)> = Vec::new();
    for point in points {
        let size = point.parameters.unwrap_or(f64::NAN);
        let derived = point.compute / (how.flops_per.unwrap_or(USUAL_FLOPS_PER) * size);
        wide.push((point, size, point.samples.unwrap_or(derived)));
    }
    // What has no place on a surface changes nothing.
    wide.retain(|(point, size, samples)| {
        let wrong = not_positive("size", *size).or_else(|| not_positive("samples", *samples));
        excluded.extend(wrong.iter().map(|reason| Excluded { row: point.row, reason: reason.clone() }));
        wrong.is_none()
    });
    let tuned = wide.iter().any(|(point, ..)| point.lr.is_some());
    let kept: Option<BTreeSet<usize>> = tuned.then(|| {
        let mut runs = frontier_runs(wide.iter().map(|(point, ..)| *point));
        for (run, (point, size, samples)) in runs.iter_mut().zip(&wide) {
            run.group = format!("{}|{size}", point.model);
            (run.budget, run.compute) = (Some(*samples), size * samples);
        }
        let frontier = fit::frontier(&runs);
        let kept: BTreeSet<usize> = frontier.optimal.iter().flat_map(|best| best.rows.iter().copied()).collect();
        excluded.extend(frontier.excluded.into_iter().filter(|one| !kept.contains(&one.row)));
        kept
    });
    wide.retain(|(point, ..)| kept.as_ref().is_none_or(|kept| kept.contains(&point.row)));
    let diverged = wide.iter().filter(|(point, ..)| point.loss.is_none());
    excluded.extend(diverged.map(|(point, ..)| Excluded { row: point.row, reason: "diverged".to_owned() }));
    wide.retain(|(point, ..)| point.loss.is_some());
    excluded.sort_by_key(|one| one.row);
    let models: BTreeSet<&str> = wide.iter().map(|(point, ..)| point.model.as_str()).collect();
    let cell = |point: &RunPoint| {
        if models.len() > 1 { models.iter().position(|name| *name == point.model).unwrap_or(0) } else { point.row }
    };
    let surface = |(point, size, samples): &(&RunPoint, f64, f64)| SurfacePoint {
        row: point.row,
        size: *size,
        samples: *samples,
        epochs: point.epochs.unwrap_or(1.0),
        loss: point.loss.unwrap_or(f64::NAN),
        cell: cell(point) as u64,
    };
    let compute: Vec<Option<f64>> = wide
        .iter()
        .map(|(point, ..)| Some(point.compute).filter(|compute| *compute > 0.0 && compute.is_finite()))
        .collect();
    // Only where both are given does the compute say anything about the samples.
    let rates: Vec<f64> = wide
        .iter()
        .zip(&compute)
        .filter(|((point, ..), _)| point.samples.is_some())
        .filter_map(|((_, size, samples), compute)| {
            Some((*compute)? / (size * samples)).filter(|rate| rate.is_finite())
        })
        .collect();
    let spread = rates.iter().fold(None, |ends: Option<(f64, f64)>, rate| {
        Some(ends.map_or((*rate, *rate), |(low, high)| (low.min(*rate), high.max(*rate))))
    });
    let mean = (rates.iter().map(|rate| rate.ln()).sum::<f64>() / rates.len() as f64).exp();
    let flops_per = how.flops_per.unwrap_or(if rates.is_empty() { USUAL_FLOPS_PER } else { mean });
    Cells { points: wide.iter().map(surface).collect(), compute, excluded, flops_per, spread }
}

impl Cells {
    /// What is to be said of k where it is not one number.
    pub(crate) fn warning(&self) -> Option<String> {
        let (low, high) = self.spread.filter(|(low, high)| *high > 1.1 * low)?;
        Some(format!(
            "operations per parameter and sample differ between models, from {low:.3e} to {high:.3e}: the best sizes for some compute take {:.3e} for all",
            self.flops_per
        ))
    }

    /// As groups of equal compute.
    fn groups(&self) -> Vec<IsoPoint> {
        let point = |(point, compute): (&SurfacePoint, &Option<f64>)| IsoPoint {
            point: *point,
            compute: compute.unwrap_or(self.flops_per * point.size * point.samples),
        };
        self.points.iter().zip(&self.compute).map(point).collect()
    }

    fn largest_compute(&self) -> f64 {
        self.points.iter().map(|point| self.flops_per * point.size * point.samples).fold(0.0, f64::max)
    }

    /// Size and loss of every run, by the valley whose compute is nearest to its own, and whether the parabola went through it.
    pub(crate) fn by_compute(&self, fitted: &Isoflop) -> Vec<Vec<(f64, f64, bool)>> {
        let mut groups = vec![Vec::new(); fitted.valleys.len()];
        let apart = |valley: &fit::Valley, compute: f64| (compute / valley.compute).ln().abs();
        for IsoPoint { point, compute } in self.groups() {
            let valleys = fitted.valleys.iter().enumerate();
            let nearest = valleys.min_by(|a, b| apart(a.1, compute).total_cmp(&apart(b.1, compute)));
            if let Some((index, _)) = nearest.filter(|_| point.loss > 0.0) {
                groups[index].push((point.size, point.loss, fitted.used.contains(&point.row)));
            }
        }
        groups.iter_mut().for_each(|group| group.sort_by(|a, b| a.0.total_cmp(&b.0)));
        groups
    }

    /// Unique samples of the run with the most of them.
    pub(crate) fn unique(&self) -> f64 {
        self.points.iter().map(|point| point.samples / point.epochs.max(1.0)).fold(0.0, f64::max)
    }
}

/// Fits one of the laws that this file knows.
pub(crate) fn fit_wide(
    law: Law,
    points: &[RunPoint],
    how: &How,
    otherwise: Option<&Otherwise>,
) -> Result<Wide, Refusal> {
    let seed_noise = noise(points).map(|noise| noise.for_intervals());
    match law {
        Law::Parametric | Law::Repeated | Law::Isoflop => of_cells(law, cells(points, how), how, seed_noise, otherwise),
        Law::Auto => auto(points, how, seed_noise),
        Law::Power | Law::Saturating | Law::Shifted | Law::Broken | Law::Frontier | Law::Lr => {
            let form = match law {
                Law::Saturating => CurveForm::Saturating,
                Law::Shifted => CurveForm::Shifted,
                Law::Broken => CurveForm::Broken,
                _ => CurveForm::Power,
            };
            let (points, excluded) = curve_points(points, law == Law::Frontier);
            let settings = how.of_curve();
            let fitted = fit::curve(&points, form, &settings)?;
            let backtest = fit::backtest_curve(&points, form, &settings, seed_noise);
            let table = otherwise.map(|all| {
                let other =
                    |(name, runs): &(String, Vec<RunPoint>)| (name.clone(), curve_points(runs, law == Law::Frontier).0);
                let all: Vec<(String, Vec<fit::Point>)> = all.iter().map(other).collect();
                fit::sensitivity_curve(&points, form, &settings, None, &all)
            });
            let warnings = backtest.warning().into_iter().collect();
            Ok(Wide {
                law: Fitted::Curve(Box::new(fitted)),
                backtest: Some(backtest),
                sensitivity: table,
                excluded,
                warnings,
            })
        }
    }
}

fn of_cells(
    law: Law,
    cells: Cells,
    how: &How,
    seed_noise: Option<f64>,
    otherwise: Option<&Otherwise>,
) -> Result<Wide, Refusal> {
    let settings = how.of_surface(cells.flops_per);
    // As often as the intervals are asked for; a back-test needs none of its own check.
    let quick = SurfaceSettings {
        resamples: if settings.intervals == fit::Intervals::Delta { 0 } else { how.resamples },
        ..settings
    };
    let iso = IsoSettings { noise: seed_noise, ..IsoSettings::default() };
    let largest = cells.largest_compute();
    let (fitted, backtest) = match law {
        Law::Repeated => {
            let fit = fit::repeated(&cells.points, &settings)?;
            let best = fit.allocate(largest, cells.unique(), seed_noise);
            let backtest = fit::backtest_repeated(&cells.points, &quick, seed_noise);
            (Fitted::Repeated(Box::new(fit), best), Some(backtest))
        }
        Law::Isoflop => (Fitted::Isoflop(Box::new(fit::isoflop(&cells.groups(), &iso)?)), None),
        _ => {
            let fit = fit::parametric(&cells.points, &settings)?;
            let best = fit.allocate(largest, seed_noise);
            let backtest = fit::backtest_surface(&cells.points, &quick, seed_noise);
            (Fitted::Surface(Box::new(fit), best), Some(backtest))
        }
    };
    let mut warnings: Vec<String> = backtest.iter().filter_map(Backtest::warning).collect();
    warnings.extend(cells.warning().filter(|_| law != Law::Isoflop));
    if law == Law::Parametric && cells.points.iter().any(|point| point.epochs > 1.0) {
        warnings.push("some runs repeat their data, which this law takes for fresh: compare `repeated`".to_owned());
    }
    let table = otherwise.map(|all| {
        let others = || all.iter().map(|(name, runs)| (name.clone(), self::cells(runs, how)));
        match law {
            Law::Isoflop => {
                let all: Vec<_> = others().map(|(name, cells)| (name, cells.groups())).collect();
                fit::sensitivity_isoflop(&cells.groups(), &iso, &all)
            }
            _ => {
                let form = if law == Law::Repeated { SurfaceForm::Repeated } else { SurfaceForm::Parametric };
                let all: Vec<_> = others().map(|(name, cells)| (name, cells.points)).collect();
                fit::sensitivity_surface(&cells.points, form, &quick, None, &all)
            }
        }
    });
    Ok(Wide { law: fitted, backtest, sensitivity: table, excluded: cells.excluded, warnings })
}

fn auto(points: &[RunPoint], how: &How, seed_noise: Option<f64>) -> Result<Wide, Refusal> {
    let (on_curve, excluded) = curve_points(points, false);
    let curves = fit::choose_curve(&on_curve, &how.of_curve(), seed_noise);
    let cells = cells(points, how);
    let settings =
        SurfaceSettings { resamples: 0, intervals: fit::Intervals::Delta, ..how.of_surface(cells.flops_per) };
    let surfaces = fit::choose_surface(&cells.points, &settings, seed_noise).ok();
    if let (Err(refusal), None) = (&curves, &surfaces) {
        return Err(refusal.clone());
    }
    let law = Fitted::Auto { curves, surfaces };
    Ok(Wide { law, backtest: None, sensitivity: None, excluded, warnings: Vec::new() })
}

/// The table of choices for a law that was fitted by least squares: its first line is that law.
pub(crate) fn least_squares_table(
    law: Law,
    fitted: &fit::LawFit,
    points: &[RunPoint],
    how: &How,
    otherwise: &Otherwise,
) -> Vec<Variant> {
    let frontier = law == Law::Frontier;
    let form = if law == Law::Saturating { CurveForm::Saturating } else { CurveForm::Power };
    let settings = CurveSettings { loss: Loss::Squares, intervals: fit::Intervals::Delta, ..how.of_curve() };
    let others: Vec<(String, Vec<fit::Point>)> =
        otherwise.iter().map(|(name, runs)| (name.clone(), curve_points(runs, frontier).0)).collect();
    let mut table = fit::sensitivity_curve(&curve_points(points, frontier).0, form, &settings, None, &others);
    if let Some(first) = table.first_mut() {
        (first.used, first.params) = (fitted.used.len(), fitted.params.clone());
    }
    table
}

/// The points of a curve: all of a file, unless its frontier is wanted; the frontier of a sweep.
fn curve_points(points: &[RunPoint], frontier: bool) -> (Vec<fit::Point>, Vec<Excluded>) {
    if frontier || points.iter().any(|point| point.run.is_some()) {
        let frontier = fit::frontier(&frontier_runs(points));
        let point = |best: &fit::FrontierPoint| fit::Point { row: best.rows[0], x: best.compute, y: best.loss };
        return (frontier.pareto.iter().map(point).collect(), frontier.excluded);
    }
    let all =
        points.iter().map(|point| fit::Point { row: point.row, x: point.compute, y: point.loss.unwrap_or(f64::NAN) });
    (all.collect(), Vec::new())
}
