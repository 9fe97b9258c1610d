//! Groups of equal compute.

use fit::{IsoPoint, IsoSettings, Isoflop, Refusal, isoflop};

use crate::surface::{CHINCHILLA, Truth, point};
use crate::{Noise, assert_close};

/// Budgets a factor 4 apart, each with sizes a factor 1.6 apart around `off` times the best one.
fn groups(truth: Truth, budgets: i32, sizes: i32, off: f64, sd: f64, seed: u64) -> Vec<IsoPoint> {
    let mut noise = Noise::new(seed);
    let a = truth.beta / (truth.alpha + truth.beta);
    let g = (truth.alpha * truth.a / (truth.beta * truth.b)).powf(1.0 / (truth.alpha + truth.beta));
    let mut runs = Vec::new();
    for i in 0..budgets {
        let compute = 1e19 * 4f64.powi(i);
        let best = g * (compute / 6.0).powf(a);
        for j in 0..sizes {
            let n = off * best * 1.6f64.powf(f64::from(j) - f64::from(sizes - 1) / 2.0);
            let d = compute / 6.0 / n;
            let loss = truth.at(n, d) * (sd * noise.normal()).exp();
            runs.push(IsoPoint { point: point(runs.len(), n, d, loss), compute });
        }
    }
    runs
}

fn fitted(runs: &[IsoPoint]) -> Isoflop {
    isoflop(runs, &IsoSettings::default()).unwrap()
}

const EQUAL: Truth = Truth { alpha: 0.35, beta: 0.35, ..CHINCHILLA };

#[test]
fn equal_exponents_and_centred_sizes_have_no_bias() {
    let found = fitted(&groups(EQUAL, 5, 7, 1.0, 0.0, 1));
    assert_close(found.size.exponent.value, 0.5, 1e-9);
    assert_close(found.samples.exponent.value, 0.5, 1e-9);
    assert_eq!((found.used.len(), found.excluded.len(), found.valleys.len()), (25, 10, 5));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    assert!(found.bias.unwrap().size.abs() < 1e-6);
    assert!(found.loss.exponent.high < 0.0);
    let best = &found.valleys[2];
    assert_close(best.size.value * best.samples * 6.0, best.compute, 1e-9);
}

#[test]
fn the_parabola_goes_through_the_points_of_its_window() {
    let runs = groups(EQUAL, 5, 7, 1.0, 0.0, 1);
    let found = fitted(&runs);
    for valley in &found.valleys {
        assert!(valley.curvature > 0.0);
        assert_close(valley.at(valley.size.value), valley.loss.value, 1e-12);
        let own = runs.iter().filter(|run| (run.compute / valley.compute).ln().abs() < 0.1);
        let (inside, outside): (Vec<&IsoPoint>, Vec<&IsoPoint>) =
            own.partition(|run| (valley.window.0 * 0.999..=valley.window.1 * 1.001).contains(&run.point.size));
        assert_eq!((inside.len(), outside.len()), (valley.sizes, 2));
        assert!(inside.iter().all(|run| found.used.contains(&run.point.row)));
        for run in inside {
            assert_close(valley.at(run.point.size), run.point.loss, 2e-3);
        }
    }
}

#[test]
fn unequal_exponents_and_off_centre_sizes_are_warned_of_with_the_size_of_the_bias() {
    let steep = Truth { alpha: 0.6, beta: 0.2, a: 4e4, b: 60.0, e: 1.8 };
    let runs = groups(steep, 5, 7, 2.0, 0.0, 1);
    let found = fitted(&runs);
    let warning = found.warnings.iter().find(|w| w.starts_with("parabolas are biased")).expect("a warning");
    println!("{warning} {:?}", found.bias);
    // The bias that is told is the one that is there.
    let a = steep.beta / (steep.alpha + steep.beta);
    let there = found.size.exponent.value - a;
    assert!((there - found.bias.unwrap().exponent).abs() < 1e-5, "{there}");
}

#[test]
fn budgets_without_a_minimum_inside_are_dropped_with_their_reason() {
    let mut runs = groups(EQUAL, 6, 7, 1.0, 0.0, 1);
    // Of the first budget only two sizes are left, of the second only the large ones.
    runs.retain(|run| !(2..7).contains(&run.point.row) && !(7..11).contains(&run.point.row));
    let found = fitted(&runs);
    assert_eq!(found.valleys.len(), 4);
    assert!(found.excluded[0].reason.contains("2 of the 3 sizes"), "{:?}", found.excluded[0]);
    assert!(found.excluded[2].reason.contains("its best size is the smallest tried"), "{:?}", found.excluded[2]);
    let few = isoflop(&runs[..12], &IsoSettings::default()).unwrap_err();
    assert!(matches!(few, Refusal::NotIdentified { .. }), "{few:?}");
    assert!(few.to_string().contains("1 of 3 groups") && few.to_string().contains("2 of the 3 sizes"), "{few}");
}

#[test]
fn intervals_hold_the_truth_under_noise() {
    let (mut hits, sets) = (0, 300);
    for seed in 1..=sets {
        let found = fitted(&groups(EQUAL, 5, 7, 1.0, 0.002, seed)).size.exponent;
        hits += usize::from(found.low <= 0.5 && 0.5 <= found.high);
    }
    let rate = hits as f64 / sets as f64;
    println!("exponent of the size covered {rate:.3} of {sets}");
    assert!((0.92..=0.99).contains(&rate), "{rate}");
}

#[test]
fn sizes_outside_the_window_are_named() {
    let found = fitted(&groups(EQUAL, 4, 11, 1.0, 0.0, 1));
    assert_eq!(found.used.len() + found.excluded.len(), 44);
    assert!(
        found.excluded.len() >= 16 && found.excluded[0].reason.contains("within a factor 4"),
        "{:?}",
        found.excluded
    );
    assert_eq!(found.used.len(), found.valleys.iter().map(|valley| valley.sizes).sum::<usize>());
}
