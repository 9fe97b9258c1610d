//! Figures of panels and layers, compared with the committed ones.

use report::{
    BackTest, Curve, CurveEnd, CurvesFigure, Edge, Hours, Law, LawPoint, LedgerDevice, LedgerFigure, OptimumFigure,
    OptimumPoint, OptimumSeries, PointKind, Profile, ProfileFigure, ProfileOptimum, ProfilePanel, Residual,
    ResidualPanel, ResidualSeries, ResidualsFigure, Style, Words,
};

use crate::check_golden;

/// A curve with its lowest loss at `best`, of runs at doublings.
fn profile(name: &str, budget: f64, best: f64, floor: f64, rates: &[f64]) -> Profile {
    let loss = |x: f64| floor * (1.0 + 0.02 * (x / best).log2().powi(2));
    let wiggle = |i: usize| 1.0 + 0.004 * [1.0, -1.0, 0.5, -0.7][i % 4];
    let points = rates.iter().enumerate().map(|(i, x)| (*x, loss(*x) * wiggle(i), PointKind::Finished)).collect();
    let (low, high) = (rates[0], rates[rates.len() - 1]);
    let fit = (0..=40).map(|i| low * (high / low).powf(f64::from(i) / 40.0)).map(|x| (x, loss(x))).collect();
    let optimum = Some(ProfileOptimum { x: best, y: floor, interval: Some((best / 1.3, best * 1.4)), edge: None });
    Profile { name: name.to_owned(), budget, points, diverged: Vec::new(), fit, optimum }
}

fn rates() -> ProfileFigure {
    let tried = [0.05, 0.1, 0.2, 0.4, 0.8];
    let panel = |name: &str, scale: f64| {
        let mut curves = vec![
            profile("1/4", 0.25, 0.4 * scale, 0.9, &tried),
            profile("1/2", 0.5, 0.33 * scale, 0.7, &tried),
            profile("1", 1.0, 0.25 * scale, 0.55, &tried),
        ];
        curves[0].diverged = vec![1.6, 3.2];
        curves[1].diverged = vec![1.6];
        ProfilePanel { name: name.to_owned(), curves, ..ProfilePanel::default() }
    };
    let mut panels = vec![panel("XS", 1.0), panel("S", 0.8), panel("M", 0.7), panel("L", 0.5)];
    // At the edge, still running, left out, and without a fit.
    panels[3].curves[2].optimum = Some(ProfileOptimum { x: 0.05, y: 0.57, interval: None, edge: Some(Edge::Low) });
    panels[3].curves[2].fit.clear();
    panels[3].curves[1].points[4].2 = PointKind::Running;
    panels[2].curves[1].points[0].2 = PointKind::Excluded;
    ProfileFigure {
        words: Words::axes("Learning rate", "Held-out loss (nats)"),
        budget_label: "Epochs:".to_owned(),
        panels,
    }
}

/// Two families with learning rates far apart, one of them with fewer models.
fn rates_of_families() -> ProfileFigure {
    let panel = |name: &str, family: &str, from: f64, best: f64| {
        let tried: Vec<f64> = (0..4).map(|i| from * 2f64.powi(i)).collect();
        let curves = vec![profile("1/2", 0.5, best, 0.7, &tried), profile("1", 1.0, 0.8 * best, 0.55, &tried)];
        ProfilePanel { name: name.to_owned(), family: family.to_owned(), curves }
    };
    ProfileFigure {
        panels: vec![
            panel("S/16", "ViT", 5e-4, 1.5e-3),
            panel("F0", "NFNet", 0.1, 0.3),
            panel("F1", "NFNet", 0.1, 0.25),
        ],
        ..rates()
    }
}

fn isoflop() -> ProfileFigure {
    let curve = |i: i32| {
        let best = 2e7 * 10f64.powf(0.5 * f64::from(i));
        let sizes: Vec<f64> = (-3..4).map(|k| best * 2f64.powi(k)).collect();
        let compute = 10f64.powf(18.0 + f64::from(i));
        profile(&format!("10^{{{}}}", 18 + i).replace(['{', '}'], ""), compute, best, 3.4 - 0.35 * f64::from(i), &sizes)
    };
    ProfileFigure {
        words: Words::axes("Parameters", "Held-out loss (nats)"),
        panels: vec![ProfilePanel { curves: (0..4).map(curve).collect(), ..ProfilePanel::default() }],
        ..ProfileFigure::default()
    }
}

fn size_vs_compute() -> OptimumFigure {
    let point = |i: i32| {
        let x = 10f64.powi(17 + i);
        let y = 0.09 * x.powf(0.49) * [1.0, 1.1, 0.95, 1.02, 0.97][i as usize];
        OptimumPoint { x, y, interval: Some((y / 1.35, y * 1.3)), edge: (i == 4).then_some(Edge::High) }
    };
    let mut figure = OptimumFigure {
        words: Words::axes("Training compute (FLOPs)", "Optimal model size (parameters)"),
        series: vec![OptimumSeries { name: "isoFLOP".to_owned(), points: (0..5).map(point).collect() }],
        ..OptimumFigure::default()
    };
    let (low, high) = figure.x_range().expect("points");
    let at = |i: i32| {
        let x = low * (high / low).powf(f64::from(i) / 40.0);
        let y = 0.09 * x.powf(0.49);
        LawPoint { x, y, low: y / 1.2, high: y * 1.2 }
    };
    let label = "N = 0.09 C^0.49, exponent 0.49 [0.46, 0.53]".to_owned();
    figure.law =
        Some(Law { curve: (0..=40).map(at).collect(), data_range: (1e17, 1e20), label, family: String::new() });
    figure
}

fn residuals() -> ResidualsFigure {
    let series = |(index, name): (usize, &str)| {
        let point = |i: usize| {
            let x = 1e15 * 4f64.powi((i + index) as i32);
            let residual = [0.4, -0.9, 0.2, 0.7, -0.3, 1.1][(i + 2 * index) % 6];
            Residual { x, residual, held_back: x > 5e17 }
        };
        ResidualSeries { name: name.to_owned(), points: (0..5).map(point).collect() }
    };
    let band = |i: i32| {
        let x = 1e15 * 4f64.powf(f64::from(i) / 4.0);
        let half = 0.6 + 0.08 * (f64::from(i) - 12.0).abs();
        (x, -half, half)
    };
    ResidualsFigure {
        words: Words::axes("Training compute (FLOPs)", "Loss above the law (%)"),
        panels: vec![ResidualPanel {
            name: String::new(),
            series: ["XS", "S", "M", "L"].into_iter().enumerate().map(series).collect(),
            band: (0..=28).map(band).collect(),
            back_test: Some(BackTest {
                cut: 5e17,
                curve: (0..=28).map(|i| (band(i).0, 0.12 * (f64::from(i) - 12.0).powi(2) / 12.0 - 0.3)).collect(),
                label: "fitted without the 2 largest budgets: 1.2 % too high there".to_owned(),
            }),
        }],
    }
}

fn curves() -> CurvesFigure {
    let curve = |(index, name): (usize, &str)| {
        let scale = 1.0 + 0.12 * index as f64;
        let loss = |x: f64| 2.4 / scale * (1.0 + x / 3000.0).powf(-0.25) + 0.1;
        let noise = |i: i32| 1.0 + 0.03 * (f64::from(i * i) * 1.7 + index as f64).sin();
        let training = (1..=150).map(|i| (400.0 * f64::from(i), loss(400.0 * f64::from(i)) * noise(i)));
        let held_out = (1..=6).map(|i| (10_000.0 * f64::from(i), 1.03 * loss(10_000.0 * f64::from(i))));
        let part = [150, 150, 90, 20][index];
        let end = [CurveEnd::Finished, CurveEnd::Finished, CurveEnd::Running, CurveEnd::Diverged][index];
        let held_out = held_out.take(part / 25).collect();
        Curve { name: name.to_owned(), training: training.take(part).collect(), held_out, end }
    };
    CurvesFigure {
        words: Words::axes("Samples seen", "Loss (nats)"),
        series: ["XS", "S", "M", "L, lr 0.8"].into_iter().enumerate().map(curve).collect(),
    }
}

fn ledger() -> LedgerFigure {
    let device = |d: usize| {
        let hours = |day: usize| {
            let failed = if (d, day) == (2, 3) { 9.0 } else { 0.3 * (day % 2) as f64 };
            let repeated = 0.4 * ((d + day) % 3) as f64;
            let idle = if day == 6 { 12.0 } else { 0.5 };
            Hours { useful: 24.0 - failed - repeated - idle, repeated, failed, idle }
        };
        LedgerDevice { name: format!("gpu {d}"), hours: (0..7).map(hours).collect() }
    };
    LedgerFigure {
        words: Words::axes("Day", "Device hours"),
        days: (1..=7).map(|day| format!("2026-03-{day:02}")).collect(),
        devices: (0..4).map(device).collect(),
    }
}

#[test]
fn learning_rates_are_the_committed_ones() {
    check_golden("lr.svg", &rates().svg(&Style::paper()).expect("a figure"));
    check_golden("lr_families.svg", &rates_of_families().svg(&Style::paper()).expect("a figure"));
    check_golden("lr.csv", &rates().csv());
}

#[test]
fn isoflop_is_the_committed_one() {
    assert!(
        isoflop().svg(&Style::paper()).expect("a figure").contains("10<tspan dy=\"-22\" font-size=\"42.0\">18</tspan>")
    );
    check_golden("isoflop_dark.svg", &isoflop().svg(&Style::dark()).expect("a figure"));
    check_golden("isoflop.svg", &isoflop().svg(&Style::paper()).expect("a figure"));
}

#[test]
fn size_against_compute_is_the_committed_one() {
    check_golden("size.svg", &size_vs_compute().svg(&Style::paper()).expect("a figure"));
    check_golden("size.csv", &size_vs_compute().csv());
}

#[test]
fn residuals_are_the_committed_ones() {
    check_golden("residuals.svg", &residuals().svg(&Style::paper()).expect("a figure"));
    check_golden("residuals.csv", &residuals().csv());
}

#[test]
fn curves_are_the_committed_ones() {
    check_golden("curves.svg", &curves().svg(&Style::paper()).expect("a figure"));
    assert_eq!(curves().csv().lines().count(), 1 + 150 + 150 + 90 + 20 + 6 + 6 + 3);
}

#[test]
fn the_ledger_is_the_committed_one() {
    check_golden("ledger.svg", &ledger().svg(&Style::paper()).expect("a figure"));
    check_golden("ledger.csv", &ledger().csv());
}

#[test]
fn numbers_without_a_place_are_refused_by_name() {
    let mut figure = ledger();
    figure.devices[1].hours[2].failed = -1.0;
    let refusal = figure.svg(&Style::paper()).expect_err("negative hours").to_string();
    assert_eq!(refusal, "series \"gpu 1\", point 3: failed is not a number that can be drawn here");
    let mut figure = rates();
    figure.panels[0].curves[1].points[2].1 = 0.0;
    let refusal = figure.svg(&Style::paper()).expect_err("a loss of 0").to_string();
    assert!(refusal.starts_with("series \"XS 1/2\", point 3: y is 0;"), "{refusal}");
    let mut figure = residuals();
    figure.panels[0].series[0].points[0].residual = f64::NAN;
    assert!(figure.svg(&Style::paper()).is_err());
}
