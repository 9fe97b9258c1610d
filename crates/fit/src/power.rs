//! L = A C^-alpha: a straight line in log-log, by ordinary least squares on ln y.

use crate::band::{Band, Curve, Quantity, resample};
use crate::law::{Data, Form, LawFit};
use crate::random::Random;
use crate::solve::least_squares;
use crate::stat::{line, t975};
use crate::{Point, Refusal, Settings};

/// Points at distinct x that the law needs: two parameters, and one to judge them by.
pub(crate) const NEEDED: usize = 3;

/// Fits y = A x^-alpha by least squares on ln y, all points alike.
///
/// The intervals of A, of alpha and of the curve are Student's t about the line in logarithms: exact when the noise of
/// ln y is normal and equal everywhere, and the best of six methods on 16 to 25 points when it is nearly so. A pairs
/// bootstrap of `settings.resamples` samples checks them, and a warning tells when it finds half as much again.
///
/// # Errors
/// [`Refusal::TooFewPoints`] and [`Refusal::TooFewDistinct`] below three points at three distinct x,
/// [`Refusal::NotDecreasing`] when y does not fall with x, [`Refusal::OutOfRange`] when A overflows.
pub fn power(points: &[Point], settings: &Settings) -> Result<LawFit, Refusal> {
    fit(Data::of(points), Vec::new(), settings)
}

/// The same, with further bands that may widen the intervals.
pub(crate) fn fit(mut data: Data, mut bands: Vec<Band>, settings: &Settings) -> Result<LawFit, Refusal> {
    data.require(NEEDED)?;
    let pairs = data.pairs();
    let line = line(&pairs).ok_or(Refusal::OutOfRange { what: "x" })?;
    if line.slope >= 0.0 {
        return Err(Refusal::NotDecreasing { slope: line.slope });
    }
    let curve = Curve { floor: 0.0, ln_b: line.mean_v, alpha: -line.slope, ln_x0: line.mean_u };
    let exact = Band::Line { line, points: pairs.len() };
    if let Some((low, high)) = exact.interval(Quantity::Exponent) {
        if low <= 0.0 {
            data.warnings
                .push(format!("the interval of alpha ({low:.3} to {high:.3}) includes 0: the fall is not certain"));
        }
        // Below eight points the bootstrap says more about itself than about the data.
        if bands.is_empty() && pairs.len() >= 8 {
            let mut random = Random::new(settings.seed);
            let check = Band::Draws(resample(&pairs, settings.resamples(), &mut random, curve_of));
            if let Some((boot_low, boot_high)) = check.interval(Quantity::Exponent)
                && boot_high - boot_low > 1.5 * (high - low)
            {
                data.warnings.push(format!(
                    "resampling the points gives alpha a wider interval ({boot_low:.3} to {boot_high:.3}): the noise is uneven or a point is far off"
                ));
            }
        }
    }
    data.warnings.extend(bend(&pairs, line.mean_u));
    bands.insert(0, exact);
    LawFit::assemble(Form::Power, curve, bands, data)
}

/// The line through pairs (ln x, ln y) as a curve, or `None` when all x are equal.
pub(crate) fn curve_of(pairs: &[(f64, f64)]) -> Option<Curve> {
    let line = line(pairs)?;
    // All but equal x give any slope; such a sample says nothing.
    (line.spread > 1e-18).then_some(Curve { floor: 0.0, ln_b: line.mean_v, alpha: -line.slope, ln_x0: line.mean_u })
}

/// A warning when a parabola in log-log bends significantly, for then a straight line misleads beyond the data.
fn bend(pairs: &[(f64, f64)], centre: f64) -> Option<String> {
    let df = pairs.len().checked_sub(3).filter(|df| *df >= 2)?;
    let u: Vec<f64> = pairs.iter().map(|p| p.0 - centre).collect();
    let columns = vec![vec![1.0; u.len()], u.clone(), u.iter().map(|u| u * u).collect()];
    let v: Vec<f64> = pairs.iter().map(|p| p.1).collect();
    let solution = least_squares(&columns, &v)?;
    let residual: f64 = u.iter().zip(&v).map(|(u, v)| (v - solution.predict(&[1.0, *u, u * u])).powi(2)).sum();
    let error = (residual / df as f64 * solution.variance(&[0.0, 0.0, 1.0])).sqrt();
    let curvature = solution.coefficients[2];
    // The second condition keeps rounding from passing for a bend in exact data.
    let lift = curvature.abs() * u.iter().fold(0.0_f64, |m, u| m.max(u * u));
    if curvature.abs() <= t975(df) * error || lift < 1e-9 {
        return None;
    }
    Some(if curvature > 0.0 {
        "the points level off in log-log: the saturating form may extrapolate better".to_owned()
    } else {
        "the points fall ever faster in log-log: a power law is too simple for this range".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(xy: &[(f64, f64)]) -> Vec<Point> {
        xy.iter().enumerate().map(|(row, &(x, y))| Point { row, x, y }).collect()
    }

    #[test]
    fn a_planted_law_comes_back() {
        let fit = power(&points(&[(1.0, 8.0), (4.0, 4.0), (16.0, 2.0)]), &Settings::default()).unwrap();
        assert!((fit.params["alpha"].value - 0.5).abs() < 1e-12);
        assert!((fit.params["A"].value - 8.0).abs() < 1e-12);
        assert!((fit.predict(64.0).value - 1.0).abs() < 1e-12);
        assert_eq!(fit.x_range, (1.0, 16.0));
        assert!(fit.warnings.is_empty(), "{:?}", fit.warnings);
    }

    #[test]
    fn too_little_data_is_refused() {
        let refused = |xy: &[(f64, f64)]| power(&points(xy), &Settings::default()).unwrap_err();
        assert_eq!(refused(&[]), Refusal::TooFewPoints { needed: 3, got: 0 });
        assert_eq!(refused(&[(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)]), Refusal::TooFewPoints { needed: 3, got: 2 });
        assert_eq!(
            refused(&[(1.0, 2.0), (2.0, 1.5), (2.0, 1.6)]),
            Refusal::TooFewDistinct { what: "x", needed: 3, got: 2 }
        );
        assert!(matches!(refused(&[(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]), Refusal::NotDecreasing { .. }));
    }

    #[test]
    fn a_bent_curve_is_pointed_out() {
        let bent: Vec<(f64, f64)> = (0..8).map(|i| (f64::from(1 << i), 1.0 + f64::from(1 << i).powf(-0.5))).collect();
        assert!(power(&points(&bent), &Settings::default()).unwrap().warnings[0].contains("level off"));
    }

    #[test]
    fn a_place_without_a_logarithm_has_no_prediction() {
        let fit = power(&points(&[(1.0, 8.0), (4.0, 4.0), (16.0, 2.0)]), &Settings::default()).unwrap();
        assert!(fit.predict(0.0).value.is_nan() && fit.predict(f64::INFINITY).low.is_nan());
    }
}
