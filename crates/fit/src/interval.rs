//! What is uncertain about fitted parameters, and about what follows from them: resampling, profile likelihood, and the
//! delta method.

use crate::dense::form;
use crate::newton::minimise;
use crate::random::Random;
use crate::regression::{Bounds, Fitted, Intervals, Model, Row, objective};
use crate::stat::{Z975, central_95, t975};
use crate::{Estimate, NOISE_FLOOR};

/// Fits to `count` samples of whole clusters of rows, drawn with replacement, each from the fit of all rows and with its
/// delta. Returns the parameters of those that converged.
pub(crate) fn resample<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    clusters: &[Vec<usize>],
    fitted: &Fitted<K>,
    bounds: &Bounds<K>,
    count: usize,
    random: &mut Random,
) -> Vec<[f64; K]> {
    let search = bounds.roughly();
    let mut times = vec![0u32; clusters.len()];
    let mut sample: Vec<Row<M::Place>> = Vec::with_capacity(rows.len());
    (0..count)
        .filter_map(|_| {
            times.iter_mut().for_each(|times| *times = 0);
            (0..clusters.len()).for_each(|_| times[random.index(clusters.len())] += 1);
            sample.clear();
            for (cluster, times) in clusters.iter().zip(&times).filter(|(_, times)| **times > 0) {
                sample.extend(cluster.iter().map(|&i| Row { weight: rows[i].weight * f64::from(*times), ..rows[i] }));
            }
            let end = minimise(fitted.theta, &search, |theta| objective(model, &sample, theta, fitted.delta));
            (end.converged && end.value.is_finite()).then_some(end.at)
        })
        .collect()
}

/// The 95 % interval of parameter `index` by profile likelihood: the values at which the best fit of all others is not
/// worse by more than Student's t allows. Ends at `limits` where it is open.
pub(crate) fn profile<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    fitted: &Fitted<K>,
    bounds: &Bounds<K>,
    index: usize,
    limits: (f64, f64),
) -> (f64, f64) {
    let allowed = 0.5 * t975(fitted.df).powi(2) * fitted.dispersion;
    let end = |limit: f64| {
        let (mut inside, mut theta) = (fitted.theta[index], fitted.theta);
        // Whether the law with this value is possible, from the last possible one.
        let possible = |value: f64, theta: &mut [f64; K]| {
            let mut fixed = *bounds;
            (fixed.low[index], fixed.high[index]) = (value, value);
            let best =
                minimise(*theta, &fixed.exactly(rows.len()), |theta| objective(model, rows, theta, fitted.delta));
            let good = best.value - fitted.objective <= allowed;
            if good {
                *theta = best.at;
            }
            good
        };
        const STEPS: i32 = 24;
        let step = (limit - fitted.theta[index]) / f64::from(STEPS);
        let outside = (1..=STEPS).map(|i| fitted.theta[index] + step * f64::from(i)).find(|value| {
            let good = possible(*value, &mut theta);
            if good {
                inside = *value;
            }
            !good
        });
        let Some(mut outside) = outside else { return limit };
        for _ in 0..20 {
            let middle = 0.5 * (inside + outside);
            if possible(middle, &mut theta) { inside = middle } else { outside = middle }
        }
        inside
    };
    (end(limits.0), end(limits.1))
}

/// On which scale the interval of a quantity is symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Plain,
    Logarithm,
}

impl<const K: usize> Fitted<K> {
    /// The standard error of a function of the parameters, by the delta method with central differences.
    pub(crate) fn error(&self, read: impl Fn(&[f64; K]) -> f64) -> f64 {
        let Some(covariance) = &self.covariance else {
            return f64::INFINITY;
        };
        let slope = gradient(&self.theta, read);
        form(&slope, covariance, &slope).max(0.0).sqrt()
    }

    /// A function of the parameters with its 95 % interval: Student's t on the delta method's standard error, with
    /// `extra` more variance on its scale.
    pub(crate) fn by_delta(&self, scale: Scale, extra: f64, read: impl Fn(&[f64; K]) -> f64) -> Estimate {
        let value = read(&self.theta);
        let on_scale = |x: f64| if scale == Scale::Logarithm { x.ln() } else { x };
        let error = self.error(|theta| on_scale(read(theta))).hypot(extra);
        let half = t975(self.df) * error;
        let back = |x: f64| if scale == Scale::Logarithm { x.exp() } else { x };
        finite(value, back(on_scale(value) - half), back(on_scale(value) + half))
    }

    /// A quantity with the intervals that were chosen; `noise`, a standard deviation, is added on its scale.
    pub(crate) fn estimate(&self, scale: Scale, noise: f64, read: impl Fn(&[f64; K]) -> f64) -> Estimate {
        match (self.intervals, self.by_draws(&read)) {
            (Intervals::Delta, _) | (_, None) => self.by_delta(scale, noise, read),
            (_, Some(drawn)) if noise == 0.0 => drawn,
            (_, Some(drawn)) => {
                // The noise of a run is independent of the draws: their half-widths add as squares do.
                let half = |end: f64| (end / drawn.value).ln().abs().hypot(Z975 * noise);
                finite(drawn.value, drawn.value * (-half(drawn.low)).exp(), drawn.value * half(drawn.high).exp())
            }
        }
    }

    /// The noise of one run that a prediction has to hold: that of the residuals, but not less than the one between seeds,
    /// nor than the floor.
    pub(crate) fn run_noise(&self, seed_noise: Option<f64>) -> f64 {
        self.scale.max(seed_noise.filter(|noise| noise.is_finite()).unwrap_or(0.0)).max(NOISE_FLOOR)
    }

    /// What every reader of the numbers should know.
    pub(crate) fn warnings(&self, resamples: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        let found = self.convergence;
        if !found.converged || found.decrement > 1e-6 {
            warnings.push(format!("the search did not settle (a step more would gain {:.1e})", found.decrement));
        }
        if found.condition > 1e4 {
            warnings.push(format!(
                "the parameters are entangled (condition number {:.0}): trust predictions inside the data before single parameters",
                found.condition
            ));
        }
        if self.draws.len() * 10 < resamples * 9 {
            warnings.push(format!("{} of {resamples} resamples could not be fitted", resamples - self.draws.len()));
        }
        warnings
    }

    /// The same from the resampled fits: their 2.5 % and 97.5 % quantiles. `None` below 100 draws.
    pub(crate) fn by_draws(&self, read: impl Fn(&[f64; K]) -> f64) -> Option<Estimate> {
        if self.draws.len() < 100 {
            return None;
        }
        let (low, high) = central_95(self.draws.iter().map(&read).collect())?;
        Some(finite(read(&self.theta), low, high))
    }
}

/// Kept finite so that it survives JSON, and its value within.
pub(crate) fn finite(value: f64, low: f64, high: f64) -> Estimate {
    let finite = |x: f64, instead: f64| if x.is_nan() { instead } else { x.clamp(-f64::MAX, f64::MAX) };
    let value = finite(value, 0.0);
    Estimate { value, low: finite(low, -f64::MAX).min(value), high: finite(high, f64::MAX).max(value) }
}

pub(crate) fn gradient<const K: usize>(theta: &[f64; K], read: impl Fn(&[f64; K]) -> f64) -> [f64; K] {
    std::array::from_fn(|i| {
        let step = 1e-5 * theta[i].abs().max(1e-2);
        let moved = |by: f64| {
            let mut theta = *theta;
            theta[i] += by;
            read(&theta)
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    })
}
