//! What must hold for every figure, however odd its data: no text outside the canvas, none on top of other text.

use crate::chart::Chart;
use crate::geometry::Rect;
use crate::scene::{Anchor, Scene, Text};
use crate::text::{Level, width};
use crate::{
    BackTest, Curve, CurveEnd, CurvesFigure, Edge, Hours, Law, LawPoint, LedgerDevice, LedgerFigure, LrPoint, LrSeries,
    OptimalLrFigure, OptimumFigure, OptimumPoint, OptimumSeries, Point, PointKind, Profile, ProfileFigure,
    ProfileOptimum, ProfilePanel, Reference, Residual, ResidualPanel, ResidualSeries, ResidualsFigure, ScalingFigure,
    Series, Style, Words, lr_draw, scaling_draw,
};
use proptest::prelude::*;

/// The box that a text covers.
fn bounds(text: &Text) -> Rect {
    let length = width(&text.runs, text.size);
    let start = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -length / 2.0,
        Anchor::End => -length,
    };
    let raised = text.runs.iter().any(|run| run.level == Level::Super);
    let ascent = if raised { 0.86 } else { 0.74 } * text.size;
    let descent = 0.22 * text.size;
    match text.upwards {
        false => Rect::new(text.at.0 + start, text.at.1 - ascent, length, ascent + descent),
        true => Rect::new(text.at.0 - ascent, text.at.1 - start - length, ascent + descent, length),
    }
}

fn sound(scene: &Scene, style: &Style) -> Result<(), TestCaseError> {
    let sizes = style.sizes().expect("a sound style");
    let canvas = Rect::new(0.0, 0.0, sizes.width, sizes.height).grown(0.5);
    let boxes: Vec<Rect> = scene.texts.iter().map(|text| bounds(text).grown(-0.01 * text.size)).collect();
    for (i, a) in boxes.iter().enumerate() {
        prop_assert!(canvas.contains(a), "{:?} {a:?} leaves {canvas:?}", scene.texts[i].runs);
        for (j, b) in boxes.iter().enumerate().skip(i + 1) {
            prop_assert!(!a.overlaps(b), "{:?} {a:?} on {:?} {b:?}", scene.texts[i].runs, scene.texts[j].runs);
        }
    }
    Ok(())
}

fn sound_chart(chart: &Chart<'_>) -> Result<(), TestCaseError> {
    for given in [Style::paper(), Style::slides()] {
        chart.svg(&given).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (style, columns) = chart.fitted(&given);
        sound(&chart.scene(&style.sizes().expect("a sound style"), columns).expect("a scene"), &style)?;
    }
    Ok(())
}

fn kind() -> impl Strategy<Value = PointKind> {
    prop_oneof![
        4 => Just(PointKind::Finished),
        1 => Just(PointKind::Running),
        1 => Just(PointKind::Excluded),
        1 => Just(PointKind::Unverified),
    ]
}

/// Any number, most often one that a figure accepts.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![1 => any::<f64>(), 4 => (-100.0..100.0f64).prop_map(|e| 10f64.powf(e)), 2 => 0.1..1000.0f64]
}

/// The points of each series, between 0 and 1.
type Shape = Vec<Vec<(f64, f64)>>;

/// Lists of up to 20 series, most of them of few points, some of 500, on a coarse or fine grid from 0 to 1.
fn shape() -> impl Strategy<Value = Shape> {
    let points = |most: usize| prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..most);
    let lists = prop_oneof![
        8 => prop::collection::vec(points(12), 0..21),
        1 => prop::collection::vec(points(2), 1..3),
        1 => prop::collection::vec(points(501), 1..2),
    ];
    (lists, prop_oneof![Just(0.0), Just(0.1), Just(1.0)]).prop_map(|(lists, coarse): (Shape, f64)| {
        let snap = |v: f64| if coarse > 0.0 { (v / coarse).floor() * coarse } else { v };
        lists.iter().map(|points| points.iter().map(|(x, y)| (snap(*x), snap(*y))).collect()).collect()
    })
}

prop_compose! {
    /// Axes of any decades and some words around them.
    fn axes()(start in -5.0..20.0f64, decades in prop_oneof![Just(0.0), 0.0..0.9f64, 0.0..13.0f64], loss in 0.0..2.0f64,
        long in any::<bool>(), noted in any::<bool>()) -> Axes {
        Axes { start, decades, loss, long, noted }
    }
}

#[derive(Debug, Clone, Copy)]
struct Axes {
    start: f64,
    decades: f64,
    loss: f64,
    long: bool,
    noted: bool,
}

impl Axes {
    fn x(&self, share: f64) -> f64 {
        10f64.powf(self.start + self.decades * share)
    }

    fn y(&self, share: f64) -> f64 {
        2.0 * 10f64.powf(self.loss * share)
    }

    fn spot(&self, (x, y): &(f64, f64)) -> (f64, f64) {
        (self.x(*x), self.y(*y))
    }

    fn name(&self, i: usize) -> String {
        if self.long { format!("model {i} of a family with a very long name <&>") } else { format!("F{i}") }
    }

    fn family(&self, i: usize, families: usize) -> String {
        const NAMES: [&str; 3] = ["NFNet", "ViT", "a family of networks that has a long name as well"];
        if families == 0 { String::new() } else { NAMES[i % families].to_owned() }
    }

    fn words(&self) -> Words {
        Words {
            title: self
                .noted
                .then(|| "Held-out loss of a rather long list of models, against compute, with a title".to_owned()),
            notes: if self.noted { vec!["2 diverged runs left out".to_owned()] } else { Vec::new() },
            ..Words::axes("Training compute (FLOPs)", "Held-out loss (nats)")
        }
    }

    fn law(&self, (low, high): (f64, f64), family: String) -> Law {
        let at = |i: i32| {
            let x = low * (high / low).powf(f64::from(i) / 40.0);
            let y = 3.85 * (x / low).powf(-0.043);
            LawPoint { x, y, low: 0.9 * y, high: 1.1 * y }
        };
        let label = "L = 3.85 C^-0.043\nα = 0.043 [0.042, 0.044] (95 %)\nn = 12, R^2 = 0.995".to_owned();
        Law { curve: (0..=40).map(at).collect(), data_range: (low * 1.1, high * 0.9), label, family }
    }
}

prop_compose! {
    fn scaling()(
        axes in axes(), shape in shape(), kinds in prop::collection::vec(kind(), 1..9), families in 0..4usize,
        others in prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..5), 0..8), law in any::<bool>(),
    ) -> ScalingFigure {
        let point = |(i, at): (usize, &(f64, f64))| {
            let (x, y) = axes.spot(at);
            Point { x, y, budget: Some(2f64.powi(i as i32 % 8 - 3)), kind: kinds[i % kinds.len()] }
        };
        let series = shape.iter().enumerate().map(|(i, points)| Series {
            name: axes.name(i),
            family: axes.family(i, families),
            points: points.iter().enumerate().map(point).collect(),
        });
        let references = others.iter().enumerate().map(|(i, points)| Reference {
            name: if axes.long { format!("other work {i} with a name of its own that is long, too") } else { format!("ViT-{i}") },
            family: axes.family(i + 1, families),
            points: points.iter().map(|at| axes.spot(at)).collect(),
        });
        let (series, references) = (series.collect(), references.collect());
        let mut figure = ScalingFigure { words: axes.words(), series, references, laws: Vec::new() };
        if let Some(range) = figure.x_range().filter(|_| law) {
            figure.laws = (0..families.max(1)).map(|i| axes.law(range, axes.family(i, families))).collect();
        }
        figure
    }
}

prop_compose! {
    fn optimal_lr()(
        base in prop_oneof![Just(0.4), Just(0.1), Just(1e-4), 1e-6..10.0f64], families in 0..4usize, axes in axes(),
        shape in prop::collection::vec(prop::collection::vec((-3..8i32, -3..4i32, any::<Option<bool>>(), any::<bool>()), 0..8), 0..24),
    ) -> OptimalLrFigure {
        let series = shape.iter().enumerate().map(|(i, points)| LrSeries {
            name: axes.name(i),
            family: axes.family(i, families),
            points: points.iter().map(|(epochs, lr, edge, interval)| {
                let lr = base * 2f64.powi(*lr);
                LrPoint {
                    epochs: 2f64.powi(*epochs),
                    lr,
                    interval: interval.then_some((0.7 * lr, 1.5 * lr)),
                    edge: edge.map(|low| if low { Edge::Low } else { Edge::High }),
                }
            }).collect(),
        }).collect();
        OptimalLrFigure { words: axes.words(), series }
    }
}

prop_compose! {
    /// Panels of curves, or one panel whose curves have names.
    fn profiles()(axes in axes(), shape in prop::collection::vec(shape(), 0..14), named in any::<bool>(), kind in kind()) -> ProfileFigure {
        let profile = |(i, points): (usize, &Vec<(f64, f64)>)| Profile {
            name: axes.name(i),
            budget: 2f64.powi(i as i32),
            points: points.iter().map(|at| axes.spot(at)).map(|(x, y)| (x, y, kind)).collect(),
            diverged: points.iter().take(3).map(|at| axes.spot(at).0).collect(),
            fit: if i % 2 == 0 { (0..20).map(|k| axes.spot(&(0.05 * f64::from(k), 0.3))).collect() } else { Vec::new() },
            optimum: points.first().map(|at| axes.spot(at)).map(|(x, y)| ProfileOptimum {
                x,
                y,
                interval: (i % 3 == 0).then_some((0.8 * x, 1.3 * x)),
                edge: (i % 4 == 1).then_some(Edge::High),
            }),
        };
        let panel = |(i, curves): (usize, &Shape)| ProfilePanel {
            name: axes.name(i),
            // Columns of families, some of them shorter.
            family: if shape.len().is_multiple_of(2) { format!("{}", i % 3) } else { String::new() },
            curves: curves.iter().take(9).enumerate().map(profile).collect(),
        };
        let panels: Vec<ProfilePanel> = shape.iter().enumerate().map(panel).collect();
        ProfileFigure {
            words: axes.words(),
            budget_label: if named { String::new() } else { "Epochs:".to_owned() },
            panels: if named { panels.into_iter().take(1).collect() } else { panels },
        }
    }
}

prop_compose! {
    fn optima()(axes in axes(), shape in shape(), law in any::<bool>(), edge in any::<Option<bool>>()) -> OptimumFigure {
        let point = |at: &(f64, f64)| {
            let (x, y) = axes.spot(at);
            let edge = edge.map(|low| if low { Edge::Low } else { Edge::High });
            OptimumPoint { x, y, interval: Some((0.8 * y, 1.2 * y)), edge }
        };
        let series = shape.iter().enumerate().map(|(i, points)| OptimumSeries {
            name: axes.name(i),
            points: points.iter().map(point).collect(),
        });
        let mut figure = OptimumFigure { words: axes.words(), series: series.collect(), law: None };
        figure.law = figure.x_range().filter(|_| law).map(|range| axes.law(range, String::new()));
        figure
    }
}

prop_compose! {
    fn residuals()(axes in axes(), panels in prop::collection::vec((shape(), any::<bool>()), 0..4)) -> ResidualsFigure {
        let residual = |(i, (x, y)): (usize, &(f64, f64))| Residual { x: axes.x(*x), residual: 5.0 * (y - 0.5), held_back: i % 2 == 0 };
        let several = panels.len() > 1;
        let panel = |(i, (shape, tested)): (usize, &(Shape, bool))| ResidualPanel {
            name: if several { axes.family(i, 3) } else { String::new() },
            series: shape.iter().enumerate().map(|(k, points)| ResidualSeries {
                name: axes.name(k),
                points: points.iter().enumerate().map(residual).collect(),
            }).collect(),
            band: (0..10).map(|k| (axes.x(0.1 * f64::from(k)), -2.0, 2.0)).collect(),
            back_test: tested.then(|| BackTest {
                cut: axes.x(0.7),
                curve: (0..10).map(|k| (axes.x(0.1 * f64::from(k)), 0.3 * f64::from(k))).collect(),
                label: "fitted without the 3 largest budgets: 12.3 % too high there".to_owned(),
            }),
        };
        ResidualsFigure { words: axes.words(), panels: panels.iter().enumerate().map(panel).collect() }
    }
}

prop_compose! {
    fn curves()(axes in axes(), shape in shape()) -> CurvesFigure {
        let curve = |(i, points): (usize, &Vec<(f64, f64)>)| {
            let spots: Vec<(f64, f64)> = points.iter().map(|at| axes.spot(at)).collect();
            let held_out = spots.iter().step_by(3).copied().collect();
            let end = [CurveEnd::Finished, CurveEnd::Running, CurveEnd::Diverged][i % 3];
            Curve { name: axes.name(i), training: spots, held_out, end }
        };
        CurvesFigure { words: axes.words(), series: shape.iter().enumerate().map(curve).collect() }
    }
}

prop_compose! {
    fn ledger()(axes in axes(), shape in shape(), days in 1..91u32) -> LedgerFigure {
        let device = |(i, points): (usize, &Vec<(f64, f64)>)| LedgerDevice {
            name: axes.name(i),
            hours: points.iter().map(|(x, y)| Hours { useful: axes.y(*x), repeated: *y, failed: *x, idle: axes.y(*y) }).collect(),
        };
        LedgerFigure {
            words: axes.words(),
            days: (0..days).map(|day| format!("2026-{:02}-{:02}", 1 + day / 28, 1 + day % 28)).collect(),
            devices: shape.iter().enumerate().map(device).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn text_of_a_scaling_figure_never_collides(figure in scaling()) {
        for style in [Style::paper(), Style::slides()] {
            figure.svg(&style).map_err(|error| TestCaseError::fail(error.to_string()))?;
            sound(&scaling_draw::scene(&figure, &style.sizes().expect("a sound style")).expect("a scene"), &style)?;
        }
    }

    #[test]
    fn text_of_a_learning_rate_figure_never_collides(figure in optimal_lr()) {
        for style in [Style::paper(), Style::slides()] {
            figure.svg(&style).map_err(|error| TestCaseError::fail(error.to_string()))?;
            sound(&lr_draw::scene(&figure, &style.sizes().expect("a sound style")).expect("a scene"), &style)?;
        }
    }

    #[test]
    fn text_of_profiles_never_collides(figure in profiles()) {
        sound_chart(&figure.chart())?;
    }

    #[test]
    fn text_of_optima_never_collides(figure in optima()) {
        sound_chart(&figure.chart())?;
    }

    #[test]
    fn text_of_residuals_never_collides(figure in residuals()) {
        figure.svg(&Style::dark()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        sound_chart(&figure.chart())?;
    }

    #[test]
    fn text_of_curves_never_collides(figure in curves()) {
        sound_chart(&figure.chart())?;
    }

    #[test]
    fn text_of_a_ledger_never_collides(figure in ledger()) {
        sound_chart(&figure.chart())?;
    }

    #[test]
    fn no_number_makes_a_figure_panic(x in number(), y in number(), budget in number(), size in number()) {
        let points = vec![Point { x, y, budget: Some(budget), kind: PointKind::Finished }];
        let curve = vec![LawPoint { x: y, y: x, low: budget, high: y }, LawPoint { x, y: 1.0, low: y, high: x }];
        let law = Law { curve, data_range: (x, y), label: "L".to_owned(), family: String::new() };
        let figure = ScalingFigure {
            series: vec![Series { name: "F0".to_owned(), points, ..Series::default() }],
            references: vec![Reference { name: "other".to_owned(), points: vec![(budget, size)], ..Reference::default() }],
            laws: vec![law.clone()],
            ..ScalingFigure::default()
        };
        let _ = figure.svg(&Style::paper());
        let _ = figure.svg(&Style { width_mm: size, text_pt: x, ..Style::paper() });
        let _ = figure.csv();
        let points = vec![LrPoint { epochs: x, lr: y, interval: Some((budget, size)), edge: Some(Edge::High) }];
        let series = vec![LrSeries { name: "F0".to_owned(), points, ..LrSeries::default() }];
        let _ = OptimalLrFigure { series, ..OptimalLrFigure::default() }.svg(&Style::paper());
        let points = vec![OptimumPoint { x, y, interval: Some((budget, size)), edge: None }];
        let series = vec![OptimumSeries { name: "F0".to_owned(), points }];
        let _ = OptimumFigure { series, law: Some(law), ..OptimumFigure::default() }.svg(&Style::paper());
        let points = vec![Residual { x, residual: y, held_back: false }];
        let panel = ResidualPanel {
            series: vec![ResidualSeries { name: "F0".to_owned(), points }],
            band: vec![(x, y, size), (budget, x, y)],
            back_test: Some(BackTest { cut: budget, curve: vec![(x, y), (size, budget)], ..BackTest::default() }),
            ..ResidualPanel::default()
        };
        let _ = ResidualsFigure { panels: vec![panel], ..ResidualsFigure::default() }.svg(&Style::paper());
        let curve = Profile { budget, points: vec![(x, y, PointKind::Running)], fit: vec![(y, x), (x, size)], ..Profile::default() };
        let panels = vec![ProfilePanel { curves: vec![curve], ..ProfilePanel::default() }];
        let _ = ProfileFigure { panels, ..ProfileFigure::default() }.svg(&Style::paper());
        let curve = Curve { training: vec![(x, y), (budget, size)], ..Curve::default() };
        let _ = CurvesFigure { series: vec![curve], ..CurvesFigure::default() }.svg(&Style::paper());
    }
}
