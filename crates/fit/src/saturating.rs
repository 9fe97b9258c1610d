//! L = E + A C^-alpha: the law of a loss that levels off at E.

use crate::band::{Band, Curve, Quantity};
use crate::law::{Data, Form, LawFit, estimate};
use crate::profile::{Places, Polish};
use crate::random::Random;
use crate::stat::line;
use crate::{Estimate, Point, Refusal, Settings};

/// Points at distinct x that the law needs: three parameters, and one to judge them by.
pub(crate) const NEEDED: usize = 4;

/// Fits y = E + A x^-alpha, with E >= 0, A > 0 and alpha > 0, by least squares on ln y, all points alike.
///
/// The search needs no start and finds the global optimum: see the solver's own words in `profile`. The intervals are
/// percentiles over `settings.resamples` data sets that are simulated from the fitted curve and fitted again. The
/// noise of each is normal in ln y, and its size is drawn anew from what the residuals leave open (their sum of squares
/// over a chi-square of n - 3 degrees of freedom), which makes the intervals of a straight line Student's, and widens
/// those of few points as they should be.
///
/// # Errors
/// [`Refusal::TooFewPoints`] and [`Refusal::TooFewDistinct`] below four points at four distinct x,
/// [`Refusal::NotDecreasing`] when y does not fall with x, [`Refusal::NotIdentified`] when a step or any other
/// curve would do as well, [`Refusal::OutOfRange`] when the numbers overflow.
pub fn saturating(points: &[Point], settings: &Settings) -> Result<LawFit, Refusal> {
    fit(Data::of(points), Vec::new(), settings)
}

/// The same, with further bands that may widen the intervals.
pub(crate) fn fit(mut data: Data, mut bands: Vec<Band>, settings: &Settings) -> Result<LawFit, Refusal> {
    data.require(NEEDED)?;
    let pairs = data.pairs();
    let slope = line(&pairs).ok_or(Refusal::OutOfRange { what: "x" })?.slope;
    if slope >= 0.0 {
        return Err(Refusal::NotDecreasing { slope });
    }
    let places = Places::new(data.usable.iter().map(|p| p.u).collect()).ok_or(Refusal::OutOfRange { what: "x" })?;
    let observed: Vec<f64> = data.usable.iter().map(|p| p.v).collect();
    let (curve, residual) = places.solve(&observed, Polish::Exact).ok_or(Refusal::OutOfRange { what: "y" })?;
    let steepest = places.steepest() * 0.99;
    let step = |why: String| Refusal::NotIdentified {
        what: "alpha",
        why,
        mend: "add runs at smaller and at larger compute, so that both the fall and the levelling off are seen",
    };
    if curve.alpha >= steepest {
        return Err(step("the losses fall once and then stay level, like a step".to_owned()));
    }
    bands.insert(0, Band::Draws(simulate(&places, &curve, residual, &data, settings)));
    let (low, high) =
        bands[0].interval(Quantity::Exponent).ok_or_else(|| step("no resample could be fitted".to_owned()))?;
    if high >= steepest {
        return Err(step(format!("anything from {low:.3} to a step fits within the noise")));
    }
    data.warnings.extend(warnings(&curve, &bands));
    LawFit::assemble(Form::Saturating, curve, bands, data)
}

/// The best curve through pairs (ln x, ln y) in any order, for resampling; `None` when all x are equal.
pub(crate) fn curve_of(pairs: &[(f64, f64)]) -> Option<Curve> {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let values: Vec<f64> = pairs.iter().map(|p| p.1).collect();
    let places = Places::new(pairs.iter().map(|p| p.0).collect())?;
    places.solve(&values, Polish::Resample).map(|(curve, _)| curve)
}

fn simulate(places: &Places, curve: &Curve, residual: f64, data: &Data, settings: &Settings) -> Vec<Curve> {
    let mut random = Random::new(settings.seed);
    let df = data.usable.len() - 3;
    let fitted: Vec<f64> = data.usable.iter().map(|p| curve.ln_at(p.u)).collect();
    (0..settings.resamples())
        .filter_map(|_| {
            let noise = (residual / random.chi_square(df)).sqrt();
            let values: Vec<f64> = fitted.iter().map(|v| v + noise * random.normal()).collect();
            places.solve(&values, Polish::Resample).map(|(curve, _)| curve)
        })
        .collect()
}

fn warnings(curve: &Curve, bands: &[Band]) -> Vec<String> {
    let mut warnings = Vec::new();
    let floor = estimate(curve, bands, Quantity::Floor);
    if floor.value == 0.0 {
        warnings.push("E is at its bound 0: a plain power law describes these points as well".to_owned());
    } else if floor.low <= 1e-9 * floor.value {
        let high = floor.high;
        warnings.push(format!("E is not identified: its interval runs from 0 to {high:.4}; a plain power law may do"));
    }
    let Estimate { low, high, .. } = estimate(curve, bands, Quantity::Exponent);
    if low <= 0.0 || high > 4.0 * low {
        warnings.push(format!("alpha is hardly identified: its interval runs from {low:.3} to {high:.3}"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(floor: f64, a: f64, alpha: f64, n: i32) -> Vec<Point> {
        (0..n)
            .map(|i| 100.0 * 2f64.powi(i))
            .enumerate()
            .map(|(row, x)| Point { row, x, y: floor + a * x.powf(-alpha) })
            .collect()
    }

    #[test]
    fn a_planted_law_comes_back() {
        let fit = saturating(&planted(1.7, 9.0, 0.3, 8), &Settings::default()).unwrap();
        assert!((fit.params["E"].value - 1.7).abs() < 1e-9, "{:?}", fit.params);
        assert!((fit.params["A"].value - 9.0).abs() < 1e-8);
        assert!((fit.params["alpha"].value - 0.3).abs() < 1e-9);
        assert!(fit.warnings.is_empty(), "{:?}", fit.warnings);
    }

    #[test]
    fn without_a_floor_it_is_the_power_law() {
        let fit = saturating(&planted(0.0, 9.0, 0.3, 8), &Settings::default()).unwrap();
        assert!(fit.params["E"].value < 1e-9);
        assert!((fit.params["alpha"].value - 0.3).abs() < 1e-9);
        assert!(fit.warnings[0].starts_with("E is"), "{:?}", fit.warnings);
    }

    #[test]
    fn too_little_data_is_refused() {
        let refused = |points: &[Point]| saturating(points, &Settings::default()).unwrap_err();
        assert_eq!(refused(&planted(1.0, 9.0, 0.3, 3)), Refusal::TooFewPoints { needed: 4, got: 3 });
        assert!(matches!(refused(&planted(1.0, 9.0, -0.3, 6)), Refusal::NotDecreasing { .. }));
    }

    #[test]
    fn a_step_is_refused() {
        let ys = [3.0, 1.0, 1.001, 0.999, 1.0, 1.0];
        let points: Vec<Point> =
            ys.iter().enumerate().map(|(row, &y)| Point { row, x: 2f64.powi(row as i32), y }).collect();
        assert!(matches!(saturating(&points, &Settings::default()).unwrap_err(), Refusal::NotIdentified { .. }));
    }
}
