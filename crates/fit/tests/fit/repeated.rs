//! Repeated data.

use fit::{Loss, Refusal, SurfacePoint, SurfaceSettings, repeated};
use proptest::prelude::*;

use crate::surface::CHINCHILLA;
use crate::{Noise, assert_close};

const QUICK: SurfaceSettings = SurfaceSettings { loss: Loss::Robust, resamples: 0, ..settings() };

const fn settings() -> SurfaceSettings {
    SurfaceSettings { seed: 0, resamples: 200, loss: Loss::Robust, intervals: fit::Intervals::Delta, flops_per: 6.0 }
}

/// Sizes times amounts of unique data times epochs.
fn runs(rate: f64, epochs: &[f64], pools: &[f64], sd: f64, seed: u64) -> Vec<SurfacePoint> {
    let mut noise = Noise::new(seed);
    let mut runs = Vec::new();
    for size in [5e7, 2e8, 8e8, 3e9] {
        for &unique in pools {
            for &times in epochs {
                let repeats: f64 = f64::max(times - 1.0, 0.0);
                let fresh = unique * f64::min(times, 1.0);
                let worth = fresh * (1.0 + rate * (1.0 - (-repeats / rate).exp()));
                let loss = CHINCHILLA.at(size, worth) * (sd * noise.normal()).exp();
                let row = runs.len();
                runs.push(SurfacePoint { row, size, samples: unique * times, epochs: times, loss, cell: row as u64 });
            }
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_planted_decay_comes_back(rate in 1.0..40.0f64, fixed in any::<bool>()) {
        // With one amount of unique data, the runs below one epoch tell fresh samples apart.
        let (epochs, pools): (&[f64], &[f64]) =
            if fixed { (&[0.125, 0.25, 0.5, 1.0, 4.0, 16.0, 64.0], &[2e9]) } else { (&[1.0, 4.0, 16.0, 64.0], &[2e8, 2e9, 2e10]) };
        let fit = repeated(&runs(rate, epochs, pools, 0.0, 1), &QUICK).unwrap();
        assert_close(fit.summary.params["R*"].value, rate, 1e-7);
        assert_close(fit.summary.params["alpha"].value, CHINCHILLA.alpha, 1e-7);
        assert_close(fit.summary.params["beta"].value, CHINCHILLA.beta, 1e-7);
        assert_close(fit.predict(1e9, 1e9, 0.5).value, CHINCHILLA.at(1e9, 1e9), 1e-8);
    }
}

#[test]
fn the_profile_interval_of_the_decay_holds_the_truth() {
    let (mut hits, mut open, sets) = (0, 0, 100);
    for seed in 1..=sets {
        let fit = repeated(&runs(15.0, &[1.0, 4.0, 16.0], &[2e8, 2e9], 0.003, seed), &QUICK).unwrap();
        let rate = fit.summary.params["R*"];
        hits += usize::from(rate.low <= 15.0 && 15.0 <= rate.high);
        open += usize::from(rate.high > 900.0);
    }
    println!("R* covered {hits} of {sets}, open above in {open}");
    assert!((90..=99).contains(&hits), "{hits}");
}

#[test]
fn few_epochs_leave_the_decay_open_above_and_say_so() {
    let fit = repeated(&runs(15.0, &[1.0, 1.5, 2.0], &[2e8, 2e9], 0.005, 3), &settings()).unwrap();
    assert!(fit.summary.warnings.iter().any(|w| w.starts_with("R* ")), "{:?}", fit.summary);
}

#[test]
fn what_says_nothing_of_repeats_is_refused() {
    let why = |runs: &[SurfacePoint]| repeated(runs, &QUICK).unwrap_err();
    let once = why(&runs(15.0, &[0.5, 1.0], &[2e8, 2e9], 0.0, 1));
    assert!(matches!(once, Refusal::NotIdentified { what: "R*", .. }) && once.to_string().contains("at most once"));
    let fixed = why(&runs(15.0, &[1.0, 4.0, 16.0], &[2e9], 0.0, 1));
    assert!(fixed.to_string().contains("do not vary apart"), "{fixed}");
}

#[test]
fn with_little_data_a_smaller_model_sees_it_more_often() {
    let fit = repeated(&runs(15.0, &[1.0, 4.0, 16.0, 64.0], &[2e8, 2e9, 2e10], 0.0, 1), &QUICK).unwrap();
    // With more data than it needs the answer is Hoffmann's.
    let free = fit.allocate(1e21, 1e15, None);
    let a = CHINCHILLA.beta / (CHINCHILLA.alpha + CHINCHILLA.beta);
    let g = (CHINCHILLA.alpha * CHINCHILLA.a / (CHINCHILLA.beta * CHINCHILLA.b))
        .powf(1.0 / (CHINCHILLA.alpha + CHINCHILLA.beta));
    assert_close(free.size.value, g * (1e21 / 6.0_f64).powf(a), 1e-5);
    assert_close(free.samples.value * free.size.value * 6.0, 1e21, 1e-9);
    // With little, no neighbour along the line of equal compute is better.
    let tight = fit.allocate(1e22, 2e9, None);
    assert!(tight.epochs.value > 4.0 && tight.epochs.value < free.samples.value * 10.0 / 2e9, "{tight:?}");
    for factor in [0.97, 1.03] {
        let (size, samples) = (tight.size.value * factor, tight.samples.value / factor);
        assert!(fit.predict(size, samples, samples / 2e9).value > tight.loss.value);
    }
    let possible: Vec<fit::PossibleRun> = [1.0, 4.0, 16.0, 64.0]
        .iter()
        .enumerate()
        .map(|(row, &epochs)| fit::PossibleRun { row, size: 8e8, samples: 2e9 * epochs, epochs, cost: epochs })
        .collect();
    let goal = fit::Goal::Loss { compute: 1e22, unique: Some(2e9) };
    let noisy = repeated(&runs(15.0, &[1.0, 4.0, 16.0], &[2e8, 2e9], 0.003, 1), &QUICK).unwrap();
    let plan = noisy.suggest(goal, &possible, 100.0, None).unwrap();
    assert!(plan.runs[0].half_width < plan.before && plan.cost <= 100.0, "{plan:?}");
}
