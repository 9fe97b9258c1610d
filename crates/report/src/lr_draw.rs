//! How [`OptimalLrFigure`] looks.

use crate::frame::{Axis, Frame, Kind, Spec, range};
use crate::geometry::{Obstacles, Rect, Spot};
use crate::key::{Entry, Key, Sample};
use crate::labels::{self, End, Label, Room};
use crate::layer::{Ink, Look};
use crate::lr::{Edge, LrPoint, OptimalLrFigure};
use crate::marks::{WHITE, corners, reach};
use crate::palette::{Palette, Tint};
use crate::scaling_draw::draw_labels;
use crate::scene::{Anchor, Pen, Scene, Shape, Text};
use crate::style::{PER_PT, Sizes};
use crate::text::plain;
use crate::ticks::Notation;
use crate::{Error, Style};

const AIR: f64 = 0.06;
/// Length of the arrow at an optimum at the edge of the grid, from the middle of its marker, relative to small text.
const ARROW: f64 = 1.3;

/// The figure as SVG.
pub(crate) fn svg(figure: &OptimalLrFigure, style: &Style) -> Result<String, Error> {
    let sizes = style.sizes()?;
    let scene = scene(figure, &sizes)?;
    scene.svg(style, &sizes, &figure.words.heading(), &description(figure))
}

/// Everything at its place.
pub(crate) fn scene(figure: &OptimalLrFigure, sizes: &Sizes) -> Result<Scene, Error> {
    let words = figure.words.with(notes(figure));
    let families: Vec<&str> = figure.series.iter().map(|series| series.family.as_str()).collect();
    let palette = Palette::of_families(&families, &[]);
    let key = Key::lay_out(&key(&palette), sizes);
    let points = || figure.series.iter().flat_map(|series| &series.points);
    let ends = |p: &LrPoint| [p.lr, p.interval.map_or(p.lr, |i| i.0), p.interval.map_or(p.lr, |i| i.1)];
    let x = range(points().map(|point| point.epochs), AIR).unwrap_or((0.5, 8.0));
    let y = range(points().flat_map(ends), if points().any(|p| p.edge.is_some()) { 0.14 } else { 0.1 });
    let y = y.unwrap_or((0.5, 8.0));
    let lrs: Vec<f64> = points().map(|point| point.lr).collect();
    let names = figure.series.iter().filter(|series| !series.points.is_empty()).map(|series| series.name.as_str());
    let spec = Spec {
        words: &words,
        x: Axis { range: x, kind: Kind::Doublings { anchor: 1.0, notation: Notation::Fraction } },
        columns: &[],
        y: Axis { range: y, kind: lr_ticks(&lrs, y) },
        right: labels::column_width(names, sizes.small, sizes.width),
        strip: key.height,
    };
    let frame = Frame::lay_out(&spec, sizes)?;
    let lines = lines(figure, &frame, sizes);

    let mut scene = Scene::default();
    frame.draw(&mut scene, sizes);
    key.draw((frame.strip.x0, frame.strip.y0), &palette, &mut scene, sizes);
    draw_labels(&names_at_ends(figure, &palette, &lines, &frame, sizes), &palette, &mut scene, sizes);
    for (i, line) in lines.iter().enumerate() {
        if line.len() > 1 {
            let spots = line.iter().map(|(spot, _)| *spot).collect();
            scene.line(spots, Pen::new(palette.color(i), sizes.line));
        }
    }
    for (i, line) in lines.iter().enumerate() {
        for (spot, point) in line {
            draw_point(i, &palette, *spot, point, &frame, &mut scene, sizes);
        }
    }
    if lines.iter().all(Vec::is_empty) {
        let middle = ((frame.plot.x0 + frame.plot.x1) / 2.0, (frame.plot.y0 + frame.plot.y1) / 2.0);
        scene.texts.push(Text::centered(plain("no points yet"), middle, sizes.text, Anchor::Middle));
    }
    Ok(scene)
}

/// The points of every series from left to right, each with its place.
fn lines<'a>(figure: &'a OptimalLrFigure, frame: &Frame, sizes: &Sizes) -> Vec<Vec<(Spot, &'a LrPoint)>> {
    let mut lines: Vec<Vec<(Spot, &LrPoint)>> = figure
        .series
        .iter()
        .map(|series| series.points.iter().map(|point| (frame.at(point.epochs, point.lr), point)).collect())
        .collect();
    for line in &mut lines {
        line.sort_by(|a, b| a.1.epochs.total_cmp(&b.1.epochs).then(a.1.lr.total_cmp(&b.1.lr)));
    }
    // Shifted by about a marker's width, all lines and intervals can be seen. Where there are intervals the rates are
    // read off the axis, so the shift is sideways only.
    let count = lines.len() as f64;
    let step = (1.3 * radius(sizes)).min(0.1 * frame.plot.height() / count);
    let (right, up) = match shift(figure) {
        Shift::None => (0.0, 0.0),
        Shift::Sideways => (step, 0.0),
        Shift::Diagonal => (step, step),
    };
    for (i, line) in lines.iter_mut().enumerate() {
        let place = i as f64 - (count - 1.0) / 2.0;
        for (spot, _) in line {
            *spot = (spot.0 + place * right, spot.1 - place * up);
        }
    }
    lines
}

/// How far lines are shifted from each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shift {
    None,
    Sideways,
    Diagonal,
}

fn shift(figure: &OptimalLrFigure) -> Shift {
    let intervals = figure.series.iter().filter(|series| series.points.iter().any(|point| point.interval.is_some()));
    match (intervals.count() > 1, coincide(figure)) {
        (true, _) => Shift::Sideways,
        (false, true) => Shift::Diagonal,
        (false, false) => Shift::None,
    }
}

/// Whether two series have a point at the same place: models often share an optimum.
fn coincide(figure: &OptimalLrFigure) -> bool {
    let close = |a: f64, b: f64| (a / b).log2().abs() < 0.02;
    figure.series.iter().enumerate().any(|(i, series)| {
        let others = || figure.series[i + 1..].iter().flat_map(|other| &other.points);
        series.points.iter().any(|a| others().any(|b| close(a.epochs, b.epochs) && close(a.lr, b.lr)))
    })
}

fn names_at_ends(
    figure: &OptimalLrFigure,
    palette: &Palette,
    lines: &[Vec<(Spot, &LrPoint)>],
    frame: &Frame,
    sizes: &Sizes,
) -> Vec<Label> {
    let reach = |series: usize| reach(palette.shape(series), radius(sizes));
    let mut obstacles = Obstacles::default();
    let mut ends = Vec::new();
    for (i, (series, line)) in figure.series.iter().zip(lines).enumerate() {
        obstacles.add_line(&line.iter().map(|(spot, _)| *spot).collect::<Vec<_>>());
        obstacles.boxes.extend(line.iter().map(|(spot, _)| Rect::around(*spot, reach(i))));
        for (spot, point) in line {
            obstacles.segments.extend(bar(*spot, point, frame));
            obstacles.segments.extend(point.edge.map(|edge| (*spot, arrow_tip(*spot, edge, sizes))));
        }
        if let Some((at, _)) = line.last() {
            ends.push(End { name: series.name.clone(), at: *at, reach: reach(i), series: i, left: false });
        }
    }
    labels::place(&ends, &obstacles, &Room::of(frame, sizes), sizes.small)
}

fn draw_point(
    index: usize,
    palette: &Palette,
    spot: Spot,
    point: &LrPoint,
    frame: &Frame,
    scene: &mut Scene,
    sizes: &Sizes,
) {
    let (color, radius) = (palette.color(index), radius(sizes));
    let pen = Pen::new(color, 0.7 * sizes.line);
    if let Some((low, high)) = bar(spot, point, frame) {
        scene.line(vec![low, high], pen);
        for end in [low, high] {
            scene.line(vec![(end.0 - 0.6 * radius, end.1), (end.0 + 0.6 * radius, end.1)], pen);
        }
    }
    if let Some(edge) = point.edge {
        let tip = arrow_tip(spot, edge, sizes);
        let length = ARROW * sizes.small;
        let back = if edge == Edge::High { 0.28 * length } else { -0.28 * length };
        scene.line(vec![spot, tip], pen);
        let barbs = vec![(tip.0 - 0.16 * length, tip.1 + back), tip, (tip.0 + 0.16 * length, tip.1 + back)];
        scene.line(barbs, pen);
    }
    let (fill, outline) = match point.edge {
        None => (color, Pen::new(WHITE, 0.3 * PER_PT)),
        Some(_) => (WHITE, pen),
    };
    let corners = corners(palette.shape(index), spot, radius);
    scene.shapes.push(Shape::Marker { center: spot, radius, corners, fill, outline });
}

/// The ends of the interval of a point, drawn where its marker is.
fn bar(spot: Spot, point: &LrPoint, frame: &Frame) -> Option<(Spot, Spot)> {
    let (low, high) = point.interval?;
    let shift = spot.1 - frame.at(point.epochs, point.lr).1;
    let end = |lr: f64| (spot.0, frame.at(point.epochs, lr).1 + shift);
    Some((end(low), end(high)))
}

fn arrow_tip(spot: Spot, edge: Edge, sizes: &Sizes) -> Spot {
    match edge {
        Edge::High => (spot.0, spot.1 - ARROW * sizes.small),
        Edge::Low => (spot.0, spot.1 + ARROW * sizes.small),
    }
}

fn radius(sizes: &Sizes) -> f64 {
    0.6 * sizes.marker.0 + 0.4 * sizes.marker.1
}

/// Powers of two below this have more decimals than anybody reads.
const READABLE: f64 = 0.1;

/// Ticks at the learning rates of a doubling grid such as 0.4, 0.8, 1.6; elsewhere at powers of two, if those are many and short.
pub(crate) fn lr_ticks(lrs: &[f64], range: (f64, f64)) -> Kind {
    let notation = Notation::Decimal;
    let smallest = lrs.iter().copied().fold(f64::INFINITY, f64::min);
    let doubling = |lr: f64| {
        let times = (lr / smallest).log2();
        (times - times.round()).abs() < 1e-6
    };
    if smallest.is_finite() && lrs.iter().copied().all(doubling) {
        Kind::Doublings { anchor: smallest, notation }
    } else if range.1 / range.0 >= 8.0 && range.0 >= READABLE {
        Kind::Doublings { anchor: 1.0, notation }
    } else {
        Kind::Decades
    }
}

/// The families, where there are several.
fn key(palette: &Palette) -> Vec<Entry> {
    let entry = |(name, tint): &(String, Tint)| {
        let look = tint.shape.map_or(Look::Star, Look::Filled);
        Entry { sample: Sample::Mark { ink: Ink::Fixed(tint.color), look, line: true }, text: name.clone() }
    };
    palette.families().iter().map(entry).collect()
}

/// What shifts and arrows mean.
fn notes(figure: &OptimalLrFigure) -> Vec<String> {
    let mut notes = Vec::new();
    match shift(figure) {
        Shift::None => {}
        Shift::Sideways => notes.push("Lines are shifted sideways, so that all can be seen.".to_owned()),
        Shift::Diagonal => notes.push("Lines are shifted slightly where they would coincide.".to_owned()),
    }
    if figure.series.iter().flat_map(|series| &series.points).any(|point| point.edge.is_some()) {
        notes.push("Arrows: best at the edge of the grid, the optimum may lie beyond.".to_owned());
    }
    notes
}

fn description(figure: &OptimalLrFigure) -> String {
    let names: Vec<&str> = figure.series.iter().map(|series| series.name.as_str()).collect();
    let points = figure.series.iter().map(|series| series.points.len()).sum::<usize>();
    let mut text = format!(
        "Plot of {} against {} with base-2 axes. Series: {}. Points: {points}.",
        figure.words.y_label,
        figure.words.x_label,
        names.join(", ")
    );
    for note in figure.words.with(notes(figure)).notes {
        text.push_str(&format!(" {note}"));
    }
    text
}
