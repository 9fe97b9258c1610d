//! The paper's figures 1 to 3 from their reference points, compared byte by byte with the committed ones.

mod families;
mod odd;
mod panels;

use report::{
    Edge, Law, LawPoint, LrPoint, LrSeries, OptimalLrFigure, Point, PointKind, Reference, ScalingFigure, Series, Style,
    Words, png,
};

/// Rows of a CSV without its header, grouped by the first column in order of appearance.
fn groups(csv: &str) -> Vec<(String, Vec<Vec<f64>>)> {
    let mut groups: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for row in csv.lines().skip(1) {
        let mut cells = row.split(',');
        let name = cells.next().expect("a name").to_owned();
        // An epoch budget is not known of all other work.
        let number = |cell: &str| if cell.is_empty() { f64::NAN } else { cell.parse().expect("a number") };
        let numbers = cells.map(number).collect();
        match groups.last_mut() {
            Some((last, rows)) if *last == name => rows.push(numbers),
            _ => groups.push((name, vec![numbers])),
        }
    }
    groups
}

/// Error against compute: the models, and beside them the ViTs and the run with repeated augmentation as references.
fn figure_1() -> ScalingFigure {
    let mut figure = ScalingFigure {
        words: Words::axes("TPU-v4 core hours", "ImageNet top-1 error (%)"),
        ..ScalingFigure::default()
    };
    for (name, rows) in groups(include_str!("../data/figure1_imagenet_error.csv")) {
        if ["F1", "F3", "F3+", "F7", "F7+"].contains(&name.as_str()) {
            let point =
                |row: &Vec<f64>| Point { x: row[1], y: row[2], budget: Some(row[0]), kind: PointKind::Finished };
            figure.series.push(Series { name, family: "NFNet".to_owned(), points: rows.iter().map(point).collect() });
        } else {
            let family = if name.contains("ViT") { "ViT" } else { "NFNet" }.to_owned();
            figure.references.push(Reference {
                name,
                family,
                points: rows.iter().map(|row| (row[1], row[2])).collect(),
            });
        }
    }
    figure
}

fn figure_2() -> ScalingFigure {
    let point = |row: &Vec<f64>| Point { x: row[1], y: row[2], budget: Some(row[0]), kind: PointKind::Finished };
    let series = groups(include_str!("../data/figure2_heldout_loss.csv"))
        .into_iter()
        .map(|(name, rows)| Series { name, points: rows.iter().map(point).collect(), ..Series::default() })
        .collect();
    let mut figure = ScalingFigure {
        words: Words::axes("TPU-v4 core hours", "Held-out loss (nats)"),
        series,
        ..ScalingFigure::default()
    };
    let (low, high) = figure.x_range().expect("points");
    let law = |i: i32| {
        let x = low * (high / low).powf(f64::from(i) / 60.0);
        let y = 3.85 * x.powf(-0.043);
        LawPoint { x, y, low: 0.99 * y, high: 1.01 * y }
    };
    figure.laws = vec![Law {
        curve: (0..=60).map(law).collect(),
        data_range: (402.0, 106_700.0),
        label: "L = 3.85 C^-0.043".to_owned(),
        family: String::new(),
    }];
    figure
}

fn figure_3() -> OptimalLrFigure {
    let point = |row: &Vec<f64>| LrPoint { epochs: row[0], lr: row[1], interval: None, edge: None };
    let series = groups(include_str!("../data/figure3_optimal_lr.csv"))
        .into_iter()
        .map(|(name, rows)| LrSeries { name, points: rows.iter().map(point).collect(), ..LrSeries::default() })
        .collect();
    OptimalLrFigure { words: Words::axes("Training epochs", "Optimal learning rate"), series }
}

/// A sweep that is still running: all kinds of points, and optima at both edges of the grid.
fn unfinished() -> (ScalingFigure, OptimalLrFigure) {
    let point = |x, y, budget, kind| Point { x, y, budget: Some(budget), kind };
    let finished = |x, y, budget| point(x, y, budget, PointKind::Finished);
    let small = vec![
        finished(2e15, 2.31, 1.0),
        finished(4e15, 2.12, 2.0),
        finished(8e15, 1.97, 4.0),
        point(8e15, 2.29, 4.0, PointKind::Excluded),
    ];
    let large =
        vec![finished(6e15, 2.22, 1.0), finished(1.2e16, 1.96, 2.0), point(2e16, 1.88, 4.0, PointKind::Running)];
    let series = |name: &str, points| Series { name: name.to_owned(), points, ..Series::default() };
    let scaling = ScalingFigure {
        words: Words {
            title: Some("A sweep in progress".to_owned()),
            notes: vec!["1 diverged run left out.".to_owned()],
            ..Words::axes("Training compute (FLOPs)", "Held-out loss (nats)")
        },
        series: vec![series("d1w16", small), series("d2w32 & more", large), series("d4w64", Vec::new())],
        ..ScalingFigure::default()
    };
    let optimum = |epochs, lr, interval, edge| LrPoint { epochs, lr, interval, edge };
    let low = vec![
        optimum(1.0, 0.8, None, Some(Edge::High)),
        optimum(2.0, 0.52, Some((0.4, 0.66)), None),
        optimum(4.0, 0.33, Some((0.25, 0.45)), None),
    ];
    let high = vec![
        optimum(1.0, 0.47, Some((0.35, 0.6)), None),
        optimum(2.0, 0.24, Some((0.2, 0.29)), None),
        optimum(4.0, 0.1, None, Some(Edge::Low)),
    ];
    let series = |name: &str, points| LrSeries { name: name.to_owned(), points, ..LrSeries::default() };
    let optimal_lr = OptimalLrFigure {
        words: Words::axes("Training epochs", "Optimal learning rate"),
        series: vec![series("d1w16", low), series("d2w32", high)],
    };
    (scaling, optimal_lr)
}

/// Compares with a committed file; with `SCALELAW_BLESS` in the environment, writes it.
#[expect(
    clippy::disallowed_methods,
    reason = "the crate opens no files, but its tests keep the figures they compare with"
)]
fn check_golden(name: &str, actual: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SCALELAW_BLESS").is_some() {
        std::fs::write(&path, actual).expect("the golden file is written");
        if actual.starts_with("<svg") {
            let picture = png(actual, 3.125).expect("a picture");
            std::fs::write(format!("{}/{name}.png", env!("CARGO_TARGET_TMPDIR")), picture)
                .expect("a picture to look at");
        }
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "{path} differs; look at the figure, then set SCALELAW_BLESS=1 to accept it");
}

#[test]
fn figure_1_is_the_committed_one() {
    check_golden("figure1.svg", &figure_1().svg(&Style::paper()).expect("a figure"));
    check_golden("figure1.csv", &figure_1().csv());
}

#[test]
fn figure_2_is_the_committed_one() {
    check_golden("figure2.svg", &figure_2().svg(&Style::paper()).expect("a figure"));
    check_golden("figure2.csv", &figure_2().csv());
}

#[test]
fn figure_3_is_the_committed_one() {
    check_golden("figure3.svg", &figure_3().svg(&Style::paper()).expect("a figure"));
    check_golden("figure3.csv", &figure_3().csv());
}

#[test]
fn an_unfinished_sweep_is_the_committed_one() {
    let (scaling, optimal_lr) = unfinished();
    check_golden("unfinished_scaling.svg", &scaling.svg(&Style::paper()).expect("a figure"));
    check_golden("unfinished_scaling.csv", &scaling.csv());
    check_golden("unfinished_lr.svg", &optimal_lr.svg(&Style::paper()).expect("a figure"));
    check_golden("unfinished_lr.csv", &optimal_lr.csv());
}

#[test]
fn the_same_figure_is_the_same_bytes() {
    let draw = || png(&figure_2().svg(&Style::slides()).expect("a figure"), 1.0).expect("a picture");
    assert_eq!(draw(), draw());
}
