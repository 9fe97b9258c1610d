//! A fitted law in one variable, whatever fitted it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::band::{Band, Curve, Quantity};
use crate::{Estimate, Excluded, Point, Quality, Refusal};

/// The form of a law in one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// L = A C^-alpha: a straight line in log-log.
    Power,
    /// L = E + A C^-alpha: levels off at E.
    Saturating,
}

/// A fitted law in one variable: enough to draw it, to print it and to judge it.
#[derive(Clone, Debug, Serialize)]
pub struct LawFit {
    /// Which law was fitted.
    pub form: Form,
    /// "A" (in the unit of y, at x = 1), "alpha" (no unit) and, when saturating, "E" (in the unit of y).
    pub params: BTreeMap<&'static str, Estimate>,
    /// Rows of the points that were fitted, ascending.
    pub used: Vec<usize>,
    /// Rows that were not, and why, ascending.
    pub excluded: Vec<Excluded>,
    /// How well the law describes the used points.
    pub quality: Quality,
    /// What a reader of the numbers should know, in words for the user.
    pub warnings: Vec<String>,
    /// Smallest and largest x of the used points: outside, the law extrapolates.
    pub x_range: (f64, f64),
    #[serde(skip)]
    curve: Curve,
    #[serde(skip)]
    bands: Vec<Band>,
}

impl LawFit {
    /// The law at `x` with the 95 % band of the mean curve (not of a single new run), in the unit of y.
    ///
    /// The band holds for the law as fitted; it does not know whether the law still holds outside `x_range`. Where
    /// `x` is not positive and finite there is no answer, and all three numbers are NaN.
    pub fn predict(&self, x: f64) -> Estimate {
        if !(x > 0.0 && x.is_finite()) {
            return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        estimate(&self.curve, &self.bands, Quantity::At(x.ln()))
    }

    /// The law at `x` alone, without an interval.
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.curve.ln_at(x.ln()).exp()
    }

    /// Puts a fit together: the intervals are the widest of all `bands`.
    pub(crate) fn assemble(form: Form, curve: Curve, bands: Vec<Band>, data: Data) -> Result<LawFit, Refusal> {
        let Data { usable, mut excluded, warnings } = data;
        let mut params = BTreeMap::from([
            ("A", estimate(&curve, &bands, Quantity::Coefficient)),
            ("alpha", estimate(&curve, &bands, Quantity::Exponent)),
        ]);
        if form == Form::Saturating {
            params.insert("E", estimate(&curve, &bands, Quantity::Floor));
        }
        let coefficient = curve.get(Quantity::Coefficient);
        if !coefficient.is_finite() || coefficient <= 0.0 || !curve.alpha.is_finite() {
            return Err(Refusal::OutOfRange { what: "x" });
        }
        let observed: Vec<f64> = usable.iter().map(|p| p.v).collect();
        let fitted: Vec<f64> = usable.iter().map(|p| curve.ln_at(p.u)).collect();
        let quality = Quality::of(&observed, &fitted);
        let x_range = usable.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), p| (low.min(p.x), high.max(p.x)));
        let mut used: Vec<usize> = usable.iter().map(|p| p.row).collect();
        used.sort_unstable();
        excluded.sort_by_key(|e| e.row);
        Ok(LawFit { form, params, used, excluded, quality, warnings, x_range, curve, bands })
    }
}

/// The value of a quantity with the union of its intervals, kept finite so that it survives JSON.
pub(crate) fn estimate(curve: &Curve, bands: &[Band], quantity: Quantity) -> Estimate {
    let finite = |number: f64| number.clamp(f64::MIN, f64::MAX);
    let value = finite(curve.get(quantity));
    let mut result = Estimate { value, low: value, high: value };
    for (low, high) in bands.iter().filter_map(|band| band.interval(quantity)) {
        result.low = result.low.min(finite(low));
        result.high = result.high.max(finite(high));
    }
    result
}

/// A point that a law can use, in logarithms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usable {
    pub(crate) row: usize,
    pub(crate) x: f64,
    /// ln x
    pub(crate) u: f64,
    /// ln y
    pub(crate) v: f64,
}

/// The points of a fit, and what is to be said about them.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// Ascending in x, so that no sum and no resample depends on the order of the rows.
    pub(crate) usable: Vec<Usable>,
    pub(crate) excluded: Vec<Excluded>,
    pub(crate) warnings: Vec<String>,
}

impl Data {
    /// Sorts the points into usable and excluded.
    pub(crate) fn of(points: &[Point]) -> Data {
        let mut data = Data { usable: Vec::new(), excluded: Vec::new(), warnings: Vec::new() };
        for &Point { row, x, y } in points {
            match not_positive("x", x).or_else(|| not_positive("y", y)) {
                Some(reason) => data.excluded.push(Excluded { row, reason }),
                None => data.usable.push(Usable { row, x, u: x.ln(), v: y.ln() }),
            }
        }
        data.usable.sort_by(|a, b| a.u.total_cmp(&b.u).then(a.v.total_cmp(&b.v)).then(a.row.cmp(&b.row)));
        data
    }

    /// Refuses fewer than `needed` points, or points at fewer than `needed` places.
    pub(crate) fn require(&self, needed: usize) -> Result<(), Refusal> {
        let got = self.usable.len();
        if got < needed {
            return Err(Refusal::TooFewPoints { needed, got });
        }
        let got = crate::stat::distinct(self.usable.iter().map(|p| p.u));
        if got < needed {
            return Err(Refusal::TooFewDistinct { what: "x", needed, got });
        }
        Ok(())
    }

    pub(crate) fn pairs(&self) -> Vec<(f64, f64)> {
        self.usable.iter().map(|p| (p.u, p.v)).collect()
    }
}

/// Why a number that must be positive and finite is not, or `None` when it is.
pub fn not_positive(what: &str, value: f64) -> Option<String> {
    match value {
        v if v.is_nan() => Some(format!("{what} is not a number")),
        v if v <= 0.0 => Some(format!("{what} is {v}: it must be positive")),
        v if v.is_infinite() => Some(format!("{what} is infinite")),
        _ => None,
    }
}
