//! How [`ScalingFigure`] looks.

use crate::blocks::{Block, Sample, place_in_strip, place_inside, strip_height};
use crate::frame::{Axis, Frame, Kind, Spec, range};
use crate::geometry::{Obstacles, Rect, Spot};
use crate::labels::{self, End, Label, Room};
use crate::law_draw::{LawLook, curve, draw_band, draw_line};
use crate::layer::Look;
use crate::marks::{BLACK, DARK_GREY, GREY, WHITE, corners, cross, reach};
use crate::palette::{Palette, Tint};
use crate::reference_draw;
use crate::scaling::{Law, Point, PointKind, ScalingFigure};
use crate::scene::{Anchor, Pen, Scene, Shape, Text};
use crate::style::{PER_PT, Sizes};
use crate::text::{name, plain};
use crate::{Error, Style};

const AIR: f64 = 0.05;

/// The figure as SVG.
pub(crate) fn svg(figure: &ScalingFigure, style: &Style) -> Result<String, Error> {
    let sizes = style.sizes()?;
    let scene = scene(figure, &sizes)?;
    scene.svg(style, &sizes, &figure.words.heading(), &description(figure))
}

/// Everything at its place.
pub(crate) fn scene(figure: &ScalingFigure, sizes: &Sizes) -> Result<Scene, Error> {
    let palette = palette(figure);
    let radius = radii(figure, sizes);
    let mut blocks = law_blocks(figure, &palette, sizes);
    let laws = blocks.len();
    blocks.extend(Block::key("Epochs", &budgets(figure), &|budget| radius(Some(budget)), sizes));
    let (frame, labels, places) = arranged(figure, &palette, (&blocks, laws), sizes, &radius)?;

    let mut scene = Scene::default();
    for law in &figure.laws {
        draw_band(law, law_look(law, &palette), &frame, &mut scene);
    }
    for law in &figure.laws {
        draw_line(law, law_look(law, &palette), &frame, &mut scene, sizes);
    }
    frame.draw(&mut scene, sizes);
    for reference in &figure.references {
        reference_draw::draw_reference(reference, &palette, &frame, &mut scene, sizes);
    }
    draw_labels(&labels, &palette, &mut scene, sizes);
    draw_series(figure, &palette, &frame, &mut scene, sizes, &radius);
    for (block, place) in blocks.iter().zip(&places) {
        block.draw(place, &mut scene, sizes);
    }
    if figure.x_range().is_none() {
        let middle = ((frame.plot.x0 + frame.plot.x1) / 2.0, (frame.plot.y0 + frame.plot.y1) / 2.0);
        scene.texts.push(Text::centered(plain("no points yet"), middle, sizes.text, Anchor::Middle));
    }
    Ok(scene)
}

/// The axes, the names at the lines, and the places of the blocks, of which the first are `laws`. Blocks that find no free place go
/// above the plot, which gets smaller: the laws first, then the key too.
fn arranged(
    figure: &ScalingFigure,
    palette: &Palette,
    (blocks, laws): (&[Block], usize),
    sizes: &Sizes,
    radius: &dyn Fn(Option<f64>) -> f64,
) -> Result<(Frame, Vec<Label>, Vec<Rect>), Error> {
    let words = figure.words.with(notes(figure));
    let names = figure.series.iter().filter(|series| !series.points.is_empty()).map(|series| series.name.as_str());
    let others = figure.references.iter().filter(|reference| !reference.points.is_empty());
    let names = names.chain(others.map(|reference| reference.name.as_str()));
    let (x_range, y_range) = ranges(figure);
    let mut spec = Spec {
        words: &words,
        x: Axis { range: x_range, kind: Kind::Decades },
        columns: &[],
        y: Axis { range: y_range, kind: Kind::Decades },
        right: labels::column_width(names, sizes.small, sizes.width),
        strip: 0.0,
    };
    for above in [0, laws, blocks.len()] {
        let (strip, inside) = blocks.split_at(above);
        // A little narrower than it is: with another height the ticks may get wider.
        spec.strip = strip_height(strip, 0.9 * Frame::lay_out(&spec, sizes)?.strip.width(), sizes);
        let frame = Frame::lay_out(&spec, sizes)?;
        let (labels, obstacles) = name_lines(figure, palette, &frame, sizes, radius);
        let mut places = place_in_strip(strip, &frame.strip, sizes);
        if let Some(more) = place_inside(inside, &obstacles, &frame.plot, sizes) {
            places.extend(more);
            return Ok((frame, labels, places));
        }
    }
    Err(Error::NoRoom)
}

fn palette(figure: &ScalingFigure) -> Palette {
    let series: Vec<&str> = figure.series.iter().map(|series| series.family.as_str()).collect();
    let references: Vec<&str> = figure.references.iter().map(|reference| reference.family.as_str()).collect();
    Palette::of_families(&series, &references)
}

/// The labels of the laws, with the names of the families where there are several; families without a law stand below the last.
fn law_blocks(figure: &ScalingFigure, palette: &Palette, sizes: &Sizes) -> Vec<Block> {
    let own = |name: &str| figure.series.iter().any(|series| series.family == name);
    let mark = |name: &str, tint: Tint| {
        let look = match (tint.shape, own(name)) {
            (Some(shape), true) => Look::Filled(shape),
            (Some(shape), false) => Look::Hollow(shape),
            (None, _) => Look::HollowStar,
        };
        (look, tint.color)
    };
    let of_law = |law: &Law| {
        let tint = palette.family(&law.family);
        let label = tint.map_or_else(|| law.label.clone(), |_| format!("{}\n{}", law.family, law.label));
        let sample = Sample { law: Some(law_look(law, palette)), mark: tint.map(|tint| mark(&law.family, tint)) };
        vec![(label, sample)]
    };
    let mut blocks: Vec<Vec<(String, Sample)>> = figure.laws.iter().map(of_law).collect();
    if blocks.is_empty() {
        blocks.push(Vec::new());
    }
    let lawless = palette.families().iter().filter(|(name, _)| figure.laws.iter().all(|law| law.family != *name));
    let of_family = |(name, tint): &(String, Tint)| (name.clone(), Sample { law: None, mark: Some(mark(name, *tint)) });
    if let Some(last) = blocks.last_mut() {
        last.extend(lawless.map(of_family));
    }
    blocks.iter().filter_map(|labels| Block::laws(labels, sizes, 0.42 * sizes.width)).collect()
}

/// Black for the law of all, the colour of its family for one of several.
fn law_look(law: &Law, palette: &Palette) -> LawLook {
    let tint = palette.family(&law.family).filter(|_| palette.is_split());
    tint.map_or(LawLook::ONLY, |tint| LawLook::of_family(tint.color))
}

/// Draws names and their leaders; those beyond the series of the palette, of references and of names left out, in grey.
pub(crate) fn draw_labels(labels: &[Label], palette: &Palette, scene: &mut Scene, sizes: &Sizes) {
    for label in labels {
        let own = label.series < palette.len();
        if let Some((from, to)) = label.leader {
            let color = if own { palette.color(label.series) } else { GREY };
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
    palette: &Palette,
    frame: &Frame,
    sizes: &Sizes,
    radius: &dyn Fn(Option<f64>) -> f64,
) -> (Vec<Label>, Obstacles) {
    let mut obstacles = Obstacles::default();
    let mut ends = Vec::new();
    for (i, series) in figure.series.iter().enumerate() {
        let reach = |point: &Point| reach(palette.shape(i), radius(point.budget));
        obstacles.add_line(&line(&series.points, frame));
        obstacles.boxes.extend(series.points.iter().map(|p| Rect::around(frame.at(p.x, p.y), reach(p))));
        let finished = series.points.iter().filter(|point| point.kind.counts());
        let last = finished.max_by(|a, b| a.x.total_cmp(&b.x));
        let any = series.points.iter().max_by(|a, b| a.x.total_cmp(&b.x));
        if let Some(point) = last.or(any) {
            let at = frame.at(point.x, point.y);
            ends.push(End { name: series.name.clone(), at, reach: reach(point), series: i, left: false });
        }
    }
    for (i, reference) in figure.references.iter().enumerate() {
        ends.extend(reference_draw::end(reference, figure.series.len() + i, frame, &mut obstacles, sizes));
    }
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for law in &figure.laws {
        let curve = curve(law, frame);
        obstacles.add_line(&curve.iter().map(|spots| spots.0).collect::<Vec<_>>());
        low.push(curve.iter().map(|spots| spots.1).collect::<Vec<_>>());
        high.push(curve.iter().map(|spots| spots.2).collect::<Vec<_>>());
    }
    let labels = labels::place(&ends, &obstacles, &Room::of(frame, sizes), sizes.small);
    obstacles.boxes.extend(labels.iter().map(|label| label.place));
    obstacles.segments.extend(labels.iter().filter_map(|label| label.leader));
    // A name may lie across the pale edge of a band to be near its line; blocks of text have other places.
    low.iter().chain(&high).for_each(|edge| obstacles.add_line(edge));
    (labels, obstacles)
}

fn draw_series(
    figure: &ScalingFigure,
    palette: &Palette,
    frame: &Frame,
    scene: &mut Scene,
    sizes: &Sizes,
    radius: &dyn Fn(Option<f64>) -> f64,
) {
    for (i, series) in figure.series.iter().enumerate() {
        let points = line(&series.points, frame);
        if points.len() > 1 {
            scene.line(points, Pen::new(palette.color(i), sizes.line));
        }
    }
    // All markers above all lines, and those that count above those that do not.
    for kind in [PointKind::Excluded, PointKind::Running, PointKind::Unverified, PointKind::Finished] {
        for (i, series) in figure.series.iter().enumerate() {
            let color = palette.color(i);
            for point in series.points.iter().filter(|point| point.kind == kind) {
                let (fill, outline) = match kind {
                    PointKind::Finished => (color, Pen::new(WHITE, 0.3 * PER_PT)),
                    PointKind::Running | PointKind::Unverified => (WHITE, Pen::new(color, 0.8 * sizes.line)),
                    PointKind::Excluded => (WHITE, Pen::new(GREY, 0.8 * sizes.line)),
                };
                let (center, radius) = (frame.at(point.x, point.y), radius(point.budget));
                let corners = corners(palette.shape(i), center, radius);
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
    let curve = || figure.laws.iter().flat_map(|law| &law.curve);
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

/// What the hollow markers mean.
fn notes(figure: &ScalingFigure) -> Vec<String> {
    let any = |kind| figure.series.iter().flat_map(|series| &series.points).any(|point| point.kind == kind);
    // References are hollow too, and may be grey, but each has a name.
    let named = if figure.references.is_empty() { "" } else { " without a name" };
    let mut notes = Vec::new();
    if any(PointKind::Running) {
        let coloured = if any(PointKind::Excluded) { "Coloured hollow" } else { "Hollow" };
        notes.push(format!("{coloured} markers{named}: still running."));
    }
    if any(PointKind::Excluded) {
        notes.push(format!("Grey markers{named}: left out of the fit."));
    }
    notes
}

fn description(figure: &ScalingFigure) -> String {
    let count = |kind| figure.series.iter().flat_map(|series| &series.points).filter(|p| p.kind == kind).count();
    let names: Vec<&str> = figure.series.iter().map(|series| series.name.as_str()).collect();
    let mut text = format!(
        "Log-log plot of {} against {}. Series: {}. Points: {} finished, {} running, {} left out.",
        figure.words.y_label,
        figure.words.x_label,
        names.join(", "),
        count(PointKind::Finished),
        count(PointKind::Running),
        count(PointKind::Excluded)
    );
    let unverified = count(PointKind::Unverified);
    if unverified > 0 {
        text.push_str(&format!(" Crossed, without a valid digest of the samples: {unverified}."));
    }
    let palette = palette(figure);
    let families: Vec<&str> = palette.families().iter().map(|(name, _)| name.as_str()).collect();
    if !families.is_empty() {
        text.push_str(&format!(" Families, by hue and shape: {}.", families.join(", ")));
    }
    if !figure.references.is_empty() {
        let names: Vec<&str> = figure.references.iter().map(|reference| reference.name.as_str()).collect();
        text.push_str(&format!(" References, hollow: {}.", names.join(", ")));
    }
    for law in &figure.laws {
        let of = if law.family.is_empty() { String::new() } else { format!(" of {}", law.family) };
        text.push_str(&format!(" Fitted law{of}: {}; dashed where it has no data; band: its interval.", law.label));
    }
    for note in figure.words.with(notes(figure)).notes {
        text.push_str(&format!(" {note}"));
    }
    text
}
