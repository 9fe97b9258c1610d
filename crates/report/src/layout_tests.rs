//! What must hold for every figure, however odd its data: no text outside the canvas, none on top of other text.

use crate::geometry::Rect;
use crate::scene::{Anchor, Scene, Shape, Text};
use crate::text::{Level, width};
use crate::{
    Edge, Error, Hours, Law, LawPoint, LedgerDevice, LedgerFigure, LrPoint, LrSeries, OptimalLrFigure, Point,
    PointKind, Profile, ProfileFigure, ProfilePanel, Reference, ScalingFigure, Series, Style, lr_draw, png,
    scaling_draw,
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

fn sound_scaling(figure: &ScalingFigure, style: &Style) -> Result<(), TestCaseError> {
    figure.svg(style).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let scene = scaling_draw::scene(figure, &style.sizes().expect("a sound style")).expect("a scene");
    sound(&scene, style)
}

fn kind() -> impl Strategy<Value = PointKind> {
    prop_oneof![4 => Just(PointKind::Finished), 1 => Just(PointKind::Running), 1 => Just(PointKind::Excluded)]
}

/// Any number, most often one that a figure accepts.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![1 => any::<f64>(), 4 => (-100.0..100.0f64).prop_map(|e| 10f64.powf(e)), 2 => 0.1..1000.0f64]
}

prop_compose! {
    fn scaling()(
        start in -5.0..20.0f64, decades in 0.0..13.0f64, loss in 0.0..2.0f64,
        shape in prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.0..1.0f64, -3..5i32, kind()), 0..12), 0..24),
        others in prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..5), 0..8),
        long in any::<bool>(), law in any::<bool>(), noted in any::<bool>(),
    ) -> ScalingFigure {
        let series = shape.iter().enumerate().map(|(i, points)| Series {
            name: if long { format!("model {i} of a family with a very long name <&>") } else { format!("F{i}") },
            points: points.iter().map(|(x, y, budget, kind)| Point {
                x: 10f64.powf(start + decades * x),
                y: 2.0 * 10f64.powf(loss * y),
                budget: Some(2f64.powi(*budget)),
                kind: *kind,
            }).collect(),
        }).collect();
        let references = others.iter().enumerate().map(|(i, points)| Reference {
            name: if long { format!("other work {i} with a name of its own that is long, too") } else { format!("ViT-{i}") },
            points: points.iter().map(|(x, y)| (10f64.powf(start + decades * x), 2.0 * 10f64.powf(loss * y))).collect(),
        }).collect();
        let mut figure = ScalingFigure {
            title: noted.then(|| "Held-out loss of a rather long list of models, against compute, with a title".to_owned()),
            x_label: "Training compute (FLOPs)".to_owned(),
            y_label: "Held-out loss (nats)".to_owned(),
            series,
            references,
            law: None,
            notes: if noted { vec!["2 diverged runs left out".to_owned()] } else { Vec::new() },
        };
        let range = figure.x_range().filter(|_| law);
        figure.law = range.map(|(low, high)| Law {
            curve: (0..=40).map(|i| {
                let x = low * (high / low).powf(f64::from(i) / 40.0);
                let y = 3.85 * (x / low).powf(-0.043);
                LawPoint { x, y, low: 0.9 * y, high: 1.1 * y }
            }).collect(),
            data_range: (low * 1.1, high * 0.9),
            label: "L = 3.85 C^-0.043, α = 0.043 ± 0.001 (95 %), n = 12, R^2 0.995".to_owned(),
        });
        figure
    }
}

prop_compose! {
    fn optimal_lr()(
        base in prop_oneof![Just(0.4), Just(0.1), Just(1e-4), 1e-6..10.0f64],
        shape in prop::collection::vec(prop::collection::vec((-3..8i32, -3..4i32, any::<Option<bool>>(), any::<bool>()), 0..8), 0..24),
    ) -> OptimalLrFigure {
        let series = shape.iter().enumerate().map(|(i, points)| LrSeries {
            name: format!("F{i}"),
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
        OptimalLrFigure {
            title: None,
            x_label: "Training epochs".to_owned(),
            y_label: "Optimal learning rate".to_owned(),
            series,
            notes: Vec::new(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn text_of_a_scaling_figure_never_collides(figure in scaling()) {
        sound_scaling(&figure, &Style::paper())?;
        sound_scaling(&figure, &Style::slides())?;
    }

    #[test]
    fn text_of_a_learning_rate_figure_never_collides(figure in optimal_lr()) {
        for style in [Style::paper(), Style::slides()] {
            figure.svg(&style).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let scene = lr_draw::scene(&figure, &style.sizes().expect("a sound style")).expect("a scene");
            sound(&scene, &style)?;
        }
    }

    #[test]
    fn text_of_panels_never_collides(
        base in 1e-6..1e6f64, decades in 0.0..9.0f64, long in any::<bool>(),
        shape in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 0..5), 0..9), 0..14),
    ) {
        let name = |i: usize| if long { format!("model {i} of a family with a very long name <&>") } else { format!("F{i}") };
        let spot = |(x, y): &(f64, f64)| (base * 10f64.powf(decades * x), 1.0 + y);
        let profile = |(i, points): (usize, &Vec<(f64, f64)>)| Profile {
            name: name(i),
            budget: 2f64.powi(i as i32),
            points: points.iter().map(spot).map(|(x, y)| (x, y, PointKind::Finished)).collect(),
            diverged: points.iter().map(|point| spot(point).0).collect(),
            ..Profile::default()
        };
        let panel = |(i, curves): (usize, &Vec<Vec<(f64, f64)>>)| ProfilePanel {
            name: name(i),
            curves: curves.iter().enumerate().map(profile).collect(),
        };
        let mut rates = ProfileFigure {
            x_label: "Learning rate".to_owned(),
            y_label: "Held-out loss (nats)".to_owned(),
            budget_label: if long { "Epochs:".to_owned() } else { String::new() },
            panels: shape.iter().enumerate().map(panel).collect(),
            ..ProfileFigure::default()
        };
        let device = |(i, curves): (usize, &Vec<Vec<(f64, f64)>>)| LedgerDevice {
            name: name(i),
            hours: curves.iter().map(|hours| Hours { useful: base * hours.len() as f64, ..Hours::default() }).collect(),
        };
        let ledger = LedgerFigure {
            x_label: "Day".to_owned(),
            y_label: "Device hours".to_owned(),
            days: (1..9).map(|day| format!("2026-03-{day:02}")).collect(),
            devices: shape.iter().enumerate().map(device).collect(),
            ..LedgerFigure::default()
        };
        for given in [Style::paper(), Style::slides()] {
            for chart in [rates.chart(), ledger.chart()] {
                chart.svg(&given).map_err(|error| TestCaseError::fail(error.to_string()))?;
                let (style, columns) = chart.fitted(&given);
                sound(&chart.scene(&style.sizes().expect("a sound style"), columns).expect("a scene"), &style)?;
            }
        }
        rates.panels.truncate(1);
        sound(&rates.chart().scene(&Style::paper().sizes().expect("a sound style"), 1).expect("a scene"), &Style::paper())?;
    }

    #[test]
    fn no_number_makes_a_figure_panic(x in number(), y in number(), budget in number(), size in number()) {
        let points = vec![Point { x, y, budget: Some(budget), kind: PointKind::Finished }];
        let curve = vec![LawPoint { x: y, y: x, low: budget, high: y }, LawPoint { x, y: 1.0, low: y, high: x }];
        let figure = ScalingFigure {
            series: vec![Series { name: "F0".to_owned(), points }],
            references: vec![Reference { name: "other".to_owned(), points: vec![(budget, size)] }],
            law: Some(Law { curve, data_range: (x, y), label: "L".to_owned() }),
            ..ScalingFigure::default()
        };
        let _ = figure.svg(&Style::paper());
        let _ = figure.svg(&Style { width_mm: size, text_pt: x, ..Style::paper() });
        let _ = figure.csv();
        let points = vec![LrPoint { epochs: x, lr: y, interval: Some((budget, size)), edge: Some(Edge::High) }];
        let series = vec![LrSeries { name: "F0".to_owned(), points }];
        let _ = OptimalLrFigure { series, ..OptimalLrFigure::default() }.svg(&Style::paper());
    }
}

fn one(x: f64, y: f64) -> ScalingFigure {
    let points = vec![
        Point { x: 1.0, y: 2.0, budget: Some(1.0), kind: PointKind::Finished },
        Point { x, y, budget: Some(1.0), kind: PointKind::Finished },
    ];
    ScalingFigure { series: vec![Series { name: "F3+".to_owned(), points }], ..ScalingFigure::default() }
}

#[test]
fn an_impossible_number_is_named() {
    let error = one(1e3, -2.5).svg(&Style::paper()).expect_err("a negative loss");
    let expected = "series \"F3+\", point 2: y is -2.5; a logarithmic axis needs a number between 1e-100 and 1e100";
    assert_eq!(error.to_string(), expected);
    for (x, y) in [(f64::NAN, 1.0), (0.0, 1.0), (1.0, f64::INFINITY), (1.0, 0.0)] {
        assert!(matches!(one(x, y).svg(&Style::paper()), Err(Error::Point { point: 2, .. })), "{x} {y}");
    }
    let mut figure = one(1e3, 2.5);
    let curve = vec![LawPoint { x: 1.0, y: 2.0, low: f64::NAN, high: 3.0 }];
    figure.law = Some(Law { curve, data_range: (1.0, 2.0), label: "L".to_owned() });
    assert!(matches!(figure.svg(&Style::paper()), Err(Error::Law { point: 1, field: "low", .. })));
}

#[test]
fn references_are_checked_written_and_told_apart_from_points() {
    let mut figure = one(1e3, 2.5);
    figure.series[0].points[1].kind = PointKind::Excluded;
    figure.references = vec![
        Reference { name: "ViT-G/14".to_owned(), points: vec![(2e4, 1.5)] },
        Reference { name: "others".to_owned(), points: vec![(1e4, 3.0), (0.5, 4.0)] },
    ];
    assert!(
        figure
            .csv()
            .ends_with("reference,ViT-G/14,20000,1.5,,,,\nreference,others,10000,3,,,,\nreference,others,0.5,4,,,,\n")
    );
    let (low, high) = figure.x_range().expect("points");
    assert!(low < 0.5 && high > 2e4, "{low} to {high}");
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(svg.contains("References in grey: ViT-G/14, others."), "{svg}");
    assert!(svg.contains(">Grey markers without a name: left out of the fit.</text>"), "{svg}");
    assert!(
        svg.contains("fill=\"#606060\">ViT-G/14</text>") && svg.contains("fill=\"#606060\">others</text>"),
        "{svg}"
    );
    let sizes = Style::paper().sizes().expect("a sound style");
    let scene = scaling_draw::scene(&figure, &sizes).expect("a scene");
    let stars =
        scene.shapes.iter().filter(|shape| matches!(shape, Shape::Marker { corners: Some(c), .. } if c.len() == 10));
    assert_eq!(stars.count(), 1);
    figure.references[1].points[1].1 = 0.0;
    let expected = "series \"others\", point 2: y is 0; a logarithmic axis needs a number between 1e-100 and 1e100";
    assert_eq!(figure.svg(&Style::paper()).expect_err("an error of 0").to_string(), expected);
}

#[test]
fn a_band_far_outside_the_axes_is_cut_off() {
    let mut figure = one(1e3, 2.5);
    let point = |x| LawPoint { x, y: 2.2, low: 1e-99, high: 1e99 };
    figure.law = Some(Law { curve: vec![point(1.0), point(1e3)], data_range: (1e-90, 1e90), label: "L".to_owned() });
    figure.svg(&Style::paper()).expect("a figure");
}

#[test]
fn an_impossible_style_is_named() {
    let style = Style { height_mm: 4.0, ..Style::paper() };
    assert!(matches!(one(1e3, 2.5).svg(&style), Err(Error::Style { field: "height_mm", .. })));
    let style = Style { width_mm: 30.0, text_pt: 40.0, small_pt: 40.0, ..Style::paper() };
    assert_eq!(one(1e3, 2.5).svg(&style), Err(Error::NoRoom));
}

#[test]
fn names_cannot_break_out_of_the_svg() {
    let mut figure = one(1e3, 2.5);
    figure.series[0].name = "</text><script>\"&'".to_owned();
    figure.title = Some("a & b < c".to_owned());
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;&#39;</text>"), "{svg}");
    assert!(svg.contains("<title>a &amp; b &lt; c</title>") && !svg.contains("<script"));
    png(&svg, 1.0).expect("well-formed XML");
}

#[test]
fn a_png_has_the_size_of_the_paper() {
    let svg = one(1e3, 2.5).svg(&Style::paper()).expect("a figure");
    let picture = png(&svg, 4.0).expect("a picture");
    let pixels = resvg::tiny_skia::Pixmap::decode_png(&picture).expect("a readable PNG");
    // 89 x 66 mm at 4 x 96 pixels per inch.
    assert_eq!((pixels.width(), pixels.height()), (1346, 998));
    let ink = |pixel: &resvg::tiny_skia::PremultipliedColorU8| pixel.red() < 128;
    assert!(pixels.pixels().iter().filter(|pixel| ink(pixel)).count() > 3000);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e6] {
        assert!(matches!(png(&svg, scale), Err(Error::Png(_))), "{scale}");
    }
    assert!(matches!(png("no svg", 1.0), Err(Error::Png(_))));
}
