//! Planted laws come back.

use fit::{Settings, power, saturating};
use proptest::prelude::*;

use crate::{assert_close, points};

const QUICK: Settings = Settings { seed: 0, resamples: 200 };

/// Places from `start`, `decades` decades wide.
fn places(start: f64, decades: f64, n: u32) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| start * 10f64.powf(decades * f64::from(i) / f64::from(n - 1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_power_law_comes_back(
        ln_a in -20.0..20.0f64, alpha in 0.001..3.0f64, start in -10.0..20.0f64, decades in 0.5..8.0f64, n in 3..30u32,
    ) {
        let law = |x: f64| (ln_a - alpha * x.ln()).exp();
        let fit = power(&points(places(10f64.powf(start), decades, n).map(|x| (x, law(x)))), &QUICK).unwrap();
        assert_close(fit.params["alpha"].value, alpha, 1e-9);
        assert_close(fit.params["A"].value.ln() + 100.0, ln_a + 100.0, 1e-9);
        prop_assert!(fit.quality.r2 > 1.0 - 1e-9);
        prop_assert!(fit.params["alpha"].low <= fit.params["alpha"].value);
    }

    #[test]
    fn a_saturating_law_comes_back(
        floor in 0.1..3.0f64, share in 0.2..5.0f64, alpha in 0.15..0.9f64, start in -3.0..15.0f64, decades in 2.0..4.0f64,
        n in 5..20u32, unit in -200.0..200.0f64,
    ) {
        let (first, unit) = (10f64.powf(start), 10f64.powf(unit));
        let law = |x: f64| unit * floor * (1.0 + share * (x / first).powf(-alpha));
        let fit = saturating(&points(places(first, decades, n).map(|x| (x, law(x)))), &QUICK).unwrap();
        assert_close(fit.params["E"].value, unit * floor, 1e-9);
        assert_close(fit.params["alpha"].value, alpha, 1e-9);
        assert_close(fit.predict(first * 1e5).value, law(first * 1e5), 1e-9);
    }

    /// Schaeffer's metamorphic checks: compute in another unit changes A only, by c^alpha.
    #[test]
    fn the_unit_of_compute_does_not_matter(c in -20.0..20.0f64) {
        let ys = [3.1, 2.6, 2.35, 2.2, 2.1, 2.08];
        let c = 10f64.powf(c);
        let with_unit = |unit: f64| points(ys.iter().enumerate().map(|(i, &y)| (unit * 4f64.powi(i as i32), y)));
        let (one, other) = (saturating(&with_unit(1.0), &QUICK).unwrap(), saturating(&with_unit(c), &QUICK).unwrap());
        let alpha = one.params["alpha"].value;
        assert_close(other.params["alpha"].value, alpha, 1e-6);
        assert_close(other.params["E"].value, one.params["E"].value, 1e-6);
        assert_close(other.params["A"].value, one.params["A"].value * c.powf(alpha), 1e-4);
    }
}
