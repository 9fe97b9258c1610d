//! No input panics, and whatever is answered is finite and accounts for every row.

use fit::{
    Form, LrPoint, Point, RunPoint, Settings, Trial, frontier, frontier_law, lr_law, optimal_lr, power, saturating,
};
use proptest::prelude::*;

const QUICK: Settings = Settings { seed: 0, resamples: 200 };

/// Anything: hostile numbers, and enough ordinary ones that fits get under way.
pub(crate) fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, 1e-300, 1e300, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 5e-324, f64::MAX]),
        3 => (-300.0..300.0f64).prop_map(|e| 10f64.powf(e)),
        8 => 0.5..4.0f64,
        2 => prop::sample::select(vec![1.0, 2.0, 4.0]),
    ]
}

fn some_float() -> impl Strategy<Value = Option<f64>> {
    prop::option::weighted(0.8, float())
}

fn run() -> impl Strategy<Value = RunPoint> {
    (0..4u8, some_float(), float(), some_float(), some_float(), prop::option::of(0..3u64)).prop_map(
        |(group, budget, compute, loss, lr, seed)| RunPoint {
            row: 0,
            group: group.to_string(),
            budget,
            compute,
            loss,
            lr,
            seed,
        },
    )
}

fn check_law(fit: &fit::LawFit, rows: usize) {
    assert_eq!(fit.used.len() + fit.excluded.len(), rows);
    for (name, estimate) in &fit.params {
        let numbers = [estimate.value, estimate.low, estimate.high];
        assert!(numbers.iter().all(|n| n.is_finite()), "{name}: {estimate:?}");
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{name}: {estimate:?}");
    }
    assert!(fit.quality.r2.is_finite() && fit.quality.rmse_log.is_finite(), "{:?}", fit.quality);
    for x in [1e-300, 1.0, 1e300, 0.0, -1.0, f64::NAN] {
        let _ = fit.predict(x);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn laws(xy in prop::collection::vec((float(), float()), 0..12)) {
        let points: Vec<Point> = xy.iter().enumerate().map(|(row, &(x, y))| Point { row, x, y }).collect();
        for fit in [power(&points, &QUICK), saturating(&points, &QUICK)] {
            match fit {
                Ok(fit) => check_law(&fit, points.len()),
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty() && !refusal.mend().is_empty()),
            }
        }
    }

    #[test]
    fn falling_laws_of_any_size(mut ys in prop::collection::vec(float(), 3..9), mut xs in prop::collection::vec(float(), 9)) {
        ys.sort_by(|a, b| b.total_cmp(a));
        xs.sort_by(f64::total_cmp);
        let points: Vec<Point> = ys.iter().zip(&xs).enumerate().map(|(row, (&y, &x))| Point { row, x, y }).collect();
        for fit in [power(&points, &QUICK), saturating(&points, &QUICK)].into_iter().flatten() {
            check_law(&fit, points.len());
        }
    }

    #[test]
    fn frontiers(mut runs in prop::collection::vec(run(), 0..25)) {
        runs.iter_mut().enumerate().for_each(|(row, run)| run.row = row);
        let front = frontier(&runs);
        let mut rows: Vec<usize> = front.pareto.iter().flat_map(|p| p.rows.clone()).collect();
        rows.extend(front.excluded.iter().map(|e| e.row));
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..runs.len()).collect::<Vec<_>>());
        for pair in front.pareto.windows(2) {
            prop_assert!(pair[0].compute < pair[1].compute && pair[0].loss > pair[1].loss);
        }
        for form in [Form::Power, Form::Saturating] {
            if let Ok((_, fit)) = frontier_law(&runs, form, &QUICK) {
                check_law(&fit, runs.len());
            }
        }
    }

    #[test]
    fn learning_rates(
        groups in prop::collection::vec((prop::collection::vec((float(), some_float()), 0..7), float(), some_float()), 0..7),
        noise in some_float(),
    ) {
        let mut optima = Vec::new();
        for (row, (trials, budget, size)) in groups.iter().enumerate() {
            let trials: Vec<Trial> = trials.iter().map(|&(lr, loss)| Trial { row, lr, loss }).collect();
            match optimal_lr(&trials, noise) {
                Ok(optimum) => {
                    if let fit::Optimum::Inside { lr, loss, curvature, .. } = optimum {
                        prop_assert!(lr.low <= lr.value && lr.value <= lr.high && loss.is_finite() && curvature > 0.0);
                    }
                    let _ = optimum.mend();
                    optima.push(LrPoint { row, budget: *budget, size: *size, optimum });
                }
                Err(refusal) => prop_assert!(!refusal.mend().is_empty()),
            }
        }
        let _ = lr_law(&optima);
    }

    #[test]
    fn learning_rate_laws(cells in prop::collection::vec((float(), some_float(), float(), float(), float()), 0..9)) {
        let points: Vec<LrPoint> = cells.iter().enumerate().map(|(row, &(budget, size, value, low, high))| LrPoint {
            row, budget, size,
            optimum: fit::Optimum::Inside { lr: fit::Estimate { value, low, high }, best_tried: value, loss: 1.0, curvature: 1.0 },
        }).collect();
        if let Ok(law) = lr_law(&points) {
            prop_assert_eq!(law.used.len() + law.excluded.len(), points.len());
            prop_assert!(law.params.values().all(|e| e.low <= e.value && e.value <= e.high), "{:?}", law.params);
            let _ = law.predict(f64::NAN, Some(-1.0));
        }
    }
}
