//! One curve, and the two ways in which its uncertainty is kept: exactly for a line in logarithms, as draws otherwise.

use crate::random::Random;
use crate::stat::{Line, central_95, t975};

/// y = floor + exp(ln_b - alpha (ln x - ln_x0)). Written about `ln_x0`, inside the data, where its numbers are tame;
/// the textbook's A = exp(ln_b + alpha ln_x0) lies at x = 1, often many decades away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) floor: f64,
    pub(crate) ln_b: f64,
    pub(crate) alpha: f64,
    pub(crate) ln_x0: f64,
}

/// What may be asked of a curve.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quantity {
    /// E of L = E + A x^-alpha.
    Floor,
    /// A.
    Coefficient,
    /// alpha.
    Exponent,
    /// The curve at this ln x.
    At(f64),
}

impl Curve {
    pub(crate) fn get(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Floor => self.floor,
            Quantity::Coefficient => (self.ln_b + self.alpha * self.ln_x0).exp(),
            Quantity::Exponent => self.alpha,
            Quantity::At(ln_x) => self.ln_at(ln_x).exp(),
        }
    }

    /// ln y at ln x: without a floor it is in range even where y is not.
    pub(crate) fn ln_at(&self, ln_x: f64) -> f64 {
        let falling = self.ln_b - self.alpha * (ln_x - self.ln_x0);
        if self.floor > 0.0 { (self.floor + falling.exp()).ln() } else { falling }
    }
}

/// Where a curve may lie, with 95 % confidence.
#[derive(Clone, Debug)]
pub(crate) enum Band {
    /// Student's t about a least-squares line in logarithms: exact for equal normal noise in ln y.
    Line { line: Line, points: usize },
    /// Curves fitted to resampled data.
    Draws(Vec<Curve>),
}

impl Band {
    /// The 95 % interval of a quantity, or `None` when nothing was drawn.
    pub(crate) fn interval(&self, quantity: Quantity) -> Option<(f64, f64)> {
        match self {
            Band::Draws(curves) => central_95(curves.iter().map(|curve| curve.get(quantity)).collect()),
            Band::Line { line, points } => Some(line_interval(line, *points, quantity)),
        }
    }
}

fn line_interval(line: &Line, points: usize, quantity: Quantity) -> (f64, f64) {
    let df = points.saturating_sub(2);
    let variance = line.residual / df as f64;
    // The variance of the line at u is s^2 (1/n + (u - mean)^2 / spread) (Draper and Smith, section 1.4).
    let around = |centre: f64, variance_factor: f64| {
        let half = t975(df) * (variance * variance_factor).sqrt();
        (centre - half, centre + half)
    };
    let at = |u: f64| {
        let offset = u - line.mean_u;
        around(line.mean_v + line.slope * offset, 1.0 / points as f64 + offset * offset / line.spread)
    };
    let exponential = |(low, high): (f64, f64)| (low.exp(), high.exp());
    match quantity {
        Quantity::Floor => (0.0, 0.0),
        Quantity::Exponent => around(-line.slope, 1.0 / line.spread),
        Quantity::Coefficient => exponential(at(0.0)),
        Quantity::At(ln_x) => exponential(at(ln_x)),
    }
}

/// Fits to `count` samples of `items` with replacement; samples that `refit` cannot use are left out.
pub(crate) fn resample<T: Clone>(
    items: &[T],
    count: usize,
    random: &mut Random,
    refit: impl Fn(&[T]) -> Option<Curve>,
) -> Vec<Curve> {
    let mut sample = Vec::with_capacity(items.len());
    (0..count)
        .filter_map(|_| {
            sample.clear();
            sample.extend((0..items.len()).map(|_| items[random.index(items.len())].clone()));
            refit(&sample)
        })
        .collect()
}
