//! The surface of models that see their data more than once: the worth of a repeated sample decays with every epoch.
//!
//! Muennighoff et al. 2023 (arXiv 2305.16264, equations 5 and 6): U unique samples seen in 1 + R epochs are worth
//! D' = U + U R* (1 - exp(-R / R*)) fresh ones, and D' takes the place of D in L = E + A N^-alpha + B D^-beta. R* is about
//! the number of repeats after which more of them are worth nothing. Their second constant, for models too large for
//! their data, is left out: together the two are not identified even by the authors' own runs (their published pair is
//! a local optimum), and the form cannot describe a loss that rises with more epochs. A run that does is an outlier here.

use serde::Serialize;

use crate::grid::valleys;
use crate::interval::{Scale, profile, resample};
use crate::parametric::{Centre, Surface, bounds_of, clusters, identified, no_fall, require, usable};
use crate::random::Random;
use crate::regression::{Bounds, Fitted, Jet, Model, Row, fit};
use crate::stat::distinct;
use crate::{Estimate, Excluded, Refusal, Summary, SurfacePoint, SurfaceSettings};

/// Points that the law needs: six parameters, and one to judge them by.
const NEEDED: usize = 7;
/// Repeats below which R* cannot be told from worthless ones ...
const LEAST: f64 = 0.05;
/// ... and above which it cannot be told from fresh data.
const MOST: f64 = 1000.0;

/// A fitted surface with repeated data.
#[derive(Clone, Debug, Serialize)]
pub struct RepeatedFit {
    /// Its `params` are those of the surface and "R*", in epochs after the first. The interval of R* is that of its profile
    /// likelihood, since a bootstrap misleads where a parameter is hardly identified.
    pub summary: Summary,
    /// Smallest and largest size of the used points.
    pub size_range: (f64, f64),
    /// Most epochs of any used point.
    pub epochs: f64,
    #[serde(skip)]
    pub(crate) centre: Centre,
    #[serde(skip)]
    pub(crate) fitted: Fitted<6>,
    #[serde(skip)]
    pub(crate) flops_per: f64,
}

/// ln N and ln U about the centre, and the epochs after the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    n: f64,
    u: f64,
    repeats: f64,
}

/// S = E + exp(a - alpha n) + exp(b - beta ln D') of (E, a, b, alpha, beta, ln R*).
pub(crate) struct Decaying;

/// ln(D' / U) and its first two derivatives by ln R*.
fn worth(ln_rate: f64, repeats: f64) -> (f64, f64, f64) {
    let rate = ln_rate.exp();
    let x = repeats / rate;
    let gained = -rate * (-x).exp_m1();
    let first = gained - repeats * (-x).exp();
    let second = first - repeats * x * (-x).exp();
    let slope = first / (1.0 + gained);
    (gained.ln_1p(), slope, second / (1.0 + gained) - slope * slope)
}

/// How ln D' grows with ln D when more epochs are taken: 1 within the first, less and less after it.
pub(crate) fn worth_of_more(ln_rate: f64, epochs: f64) -> f64 {
    let (rate, repeats) = (ln_rate.exp(), epochs.max(1.0) - 1.0);
    let gone = (-repeats / rate).exp();
    (1.0 + repeats) * gone / (1.0 + rate * (1.0 - gone))
}

impl Model<6> for Decaying {
    type Place = Place;

    fn jet(&self, theta: &[f64; 6], place: &Place) -> Jet<6> {
        let [e, a, b, alpha, beta, ln_rate] = *theta;
        let (more, slope, bend) = worth(ln_rate, place.repeats);
        let inner = Surface.jet(&[e, a, b, alpha, beta], &crate::parametric::Place { n: place.n, d: place.u + more });
        let q = inner.gradient[2];
        // ln q = b - beta (u + ln(D' / U))
        let by_rate = -beta * slope;
        let mut gradient = [0.0; 6];
        gradient[..5].copy_from_slice(&inner.gradient);
        gradient[5] = q * by_rate;
        let mut hessian = [[0.0; 6]; 6];
        for (row, known) in hessian.iter_mut().zip(&inner.hessian) {
            row[..5].copy_from_slice(known);
        }
        hessian[5][2] = q * by_rate;
        hessian[5][4] = inner.gradient[4] * by_rate - q * slope;
        hessian[5][5] = q * (by_rate * by_rate - beta * bend);
        Jet { value: inner.value, gradient, hessian }
    }
}

pub(crate) fn place(centre: &Centre, size: f64, samples: f64, epochs: f64) -> Place {
    let seen = epochs.max(1.0);
    Place { n: size.ln() - centre.size, u: (samples / seen).ln() - centre.samples, repeats: seen - 1.0 }
}

/// Fits the surface with repeated data. `samples` of a point are those seen, repeats counted; its unique ones are `samples`
/// over `epochs`, or all of them within the first epoch.
///
/// # Errors
/// Those of [`parametric`](crate::parametric()), [`Refusal::NotPositive`] for epochs that are not positive, and
/// [`Refusal::NotIdentified`] when no run repeats its data, or when nothing tells the worth of repeats from that of fresh
/// samples: neither several amounts of unique data among the repeated runs, nor three amounts of fresh data.
pub fn repeated(points: &[SurfacePoint], settings: &SurfaceSettings) -> Result<RepeatedFit, Refusal> {
    let (mut points, mut excluded) = usable(points);
    points.retain(|point| match crate::law::not_positive("epochs", point.epochs) {
        Some(reason) => {
            excluded.push(Excluded { row: point.row, reason });
            false
        }
        None => true,
    });
    excluded.sort_by_key(|e| e.row);
    require(&points, NEEDED)?;
    tells_repeats(&points)?;
    let centre = Centre::of(&points);
    let rows: Vec<Row<Place>> = points
        .iter()
        .map(|p| Row { place: place(&centre, p.size, p.samples, p.epochs), v: p.loss.ln() - centre.loss, weight: 1.0 })
        .collect();
    let starts = starts(&rows);
    let bounds = bounds(&rows);
    let mut fitted = fit(&Decaying, &rows, &starts, &bounds, settings.loss).ok_or_else(no_fall)?;
    identified(&fitted.theta, &bounds.low, &bounds.high)?;
    fitted.intervals = settings.intervals;
    let mut random = Random::new(settings.seed);
    let clusters = clusters(&points, settings.intervals);
    fitted.draws = resample(&Decaying, &rows, &clusters, &fitted, &bounds, settings.resamples(), &mut random);
    let limits = (LEAST.ln(), MOST.ln());
    let (low, high) = profile(&Decaying, &rows, &fitted, &bounds, 5, limits);

    let mut summary = Summary::of(&Decaying, &rows, &fitted, points.iter().map(|p| p.row), excluded);
    let five = |theta: &[f64; 6]| [theta[0], theta[1], theta[2], theta[3], theta[4]];
    summary.params =
        crate::parametric::parameters(&centre, |scale, read| fitted.estimate(scale, 0.0, |theta| read(&five(theta))));
    let rate = Estimate { value: fitted.theta[5].exp(), low: low.exp(), high: high.exp() };
    summary.params.insert("R*", rate);
    summary.warnings = fitted.warnings(settings.resamples());
    let most = points.iter().map(|p| p.epochs).fold(0.0, f64::max);
    if rate.high >= 0.99 * MOST {
        summary.warnings.push(format!(
            "R* has no upper end: repeats up to {most} epochs may be worth as much as fresh data; add runs of more epochs"
        ));
    } else if rate.high > 5.0 * rate.low {
        summary
            .warnings
            .push(format!("R* is weakly identified: anything from {:.1} to {:.1} fits", rate.low, rate.high));
    }
    let range = points.iter().map(|p| p.size).fold((f64::INFINITY, 0.0_f64), |(l, h), n| (l.min(n), h.max(n)));
    Ok(RepeatedFit { summary, size_range: range, epochs: most, centre, fitted, flops_per: settings.flops_per })
}

/// Refuses points that cannot tell a repeat from a fresh sample.
fn tells_repeats(points: &[SurfacePoint]) -> Result<(), Refusal> {
    let refuse = |why: &str, mend| Err(Refusal::NotIdentified { what: "R*", why: why.to_owned(), mend });
    let ln_unique = |p: &SurfacePoint| (p.samples / p.epochs.max(1.0)).ln();
    let count = |keep: &dyn Fn(&SurfacePoint) -> bool| {
        let mut logs: Vec<f64> = points.iter().filter(|p| keep(p)).map(ln_unique).collect();
        logs.sort_by(f64::total_cmp);
        (logs.len(), distinct(logs.into_iter()))
    };
    let (repeated, pools) = count(&|p| p.epochs > 1.0 + 1e-9);
    let (_, fresh) = count(&|p| p.epochs <= 1.0 + 1e-9);
    if repeated == 0 {
        return refuse(
            "every run has seen its data at most once",
            "add runs of several epochs, at best up to 16 or more",
        );
    }
    if pools < 2 && fresh < 3 {
        return refuse(
            "unique samples do not vary apart from the epochs",
            "add runs of one epoch or less, or repeat subsets of the data of other sizes",
        );
    }
    Ok(())
}

fn columns(rows: &[Row<Place>], ln_rate: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let worth = |place: &Place| place.u + worth(ln_rate, place.repeats).0;
    (
        rows.iter().map(|row| row.place.n).collect(),
        rows.iter().map(|row| worth(&row.place)).collect(),
        rows.iter().map(|row| row.v).collect(),
    )
}

/// The best of the grid of exponents at each of a series of R*; of those, the valleys.
fn starts(rows: &[Row<Place>]) -> Vec<[f64; 6]> {
    const RATES: usize = 14;
    let series: Vec<Option<(f64, [f64; 6])>> = (0..RATES)
        .map(|i| {
            let ln_rate = 0.2_f64.ln() + (300.0_f64 / 0.2).ln() * i as f64 / (RATES - 1) as f64;
            let (n, d, v) = columns(rows, ln_rate);
            let (height, [e, a, b, alpha, beta]) = *valleys(&n, &d, &v).first()?;
            Some((height, [e, a, b, alpha, beta, ln_rate]))
        })
        .collect();
    let height = |i: Option<usize>| i.and_then(|i| *series.get(i)?).map_or(f64::INFINITY, |(height, _)| height);
    let valley = |i: &usize| {
        let here = height(Some(*i));
        here.is_finite() && here <= height(i.checked_sub(1)) && here <= height(Some(i + 1))
    };
    (0..RATES).filter(valley).filter_map(|i| series[i].map(|(_, theta)| theta)).collect()
}

fn bounds(rows: &[Row<Place>]) -> Bounds<6> {
    let (n, d, _) = columns(rows, MOST.ln());
    let five = bounds_of(&n, &d);
    let with = |five: [f64; 5], sixth: f64| [five[0], five[1], five[2], five[3], five[4], sixth];
    Bounds { low: with(five.low, LEAST.ln()), high: with(five.high, MOST.ln()) }
}

impl RepeatedFit {
    /// The loss of a model that sees `samples`, repeats counted, in so many epochs, with the 95 % interval of the mean. NaN
    /// where the arguments are not positive.
    pub fn predict(&self, size: f64, samples: f64, epochs: f64) -> Estimate {
        self.at(size, samples, epochs, 0.0)
    }

    /// Where the loss of one new run is expected: the same with the noise between runs, as in
    /// [`SurfaceFit::predict_run`](crate::SurfaceFit::predict_run).
    pub fn predict_run(&self, size: f64, samples: f64, epochs: f64, seed_noise: Option<f64>) -> Estimate {
        self.at(size, samples, epochs, self.fitted.run_noise(seed_noise))
    }

    fn at(&self, size: f64, samples: f64, epochs: f64, noise: f64) -> Estimate {
        if ![size, samples, epochs].iter().all(|x| *x > 0.0 && x.is_finite()) {
            return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        let place = place(&self.centre, size, samples, epochs);
        let centre = self.centre.loss;
        self.fitted.estimate(Scale::Logarithm, noise, |theta| (Decaying.jet(theta, &place).value.ln() + centre).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::check_derivatives;

    #[test]
    fn derivatives_of_the_decay() {
        for repeats in [0.0, 0.5, 7.0, 90.0] {
            let place = Place { n: 0.7, u: -1.1, repeats };
            check_derivatives(&Decaying, [0.6, -1.2, -0.9, 0.34, 0.28, 1.7], place);
        }
    }

    #[test]
    fn a_few_repeats_are_worth_fresh_data_and_many_are_not() {
        let times = |repeats: f64| worth(15.0_f64.ln(), repeats).0.exp();
        assert!((times(3.0) / 4.0 - 1.0).abs() < 0.08 && (times(1e4) - 16.0).abs() < 1e-9);
        assert_eq!(times(0.0), 1.0);
    }
}
