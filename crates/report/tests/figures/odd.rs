//! Odd data: long names, one point, 500 points, 12 decades, equal values, missing fits. All are drawn sensibly.

use report::{
    Curve, CurvesFigure, Hours, LedgerDevice, LedgerFigure, OptimumFigure, OptimumPoint, OptimumSeries, PointKind,
    Profile, ProfileFigure, ProfilePanel, Residual, ResidualPanel, ResidualSeries, ResidualsFigure, Style, Words, png,
};

use crate::check_golden;

const LONG: &str = "a model of a family with a very long name <&> & more";

fn one_profile(points: Vec<(f64, f64, PointKind)>) -> ProfileFigure {
    let curves = vec![Profile { name: "1".to_owned(), budget: 1.0, points, ..Profile::default() }];
    ProfileFigure {
        words: Words::axes("Learning rate", "Held-out loss (nats)"),
        budget_label: "Epochs:".to_owned(),
        panels: vec![ProfilePanel { name: LONG.to_owned(), curves, ..ProfilePanel::default() }],
    }
}

fn optima(points: Vec<OptimumPoint>) -> OptimumFigure {
    OptimumFigure {
        words: Words::axes("Training compute (FLOPs)", "Optimal epochs"),
        series: vec![OptimumSeries { name: LONG.to_owned(), points }],
        ..OptimumFigure::default()
    }
}

#[test]
fn one_point_and_none() {
    let figure = one_profile(vec![(0.1, 2.5, PointKind::Finished)]);
    check_golden("odd_one.svg", &figure.svg(&Style::paper()).expect("a figure"));
    for svg in [
        ProfileFigure::default().svg(&Style::paper()),
        OptimumFigure::default().svg(&Style::paper()),
        ResidualsFigure::default().svg(&Style::paper()),
        CurvesFigure::default().svg(&Style::paper()),
        LedgerFigure::default().svg(&Style::paper()),
    ] {
        let svg = svg.expect("an empty figure");
        assert!(svg.contains("no points"), "{svg}");
        png(&svg, 1.0).expect("a picture");
    }
}

#[test]
fn only_divergence() {
    let mut figure = one_profile(Vec::new());
    figure.panels[0].curves[0].diverged = vec![0.8, 1.6];
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(svg.contains("diverged") && !svg.contains("no points"), "{svg}");
}

#[test]
fn twelve_decades() {
    let point = |i: i32| {
        let (x, y) = (10f64.powi(10 + i), 10f64.powf(-3.0 + f64::from(i)));
        OptimumPoint { x, y, interval: Some((0.5 * y, 2.0 * y)), edge: None }
    };
    check_golden("odd_decades.svg", &optima((0..13).map(point).collect()).svg(&Style::paper()).expect("a figure"));
}

#[test]
fn equal_values() {
    let same = OptimumPoint { x: 1e18, y: 4.0, interval: None, edge: None };
    optima(vec![same; 3]).svg(&Style::paper()).expect("a figure");
    let points = vec![Residual { x: 1e18, residual: 0.0, held_back: false }; 3];
    let series = vec![ResidualSeries { name: "F0".to_owned(), points }];
    let panels = vec![ResidualPanel { series, ..ResidualPanel::default() }];
    let figure = ResidualsFigure { words: Words::axes("Compute", "%"), panels };
    check_golden("odd_equal.svg", &figure.svg(&Style::paper()).expect("a figure"));
}

#[test]
fn five_hundred_runs_with_long_names() {
    let curve = |i: usize| {
        let loss = |k: usize| 3.0 / (1.0 + k as f64 / (5.0 + (i % 37) as f64)).sqrt() + 0.001 * i as f64;
        let training = (1..=5 + i % 9).map(|k| (1e3 * k as f64, loss(k))).collect();
        Curve { name: format!("{LONG} {i}"), training, ..Curve::default() }
    };
    let figure =
        CurvesFigure { words: Words::axes("Samples seen", "Loss (nats)"), series: (0..500).map(curve).collect() };
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(
        svg.contains(" more</text>") && svg.contains("…"),
        "names are shortened, and those without a place counted"
    );
}

#[test]
fn many_devices_and_days() {
    let device = |d: usize| {
        let hours = vec![Hours { useful: 20.0 + d as f64 * 0.01, repeated: 1.0, failed: 0.0, idle: 2.0 }; 60];
        LedgerDevice { name: format!("node-{d:03} {LONG}"), hours }
    };
    let figure = |devices: usize| LedgerFigure {
        words: Words::axes("Day", "Device hours"),
        days: (0..60).map(|day| format!("2026-{:02}-{:02}", 1 + day / 30, 1 + day % 30)).collect(),
        devices: (0..devices).map(device).collect(),
    };
    check_golden("odd_devices.svg", &figure(9).svg(&Style::paper()).expect("a figure"));
    assert!(figure(64).svg(&Style::paper()).expect("a figure").contains("all 64 devices"));
}

#[test]
fn many_panels() {
    let mut figure =
        one_profile((1..6).map(|i| (0.1 * f64::from(i), 2.0 + 0.1 * f64::from(i), PointKind::Finished)).collect());
    figure.panels = vec![figure.panels[0].clone(); 15];
    check_golden("odd_panels.svg", &figure.svg(&Style::paper()).expect("a figure"));
}
