//! Back-tests, sensitivity, and the choice of a form.

use fit::{
    CurveForm, CurveSettings, Loss, Refusal, SurfaceForm, SurfacePoint, SurfaceSettings, backtest_curve,
    backtest_surface, choose_curve, choose_surface, sensitivity_curve, sensitivity_surface,
};

use crate::surface::{CHINCHILLA, grid};
use crate::{Noise, points};

const QUICK: SurfaceSettings =
    SurfaceSettings { seed: 0, resamples: 0, loss: Loss::Robust, intervals: fit::Intervals::Delta, flops_per: 6.0 };

fn curve_points(law: impl Fn(f64) -> f64, sd: f64, seed: u64) -> Vec<fit::Point> {
    let mut noise = Noise::new(seed);
    points((0..12).map(|i| 10.0 * 2f64.powi(i)).map(|x| (x, law(x) * (sd * noise.normal()).exp())))
}

#[test]
fn a_right_law_predicts_its_largest_runs_within_its_intervals() {
    let (mut inside, mut all) = (0, 0);
    for seed in 0..40 {
        let test = backtest_surface(&grid(CHINCHILLA, 5, 5, 0.003, seed), &QUICK, None);
        assert_eq!(test.steps.iter().map(|s| s.left_out).collect::<Vec<_>>(), [1, 2, 3]);
        let misses = test.steps.iter().flat_map(|step| &step.misses);
        misses.for_each(|miss| (inside, all) = (inside + usize::from(miss.inside), all + 1));
        assert!(test.rmse_log.unwrap() < 0.03);
    }
    let rate = f64::from(inside as u32) / f64::from(all);
    println!("{rate:.3} of {all} predicted runs inside");
    assert!((0.88..=0.99).contains(&rate), "{rate}");
}

#[test]
fn a_wrong_law_is_found_out() {
    let data = curve_points(|x| 1.0 + 3.0 * x.powf(-0.5), 0.002, 1);
    let right = backtest_curve(&data, CurveForm::Saturating, &CurveSettings::default(), None);
    let wrong = backtest_curve(&data, CurveForm::Power, &CurveSettings::default(), None);
    assert!(right.warning().is_none() && right.rmse_log < wrong.rmse_log, "{right:?}");
    assert!(wrong.warning().unwrap().contains("beyond the data"), "{wrong:?}");
    assert!(wrong.mean_error.unwrap() < 0.0);
}

#[test]
fn the_form_that_extrapolates_wins_and_a_simple_one_where_it_does_as_well() {
    let choose = |law: &dyn Fn(f64) -> f64, seed| {
        choose_curve(&curve_points(law, 0.002, seed), &CurveSettings::default(), Some(0.002)).unwrap()
    };
    let mostly = |law: &dyn Fn(f64) -> f64, form| {
        let won = (1..=20).filter(|seed| choose(law, *seed).winner == form).count();
        println!("{form:?} won {won} of 20 where it is the truth");
        assert!(won >= 14, "{form:?} won {won} of 20");
    };
    mostly(&|x| 1.0 + 3.0 * x.powf(-0.5), CurveForm::Saturating);
    mostly(&|x| 3.0 * x.powf(-0.2), CurveForm::Power);
    mostly(&|x| 0.3 + 3.0 * (x + 300.0).powf(-0.5), CurveForm::Shifted);
    assert_eq!(choose(&|x| 3.0 * x.powf(-0.2), 1).candidates.len(), 4);
    let few = choose_curve(&curve_points(|x| x.powf(-0.2), 0.0, 1)[..2], &CurveSettings::default(), None);
    assert_eq!(few.unwrap_err(), Refusal::TooFewPoints { needed: 3, got: 2 });
}

#[test]
fn repeated_data_is_preferred_where_repeats_are_worth_less() {
    let runs = |rate: f64| -> Vec<SurfacePoint> {
        let mut runs = grid(CHINCHILLA, 4, 4, 0.0, 1);
        let mut noise = Noise::new(5);
        let fresh = runs.clone();
        for times in [2.0, 4.0, 16.0] {
            for run in &fresh {
                let worth = run.samples * (1.0 + rate * (1.0 - (-(times - 1.0) / rate).exp()));
                let loss = CHINCHILLA.at(run.size, worth) * (0.002 * noise.normal()).exp();
                runs.push(SurfacePoint { row: runs.len(), samples: run.samples * times, epochs: times, loss, ..*run });
            }
        }
        runs
    };
    assert_eq!(choose_surface(&runs(3.0), &QUICK, None).unwrap().winner, SurfaceForm::Repeated);
    assert_eq!(choose_surface(&runs(1e6), &QUICK, None).unwrap().winner, SurfaceForm::Parametric);
}

#[test]
fn the_table_of_choices_names_each_and_keeps_refusals() {
    let runs = grid(CHINCHILLA, 3, 4, 0.003, 2);
    let other: Vec<SurfacePoint> = runs.iter().map(|p| SurfacePoint { size: p.size + 3e7, ..*p }).collect();
    let table = sensitivity_surface(
        &runs,
        SurfaceForm::Parametric,
        &QUICK,
        Some((1e9, 1e10)),
        &[("sizes with embeddings".to_owned(), other)],
    );
    let line = |name: &str| table.iter().find(|v| v.choice == name).unwrap_or_else(|| panic!("no {name}: {table:?}"));
    assert_eq!((line("as fitted").used, line("without the largest budget").used), (12, 11));
    assert!(line("least squares").prediction.is_some());
    assert!(line("without the smallest size").refusal.as_ref().unwrap().contains("distinct values of size"));
    assert!(line("sizes with embeddings").params["alpha"].value > line("as fitted").params["alpha"].value);
    let curve = curve_points(|x| 1.0 + 3.0 * x.powf(-0.5), 0.002, 1);
    let table = sensitivity_curve(&curve, CurveForm::Saturating, &CurveSettings::default(), Some(1e6), &[]);
    assert_eq!(table.len(), 1 + 3 + 2 + 2 + 3);
}

#[test]
fn the_first_line_of_the_table_is_the_fit() {
    let mut runs = grid(CHINCHILLA, 3, 4, 0.003, 2);
    for (i, epochs) in [4.0, 16.0, 64.0].into_iter().enumerate() {
        let of = runs[5 * i];
        runs.push(SurfacePoint { row: 20 + i, samples: of.samples * epochs, epochs, loss: 0.97 * of.loss, ..of });
    }
    let fit = fit::repeated(&runs, &QUICK).unwrap();
    let table = sensitivity_surface(&runs, SurfaceForm::Repeated, &QUICK, None, &[]);
    assert_eq!(table[0].params, fit.summary.params);
    assert!(table.iter().any(|line| line.choice == "repeated samples taken for fresh"));
}

#[test]
fn a_form_with_a_lower_error_that_does_not_win_says_why() {
    let behind = (0..20).any(|seed| {
        let choice = choose_curve(&curve_points(|x| 3.0 * x.powf(-0.2), 0.01, seed), &CurveSettings::default(), None);
        let choice = choice.unwrap();
        let least = choice.candidates[0].error.unwrap();
        choice.candidates.iter().for_each(|one| assert_eq!(one.behind.is_some(), one.error.is_some_and(|e| e < least)));
        choice.candidates.iter().any(|one| one.behind.is_some())
    });
    assert!(behind);
}
