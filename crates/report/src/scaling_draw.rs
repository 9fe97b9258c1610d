//! How [`ScalingFigure`] looks.

use crate::blocks::{Block, place_in_strip, place_inside, strip_height};
use crate::frame::{Axis, Frame, Kind, Spec, range};
use crate::geometry::{Obstacles, Rect, Spot};
use crate::labels::{self, End, Label, Room};
use crate::law_draw::{curve, draw_law};
use crate::marks::{BLACK, DARK_GREY, GREY, WHITE, color, corners, cross, reach};
use crate::reference_draw;
use crate::scaling::{Point, PointKind, ScalingFigure};
use crate::scene::{Anchor, Pen, Scene, Shape, Text};
use crate::style::{PER_PT, Sizes};
use crate::text::{name, plain};
use crate::{Error, Style};

const AIR: f64 = 0.05;

/// The figure as SVG.
pub(crate) fn svg(figure: &ScalingFigure, style: &Style) -> Result<String, Error> {
    let sizes = style.sizes()?;
    let scene = scene(figure, &sizes)?;
    let title = figure.title.clone().unwrap_or_else(|| format!("{} against {}", figure.y_label, figure.x_label));
    scene.svg(style, &sizes, &title, &description(figure))
}

/// Everything at its place.
pub(crate) fn scene(figure: &ScalingFigure, sizes: &Sizes) -> Result<Scene, Error> {
    let notes = notes(figure);
    let radius = radii(figure, sizes);
    let law = figure.law.as_ref().and_then(|law| Block::law(&law.label, sizes, 0.42 * sizes.width));
    let key = Block::key("Epochs", &budgets(figure), &|budget| radius(Some(budget)), sizes);
    let blocks: Vec<Block> = law.into_iter().chain(key).collect();
    let names = figure.series.iter().filter(|series| !series.points.is_empty()).map(|series| series.name.as_str());
    let others = figure.references.iter().filter(|reference| !reference.points.is_empty());
    let names = names.chain(others.map(|reference| reference.name.as_str()));
    let (x_range, y_range) = ranges(figure);
    let mut spec = Spec {
        title: figure.title.as_deref(),
        x: Axis { label: &figure.x_label, range: x_range, kind: Kind::Decades },
        y: Axis { label: &figure.y_label, range: y_range, kind: Kind::Decades },
        notes: &notes,
        right: labels::column_width(names, sizes.small, sizes.width),
        strip: 0.0,
    };
    let mut frame = Frame::lay_out(&spec, sizes)?;
    let mut names = name_lines(figure, &frame, sizes, &radius);
    let places = match place_inside(&blocks, &names.1, &frame.plot, sizes) {
        Some(places) => places,
        // No corner is free: the blocks go above the plot, which gets smaller.
        None => {
            spec.strip = strip_height(&blocks, sizes);
            frame = Frame::lay_out(&spec, sizes)?;
            names = name_lines(figure, &frame, sizes, &radius);
            place_in_strip(&blocks, (frame.strip.x0, frame.strip.y0), sizes)
        }
    };

    let mut scene = Scene::default();
    if let Some(law) = &figure.law {
        draw_law(law, &frame, &mut scene, sizes);
    }
    frame.draw(&mut scene, sizes);
    for reference in &figure.references {
        reference_draw::draw_reference(reference, &frame, &mut scene, sizes);
    }
    draw_labels(&names.0, figure.series.len(), &mut scene, sizes);
    draw_series(figure, &frame, &mut scene, sizes, &radius);
    for (block, place) in blocks.iter().zip(&places) {
        block.draw(place, &mut scene, sizes);
    }
    if figure.x_range().is_none() {
        let middle = ((frame.plot.x0 + frame.plot.x1) / 2.0, (frame.plot.y0 + frame.plot.y1) / 2.0);
        scene.texts.push(Text::centered(plain("no points yet"), middle, sizes.text, Anchor::Middle));
    }
    Ok(scene)
}

/// Draws names and their leaders; those from `count` on, of references and of names left out, in grey.
pub(crate) fn draw_labels(labels: &[Label], count: usize, scene: &mut Scene, sizes: &Sizes) {
    for label in labels {
        let own = label.series < count;
        if let Some((from, to)) = label.leader {
            let color = if own { color(label.series, count) } else { GREY };
            scene.line(vec![from, to], Pen::new(color, 0.5 * sizes.axis));
        }
        let at = (label.place.x0, (label.place.y0 + label.place.y1) / 2.0);
        let color = if own { BLACK } else { DARK_GREY };
        scene.texts.push(Text { color, ..Text::centered(name(&label.text), at, label.size, Anchor::Start) });
    }
}

/// The names at the ends of the lines, and everything that other text must not cover.
fn name_lines(
    figure: &ScalingFigure,
    frame: &Frame,
    sizes: &Sizes,
    radius: &dyn Fn(Option<f64>) -> f64,
) -> (Vec<Label>, Obstacles) {
    let mut obstacles = Obstacles::default();
    let mut ends = Vec::new();
    for (i, series) in figure.series.iter().enumerate() {
        obstacles.add_line(&line(&series.points, frame));
        let markers = series.points.iter().map(|p| Rect::around(frame.at(p.x, p.y), reach(i, radius(p.budget))));
        obstacles.boxes.extend(markers);
        let finished = series.points.iter().filter(|point| point.kind.counts());
        let last = finished.max_by(|a, b| a.x.total_cmp(&b.x));
        let any = series.points.iter().max_by(|a, b| a.x.total_cmp(&b.x));
        if let Some(point) = last.or(any) {
            let at = frame.at(point.x, point.y);
            ends.push(End {
                name: series.name.clone(),
                at,
                reach: reach(i, radius(point.budget)),
                series: i,
                left: false,
            });
        }
    }
    for (i, reference) in figure.references.iter().enumerate() {
        ends.extend(reference_draw::end(reference, figure.series.len() + i, frame, &mut obstacles, sizes));
    }
    let [mut middle, mut low, mut high] = [Vec::new(), Vec::new(), Vec::new()];
    for spots in figure.law.iter().flat_map(|law| curve(law, frame)) {
        middle.push(spots.0);
        low.push(spots.1);
        high.push(spots.2);
    }
    obstacles.add_line(&middle);
    let column = Rect {
        x0: frame.plot.x1 + labels::GAP * 2.0 * sizes.small,
        y0: frame.plot.y0,
        x1: frame.canvas.x1 - crate::frame::EDGE,
        y1: frame.plot.y1,
    };
    let labels = labels::place(&ends, &obstacles, &Room { plot: frame.plot, column }, sizes.small);
    obstacles.boxes.extend(labels.iter().map(|label| label.place));
    obstacles.segments.extend(labels.iter().filter_map(|label| label.leader));
    // A name may lie across the pale edge of the band to be near its line; blocks of text have other places.
    obstacles.add_line(&low);
    obstacles.add_line(&high);
    (labels, obstacles)
}

fn draw_series(
    figure: &ScalingFigure,
    frame: &Frame,
    scene: &mut Scene,
    sizes: &Sizes,
    radius: &dyn Fn(Option<f64>) -> f64,
) {
    let count = figure.series.len();
    for (i, series) in figure.series.iter().enumerate() {
        let points = line(&series.points, frame);
        if points.len() > 1 {
            scene.line(points, Pen::new(color(i, count), sizes.line));
        }
    }
    // All markers above all lines, and those that count above those that do not.
    for kind in [PointKind::Excluded, PointKind::Running, PointKind::Unverified, PointKind::Finished] {
        for (i, series) in figure.series.iter().enumerate() {
            for point in series.points.iter().filter(|point| point.kind == kind) {
                let (fill, outline) = match kind {
                    PointKind::Finished => (color(i, count), Pen::new(WHITE, 0.3 * PER_PT)),
                    PointKind::Running | PointKind::Unverified => (WHITE, Pen::new(color(i, count), 0.8 * sizes.line)),
                    PointKind::Excluded => (WHITE, Pen::new(GREY, 0.8 * sizes.line)),
                };
                let (center, radius) = (frame.at(point.x, point.y), radius(point.budget));
                let corners = corners(i, center, radius);
                scene.shapes.push(Shape::Marker { center, radius, corners, fill, outline });
                if kind == PointKind::Unverified {
                    cross(center, 0.5 * radius).into_iter().for_each(|line| scene.line(line, outline));
                }
            }
        }
    }
}

/// The finished points of a series in the order of compute.
fn line(points: &[Point], frame: &Frame) -> Vec<Spot> {
    let mut finished: Vec<&Point> = points.iter().filter(|point| point.kind.counts()).collect();
    finished.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    finished.iter().map(|point| frame.at(point.x, point.y)).collect()
}

fn ranges(figure: &ScalingFigure) -> ((f64, f64), (f64, f64)) {
    let points = || figure.series.iter().flat_map(|series| &series.points);
    let curve = || figure.law.iter().flat_map(|law| &law.curve);
    // The law's curve was computed for the range of the points: no more air beyond it.
    let ends = figure.x_range().into_iter().flat_map(|(low, high)| [low, high]);
    let x = range(ends.chain(curve().map(|point| point.x)), 0.0);
    let others = figure.references.iter().flat_map(|reference| &reference.points).map(|point| point.1);
    let y = range(points().map(|point| point.y).chain(others).chain(curve().map(|point| point.y)), AIR);
    (x.unwrap_or((1.0, 10.0)), y.unwrap_or((1.0, 10.0)))
}

/// All epoch budgets, ascending, each once.
fn budgets(figure: &ScalingFigure) -> Vec<f64> {
    let mut budgets: Vec<f64> =
        figure.series.iter().flat_map(|series| &series.points).filter_map(|point| point.budget).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup_by(|a, b| (*a / *b - 1.0).abs() < 1e-6);
    budgets
}

/// The radius for an epoch budget: the marker's area grows with the budget's logarithm.
fn radii(figure: &ScalingFigure, sizes: &Sizes) -> impl Fn(Option<f64>) -> f64 + use<> {
    let budgets = budgets(figure);
    let (low, high) = (budgets.first().copied().unwrap_or(1.0), budgets.last().copied().unwrap_or(1.0));
    let (small, large) = sizes.marker;
    let span = (high / low).log2();
    move |budget| {
        let share = budget.filter(|_| span > 1e-6).map_or(0.4, |budget| (budget / low).log2() / span);
        (small * small + share * (large * large - small * small)).max(1.0).sqrt()
    }
}

/// The notes of the figure, and what its hollow markers mean.
fn notes(figure: &ScalingFigure) -> Vec<String> {
    let any = |kind| figure.series.iter().flat_map(|series| &series.points).any(|point| point.kind == kind);
    let mut notes = figure.notes.clone();
    // References are hollow and grey too, but each has a name.
    let (hollow, grey) = match figure.references.is_empty() {
        true => ("Hollow markers", "Grey markers"),
        false => ("Coloured hollow markers", "Grey markers without a name"),
    };
    if any(PointKind::Running) {
        notes.push(format!("{hollow}: still running."));
    }
    if any(PointKind::Excluded) {
        notes.push(format!("{grey}: left out of the fit."));
    }
    notes
}

fn description(figure: &ScalingFigure) -> String {
    let count = |kind| figure.series.iter().flat_map(|series| &series.points).filter(|p| p.kind == kind).count();
    let names: Vec<&str> = figure.series.iter().map(|series| series.name.as_str()).collect();
    let mut text = format!(
        "Log-log plot of {} against {}. Series: {}. Points: {} finished, {} running, {} left out.",
        figure.y_label,
        figure.x_label,
        names.join(", "),
        count(PointKind::Finished),
        count(PointKind::Running),
        count(PointKind::Excluded)
    );
    let unverified = count(PointKind::Unverified);
    if unverified > 0 {
        text.push_str(&format!(" Crossed, without a valid digest of the samples: {unverified}."));
    }
    if !figure.references.is_empty() {
        let names: Vec<&str> = figure.references.iter().map(|reference| reference.name.as_str()).collect();
        text.push_str(&format!(" References in grey: {}.", names.join(", ")));
    }
    if let Some(law) = &figure.law {
        text.push_str(&format!(" Fitted law: {}; dashed where it has no data; grey band: its interval.", law.label));
    }
    for note in notes(figure) {
        text.push_str(&format!(" {note}"));
    }
    text
}
