//! Laws in one variable beyond least squares: robust, weighted towards the end, and with a bend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::interval::{Scale, resample};
use crate::law::Data;
use crate::random::Random;
use crate::regression::{Bounds, Fitted, Intervals, Loss, Model, Row, fit};
use crate::shapes::{Broken, Floored, Shifted, Straight, lowest, project};
use crate::stat::line;
use crate::{Estimate, Point, Refusal, Summary};

/// Which curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CurveForm {
    /// A x^-alpha.
    Power,
    /// E + A x^-alpha.
    Saturating,
    /// E + A (x + x0)^-alpha: saturates at both ends, for curves with a slow start.
    Shifted,
    /// E + A x^-c0 (1 + (x / x1)^(1 / f))^(-c1 f): two slopes (Caballero et al. 2023, one break).
    Broken,
}

impl CurveForm {
    /// Every form, simplest first.
    pub const ALL: [CurveForm; 4] = [CurveForm::Power, CurveForm::Saturating, CurveForm::Shifted, CurveForm::Broken];

    /// Its name, as serialised.
    pub fn name(self) -> &'static str {
        match self {
            CurveForm::Power => "power",
            CurveForm::Saturating => "saturating",
            CurveForm::Shifted => "shifted",
            CurveForm::Broken => "broken",
        }
    }

    /// Its parameters, in number.
    pub fn parameters(self) -> usize {
        match self {
            CurveForm::Power => 2,
            CurveForm::Saturating => 3,
            CurveForm::Shifted => 4,
            CurveForm::Broken => 6,
        }
    }
}

/// Settings of these fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveSettings {
    /// Seed of the resampling.
    pub seed: u64,
    /// Resampled fits; used within 200 and 100 000. With [`Intervals::Delta`] there are none.
    pub resamples: usize,
    /// How residuals count.
    pub loss: Loss,
    /// Where intervals come from; cells are runs here.
    pub intervals: Intervals,
    /// Points weigh (x / largest x)^this. 0: all alike. 2 extrapolated best from one learning curve of little noise, on
    /// public vision, language and translation curves; with much noise 0 or 1 does.
    pub end_weight: f64,
}

impl Default for CurveSettings {
    fn default() -> Self {
        CurveSettings { seed: 0, resamples: 2000, loss: Loss::Robust, intervals: Intervals::Delta, end_weight: 0.0 }
    }
}

/// A fitted curve.
#[derive(Clone, Debug, Serialize)]
pub struct CurveFit {
    /// Which curve.
    pub form: CurveForm,
    /// Its `params` are "A" (at x = 1, in the unit of y), "alpha", "E" (in the unit of y), "x0" and "x1" (in the unit of x), "c0",
    /// "c1" and "f", as the form has them.
    pub summary: Summary,
    /// Smallest and largest x of the used points: outside, the law extrapolates.
    pub x_range: (f64, f64),
    #[serde(skip)]
    kept: Kept,
    #[serde(skip)]
    centre: (f64, f64),
}

#[derive(Clone, Debug)]
enum Kept {
    Power(Fitted<2>),
    Saturating(Fitted<3>),
    Shifted(Fitted<4>),
    /// With the narrowest and the widest break that is looked for.
    Broken(Fitted<6>, (f64, f64)),
}

/// Fits a curve to (x, y) on the logarithm of y. The search starts from a grid over the parameters in which the curve is
/// not linear; `convergence` tells how the starts agree.
///
/// # Errors
/// [`Refusal::TooFewPoints`] and [`Refusal::TooFewDistinct`] below one point more than parameters,
/// [`Refusal::NotDecreasing`] when y does not fall with x, and [`Refusal::NotIdentified`] when an exponent or a break runs to
/// the end of its range: a simpler curve will do.
pub fn curve(points: &[Point], form: CurveForm, settings: &CurveSettings) -> Result<CurveFit, Refusal> {
    let data = Data::of(points);
    data.require(form.parameters() + 1)?;
    let trend = line(&data.pairs()).ok_or(Refusal::OutOfRange { what: "x" })?;
    if trend.slope >= 0.0 {
        return Err(Refusal::NotDecreasing { slope: trend.slope });
    }
    let (u0, v0) = (trend.mean_u, trend.mean_v);
    let last = data.usable[data.usable.len() - 1].u;
    let mut rows: Vec<Row<f64>> = data
        .usable
        .iter()
        .map(|p| Row { place: p.u - u0, v: p.v - v0, weight: (settings.end_weight * (p.u - last)).exp() })
        .collect();
    let mean = rows.iter().map(|row| row.weight).sum::<f64>() / rows.len() as f64;
    rows.iter_mut().for_each(|row| row.weight /= mean);
    let span = Span { rows, low: data.usable[0].u - u0, high: last - u0 };
    let (kept, mut summary) = match form {
        CurveForm::Power => span.straight(trend.slope, &data, settings)?,
        CurveForm::Saturating => span.floored(&data, settings)?,
        CurveForm::Shifted => span.shifted(&data, settings)?,
        CurveForm::Broken => span.broken(&data, settings)?,
    };
    let x_range = (data.usable[0].x, data.usable[data.usable.len() - 1].x);
    summary.params = kept.parameters(u0, v0);
    if let (Kept::Broken(_, (sharp, wide)), Some(f)) = (&kept, summary.params.get("f"))
        && (f.low <= *sharp || f.high >= *wide)
    {
        summary.warnings.push(format!(
            "f is not identified: its interval, {:.3} to {:.3}, ends where breaks are no longer looked for; the points do not tell how sharp the break is",
            f.low, f.high
        ));
    }
    if summary.params.values().any(|p| !p.value.is_finite() || p.value == f64::MAX) {
        return Err(Refusal::OutOfRange { what: "x" });
    }
    Ok(CurveFit { form, summary, x_range, kept, centre: (u0, v0) })
}

/// The points about their centre.
struct Span {
    rows: Vec<Row<f64>>,
    low: f64,
    high: f64,
}

impl Span {
    fn straight(&self, slope: f64, data: &Data, settings: &CurveSettings) -> Result<(Kept, Summary), Refusal> {
        let bounds = Bounds { low: [-60.0, 0.0], high: [60.0, f64::MAX] };
        let (fitted, summary) = self.search(&Straight, &[[0.0, -slope]], &bounds, data, settings)?;
        Ok((Kept::Power(fitted), summary))
    }

    fn floored(&self, data: &Data, settings: &CurveSettings) -> Result<(Kept, Summary), Refusal> {
        let starts = self.exponents(48).into_iter().filter_map(|alpha| {
            let (height, e, a) = self.project(|u| -alpha * u)?;
            Some((height, [e, a, alpha]))
        });
        let (low, high) = self.exponent_range();
        let bounds = Bounds { low: [0.0, -60.0, low], high: [1e3, 60.0, high] };
        let (fitted, summary) = self.search(&Floored, &lowest(starts.collect(), 3), &bounds, data, settings)?;
        inside("alpha", fitted.theta[2], low, high)?;
        Ok((Kept::Saturating(fitted), summary))
    }

    fn shifted(&self, data: &Data, settings: &CurveSettings) -> Result<(Kept, Summary), Refusal> {
        let range = self.high - self.low;
        let mut starts = Vec::new();
        for ln_x0 in (0..16).map(|i| self.low - 0.2 * range + 1.2 * range * f64::from(i) / 15.0) {
            for alpha in self.exponents(24) {
                let found = self.project(|u| -alpha * (u.exp() + ln_x0.exp()).ln());
                starts.extend(found.map(|(height, e, a)| (height, [e, a, alpha, ln_x0])));
            }
        }
        let (low, high) = self.exponent_range();
        let ends = (self.low - range, self.high + range);
        let bounds = Bounds { low: [0.0, -60.0, low, ends.0], high: [1e3, 60.0, 4.0 * high, ends.1] };
        let (fitted, summary) = self.search(&Shifted, &lowest(starts, 6), &bounds, data, settings)?;
        inside("alpha", fitted.theta[2], low, 4.0 * high)?;
        inside("x0", fitted.theta[3], ends.0, ends.1)?;
        Ok((Kept::Shifted(fitted), summary))
    }

    fn broken(&self, data: &Data, settings: &CurveSettings) -> Result<(Kept, Summary), Refusal> {
        let range = self.high - self.low;
        let slopes: Vec<f64> = [0.0, 0.3, 0.8, 2.0, 5.0].iter().map(|s| s / range).collect();
        let mut starts = Vec::new();
        for ln_x1 in (1..9).map(|i| self.low + range * f64::from(i) / 9.0) {
            for f in [0.05 * range, 0.2 * range] {
                for c0 in &slopes {
                    for both in &slopes {
                        let c1 = both - c0;
                        let found = self.project(|u| -c0 * u - c1 * f * softplus((u - ln_x1) / f));
                        starts.extend(found.filter(|_| c1 != 0.0).map(|(h, e, a)| (h, [e, a, *c0, c1, ln_x1, f.ln()])));
                    }
                }
            }
        }
        let (_, high) = self.exponent_range();
        let sharp = (0.005 * range).ln();
        let bounds = Bounds {
            low: [0.0, -60.0, 0.0, -high, self.low, sharp],
            high: [1e3, 60.0, high, high, self.high, range.ln()],
        };
        let (fitted, summary) = self.search(&Broken, &lowest(starts, 8), &bounds, data, settings)?;
        inside("the break", fitted.theta[4], self.low, self.high)?;
        inside("the fall after the break", fitted.theta[3], -high, high)?;
        Ok((Kept::Broken(fitted, (sharp.exp(), range)), summary))
    }

    fn search<const K: usize, M: Model<K, Place = f64>>(
        &self,
        model: &M,
        starts: &[[f64; K]],
        bounds: &Bounds<K>,
        data: &Data,
        settings: &CurveSettings,
    ) -> Result<(Fitted<K>, Summary), Refusal> {
        let mut fitted =
            fit(model, &self.rows, starts, bounds, settings.loss).ok_or(Refusal::OutOfRange { what: "y" })?;
        fitted.intervals = settings.intervals;
        let resamples = if settings.intervals == Intervals::Delta { 0 } else { settings.resamples.clamp(200, 100_000) };
        let clusters: Vec<Vec<usize>> = (0..self.rows.len()).map(|i| vec![i]).collect();
        let mut random = Random::new(settings.seed);
        fitted.draws = resample(model, &self.rows, &clusters, &fitted, bounds, resamples, &mut random);
        let used = data.usable.iter().map(|p| p.row);
        let mut summary = Summary::of(model, &self.rows, &fitted, used, data.excluded.clone());
        summary.warnings = fitted.warnings(resamples);
        Ok((fitted, summary))
    }

    fn project(&self, ln_h: impl Fn(f64) -> f64) -> Option<(f64, f64, f64)> {
        let h: Vec<f64> = self.rows.iter().map(|row| ln_h(row.place).exp()).collect();
        let v: Vec<f64> = self.rows.iter().map(|row| row.v).collect();
        project(&h, &v)
    }

    fn exponent_range(&self) -> (f64, f64) {
        (0.005 / (self.high - self.low), 80.0 / (self.high - self.low))
    }

    fn exponents(&self, count: i32) -> Vec<f64> {
        let (low, high) = (0.05 / (self.high - self.low), 60.0 / (self.high - self.low));
        (0..count).map(|i| low * (high / low).powf(f64::from(i) / f64::from(count - 1))).collect()
    }
}

fn softplus(w: f64) -> f64 {
    w.max(0.0) + (-w.abs()).exp().ln_1p()
}

fn inside(what: &'static str, value: f64, low: f64, high: f64) -> Result<(), Refusal> {
    let margin = 1e-3 * (high - low);
    // An exponent near its low end is small, not lost.
    let low_margin = if low > 0.0 { 1e-3 * low } else { margin };
    if value > low + low_margin && value < high - margin {
        return Ok(());
    }
    Err(Refusal::NotIdentified {
        what,
        why: "it runs to the end of its range: the points show no such bend".to_owned(),
        mend: "add points on both sides of the bend, or take a simpler form",
    })
}

impl Kept {
    fn parameters(&self, u0: f64, v0: f64) -> BTreeMap<&'static str, Estimate> {
        fn floor<const K: usize>(fitted: &Fitted<K>, v0: f64) -> Estimate {
            let found = fitted.estimate(Scale::Plain, 0.0, |theta| theta[0] * v0.exp());
            Estimate { low: found.low.max(0.0), ..found }
        }
        fn plain<const K: usize>(fitted: &Fitted<K>, index: usize) -> Estimate {
            fitted.estimate(Scale::Plain, 0.0, |theta| theta[index])
        }
        fn positive<const K: usize>(fitted: &Fitted<K>, ln: impl Fn(&[f64; K]) -> f64) -> Estimate {
            fitted.estimate(Scale::Logarithm, 0.0, |theta| ln(theta).exp())
        }
        match self {
            Kept::Power(fitted) => {
                BTreeMap::from([("A", positive(fitted, |t| t[0] + t[1] * u0 + v0)), ("alpha", plain(fitted, 1))])
            }
            Kept::Saturating(fitted) => BTreeMap::from([
                ("E", floor(fitted, v0)),
                ("A", positive(fitted, |t| t[1] + t[2] * u0 + v0)),
                ("alpha", plain(fitted, 2)),
            ]),
            Kept::Shifted(fitted) => BTreeMap::from([
                ("E", floor(fitted, v0)),
                ("A", positive(fitted, |t| t[1] + t[2] * u0 + v0)),
                ("alpha", plain(fitted, 2)),
                ("x0", positive(fitted, |t| t[3] + u0)),
            ]),
            Kept::Broken(fitted, (sharp, wide)) => BTreeMap::from([
                ("E", floor(fitted, v0)),
                ("A", positive(fitted, |t| t[1] + t[2] * u0 + v0)),
                ("c0", plain(fitted, 2)),
                ("c1", plain(fitted, 3)),
                ("x1", positive(fitted, |t| t[4] + u0)),
                ("f", {
                    let Estimate { value, low, high } = positive(fitted, |t| t[5]);
                    Estimate { value, low: low.max(*sharp), high: high.min(*wide) }
                }),
            ]),
        }
    }
}

impl CurveFit {
    /// The curve at `x` with the 95 % interval of the mean, in the unit of y. NaN where `x` has no logarithm.
    pub fn predict(&self, x: f64) -> Estimate {
        self.at(x, 0.0)
    }

    /// Where one new measurement at `x` is expected: the same with the noise of the residuals, which is not less than
    /// `seed_noise`, the standard deviation of ln y between seeds, nor than [`NOISE_FLOOR`](crate::NOISE_FLOOR).
    pub fn predict_run(&self, x: f64, seed_noise: Option<f64>) -> Estimate {
        let noise = match &self.kept {
            Kept::Power(fitted) => fitted.run_noise(seed_noise),
            Kept::Saturating(fitted) => fitted.run_noise(seed_noise),
            Kept::Shifted(fitted) => fitted.run_noise(seed_noise),
            Kept::Broken(fitted, _) => fitted.run_noise(seed_noise),
        };
        self.at(x, noise)
    }

    fn at(&self, x: f64, noise: f64) -> Estimate {
        if !(x > 0.0 && x.is_finite()) {
            return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        fn at<const K: usize, M: Model<K, Place = f64>>(
            m: &M,
            fitted: &Fitted<K>,
            u: f64,
            v0: f64,
            noise: f64,
        ) -> Estimate {
            fitted.estimate(Scale::Logarithm, noise, |theta| (m.jet(theta, &u).value.ln() + v0).exp())
        }
        let (u, v0) = (x.ln() - self.centre.0, self.centre.1);
        match &self.kept {
            Kept::Power(fitted) => at(&Straight, fitted, u, v0, noise),
            Kept::Saturating(fitted) => at(&Floored, fitted, u, v0, noise),
            Kept::Shifted(fitted) => at(&Shifted, fitted, u, v0, noise),
            Kept::Broken(fitted, _) => at(&Broken, fitted, u, v0, noise),
        }
    }
}
