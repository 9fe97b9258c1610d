//! What must hold for single figures: what is refused, how kinds of points differ, what an SVG and a PNG are.

use crate::scene::Shape;
use crate::{Error, Law, LawPoint, Point, PointKind, Reference, ScalingFigure, Series, Style, png, scaling_draw};

fn one(x: f64, y: f64) -> ScalingFigure {
    let points = vec![
        Point { x: 1.0, y: 2.0, budget: Some(1.0), kind: PointKind::Finished },
        Point { x, y, budget: Some(1.0), kind: PointKind::Finished },
    ];
    let series = vec![Series { name: "F3+".to_owned(), points, ..Series::default() }];
    ScalingFigure { series, ..ScalingFigure::default() }
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
    figure.laws = vec![Law { curve, data_range: (1.0, 2.0), label: "L".to_owned(), family: String::new() }];
    assert!(matches!(figure.svg(&Style::paper()), Err(Error::Law { point: 1, field: "low", .. })));
}

#[test]
fn references_are_checked_written_and_told_apart_from_points() {
    let mut figure = one(1e3, 2.5);
    figure.series[0].points[1].kind = PointKind::Excluded;
    figure.references = vec![
        Reference { name: "ViT-G/14".to_owned(), points: vec![(2e4, 1.5)], ..Reference::default() },
        Reference { name: "others".to_owned(), points: vec![(1e4, 3.0), (0.5, 4.0)], ..Reference::default() },
    ];
    assert!(
        figure.csv().ends_with(
            "reference,ViT-G/14,20000,1.5,,,,,\nreference,others,10000,3,,,,,\nreference,others,0.5,4,,,,,\n"
        )
    );
    let (low, high) = figure.x_range().expect("points");
    assert!(low < 0.5 && high > 2e4, "{low} to {high}");
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(svg.contains("References, hollow: ViT-G/14, others."), "{svg}");
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
    let curve = vec![point(1.0), point(1e3)];
    figure.laws = vec![Law { curve, data_range: (1e-90, 1e90), label: "L".to_owned(), family: String::new() }];
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
    figure.words.title = Some("a & b < c".to_owned());
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

#[test]
fn families_have_a_hue_a_shape_and_a_law_each() {
    let series = |name: &str, family: &str, scale: f64| {
        let point = |i: i32| Point {
            x: 10f64.powi(15 + i),
            y: scale * 10f64.powf(-0.1 * f64::from(i)),
            budget: Some(2f64.powi(i)),
            kind: PointKind::Finished,
        };
        Series { name: name.to_owned(), family: family.to_owned(), points: (0..4).map(point).collect() }
    };
    let law = |family: &str, scale: f64| {
        let at = |i: i32| {
            let y = scale * 10f64.powf(-0.1 * f64::from(i));
            LawPoint { x: 10f64.powi(15 + i), y, low: 0.97 * y, high: 1.03 * y }
        };
        let label = format!("L = {scale} C^-0.100");
        Law { curve: (0..4).map(at).collect(), data_range: (1e15, 1e18), label, family: family.to_owned() }
    };
    let mut figure = ScalingFigure {
        series: vec![series("S", "NFNet", 3.0), series("M", "NFNet", 2.9), series("Ti", "ViT", 4.0)],
        laws: vec![law("NFNet", 2.9), law("ViT", 4.0)],
        ..ScalingFigure::default()
    };
    let svg = figure.svg(&Style::paper()).expect("a figure");
    for part in
        [">NFNet</text>", ">ViT</text>", "Families, by hue and shape: NFNet, ViT.", "law of ViT: L = 4 C^-0.100"]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert!(figure.csv().contains("point,Ti,1e15,4,,,1,finished,ViT\n"), "{}", figure.csv());
    // Without a law a family still has its name in the key; alone it needs none.
    figure.laws.pop();
    assert!(figure.svg(&Style::paper()).expect("a figure").contains(">ViT</text>"));
    figure.series.pop();
    assert!(!figure.svg(&Style::paper()).expect("a figure").contains(">NFNet</text>"));
}

#[test]
fn references_of_another_family_stand_out_among_ordered_models() {
    let mut figure = one(1e3, 2.5);
    figure.series[0].family = "NFNet".to_owned();
    let reference = |name: &str, family: &str, x: f64| Reference {
        name: name.to_owned(),
        family: family.to_owned(),
        points: vec![(x, 1.5)],
    };
    figure.references = vec![reference("F7+ with RA", "NFNet", 1e4), reference("ViT-G/14", "ViT", 2e4)];
    let sizes = Style::paper().sizes().expect("a sound style");
    let scene = scaling_draw::scene(&figure, &sizes).expect("a scene");
    let star = |shape: &&Shape| matches!(shape, Shape::Marker { corners: Some(c), .. } if c.len() == 10);
    // The reference and its family in the key.
    assert_eq!(scene.shapes.iter().filter(star).count(), 2);
    let svg = figure.svg(&Style::paper()).expect("a figure");
    assert!(svg.contains(">ViT</text>") && svg.contains(">NFNet</text>"), "{svg}");
}
