//! Extrapolation put to the test: fit without the largest budgets, and predict them.

use serde::Serialize;

use crate::{
    CurveForm, CurveSettings, Estimate, Point, Refusal, SurfacePoint, SurfaceSettings, curve, parametric, repeated,
};

/// The largest number of budgets that are left out.
const MOST: usize = 3;

/// A run that was predicted from smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// The caller's row.
    pub row: usize,
    /// Its compute (or x), in the unit of the points.
    pub compute: f64,
    /// ln (predicted / observed): positive when the prediction was too high.
    pub error: f64,
    /// Whether its 95 % prediction interval held the run.
    pub inside: bool,
}

/// The predictions of one fit.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// How many of the largest budgets were left out.
    pub left_out: usize,
    /// How far the predictions reach: largest predicted compute over largest fitted compute.
    pub reach: f64,
    /// The runs that were predicted; none where the fit was refused.
    pub misses: Vec<Miss>,
    /// Why there was no fit.
    pub refusal: Option<String>,
}

/// How well a law extrapolates within the points.
#[derive(Clone, Debug, Serialize)]
pub struct Backtest {
    /// One step for each number of budgets left out, from one to three.
    pub steps: Vec<Step>,
    /// Root mean square of all errors; `None` when nothing was predicted.
    pub rmse_log: Option<f64>,
    /// Mean of all errors: the direction in which the law errs.
    pub mean_error: Option<f64>,
    /// Share of the predicted runs inside their 95 % prediction interval.
    pub coverage: Option<f64>,
}

/// Tests L = E + A N^-alpha + B D^-beta; compute is size times samples.
pub fn backtest_surface(points: &[SurfacePoint], settings: &SurfaceSettings, seed_noise: Option<f64>) -> Backtest {
    let read = |p: &SurfacePoint| (p.row, p.size * p.samples, p.loss);
    let predict = |points: &[SurfacePoint]| {
        let fit = parametric(points, settings)?;
        Ok(move |p: &SurfacePoint| fit.predict_run(p.size, p.samples, seed_noise))
    };
    test(points, read, predict)
}

/// Tests the surface with repeated data.
pub fn backtest_repeated(points: &[SurfacePoint], settings: &SurfaceSettings, seed_noise: Option<f64>) -> Backtest {
    let read = |p: &SurfacePoint| (p.row, p.size * p.samples, p.loss);
    let predict = |points: &[SurfacePoint]| {
        let fit = repeated(points, settings)?;
        Ok(move |p: &SurfacePoint| fit.predict_run(p.size, p.samples, p.epochs, seed_noise))
    };
    test(points, read, predict)
}

/// Tests a curve in one variable.
pub fn backtest_curve(
    points: &[Point],
    form: CurveForm,
    settings: &CurveSettings,
    seed_noise: Option<f64>,
) -> Backtest {
    let predict = |points: &[Point]| {
        let fit = curve(points, form, settings)?;
        Ok(move |p: &Point| fit.predict_run(p.x, seed_noise))
    };
    test(points, |p| (p.row, p.x, p.y), predict)
}

fn test<P: Copy, F: Fn(&P) -> Estimate>(
    points: &[P],
    read: impl Fn(&P) -> (usize, f64, f64),
    fit: impl Fn(&[P]) -> Result<F, Refusal>,
) -> Backtest {
    let usable = |p: &&P| {
        let (_, x, y) = read(p);
        x > 0.0 && x.is_finite() && y > 0.0 && y.is_finite()
    };
    let points: Vec<P> = points.iter().filter(usable).copied().collect();
    let starts = budgets(points.iter().map(|p| read(p).1.ln()).collect());
    let step = |left_out: usize| {
        let from = starts[starts.len() - left_out];
        let (held, kept): (Vec<P>, Vec<P>) = points.iter().copied().partition(|p| read(p).1.ln() >= from - 1e-9);
        let largest = |points: &[P]| points.iter().map(|p| read(p).1).fold(0.0, f64::max);
        let reach = largest(&held) / largest(&kept);
        match fit(&kept) {
            Err(refusal) => Step { left_out, reach, misses: Vec::new(), refusal: Some(refusal.to_string()) },
            Ok(predict) => {
                let miss = |p: &P| {
                    let (row, compute, observed) = read(p);
                    let Estimate { value, low, high } = predict(p);
                    Miss { row, compute, error: (value / observed).ln(), inside: low <= observed && observed <= high }
                };
                let mut misses: Vec<Miss> = held.iter().map(miss).collect();
                misses.sort_by(|a, b| a.compute.total_cmp(&b.compute).then(a.row.cmp(&b.row)));
                Step { left_out, reach, misses, refusal: None }
            }
        }
    };
    // At least one budget has to be left.
    Backtest::of((1..=MOST.min(starts.len().saturating_sub(1))).map(step).collect())
}

/// The lowest ln compute of every budget. Computes within 15 % are one budget; where that leaves more than 12, budgets are
/// counted down from the largest compute in factors of 2.
fn budgets(mut logs: Vec<f64>) -> Vec<f64> {
    logs.sort_by(f64::total_cmp);
    let mut starts: Vec<f64> = Vec::new();
    for log in &logs {
        if starts.last().is_none_or(|start| log - start > 0.15_f64.ln_1p()) {
            starts.push(*log);
        }
    }
    if starts.len() <= 12 {
        return starts;
    }
    let last = logs[logs.len() - 1];
    let bin = |log: f64| ((last - log) / std::f64::consts::LN_2).floor();
    logs.dedup_by(|later, earlier| bin(*later) == bin(*earlier));
    logs
}

impl Backtest {
    fn of(steps: Vec<Step>) -> Backtest {
        let all: Vec<&Miss> = steps.iter().flat_map(|step| &step.misses).collect();
        let mean = |read: fn(&Miss) -> f64| {
            let sum: f64 = all.iter().map(|miss| read(miss)).sum();
            (!all.is_empty()).then(|| sum / all.len() as f64).filter(|mean| mean.is_finite())
        };
        Backtest {
            rmse_log: mean(|miss| miss.error.powi(2)).map(f64::sqrt),
            mean_error: mean(|miss| miss.error),
            coverage: mean(|miss| f64::from(u8::from(miss.inside))),
            steps,
        }
    }

    /// A warning where the predictions missed more often than their intervals admit.
    pub fn warning(&self) -> Option<String> {
        let (coverage, error) = (self.coverage?, self.mean_error?);
        (coverage < 0.8).then(|| {
            format!(
                "only {:.0} % of the largest runs lie inside the 95 % interval predicted from smaller ones (predictions {:+.2} % off on average): beyond the data expect more error than the intervals say",
                100.0 * coverage,
                100.0 * error.exp_m1()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_groups_or_factors_of_two() {
        let found = budgets([1.0, 1.1, 4.0, 4.2, 16.0_f64].iter().map(|x| x.ln()).collect());
        assert_eq!(found.iter().map(|x| x.exp().round()).collect::<Vec<_>>(), [1.0, 4.0, 16.0]);
        let many = budgets((0..100).map(|i| 0.1 * f64::from(i)).collect());
        assert!(many.len() == 15 && many.windows(2).all(|w| w[1] > w[0]), "{many:?}");
        assert!(budgets(Vec::new()).is_empty());
    }
}
