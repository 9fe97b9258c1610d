//! The optimal learning rate of a cell, and its law.

use fit::{LrPoint, Optimum, Refusal, Side, Trial, lr_law, optimal_lr};
use proptest::prelude::*;

use crate::assert_close;

fn trials(losses: &[(f64, Option<f64>)]) -> Vec<Trial> {
    losses.iter().enumerate().map(|(row, &(lr, loss))| Trial { row, lr, loss }).collect()
}

/// Losses on an exact parabola about `best`, as many seeds as there are repeats in `rates`.
fn valley(best: f64, rates: &[f64]) -> Vec<Trial> {
    trials(&rates.iter().map(|&lr| (lr, Some(2.5 + 0.03 * (lr / best).log2().powi(2)))).collect::<Vec<_>>())
}

#[track_caller]
fn at_edge(losses: &[(f64, Option<f64>)]) -> (Side, f64, Option<f64>, String) {
    let optimum = optimal_lr(&trials(losses), None).unwrap();
    match optimum {
        Optimum::AtEdge { side, best_tried, bounded_by_divergence, .. } => {
            (side, best_tried, bounded_by_divergence, optimum.mend().unwrap())
        }
        Optimum::Inside { .. } => panic!("inside: {optimum:?}"),
    }
}

proptest! {
    #[test]
    fn an_exact_parabola_comes_back(best in 0.21..1.59f64, uneven in 0.7..1.4f64) {
        let found = optimal_lr(&valley(best, &[0.1, 0.2, 0.4 * uneven, 0.8, 1.6, 3.2]), Some(0.0)).unwrap();
        let Optimum::Inside { lr, loss, curvature, .. } = found else { panic!("{found:?}") };
        assert_close(lr.value, best, 1e-9);
        assert_close(loss, 2.5, 1e-9);
        assert_close(curvature, 0.06, 1e-6);
    }
}

#[test]
fn noise_widens_the_interval_up_to_the_bracket() {
    let interval = |noise| match optimal_lr(&valley(0.5, &[0.2, 0.4, 0.8]), Some(noise)) {
        Ok(Optimum::Inside { lr, .. }) => (lr.low, lr.high),
        other => panic!("{other:?}"),
    };
    let (none, some, much) = (interval(0.0), interval(0.0005), interval(0.1));
    assert!(none.1 / none.0 < 1.0 + 1e-9 && some.0 < none.0 && some.1 > none.1, "{none:?} {some:?}");
    assert_eq!(much, (0.2, 0.8));
}

#[test]
fn seeds_tell_the_noise() {
    let mut noisy = valley(0.5, &[0.2, 0.4, 0.8]);
    let quiet = optimal_lr(&noisy, None).unwrap();
    noisy.push(Trial { row: 3, lr: 0.4, loss: Some(2.52) });
    noisy.push(Trial { row: 4, lr: 0.4, loss: Some(2.48) });
    let loud = optimal_lr(&noisy, None).unwrap();
    let width = |optimum| match optimum {
        Optimum::Inside { lr, .. } => lr.high / lr.low,
        Optimum::AtEdge { .. } => panic!("at the edge"),
    };
    assert!(width(loud) > width(quiet));
}

#[test]
fn a_cliff_does_not_pull_the_interval_away_from_the_best_rate() {
    let found = optimal_lr(&trials(&[(0.2, Some(2.02)), (0.4, Some(2.0)), (0.8, Some(4.0))]), Some(0.0005)).unwrap();
    let Optimum::Inside { lr, .. } = found else { panic!("{found:?}") };
    assert!(lr.value < 0.3 && lr.high >= 0.4, "{lr:?}");
}

#[test]
fn edges_ask_for_the_rate_that_is_missing() {
    assert_eq!(
        at_edge(&[(0.1, Some(2.0)), (0.2, Some(2.1))]),
        (Side::Low, 0.1, None, "add a learning rate below 0.1, for example 0.05".to_owned())
    );
    assert_eq!(
        at_edge(&[(0.1, Some(2.2)), (0.2, Some(2.1))]),
        (Side::High, 0.2, None, "add a learning rate above 0.2, for example 0.4".to_owned())
    );
}

#[test]
fn a_diverged_neighbour_is_a_bound_and_not_a_number() {
    let (side, best, bound, mend) = at_edge(&[(0.1, Some(2.2)), (0.2, Some(2.1)), (0.4, None)]);
    assert_eq!((side, best, bound), (Side::High, 0.2, Some(0.4)));
    assert!(mend.starts_with("add a learning rate between 0.2 and 0.4, which diverged"), "{mend}");
    // An infinite loss has diverged too, and so has a rate of which one seed did.
    assert_eq!(at_edge(&[(0.1, Some(2.2)), (0.2, Some(2.1)), (0.4, Some(f64::NAN))]).2, Some(0.4));
    assert_eq!(at_edge(&[(0.1, Some(2.2)), (0.2, Some(2.1)), (0.4, Some(2.0)), (0.4, None)]).2, Some(0.4));
    assert_eq!(at_edge(&[(0.1, Some(2.2)), (0.2, None)]).0, Side::Low);
}

#[test]
fn divergence_further_up_does_not_matter() {
    let losses = [(0.1, Some(2.2)), (0.2, Some(2.1)), (0.4, Some(2.2)), (0.8, None)];
    let Optimum::Inside { lr, .. } = optimal_lr(&trials(&losses), None).unwrap() else { panic!() };
    assert_close(lr.value, 0.2, 1e-9);
}

#[test]
fn too_little_is_refused() {
    let refused = |losses: &[(f64, Option<f64>)]| optimal_lr(&trials(losses), None).unwrap_err();
    assert!(matches!(refused(&[]), Refusal::TooFewDistinct { got: 0, .. }));
    assert!(matches!(refused(&[(0.1, Some(2.0)), (0.1, Some(2.1))]), Refusal::TooFewDistinct { got: 1, .. }));
    assert_eq!(refused(&[(0.1, None), (0.2, None)]), Refusal::AllDiverged { lowest: 0.1 });
    assert_eq!(
        refused(&[(0.1, Some(2.0)), (0.2, Some(2.0)), (0.4, Some(2.0))]).mend(),
        "add a learning rate below 0.1 and one above 0.4, or a second seed of each"
    );
    assert!(matches!(refused(&[(-0.1, Some(2.0)), (0.2, Some(2.0))]), Refusal::NotPositive { row: 0, .. }));
}

fn optimum(row: usize, budget: f64, size: Option<f64>, best: f64) -> LrPoint {
    let optimum = optimal_lr(&valley(best, &[best / 3.0, best / 1.2, best * 1.5, best * 4.0]), None).unwrap();
    LrPoint { row, budget, size, optimum }
}

#[test]
fn a_planted_law_of_two_variables_comes_back() {
    let mut points = Vec::new();
    for size in [1e6, 4e6, 3e7] {
        for budget in [0.5, 1.0, 4.0] {
            let best = 1.6 * f64::powf(budget, -0.3) * f64::powf(size / 1e6, -0.2);
            points.push(optimum(points.len(), budget, Some(size), best));
        }
    }
    let edge = Optimum::AtEdge { side: Side::Low, best_tried: 9.0, loss: 2.0, bounded_by_divergence: None };
    points.push(LrPoint { row: 9, budget: 8.0, size: Some(1e6), optimum: edge });
    let law = lr_law(&points).unwrap();
    assert_close(law.params["b"].value, -0.3, 1e-9);
    assert_close(law.params["a"].value, -0.2, 1e-9);
    assert_close(law.predict(2.0, Some(1e6)).value, 1.6 * 2f64.powf(-0.3), 1e-9);
    assert!(law.params["b"].low < -0.3 && law.params["b"].high > -0.3, "an interval, however well the points line up");
    assert_eq!((law.used.len(), law.excluded[0].row), (9, 9));
}

#[test]
fn a_law_of_one_model_needs_three_budgets() {
    let points: Vec<LrPoint> = (0..3).map(|i| optimum(i, f64::from(1 << i), None, 0.8f64.powi(i as i32))).collect();
    assert_close(lr_law(&points).unwrap().params["b"].value, 0.8f64.log2(), 1e-9);
    assert_eq!(lr_law(&points[..2]).unwrap_err(), Refusal::TooFewPoints { needed: 3, got: 2 });
}

#[test]
fn size_and_budget_that_move_together_are_refused() {
    let points: Vec<LrPoint> =
        (0..5).map(|i| optimum(i, f64::from(1 << i), Some(1e6 * f64::from(1 << i)), 0.5)).collect();
    assert!(matches!(lr_law(&points).unwrap_err(), Refusal::NotIdentified { .. }));
}
