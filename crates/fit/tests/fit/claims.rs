//! Claims about learning rates, on planted rates and on the published ones.

use fit::{
    Claim, Estimate, LrPoint, LrTrend, Optimum, Trial, TriedCell, Verdict, common_at_small_budgets, faster_for_larger,
    lr_law, lr_law_with, slow_monotone_fall, two_trials_suffice,
};

use crate::{Noise, assert_close};

/// Optima at sizes 1 to 64 and budgets 1/4 to 8, known to `sd` octaves.
fn optima(law: impl Fn(f64, f64) -> f64, sd: f64) -> Vec<LrPoint> {
    let mut noise = Noise::new(3);
    let mut points = Vec::new();
    for size in [0.0, 2.0, 4.0, 6.0f64] {
        for budget in [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0f64] {
            let octaves = law(size, budget) + sd * noise.normal();
            points.push(point(points.len(), size.exp2(), budget.exp2(), octaves, 1.96 * sd));
        }
    }
    points
}

fn point(row: usize, size: f64, budget: f64, octaves: f64, half: f64) -> LrPoint {
    let lr = Estimate { value: octaves.exp2(), low: (octaves - half).exp2(), high: (octaves + half).exp2() };
    let optimum = Optimum::Inside { lr, best_tried: lr.value, loss: 2.5, curvature: 0.01 };
    LrPoint { row, budget, size: Some(size), optimum }
}

#[track_caller]
fn check(claim: &Claim, expected: Verdict) {
    println!("{:?}: {} ({})", claim.verdict, claim.claim, claim.because);
    assert_eq!(claim.verdict, expected, "{claim:?}");
}

#[test]
fn planted_rates_are_judged_rightly() {
    let paper = optima(|size, budget| -0.05 * size - 0.2 * (budget + 2.0) - 0.04 * size * (budget + 2.0), 0.05);
    check(&common_at_small_budgets(&paper), Verdict::Yes);
    check(&slow_monotone_fall(&paper), Verdict::Yes);
    check(&faster_for_larger(&paper), Verdict::Yes);
    let other = optima(|size, budget| -0.5 * size + 0.3 * budget + 0.05 * size * budget, 0.05);
    check(&common_at_small_budgets(&other), Verdict::No);
    check(&slow_monotone_fall(&other), Verdict::No);
    check(&faster_for_larger(&other), Verdict::No);
    let noisy = optima(|_, _| 0.0, 1.5);
    check(&common_at_small_budgets(&noisy), Verdict::CannotTell);
    check(&slow_monotone_fall(&noisy), Verdict::CannotTell);
    check(&faster_for_larger(&noisy), Verdict::CannotTell);
    for claim in [common_at_small_budgets(&[]), slow_monotone_fall(&[]), faster_for_larger(&[])] {
        check(&claim, Verdict::CannotTell);
    }
}

/// Figure 3 of the paper, its optima known to half a step of the grid; sizes by the depth and width of the models.
#[test]
fn the_papers_own_rates_bear_out_its_claims_as_far_as_three_models_can() {
    let figure = [
        ("F0", 71.5, [1.6, 1.6, 1.6, 1.6, 1.6, 0.8]),
        ("F3", 254.9, [1.6, 1.6, 1.6, 0.8, 0.8, 0.4]),
        ("F7+", 1000.0, [1.6, 1.6, 1.6, 0.8, 0.4, 0.4]),
    ];
    let mut points = Vec::new();
    for (_, size, rates) in figure {
        for (i, lr) in rates.iter().enumerate() {
            points.push(point(points.len(), size, 0.25 * 2f64.powi(i as i32), f64::log2(*lr), 0.5));
        }
    }
    check(&common_at_small_budgets(&points), Verdict::Yes);
    let fall = slow_monotone_fall(&points);
    check(&fall, Verdict::Yes);
    assert_eq!(fall.numbers["rises"], 0.0);
    let faster = faster_for_larger(&points);
    println!("{faster:?}");
    assert!(faster.numbers["change"] < 0.0);
}

#[test]
fn two_trials_are_played_on_the_grid() {
    let cells = |law: &dyn Fn(f64, f64) -> f64| -> Vec<TriedCell> {
        let mut cells = Vec::new();
        for size in [0.0, 1.0, 2.0f64] {
            for budget in [0.0, 1.0, 2.0f64] {
                let trials = (-6..=2).map(|lr| Trial {
                    row: 0,
                    lr: f64::from(lr).exp2(),
                    loss: Some(2.0 + 0.05 * (f64::from(lr) - law(size, budget)).powi(2)),
                });
                cells.push(TriedCell { size: size.exp2(), budget: budget.exp2(), trials: trials.collect() });
            }
        }
        cells
    };
    let slow = two_trials_suffice(&cells(&|size, budget| -0.4 * size - 0.4 * budget), None);
    check(&slow, Verdict::Yes);
    assert_eq!(slow.numbers["cells"], 8.0);
    check(&two_trials_suffice(&cells(&|size, budget| 0.8 * (size + budget)), None), Verdict::No);
    check(&two_trials_suffice(&[], None), Verdict::CannotTell);
}

#[test]
fn a_rate_that_is_assumed_not_to_rise_is_held() {
    let rising = optima(|size, budget| -0.1 * size + 0.1 * budget, 0.05);
    let (free, held) = (lr_law(&rising).unwrap(), lr_law_with(&rising, LrTrend::Falling).unwrap());
    assert!(free.params["b"].value > 0.05);
    assert_eq!((held.params["b"].value, held.params["b"].high), (0.0, 0.0));
    assert_close(held.params["a"].value, -0.1, 0.1);
    assert_close(held.predict(0.25, Some(8.0)).value, held.predict(8.0, Some(8.0)).value, 1e-9);
    assert!(held.warnings.iter().any(|w| w.starts_with("b is held at 0")), "{:?}", held.warnings);
    let falling = optima(|size, budget| -0.1 * size - 0.1 * budget, 0.05);
    assert_eq!(lr_law(&falling).unwrap().params, lr_law_with(&falling, LrTrend::Falling).unwrap().params);
}
