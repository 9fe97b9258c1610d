//! Curves in one variable: robust, weighted, bent.

use fit::{CurveForm, CurveSettings, Intervals, Loss, Point, Refusal, curve, power, saturating};
use proptest::prelude::*;

use crate::{Noise, assert_close, points};

fn places(n: i32) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| 10.0 * 1e4f64.powf(f64::from(i) / f64::from(n - 1)))
}

fn broken(x: f64) -> f64 {
    0.5 + 2.0 * x.powf(-0.05) * (1.0 + (x / 700.0).powf(2.5)).powf(-0.3 / 2.5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn planted_curves_come_back(floor in 0.0..2.0f64, share in 0.3..4.0f64, alpha in 0.15..0.8f64, x0 in 20.0..2000.0f64) {
        let a = share * 10f64.powf(alpha);
        let level = points(places(14).map(|x| (x, floor + a * x.powf(-alpha))));
        let fit = curve(&level, CurveForm::Saturating, &CurveSettings::default()).unwrap();
        prop_assert!((fit.summary.params["E"].value - floor).abs() < 1e-9, "{:?}", fit.summary);
        assert_close(fit.summary.params["alpha"].value, alpha, 1e-9);
        let slow = points(places(20).map(|x| (x, floor + 2.0 * (x + x0).powf(-alpha) * x0.powf(alpha))));
        let fit = curve(&slow, CurveForm::Shifted, &CurveSettings::default()).unwrap();
        assert_close(fit.summary.params["alpha"].value, alpha, 1e-5);
        assert_close(fit.summary.params["x0"].value, x0, 1e-5);
    }
}

#[test]
fn a_break_is_found() {
    let fit = curve(&points(places(25).map(|x| (x, broken(x)))), CurveForm::Broken, &CurveSettings::default()).unwrap();
    println!("{:?}", fit.summary);
    for (name, value) in [("E", 0.5), ("A", 2.0), ("c0", 0.05), ("c1", 0.3), ("x1", 700.0), ("f", 0.4)] {
        assert_close(fit.summary.params[name].value, value, 1e-6);
    }
    assert_close(fit.predict(1e7).value, broken(1e7), 1e-6);
}

#[test]
fn squares_and_no_weights_are_the_plain_fits() {
    let mut noise = Noise::new(4);
    let data = points(places(12).map(|x| (x, (1.0 + 3.0 * x.powf(-0.4)) * (0.01 * noise.normal()).exp())));
    let settings = CurveSettings { loss: Loss::Squares, ..CurveSettings::default() };
    let (robust, plain) =
        (curve(&data, CurveForm::Power, &settings).unwrap(), power(&data, &fit::Settings::default()).unwrap());
    for name in ["A", "alpha"] {
        assert_close(robust.summary.params[name].value, plain.params[name].value, 1e-9);
        assert_close(robust.summary.params[name].low, plain.params[name].low, 1e-6);
    }
    let robust = curve(&data, CurveForm::Saturating, &settings).unwrap();
    let plain = saturating(&data, &fit::Settings::default()).unwrap();
    assert_close(robust.summary.params["E"].value, plain.params["E"].value, 1e-7);
}

#[test]
fn an_outlier_moves_squares_and_not_the_robust_fit() {
    let mut data = points(places(12).map(|x| (x, 1.0 + 3.0 * x.powf(-0.4))));
    data[6].y *= 1.3;
    let alpha = |loss| {
        let settings = CurveSettings { loss, intervals: Intervals::Runs, ..CurveSettings::default() };
        curve(&data, CurveForm::Saturating, &settings).unwrap().summary.params["alpha"].value
    };
    assert!((alpha(Loss::Robust) - 0.4).abs() < 1e-3 && (alpha(Loss::Squares) - 0.4).abs() > 0.02);
}

#[test]
fn weights_towards_the_end_extrapolate_a_bent_curve_better() {
    let data = points(places(25).map(|x| (x, broken(x))));
    let miss = |end_weight| {
        let settings = CurveSettings { end_weight, loss: Loss::Squares, ..CurveSettings::default() };
        let fit = curve(&data, CurveForm::Saturating, &settings).unwrap();
        (fit.predict(4e5).value / broken(4e5)).ln().abs()
    };
    println!("missed by {} without and {} with weights", miss(0.0), miss(2.0));
    assert!(miss(2.0) < 0.5 * miss(0.0));
}

#[test]
fn a_form_that_is_too_rich_is_refused() {
    let data = points(places(12).map(|x| (x, 1.0 + 3.0 * x.powf(-0.4))));
    let settings = CurveSettings::default();
    assert!(matches!(
        curve(&data, CurveForm::Shifted, &settings).unwrap_err(),
        Refusal::NotIdentified { what: "x0", .. }
    ));
    let few: Vec<Point> = data[..6].to_vec();
    assert_eq!(curve(&few, CurveForm::Broken, &settings).unwrap_err(), Refusal::TooFewPoints { needed: 7, got: 6 });
}

#[test]
fn a_delta_far_below_the_noise_leaves_intervals_honest() {
    let mut held = 0;
    for seed in 0..100 {
        let mut noise = Noise::new(seed);
        let data = points(places(12).map(|x| (x, 5.0 * x.powf(-0.08) * (0.01 * noise.normal()).exp())));
        let settings = CurveSettings { loss: Loss::Huber(1e-3), ..CurveSettings::default() };
        let fit = curve(&data, CurveForm::Power, &settings).unwrap();
        assert!(fit.summary.warnings.is_empty(), "seed {seed}: {:?}", fit.summary);
        let alpha = fit.summary.params["alpha"];
        held += usize::from(alpha.low <= 0.08 && 0.08 <= alpha.high);
    }
    assert!(held >= 89, "{held} of 100");
}

#[test]
fn how_sharp_a_break_is_has_a_finite_interval_or_a_warning() {
    let corner = |x: f64| 2.0 * x.powf(-0.05) * (x / 700.0).max(1.0).powf(-0.3);
    let mut noise = Noise::new(1);
    let data = points(places(25).map(|x| (x, corner(x) * (0.01 * noise.normal()).exp())));
    let fit = curve(&data, CurveForm::Broken, &CurveSettings::default()).unwrap();
    let f = fit.summary.params["f"];
    assert!(f.low > 0.0 && f.high < 10.0, "{f:?}");
    assert!(fit.summary.warnings.iter().any(|warning| warning.starts_with("f is not")), "{:?}", fit.summary);
}
