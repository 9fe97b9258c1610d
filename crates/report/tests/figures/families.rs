//! Figures of several families of models, and scaling figures of odd data, compared with the committed ones.

use report::{
    BackTest, Law, LawPoint, LrPoint, LrSeries, OptimalLrFigure, Point, PointKind, Reference, Residual, ResidualPanel,
    ResidualSeries, ResidualsFigure, ScalingFigure, Series, Style, Words,
};

use crate::check_golden;

const MODELS: [(&str, &str, f64); 6] = [
    ("Ti/16", "ViT", 3.0e15),
    ("S/16", "ViT", 9.0e15),
    ("B/16", "ViT", 3.0e16),
    ("F0", "NFNet", 5.0e15),
    ("F1", "NFNet", 1.2e16),
    ("F3", "NFNet", 2.5e16),
];

/// Compute of a number of epochs of a model, and the law of its family there.
fn law(family: &str) -> (f64, f64) {
    if family == "ViT" { (9.4, -0.036) } else { (7.0, -0.030) }
}

fn scaling() -> ScalingFigure {
    let series = MODELS.map(|(name, family, unit)| {
        let (a, b) = law(family);
        let point = |(i, wiggle): (i32, f64)| {
            let x = unit * 2f64.powi(i);
            // Each model leaves the frontier where it is trained for too few or too many epochs.
            let far = f64::from(i) - 2.5;
            let y = a * x.powf(b) * (1.0 + 0.004 * far * far) * wiggle;
            let kind = match (name, i) {
                ("F3", 5) => PointKind::Running,
                ("F0", 0) => PointKind::Excluded,
                _ => PointKind::Finished,
            };
            Point { x, y, budget: Some(0.25 * 2f64.powi(i)), kind }
        };
        let points = (0..6).zip([1.0, 0.997, 1.002, 1.0, 0.998, 1.003]).map(point).collect();
        Series { name: name.to_owned(), family: family.to_owned(), points }
    });
    let words = Words::axes("Training compute (FLOPs)", "Held-out loss (nats)");
    let mut figure = ScalingFigure { words, series: series.to_vec(), ..ScalingFigure::default() };
    let (low, high) = figure.x_range().expect("points");
    figure.laws = ["NFNet", "ViT"]
        .map(|family| {
            let (a, b) = law(family);
            let at = |i: i32| {
                let x = low * (high / low).powf(f64::from(i) / 40.0);
                let (y, wide) = (a * x.powf(b), 1.004 + 0.0002 * f64::from((i - 20).abs()));
                LawPoint { x, y, low: y / wide, high: y * wide }
            };
            let label = format!(
                "L = {a:.2} C^{b:.3}\nα = {:.3} [{:.3}, {:.3}] (95 %)\nn = 9, R^2 = 0.991",
                -b,
                -b - 0.002,
                -b + 0.002
            );
            let data_range = if family == "ViT" { (4e15, 9e17) } else { (8e15, 7e17) };
            Law { curve: (0..=40).map(at).collect(), data_range, label, family: family.to_owned() }
        })
        .to_vec();
    figure
}

fn optimal_lr() -> OptimalLrFigure {
    let series = MODELS.iter().enumerate().map(|(index, (name, family, _))| {
        let base = if *family == "ViT" { 2e-3 } else { 1.6 };
        let point = |i: i32| {
            let lr = base * 0.5f64.powf(0.2 * f64::from(i) + 0.3 * (index % 3) as f64);
            LrPoint { epochs: 2f64.powi(i), lr, interval: Some((0.85 * lr, 1.2 * lr)), edge: None }
        };
        LrSeries { name: (*name).to_owned(), family: (*family).to_owned(), points: (0..4).map(point).collect() }
    });
    OptimalLrFigure { words: Words::axes("Training epochs", "Optimal learning rate"), series: series.collect() }
}

fn residuals() -> ResidualsFigure {
    let panel = |family: &str, off: f64| {
        let own = MODELS.iter().filter(|model| model.1 == family);
        let series = own.enumerate().map(|(index, (name, _, unit))| {
            let point = |i: i32| {
                let residual = [0.4, -0.3, 0.2, -0.1, 0.35, 0.6][(i as usize + index) % 6];
                Residual { x: unit * 2f64.powi(i), residual, held_back: residual > 0.3 }
            };
            ResidualSeries { name: (*name).to_owned(), points: (0..5).map(point).collect() }
        });
        let at = |i: i32| 3e15 * 4f64.powf(f64::from(i) / 5.0);
        ResidualPanel {
            name: family.to_owned(),
            series: series.collect(),
            band: (0..=20).map(|i| (at(i), -0.3 - 0.01 * f64::from(i), 0.3 + 0.01 * f64::from(i))).collect(),
            back_test: Some(BackTest {
                cut: 1e17,
                curve: (0..=20).map(|i| (at(i), off * (f64::from(i) / 20.0).powi(2))).collect(),
                label: format!(
                    "fitted without the 3 largest budgets: {:.1} % too {} there",
                    off.abs(),
                    if off < 0.0 { "low" } else { "high" }
                ),
            }),
        }
    };
    ResidualsFigure {
        words: Words::axes("Training compute (FLOPs)", "Loss above the law (%)"),
        panels: vec![panel("NFNet", -0.8), panel("ViT", 1.1)],
    }
}

#[test]
fn families_are_the_committed_ones() {
    check_golden("families.svg", &scaling().svg(&Style::paper()).expect("a figure"));
    check_golden("families_dark.svg", &scaling().svg(&Style::dark()).expect("a figure"));
    check_golden("families_slides.svg", &scaling().svg(&Style::slides()).expect("a figure"));
    check_golden("families.csv", &scaling().csv());
    check_golden("families_lr.svg", &optimal_lr().svg(&Style::paper()).expect("a figure"));
    check_golden("families_residuals.svg", &residuals().svg(&Style::paper()).expect("a figure"));
}

/// A scaling figure with these numbers of each model.
fn odd(models: &[(&str, Vec<(f64, f64)>)]) -> ScalingFigure {
    let series = |(name, points): &(&str, Vec<(f64, f64)>)| {
        let point = |(x, y): &(f64, f64)| Point { x: *x, y: *y, budget: None, kind: PointKind::Finished };
        Series { name: (*name).to_owned(), points: points.iter().map(point).collect(), ..Series::default() }
    };
    ScalingFigure {
        words: Words::axes("Training compute (FLOPs)", "Held-out loss (nats)"),
        series: models.iter().map(series).collect(),
        ..ScalingFigure::default()
    }
}

#[test]
fn twenty_models_with_long_names() {
    let names: Vec<String> = (0..20).map(|i| format!("a model with a rather long name, number {i}")).collect();
    let at =
        |i: usize, k: i32| (1e15 * 2f64.powi(k) * 1.5f64.powi(i as i32), 3.0 - 0.05 * i as f64 - 0.1 * f64::from(k));
    let models: Vec<(&str, Vec<(f64, f64)>)> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), (0..4).map(|k| at(i, k)).collect())).collect();
    let mut figure = odd(&models);
    figure.references =
        vec![Reference { name: "another work".to_owned(), points: vec![(1e19, 2.0)], ..Reference::default() }];
    check_golden("odd_models.svg", &figure.svg(&Style::paper()).expect("a figure"));
}

#[test]
fn one_run_one_decade_and_twelve() {
    check_golden("odd_run.svg", &odd(&[("F0", vec![(3e18, 2.5)])]).svg(&Style::paper()).expect("a figure"));
    let narrow = (0..5).map(|i| (2.1e18 + 1e17 * f64::from(i), 2.52 - 0.004 * f64::from(i))).collect();
    check_golden("odd_narrow.svg", &odd(&[("F0", narrow)]).svg(&Style::paper()).expect("a figure"));
    let wide = (0..13).map(|i| (10f64.powi(9 + i), 10f64.powf(3.0 - 0.25 * f64::from(i)))).collect();
    check_golden("odd_wide.svg", &odd(&[("F0", wide)]).svg(&Style::paper()).expect("a figure"));
}

#[test]
fn five_hundred_runs() {
    let at = |i: i32| (1e15 * 1.02f64.powi(i), 3.0 * 0.999f64.powi(i) * (1.0 + 0.01 * f64::from(i * i % 7)));
    let figure = odd(&[("F0", (0..500).map(at).collect())]);
    assert_eq!(figure.svg(&Style::paper()).expect("a figure").matches("<circle").count(), 1000);
    assert_eq!(figure.csv().lines().count(), 501);
}
