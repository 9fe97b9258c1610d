//! The points of figures 1 to 3 of arXiv 2310.16764, measured from the published figures.

use fit::{Estimate, Form, LrPoint, Optimum, Point, RunPoint, Settings, frontier_law, lr_law, power};

fn rows(csv: &str) -> impl Iterator<Item = Vec<&str>> {
    csv.lines().skip(1).map(|line| line.split(',').collect())
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn figure_2() -> Vec<RunPoint> {
    rows(include_str!("../data/figure2_heldout_loss.csv"))
        .enumerate()
        .map(|(row, cells)| RunPoint {
            row,
            group: cells[0].to_owned(),
            budget: Some(number(cells[1])),
            compute: number(cells[2]),
            loss: Some(number(cells[3])),
            lr: None,
            seed: None,
        })
        .collect()
}

#[test]
fn the_frontier_of_figure_2_is_a_power_law() {
    let (front, law) = frontier_law(&figure_2(), Form::Power, &Settings::default()).unwrap();
    let alpha = law.params["alpha"];
    println!("figure 2: alpha {alpha:?}, A {:?}, {:?}, {:?}", law.params["A"], law.quality, law.warnings);
    assert!((alpha.value - 0.043).abs() < 0.002);
    assert!(alpha.low < 0.043 && 0.043 < alpha.high && alpha.high - alpha.low < 0.01, "{alpha:?}");
    assert!(law.quality.r2 > 0.98);
    assert_eq!((front.optimal.len(), law.used.len() + law.excluded.len()), (36, 36));
}

#[test]
fn the_frontier_of_figure_2_shows_no_certain_floor() {
    let (_, law) = frontier_law(&figure_2(), Form::Saturating, &Settings::default()).unwrap();
    println!("figure 2, saturating: {:?} {:?}", law.params, law.warnings);
    assert!(law.warnings.iter().any(|w| w.starts_with("E is")), "{:?}", law.warnings);
}

#[test]
fn the_best_epoch_budget_and_model_grow_along_the_frontier() {
    let (front, _) = frontier_law(&figure_2(), Form::Power, &Settings::default()).unwrap();
    let trend: Vec<Point> = front
        .pareto
        .iter()
        .enumerate()
        // One over the budget, since a law of this crate falls.
        .map(|(row, p)| Point { row, x: p.compute, y: 1.0 / p.budget.expect("a budget") })
        .collect();
    let growth = power(&trend, &Settings::default()).unwrap().params["alpha"];
    println!("epochs grow along the frontier as C^{:.2} ({:.2} to {:.2})", growth.value, growth.low, growth.high);
    assert!(growth.low > 0.3 && growth.high < 0.8, "{growth:?}");
}

#[test]
fn figure_1_falls_as_published() {
    let runs: Vec<RunPoint> = rows(include_str!("../data/figure1_imagenet_error.csv"))
        .enumerate()
        .filter(|(_, cells)| cells[0].starts_with('F') && !cells[0].ends_with("RA"))
        .map(|(row, cells)| RunPoint {
            row,
            group: cells[0].to_owned(),
            budget: Some(number(cells[1])),
            compute: number(cells[2]),
            loss: Some(number(cells[3])),
            lr: None,
            seed: None,
        })
        .collect();
    let (_, law) = frontier_law(&runs, Form::Power, &Settings::default()).unwrap();
    println!("figure 1: {:?}", law.params);
    assert!((law.params["alpha"].value - 0.070).abs() < 0.003);
}

#[test]
fn the_learning_rates_of_figure_3_fall_monotonously_and_by_law() {
    let optima: Vec<(String, f64, f64)> = rows(include_str!("../data/figure3_optimal_lr.csv"))
        .map(|cells| (cells[0].to_owned(), number(cells[1]), number(cells[2])))
        .collect();
    for pair in optima.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert!(pair[1].2 <= pair[0].2, "{pair:?}");
    }
    for model in ["F0", "F3", "F7+"] {
        let of_model: Vec<LrPoint> = optima
            .iter()
            .filter(|(name, ..)| name == model)
            .enumerate()
            .map(|(row, &(_, budget, lr))| LrPoint { row, budget, size: None, optimum: on_the_grid(lr) })
            .collect();
        let b = lr_law(&of_model).unwrap().params["b"];
        println!("figure 3, {model}: lr falls as epochs^{:.2} ({:.2} to {:.2})", b.value, b.low, b.high);
        assert!(b.value < 0.0);
    }
}

/// An optimum read off a factor-2 grid: known to half an octave.
fn on_the_grid(lr: f64) -> Optimum {
    let half = std::f64::consts::SQRT_2;
    Optimum::Inside {
        lr: Estimate { value: lr, low: lr / half, high: lr * half },
        best_tried: lr,
        loss: 2.5,
        curvature: 0.01,
    }
}
