//! The order of the rows does not matter, and the seed does only what it should.

use fit::{Form, LawFit, Point, RunPoint, Settings, frontier_law, power, saturating};
use proptest::prelude::*;

use crate::{Noise, assert_close};

fn noisy(seed: u64) -> Vec<Point> {
    let mut noise = Noise::new(seed);
    (0..12)
        .map(|row| (row, 1e3 * 1.8f64.powi(row)))
        .map(|(row, x)| Point {
            row: row as usize,
            x,
            y: (1.2 + 15.0 * x.powf(-0.35)) * (0.003 * noise.normal()).exp(),
        })
        .collect()
}

fn same(one: &LawFit, other: &LawFit) {
    for (name, estimate) in &one.params {
        assert_close(estimate.value, other.params[name].value, 1e-6);
        assert_close(estimate.low, other.params[name].low, 1e-6);
        assert_close(estimate.high, other.params[name].high, 1e-6);
    }
    assert_eq!((&one.used, &one.excluded), (&other.used, &other.excluded));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_order_gives_the_same_law(
        (points, shuffled) in (0..1000u64).prop_map(noisy).prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())),
    ) {
        let settings = Settings::default();
        same(&power(&points, &settings).unwrap(), &power(&shuffled, &settings).unwrap());
        same(&saturating(&points, &settings).unwrap(), &saturating(&shuffled, &settings).unwrap());
        let runs = |points: &[Point]| -> Vec<RunPoint> {
            points.iter().map(|p| RunPoint {
                row: p.row, group: format!("m{}", p.row % 3), budget: Some(p.x), compute: p.x, loss: Some(p.y), lr: None, seed: Some(0),
            }).collect()
        };
        let law = |points: &[Point]| frontier_law(&runs(points), Form::Power, &settings).unwrap().1;
        same(&law(&points), &law(&shuffled));
    }
}

#[test]
fn a_seed_repeats_itself() {
    let fit = |seed| saturating(&noisy(5), &Settings { seed, resamples: 500 }).unwrap().params["alpha"];
    assert_eq!(fit(1), fit(1));
    assert_ne!(fit(1).high, fit(2).high);
    assert_eq!(fit(1).value, fit(2).value);
}
