//! The next runs, and how size and epochs grow.

use fit::{Goal, Loss, PossibleRun, SurfacePoint, SurfaceSettings, Verdict, growth, parametric};

use crate::Noise;
use crate::surface::{CHINCHILLA, grid, point};

const QUICK: SurfaceSettings =
    SurfaceSettings { seed: 0, resamples: 0, loss: Loss::Squares, intervals: fit::Intervals::Delta, flops_per: 6.0 };

/// Runs on a grid, dearer the more they compute.
fn possible() -> Vec<PossibleRun> {
    let places = (0..6).flat_map(|i| (0..6).map(move |j| (1e7 * 5f64.powi(i), 1e8 * 5f64.powi(j))));
    places
        .enumerate()
        .map(|(row, (size, samples))| PossibleRun {
            row,
            size,
            samples,
            epochs: 1.0,
            cost: 6.0 * size * samples / 1e18,
        })
        .collect()
}

#[test]
fn what_is_promised_is_what_the_runs_bring() {
    let before = grid(CHINCHILLA, 4, 4, 0.003, 3);
    let fit = parametric(&before, &QUICK).unwrap();
    for goal in [Goal::Exponent, Goal::Loss { compute: 1e23, unique: None }, Goal::Parameters] {
        let plan = fit.suggest(goal, &possible(), 20.0, None).unwrap();
        assert!(!plan.runs.is_empty() && plan.cost <= 20.0, "{plan:?}");
        let widths: Vec<f64> = plan.runs.iter().map(|run| run.half_width).collect();
        assert!(widths[0] < plan.before && widths.windows(2).all(|w| w[1] <= w[0]), "{plan:?}");
        if goal == Goal::Parameters {
            continue;
        }
        // Done, on the fitted surface without noise, they narrow the interval by as much.
        let mut after: Vec<SurfacePoint> = before.clone();
        for run in &plan.runs {
            let exact = fit.predict(run.run.size, run.run.samples).value;
            after.push(point(after.len(), run.run.size, run.run.samples, exact));
        }
        let after = parametric(&after, &QUICK).unwrap();
        let half = |fit: &fit::SurfaceFit| match goal {
            Goal::Exponent => 0.5 * (fit.summary.params["a"].high - fit.summary.params["a"].low),
            Goal::Loss { compute, .. } => {
                let loss = fit.allocate(compute, None).loss;
                0.5 * (loss.high / loss.low).ln()
            }
            Goal::Parameters => f64::NAN,
        };
        let (told, was) = (widths[widths.len() - 1] / plan.before, half(&after) / half(&fit));
        // That the new fit has smaller residuals is no gain of the design.
        let same = after.summary.noise / fit.summary.noise;
        println!(
            "{goal:?}: {} runs for {:.1}: width times {told:.3}, then {:.3}",
            plan.runs.len(),
            plan.cost,
            was / same
        );
        assert!((was / same / told).ln().abs() < 0.05, "{was} {same} {told}");
    }
}

#[test]
fn suggested_runs_beat_as_dear_ones_at_random() {
    let fit = parametric(&grid(CHINCHILLA, 4, 4, 0.003, 3), &QUICK).unwrap();
    let all = possible();
    let best = fit.suggest(Goal::Exponent, &all, 5.0, None).unwrap();
    let mut noise = Noise::new(9);
    for _ in 0..50 {
        let some: Vec<PossibleRun> = all.iter().filter(|_| noise.uniform() < 0.3).copied().collect();
        let other = fit.suggest(Goal::Exponent, &some, 5.0, None).unwrap();
        let end = |s: &fit::Suggestion| s.runs.last().map_or(s.before, |run| run.half_width);
        assert!(end(&best) <= end(&other) * 1.05, "{} {}", end(&best), end(&other));
    }
    assert!(fit.suggest(Goal::Exponent, &all, 0.0, None).unwrap().runs.is_empty());
}

#[test]
fn the_rates_of_growth_are_compared() {
    let along = |size: f64, epochs: f64, sd: f64| {
        let mut noise = Noise::new(2);
        let runs: Vec<(f64, f64, f64)> = (0..8)
            .map(|i| 1e3 * 3f64.powi(i))
            .map(|c| (c, c.powf(size) * (sd * noise.normal()).exp(), c.powf(epochs)))
            .collect();
        growth(&runs).unwrap()
    };
    assert_eq!(along(0.5, 0.5, 0.02).same_rate.verdict, Verdict::Yes);
    assert_eq!(along(0.8, 0.2, 0.02).same_rate.verdict, Verdict::No);
    // Alike within a fifth, and yet surely not the same.
    assert_eq!(along(0.54, 0.46, 0.001).same_rate.verdict, Verdict::No);
    let unclear = along(0.4, 0.4, 0.5);
    assert_eq!(unclear.same_rate.verdict, Verdict::CannotTell, "{:?}", unclear.same_rate);
    assert!((along(0.5, 0.4, 0.0).epochs.exponent.value - 0.4).abs() < 1e-9);
    assert!(growth(&[(1.0, 1.0, 1.0); 2]).is_err());
    let surface = parametric(&grid(CHINCHILLA, 5, 5, 0.001, 1), &SurfaceSettings::default()).unwrap();
    // Its exponents are 0.51 and 0.49, and so little noise tells them apart.
    assert_eq!(surface.same_rate().verdict, Verdict::No, "{:?}", surface.same_rate());
}
