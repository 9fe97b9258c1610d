//! L = E + A N^-alpha + B D^-beta: the loss as a surface over the size of the model and the samples it has seen
//! (Hoffmann et al. 2022, equation 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grid::{Theta, exponent_bounds, valleys};
use crate::interval::{Scale, resample};
use crate::law::not_positive;
use crate::random::Random;
use crate::regression::{Bounds, Fitted, Intervals, Jet, Loss, Model, Row, fit};
use crate::stat::distinct;
use crate::{Estimate, Excluded, Refusal, Summary};

/// Points that the surface needs: five parameters, and one to judge them by.
pub(crate) const NEEDED: usize = 6;

/// A run as the surface sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurfacePoint {
    /// What the caller wants back in the lists of used and excluded points.
    pub row: usize,
    /// N: parameters of the model, or its operations per sample; say which with the numbers.
    pub size: f64,
    /// D: samples seen in training, repeats counted.
    pub samples: f64,
    /// Epochs: how often each sample was seen. Only laws of repeated data look at it.
    pub epochs: f64,
    /// Held-out loss in nats.
    pub loss: f64,
    /// Runs of the same cell are drawn together by [`Intervals::Cells`]: seeds of one cell, or checkpoints of one run.
    pub cell: u64,
}

/// Settings of the fits of surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurfaceSettings {
    /// Seed of the resampling.
    pub seed: u64,
    /// Resampled fits; used within 200 and 100 000. With [`Intervals::Delta`] they are a check, and 0 leaves it out.
    pub resamples: usize,
    /// How residuals count.
    pub loss: Loss,
    /// Where intervals come from.
    pub intervals: Intervals,
    /// k of C = k N D, in operations per parameter and sample: 6 where each is used once forwards and backwards.
    pub flops_per: f64,
}

impl Default for SurfaceSettings {
    fn default() -> Self {
        SurfaceSettings { seed: 0, resamples: 2000, loss: Loss::Robust, intervals: Intervals::Delta, flops_per: 6.0 }
    }
}

impl SurfaceSettings {
    pub(crate) fn resamples(&self) -> usize {
        let check = self.intervals == Intervals::Delta;
        if check && self.resamples == 0 { 0 } else { self.resamples.clamp(200, 100_000) }
    }
}

/// A fitted surface.
#[derive(Clone, Debug, Serialize)]
pub struct SurfaceFit {
    /// Its `params` are "E" (in nats), "A", "B" (in nats, at N = 1 and D = 1), "alpha", "beta" (no unit), and what follows for
    /// the best use of compute: "a" of N* = G (C/k)^a and "b" of D* = (C/k)^b / G.
    pub summary: Summary,
    /// Smallest and largest size of the used points.
    pub size_range: (f64, f64),
    /// Smallest and largest number of samples seen.
    pub samples_range: (f64, f64),
    #[serde(skip)]
    pub(crate) centre: Centre,
    #[serde(skip)]
    pub(crate) fitted: Fitted<5>,
    #[serde(skip)]
    pub(crate) flops_per: f64,
}

/// The place about which sizes, samples and losses are written, in logarithms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Centre {
    pub(crate) size: f64,
    pub(crate) samples: f64,
    pub(crate) loss: f64,
}

/// ln N and ln D about the centre.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) n: f64,
    pub(crate) d: f64,
}

/// S = E + exp(a - alpha n) + exp(b - beta d) of (E, a, b, alpha, beta).
pub(crate) struct Surface;

impl Model<5> for Surface {
    type Place = Place;

    #[inline]
    fn jet(&self, theta: &Theta, place: &Place) -> Jet<5> {
        let [e, a, b, alpha, beta] = *theta;
        let Place { n, d } = *place;
        let (p, q) = ((a - alpha * n).exp(), (b - beta * d).exp());
        let mut hessian = [[0.0; 5]; 5];
        (hessian[1][1], hessian[3][1], hessian[3][3]) = (p, -n * p, n * n * p);
        (hessian[2][2], hessian[4][2], hessian[4][4]) = (q, -d * q, d * d * q);
        Jet { value: e + p + q, gradient: [1.0, p, q, -n * p, -d * q], hessian }
    }
}

/// Usable points, ascending so that no sum depends on the order of the rows.
pub(crate) fn usable(points: &[SurfacePoint]) -> (Vec<SurfacePoint>, Vec<Excluded>) {
    let (mut usable, mut excluded) = (Vec::new(), Vec::new());
    for point in points {
        let wrong = not_positive("size", point.size)
            .or_else(|| not_positive("samples", point.samples))
            .or_else(|| not_positive("loss", point.loss));
        match wrong {
            Some(reason) => excluded.push(Excluded { row: point.row, reason }),
            None => usable.push(*point),
        }
    }
    usable.sort_by(|a, b| {
        a.size
            .total_cmp(&b.size)
            .then(a.samples.total_cmp(&b.samples))
            .then(a.loss.total_cmp(&b.loss))
            .then(a.row.cmp(&b.row))
    });
    excluded.sort_by_key(|e| e.row);
    (usable, excluded)
}

/// Refuses what no surface can be fitted to.
pub(crate) fn require(points: &[SurfacePoint], needed: usize) -> Result<(), Refusal> {
    if points.len() < needed {
        return Err(Refusal::TooFewPoints { needed, got: points.len() });
    }
    for (what, read) in [("size", (|p| p.size) as fn(&SurfacePoint) -> f64), ("samples", |p| p.samples)] {
        let mut logs: Vec<f64> = points.iter().map(|p| read(p).ln()).collect();
        logs.sort_by(f64::total_cmp);
        let got = distinct(logs.into_iter());
        if got < 3 {
            return Err(Refusal::TooFewDistinct { what, needed: 3, got });
        }
    }
    let centre = Centre::of(points);
    let (mut nn, mut nd, mut dd) = (0.0, 0.0, 0.0);
    for point in points {
        let Place { n, d } = centre.place(point.size, point.samples);
        (nn, nd, dd) = (nn + n * n, nd + n * d, dd + d * d);
    }
    if nd * nd > 0.9999 * nn * dd {
        return Err(Refusal::NotIdentified {
            what: "the exponents",
            why: "size and samples move together, so that their effects cannot be told apart".to_owned(),
            mend: "train a small model on many samples, or a large one on few",
        });
    }
    Ok(())
}

impl Centre {
    pub(crate) fn of(points: &[SurfacePoint]) -> Centre {
        let mean = |read: fn(&SurfacePoint) -> f64| points.iter().map(read).sum::<f64>() / points.len() as f64;
        Centre { size: mean(|p| p.size.ln()), samples: mean(|p| p.samples.ln()), loss: mean(|p| p.loss.ln()) }
    }

    pub(crate) fn place(&self, size: f64, samples: f64) -> Place {
        Place { n: size.ln() - self.size, d: samples.ln() - self.samples }
    }
}

/// Fits L = E + A N^-alpha + B D^-beta, with E >= 0 and the others positive, to the logarithm of the loss.
///
/// The search needs no start: variable projection over a grid of both exponents (`grid`), then Newton's method from the
/// four lowest valleys with exact second derivatives. `convergence` tells how they agree.
///
/// On the 240 public points of Hoffmann et al.'s figure 4 (digitised by Besiroglu et al., arXiv 2404.10102; the five
/// highest losses left out) with Huber's delta 1e-3 it ends at E 1.8172, A 477.83, B 2143.4, alpha 0.34731, beta
/// 0.36717 and an objective of 1.01827402e-3; the best of the 4500 published starts at A 477.71, B 2142.8, alpha
/// 0.34730, beta 0.36716 and 1.01827404e-3.
///
/// # Errors
/// [`Refusal::TooFewPoints`] below six, [`Refusal::TooFewDistinct`] below three sizes or three numbers of samples, and
/// [`Refusal::NotIdentified`] when size and samples move together, when the loss does not fall with one of them, or
/// when an exponent runs to the end of its range.
pub fn parametric(points: &[SurfacePoint], settings: &SurfaceSettings) -> Result<SurfaceFit, Refusal> {
    let (points, excluded) = usable(points);
    require(&points, NEEDED)?;
    let centre = Centre::of(&points);
    let rows: Vec<Row<Place>> = points
        .iter()
        .map(|p| Row { place: centre.place(p.size, p.samples), v: p.loss.ln() - centre.loss, weight: 1.0 })
        .collect();
    let column = |read: fn(&Row<Place>) -> f64| rows.iter().map(read).collect::<Vec<f64>>();
    let (n, d, v) = (column(|r| r.place.n), column(|r| r.place.d), column(|r| r.v));
    let starts: Vec<Theta> = valleys(&n, &d, &v).into_iter().map(|(_, theta)| theta).collect();
    let bounds = bounds_of(&n, &d);
    let mut fitted = fit(&Surface, &rows, &starts, &bounds, settings.loss).ok_or_else(no_fall)?;
    identified(&fitted.theta, &bounds.low, &bounds.high)?;
    // The bootstrap gives the intervals where it was asked for, and checks them where not.
    let clusters = clusters(&points, settings.intervals);
    let mut random = Random::new(settings.seed);
    fitted.intervals = settings.intervals;
    fitted.draws = resample(&Surface, &rows, &clusters, &fitted, &bounds, settings.resamples(), &mut random);

    let range = |read: fn(&SurfacePoint) -> f64| {
        points.iter().map(read).fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)))
    };
    let mut surface = SurfaceFit {
        summary: Summary::of(&Surface, &rows, &fitted, points.iter().map(|p| p.row), excluded),
        size_range: range(|p| p.size),
        samples_range: range(|p| p.samples),
        centre,
        fitted,
        flops_per: settings.flops_per,
    };
    surface.summary.params = parameters(&surface.centre, |scale, read| surface.fitted.estimate(scale, 0.0, read));
    surface.summary.warnings = surface.judge(settings);
    Ok(surface)
}

/// Where the parameters of the surface may lie.
pub(crate) fn bounds_of(n: &[f64], d: &[f64]) -> Bounds<5> {
    let range = |u: &[f64]| {
        let (low, high) = u.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), u| (l.min(*u), h.max(*u)));
        high - low
    };
    let (alpha, beta) = (exponent_bounds(range(n)), exponent_bounds(range(d)));
    Bounds { low: [0.0, -60.0, -60.0, alpha.0, beta.0], high: [1e3, 60.0, 60.0, alpha.1, beta.1] }
}

pub(crate) fn no_fall() -> Refusal {
    Refusal::NotIdentified {
        what: "the surface",
        why: "the loss does not fall with both the size and the samples".to_owned(),
        mend: "check the learning rates of the largest runs, and add runs at larger and smaller sizes and samples",
    }
}

/// Refuses a surface of which a part is at the end of its range.
pub(crate) fn identified(theta: &[f64], low: &[f64], high: &[f64]) -> Result<(), Refusal> {
    for (what, i, term) in [("alpha", 3, 1), ("beta", 4, 2)] {
        let (value, low, high) = (theta[i], low[i], high[i]);
        let why = if value >= high * 0.999 {
            "the loss falls once and then stays level, like a step"
        } else if value <= low * 1.001 {
            "the fall is as straight as a logarithm, so that E could be anything"
        } else if theta[term] < -25.0 {
            "the loss does not depend on it"
        } else {
            continue;
        };
        return Err(Refusal::NotIdentified {
            what,
            why: why.to_owned(),
            mend: "add runs at smaller and at larger sizes and samples, so that both the fall and the levelling off are seen",
        });
    }
    Ok(())
}

/// The rows that are drawn together.
pub(crate) fn clusters(points: &[SurfacePoint], intervals: Intervals) -> Vec<Vec<usize>> {
    if intervals != Intervals::Cells {
        return (0..points.len()).map(|i| vec![i]).collect();
    }
    let mut cells: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    points.iter().enumerate().for_each(|(i, point)| cells.entry(point.cell).or_default().push(i));
    let mut cells: Vec<Vec<usize>> = cells.into_values().collect();
    cells.sort();
    cells
}

impl SurfaceFit {
    /// The surface with the 95 % interval of the mean (not of a single new run), in nats. NaN where the arguments have no
    /// logarithm.
    pub fn predict(&self, size: f64, samples: f64) -> Estimate {
        self.at(size, samples, 0.0)
    }

    /// Where the loss of one new run is expected, with 95 % confidence, in nats: the interval of the surface and the noise
    /// between runs. The noise is that of the residuals, but not less than `seed_noise`, the standard deviation of ln loss
    /// between seeds, nor than [`NOISE_FLOOR`](crate::NOISE_FLOOR).
    pub fn predict_run(&self, size: f64, samples: f64, seed_noise: Option<f64>) -> Estimate {
        self.at(size, samples, self.fitted.run_noise(seed_noise))
    }

    fn at(&self, size: f64, samples: f64, noise: f64) -> Estimate {
        if !(size > 0.0 && samples > 0.0 && size.is_finite() && samples.is_finite()) {
            return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        let place = self.centre.place(size, samples);
        let scale = self.centre.loss;
        self.fitted.estimate(Scale::Logarithm, noise, |theta| (Surface.jet(theta, &place).value.ln() + scale).exp())
    }

    fn judge(&self, settings: &SurfaceSettings) -> Vec<String> {
        let mut warnings = self.fitted.warnings(settings.resamples());
        let params = &self.summary.params;
        for name in ["alpha", "beta"] {
            let Estimate { low, high, .. } = params[name];
            if low <= 0.0 || high > 4.0 * low {
                warnings.push(format!("{name} is hardly identified: its interval runs from {low:.3} to {high:.3}"));
            }
        }
        let floor = params["E"];
        if floor.low <= 1e-9 * floor.high {
            warnings.push(format!("E is not identified: its interval runs from 0 to {:.4}", floor.high));
        }
        let share = |theta: &Theta| theta[4] / (theta[3] + theta[4]);
        if let (Intervals::Delta, Some(drawn)) = (settings.intervals, self.fitted.by_draws(share)) {
            let a = params["a"];
            if drawn.high - drawn.low > 1.5 * (a.high - a.low) && self.summary.used.len() >= 20 {
                warnings.push(format!(
                    "resampling the runs gives a wider interval of a ({:.3} to {:.3}): the noise is uneven or a run is far off",
                    drawn.low, drawn.high
                ));
            }
        }
        warnings
    }
}

/// The parameters as a reader knows them, by what estimates a function of the five of the search.
pub(crate) fn parameters(
    centre: &Centre,
    estimate: impl Fn(Scale, &dyn Fn(&Theta) -> f64) -> Estimate,
) -> BTreeMap<&'static str, Estimate> {
    let positive = |read: &dyn Fn(&Theta) -> f64| estimate(Scale::Logarithm, read);
    let plain = |read: &dyn Fn(&Theta) -> f64| estimate(Scale::Plain, read);
    let mut floor = plain(&|theta| theta[0] * centre.loss.exp());
    floor.low = floor.low.max(0.0);
    BTreeMap::from([
        ("E", floor),
        ("A", positive(&|theta| (theta[1] + theta[3] * centre.size + centre.loss).exp())),
        ("B", positive(&|theta| (theta[2] + theta[4] * centre.samples + centre.loss).exp())),
        ("alpha", plain(&|theta| theta[3])),
        ("beta", plain(&|theta| theta[4])),
        ("a", plain(&|theta| theta[4] / (theta[3] + theta[4]))),
        ("b", plain(&|theta| theta[3] / (theta[3] + theta[4]))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::check_derivatives;

    #[test]
    fn derivatives_of_the_surface() {
        check_derivatives(&Surface, [0.6, -1.2, -0.9, 0.34, 0.28], Place { n: 1.3, d: -2.1 });
    }
}
