//! No input panics in the laws of several variables either, and what is answered is finite and accounts for every row.

use fit::{
    CurveForm, CurveSettings, Goal, IsoPoint, IsoSettings, Loss, LrPoint, Optimum, Point, PossibleRun, Summary,
    SurfaceForm, SurfacePoint, SurfaceSettings, Trial, TriedCell, backtest_surface, choose_curve, choose_surface,
    common_at_small_budgets, curve, faster_for_larger, growth, isoflop, optimal_lr, parametric, repeated,
    sensitivity_curve, sensitivity_surface, slow_monotone_fall, two_trials_suffice,
};
use proptest::prelude::*;

use crate::hostile::float;

fn run() -> impl Strategy<Value = SurfacePoint> {
    // Half of the runs lie in a range where fits get under way.
    let tame = (0..4, 0..4, 1.5..4.0f64, 0..3).prop_map(|(n, d, loss, e)| SurfacePoint {
        row: 0,
        size: 1e7 * 8f64.powi(n),
        samples: 1e8 * 8f64.powi(d),
        epochs: [0.5, 1.0, 4.0][e as usize],
        loss,
        cell: n as u64,
    });
    let wild = (float(), float(), float(), float(), 0..3u64)
        .prop_map(|(size, samples, epochs, loss, cell)| SurfacePoint { row: 0, size, samples, epochs, loss, cell });
    prop_oneof![6 => tame, 1 => wild]
}

fn check(summary: &Summary, rows: usize) {
    assert_eq!(summary.used.len() + summary.excluded.len(), rows);
    for (name, estimate) in &summary.params {
        let numbers = [estimate.value, estimate.low, estimate.high];
        assert!(numbers.iter().all(|n| n.is_finite()), "{name}: {estimate:?}");
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{name}: {estimate:?}");
    }
    assert!(summary.quality.rmse_log.is_finite(), "{:?}", summary.quality);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn surfaces(mut runs in prop::collection::vec(run(), 0..24), robust in any::<bool>(), loss in float()) {
        runs.iter_mut().enumerate().for_each(|(row, run)| run.row = row);
        let loss = if robust { Loss::Robust } else { Loss::Huber(loss) };
        let settings = SurfaceSettings { resamples: 0, loss, ..SurfaceSettings::default() };
        let possible: Vec<PossibleRun> = runs
            .iter()
            .map(|p| PossibleRun { row: p.row, size: p.size, samples: p.samples, epochs: p.epochs, cost: p.loss })
            .collect();
        if let Ok(fit) = parametric(&runs, &settings) {
            check(&fit.summary, runs.len());
            for (size, samples) in [(1e9, 1e9), (1e-300, 1e300), (0.0, f64::NAN)] {
                let _ = (fit.predict(size, samples), fit.predict_run(size, samples, Some(f64::NAN)));
                let _ = fit.allocate(size, None);
            }
            let _ = fit.suggest(Goal::Parameters, &possible, 10.0, None);
            let _ = fit.same_rate();
        }
        if let Ok(fit) = repeated(&runs, &settings) {
            check(&fit.summary, runs.len());
            let _ = (fit.allocate(1e18, 1e9, None), fit.allocate(f64::NAN, 0.0, None));
            let _ = fit.suggest(Goal::Loss { compute: 1e18, unique: None }, &possible, 10.0, None);
        }
        let groups: Vec<IsoPoint> = runs.iter().map(|p| IsoPoint { point: *p, compute: p.size * p.samples }).collect();
        let _ = isoflop(&groups, &IsoSettings::default());
        let _ = backtest_surface(&runs, &settings, None);
    }

    #[test]
    fn curves(xy in prop::collection::vec((float(), float()), 0..14), end_weight in 0.0..3.0f64) {
        let points: Vec<Point> = xy.iter().enumerate().map(|(row, &(x, y))| Point { row, x, y }).collect();
        let settings = CurveSettings { end_weight, ..CurveSettings::default() };
        for form in CurveForm::ALL {
            if let Ok(fit) = curve(&points, form, &settings) {
                check(&fit.summary, points.len());
                let _ = (fit.predict(1e300), fit.predict_run(1e-300, None), fit.predict(f64::NAN));
            }
        }
    }

    #[test]
    fn rates(cells in prop::collection::vec((float(), float(), prop::collection::vec((float(), prop::option::of(float())), 0..6)), 0..8)) {
        let cells: Vec<TriedCell> = cells
            .into_iter()
            .map(|(size, budget, trials)| TriedCell {
                size,
                budget,
                trials: trials.into_iter().map(|(lr, loss)| Trial { row: 0, lr, loss }).collect(),
            })
            .collect();
        let points: Vec<LrPoint> = cells
            .iter()
            .enumerate()
            .filter_map(|(row, cell)| {
                let optimum: Optimum = optimal_lr(&cell.trials, None).ok()?;
                Some(LrPoint { row, budget: cell.budget, size: Some(cell.size), optimum })
            })
            .collect();
        for claim in [
            common_at_small_budgets(&points),
            slow_monotone_fall(&points),
            faster_for_larger(&points),
            two_trials_suffice(&cells, None),
        ] {
            prop_assert!(!claim.because.is_empty());
        }
        let best: Vec<(f64, f64, f64)> = cells.iter().map(|c| (c.size * c.budget, c.size, c.budget)).collect();
        let _ = growth(&best);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tables(mut runs in prop::collection::vec(run(), 0..24)) {
        runs.iter_mut().enumerate().for_each(|(row, run)| run.row = row);
        let settings = SurfaceSettings { resamples: 0, ..SurfaceSettings::default() };
        prop_assert!(sensitivity_surface(&runs, SurfaceForm::Parametric, &settings, Some((1e9, 1e10)), &[]).len() > 8);
        let _ = choose_surface(&runs, &settings, Some(f64::NAN));
        let points: Vec<Point> = runs.iter().map(|p| Point { row: p.row, x: p.size * p.samples, y: p.loss }).collect();
        prop_assert_eq!(sensitivity_curve(&points, CurveForm::Power, &CurveSettings::default(), None, &[]).len(), 11);
        let _ = choose_curve(&points, &CurveSettings::default(), None);
    }
}
