//! The surface L = E + A N^-alpha + B D^-beta: planted truth, outliers, coverage, units and order.

use fit::{Estimate, Intervals, Loss, Refusal, SurfacePoint, SurfaceSettings, parametric};
use proptest::prelude::*;

use crate::{Noise, assert_close};

const QUICK: SurfaceSettings =
    SurfaceSettings { seed: 0, resamples: 200, loss: Loss::Robust, intervals: Intervals::Delta, flops_per: 6.0 };

/// A planted surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) e: f64,
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
}

/// The corrected fit of Hoffmann et al.'s runs (Besiroglu et al. 2024, arXiv 2404.10102, table 1).
pub(crate) const CHINCHILLA: Truth = Truth { e: 1.8172, a: 482.01, b: 2085.43, alpha: 0.3478, beta: 0.3658 };

impl Truth {
    pub(crate) fn at(&self, size: f64, samples: f64) -> f64 {
        self.e + self.a * size.powf(-self.alpha) + self.b * samples.powf(-self.beta)
    }
}

pub(crate) fn point(row: usize, size: f64, samples: f64, loss: f64) -> SurfacePoint {
    SurfacePoint { row, size, samples, epochs: 1.0, loss, cell: row as u64 }
}

/// `sizes` times `budgets` runs, sizes and samples two decades wide each, with relative noise.
pub(crate) fn grid(truth: Truth, sizes: u32, budgets: u32, sd: f64, seed: u64) -> Vec<SurfacePoint> {
    let mut noise = Noise::new(seed);
    let place = |low: f64, i: u32, n: u32| low * 300f64.powf(f64::from(i) / f64::from(n - 1));
    let runs = (0..sizes).flat_map(|i| (0..budgets).map(move |j| (place(4e7, i, sizes), place(6e8, j, budgets))));
    runs.enumerate().map(|(row, (n, d))| point(row, n, d, truth.at(n, d) * (sd * noise.normal()).exp())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_planted_surface_comes_back(
        e in 0.0..3.0f64, share in 0.2..3.0f64, ratio in 0.2..5.0f64, alpha in 0.15..0.8f64, beta in 0.15..0.8f64,
        sizes in 3..8u32, budgets in 3..8u32,
    ) {
        let truth = Truth { e, a: share * 4e8f64.powf(alpha), b: share * ratio * 6e9f64.powf(beta), alpha, beta };
        let fit = parametric(&grid(truth, sizes, budgets, 0.0, 1), &QUICK).unwrap();
        for (name, value) in [("alpha", alpha), ("beta", beta), ("A", truth.a), ("B", truth.b)] {
            assert_close(fit.summary.params[name].value, value, 1e-9);
        }
        prop_assert!((fit.summary.params["E"].value - e).abs() < 1e-9, "{:?}", fit.summary.params);
        assert_close(fit.summary.params["a"].value, beta / (alpha + beta), 1e-9);
        let best = fit.allocate(1e22, None);
        assert_close(best.size.value * best.samples.value * 6.0, 1e22, 1e-9);
        let g = (alpha * truth.a / (beta * truth.b)).powf(1.0 / (alpha + beta));
        assert_close(best.size.value, g * (1e22 / 6.0_f64).powf(beta / (alpha + beta)), 1e-7);
        assert_close(best.loss.value, truth.at(best.size.value, best.samples.value), 1e-9);
    }

    #[test]
    fn outliers_do_not_lead_it_astray(seed in 0..1000u64, bad in prop::sample::subsequence((0..25).collect::<Vec<usize>>(), 1..4)) {
        let mut runs = grid(CHINCHILLA, 5, 5, 0.002, seed);
        let clean = parametric(&runs, &QUICK).unwrap();
        for row in bad {
            runs[row].loss *= 1.4;
        }
        let robust = parametric(&runs, &QUICK).unwrap();
        let (n, d) = (4e9, 6e10);
        let shift = (robust.predict(n, d).value / clean.predict(n, d).value).ln().abs();
        prop_assert!(shift < 0.01, "moved by {shift}, seed {seed}");
    }

    #[test]
    fn order_leaves_no_trace(runs in Just(grid(CHINCHILLA, 4, 5, 0.003, 11)).prop_shuffle()) {
        let sorted = parametric(&grid(CHINCHILLA, 4, 5, 0.003, 11), &QUICK).unwrap();
        let shuffled = parametric(&runs, &QUICK).unwrap();
        prop_assert_eq!(&sorted.summary.params, &shuffled.summary.params);
        prop_assert_eq!(sorted.allocate(1e21, None), shuffled.allocate(1e21, None));
    }

    /// Schaeffer's metamorphic checks: another unit changes its coefficient, and nothing else.
    #[test]
    fn units_do_not_matter(unit in -9.0..9.0f64) {
        let c = 10f64.powf(unit);
        let runs = grid(CHINCHILLA, 4, 5, 0.003, 12);
        let one = parametric(&runs, &QUICK).unwrap();
        let scaled: Vec<SurfacePoint> = runs.iter().map(|p| SurfacePoint { size: c * p.size, ..*p }).collect();
        let other = parametric(&scaled, &QUICK).unwrap();
        for name in ["E", "B", "alpha", "beta", "a"] {
            assert_close(other.summary.params[name].value, one.summary.params[name].value, 1e-6);
            assert_close(other.summary.params[name].high, one.summary.params[name].high, 1e-6);
        }
        let alpha = one.summary.params["alpha"].value;
        assert_close(other.summary.params["A"].value, one.summary.params["A"].value * c.powf(alpha), 1e-5);
    }
}

#[test]
fn every_loss_finds_its_optimum() {
    let runs = grid(CHINCHILLA, 6, 6, 0.003, 5);
    for loss in [Loss::Squares, Loss::Robust, Loss::Huber(1e-3), Loss::Huber(1e-2)] {
        let fit = parametric(&runs, &SurfaceSettings { loss, ..QUICK }).unwrap();
        println!("{loss:?}: {:?} noise {} delta {:?}", fit.summary.convergence, fit.summary.noise, fit.summary.delta);
        assert!(
            fit.summary.convergence.converged && fit.summary.convergence.decrement < 1e-9,
            "{:?}",
            fit.summary.convergence
        );
        assert_eq!(fit.summary.convergence.reached_best, fit.summary.convergence.starts);
        assert!((fit.summary.noise / 0.003).ln().abs() < 0.5, "{}", fit.summary.noise);
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let refused = |runs: &[SurfacePoint]| parametric(runs, &QUICK).unwrap_err();
    let full = grid(CHINCHILLA, 4, 4, 0.0, 1);
    assert_eq!(refused(&full[..5]), Refusal::TooFewPoints { needed: 6, got: 5 });
    assert_eq!(refused(&grid(CHINCHILLA, 2, 5, 0.0, 1)), Refusal::TooFewDistinct { what: "size", needed: 3, got: 2 });
    let together: Vec<SurfacePoint> = (0..9)
        .map(|i| 1e8 * 2f64.powi(i))
        .enumerate()
        .map(|(i, n)| point(i, n, 20.0 * n, CHINCHILLA.at(n, 20.0 * n)))
        .collect();
    assert!(matches!(refused(&together), Refusal::NotIdentified { what: "the exponents", .. }));
    let rising: Vec<SurfacePoint> = full.iter().map(|p| SurfacePoint { loss: 9.0 - p.loss, ..*p }).collect();
    assert!(matches!(refused(&rising), Refusal::NotIdentified { .. }), "{:?}", refused(&rising));
    let mut bad = full.clone();
    bad[3].loss = f64::NAN;
    let fit = parametric(&bad, &QUICK).unwrap();
    assert_eq!((fit.summary.used.len(), fit.summary.excluded[0].row), (15, 3));
}

fn holds(estimate: Estimate, truth: f64) -> usize {
    usize::from(estimate.low <= truth && truth <= estimate.high)
}

/// How often the intervals of planted surfaces hold the truth.
fn coverage(sizes: u32, budgets: u32, sd: f64, intervals: Intervals, sets: u64) -> Vec<(&'static str, f64)> {
    let truth = CHINCHILLA;
    let names = ["alpha", "beta", "a", "E", "N*", "L*", "run"];
    let mut hits = [0; 7];
    let mut fitted = 0;
    for seed in 1..=sets {
        let resamples = if intervals == Intervals::Delta { 0 } else { 300 };
        let settings = SurfaceSettings { seed, resamples, intervals, loss: Loss::Robust, flops_per: 6.0 };
        let Ok(fit) = parametric(&grid(truth, sizes, budgets, sd, seed), &settings) else { continue };
        fitted += 1;
        let a = truth.beta / (truth.alpha + truth.beta);
        let g = (truth.alpha * truth.a / (truth.beta * truth.b)).powf(1.0 / (truth.alpha + truth.beta));
        let n = g * (1e22 / 6.0_f64).powf(a);
        let best = fit.allocate(1e22, None);
        let mut noise = Noise::new(seed + 1_000_000);
        let loss = truth.at(n, 1e22 / 6.0 / n);
        let run = loss * (sd * noise.normal()).exp();
        let found = [
            holds(fit.summary.params["alpha"], truth.alpha),
            holds(fit.summary.params["beta"], truth.beta),
            holds(fit.summary.params["a"], a),
            holds(fit.summary.params["E"], truth.e),
            holds(best.size, n),
            holds(best.loss, loss),
            holds(best.run, run),
        ];
        found.iter().zip(&mut hits).for_each(|(found, hits)| *hits += found);
    }
    assert!(fitted * 10 >= sets * 9, "only {fitted} of {sets} were fitted");
    names.into_iter().zip(hits.map(|hits| hits as f64 / fitted as f64)).collect()
}

#[test]
fn intervals_hold_the_truth() {
    for (sizes, budgets) in [(4, 4), (5, 5)] {
        for intervals in [Intervals::Delta, Intervals::Runs] {
            let rates = coverage(sizes, budgets, 0.003, intervals, 300);
            let mean = rates.iter().map(|(_, rate)| rate / rates.len() as f64).sum::<f64>();
            println!("{} runs, {intervals:?}: {mean:.3} {rates:.3?} (seeds 1 to 300)", sizes * budgets);
            assert!((0.92..=0.97).contains(&mean), "{rates:?}");
            assert!(rates.iter().all(|(_, rate)| (0.89..=0.985).contains(rate)), "{rates:?}");
        }
    }
}
