//! Marks in the numbers of the axes, and what text must not cover of them.

use crate::frame::Frame;
use crate::geometry::{Obstacles, Rect, Spot};
use crate::marks::{BAND, BLACK, GREY, WHITE, corners, cross, star};
use crate::palette::Palette;
use crate::scene::{Pen, Scene, Shape};
use crate::style::{PER_PT, Sizes};
use plotters::style::RGBColor;

/// Length of an arrow from the middle of its marker, relative to small text.
const ARROW: f64 = 1.3;
/// Distance of the lines of a hatching, relative to small text.
const HATCH: f64 = 0.5;

/// The colour of something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ink {
    /// That of the ordered series with this number.
    Series(usize),
    Grey,
    Black,
    Fixed(RGBColor),
}

impl Ink {
    pub(crate) fn color(self, palette: &Palette) -> RGBColor {
        match self {
            Ink::Series(index) => palette.color(index),
            Ink::Grey => GREY,
            Ink::Black => BLACK,
            Ink::Fixed(color) => color,
        }
    }
}

/// The form of a marker; numbers are those of shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Look {
    Filled(usize),
    Hollow(usize),
    Cross,
    Star,
    HollowStar,
}

/// How a bar is filled: the second channel beside its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hatch {
    None,
    Rising,
    Falling,
}

/// Something drawn, in the numbers of the axes.
#[derive(Debug, Clone)]
pub(crate) enum Layer {
    Line {
        points: Vec<(f64, f64)>,
        ink: Ink,
        /// Relative to a data line.
        width: f64,
        dashed: bool,
    },
    /// x, low and high of each point of a band in grey.
    Band { points: Vec<(f64, f64, f64)> },
    Mark {
        at: (f64, f64),
        ink: Ink,
        look: Look,
        /// Between the smallest (0) and the largest (1) marker.
        size: f64,
    },
    /// An interval of y.
    Upright { x: f64, ends: (f64, f64), ink: Ink },
    /// An interval of x.
    Flat { y: f64, ends: (f64, f64), ink: Ink },
    /// From a marker to where the truth may lie: steps right and up.
    Arrow { at: (f64, f64), toward: (f64, f64), ink: Ink },
    /// A bar of a bar chart.
    Bar { x: (f64, f64), y: (f64, f64), ink: Ink, hatch: Hatch },
    /// A line across the panel at this y.
    Level { y: f64, dashed: bool },
    /// A line up the panel at this x.
    Plumb { x: f64 },
}

impl Layer {
    /// Whether it lies behind the axes and is no data.
    pub(crate) fn is_back(&self) -> bool {
        matches!(self, Layer::Band { .. } | Layer::Level { .. } | Layer::Plumb { .. })
    }
}

/// Radius of a marker between the smallest and the largest: its area grows evenly.
pub(crate) fn radius(size: f64, sizes: &Sizes) -> f64 {
    let (small, large) = sizes.marker;
    (small * small + size.clamp(0.0, 1.0) * (large * large - small * small)).sqrt()
}

/// Draws a layer.
pub(crate) fn draw_layer(layer: &Layer, palette: &Palette, frame: &Frame, scene: &mut Scene, sizes: &Sizes) {
    let thin = |ink: Ink| Pen::new(ink.color(palette), 0.7 * sizes.line);
    let plot = frame.plot;
    match layer {
        Layer::Line { points, ink, width, dashed } => {
            let spots: Vec<Spot> = points.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            let pen = Pen { dashed: *dashed, ..Pen::new(ink.color(palette), width * sizes.line) };
            for piece in clipped(&spots, &plot) {
                scene.line(piece, pen);
            }
        }
        Layer::Band { points } => {
            let kept = |spot: Spot| (spot.0.clamp(plot.x0, plot.x1), spot.1.clamp(plot.y0, plot.y1));
            let high = points.iter().map(|(x, _, high)| kept(frame.at(*x, *high)));
            let low = points.iter().rev().map(|(x, low, _)| kept(frame.at(*x, *low)));
            scene.shapes.push(Shape::Fill { points: high.chain(low).collect(), color: BAND, opacity: 1.0 });
        }
        Layer::Mark { at, ink, look, size } => {
            draw_mark(frame.at(at.0, at.1), *look, ink.color(palette), radius(*size, sizes), scene, sizes);
        }
        Layer::Upright { x, ends, ink } => {
            let cap = 0.6 * radius(0.4, sizes);
            let [low, high] = [ends.0, ends.1].map(|y| frame.at(*x, y)).map(|s| (s.0, s.1.clamp(plot.y0, plot.y1)));
            scene.line(vec![low, high], thin(*ink));
            for end in [low, high] {
                scene.line(vec![(end.0 - cap, end.1), (end.0 + cap, end.1)], thin(*ink));
            }
        }
        Layer::Flat { y, ends, ink } => {
            let cap = 1.3 * radius(0.4, sizes);
            let [low, high] = [ends.0, ends.1].map(|x| frame.at(x, *y)).map(|s| (s.0.clamp(plot.x0, plot.x1), s.1));
            // It often lies on the curve whose optimum it is about, so it is drawn to be seen.
            let pen = Pen::new(ink.color(palette), 1.6 * sizes.line);
            scene.line(vec![low, high], pen);
            for end in [low, high] {
                scene.line(vec![(end.0, end.1 - cap), (end.0, end.1 + cap)], Pen { width: sizes.line, ..pen });
            }
        }
        Layer::Arrow { at, toward, ink } => {
            let spot = frame.at(at.0, at.1);
            let length = ARROW * sizes.small;
            let (right, down) = (toward.0 * length, -toward.1 * length);
            let tip = (spot.0 + right, spot.1 + down);
            let barb =
                |side: f64| (tip.0 - 0.28 * right - side * 0.16 * down, tip.1 - 0.28 * down + side * 0.16 * right);
            scene.line(vec![spot, tip], thin(*ink));
            scene.line(vec![barb(1.0), tip, barb(-1.0)], thin(*ink));
        }
        Layer::Bar { x, y, ink, hatch } => {
            let (a, b) = (frame.at(x.0, y.0), frame.at(x.1, y.1));
            let place = Rect { x0: a.0.min(b.0), y0: a.1.min(b.1), x1: a.0.max(b.0), y1: a.1.max(b.1) };
            draw_bar(&place, ink.color(palette), *hatch, scene, sizes);
        }
        Layer::Level { y, dashed } => {
            let y = frame.at(1.0, *y).1;
            let pen = Pen { dashed: *dashed, ..Pen::new(GREY, sizes.axis) };
            scene.line(vec![(plot.x0, y), (plot.x1, y)], pen);
        }
        Layer::Plumb { x } => {
            let x = frame.at(*x, 1.0).0;
            let pen = Pen { dashed: true, ..Pen::new(GREY, sizes.axis) };
            scene.line(vec![(x, plot.y0), (x, plot.y1)], pen);
        }
    }
}

/// Draws one marker.
pub(crate) fn draw_mark(center: Spot, look: Look, color: RGBColor, radius: f64, scene: &mut Scene, sizes: &Sizes) {
    let rim = Pen::new(WHITE, 0.3 * PER_PT);
    let line = Pen::new(color, 0.8 * sizes.line);
    let (corners, radius, fill, outline) = match look {
        Look::Filled(shape) => (corners(shape, center, radius), radius, color, rim),
        Look::Hollow(shape) => (corners(shape, center, radius), radius, WHITE, line),
        Look::Star => (Some(star(center, 1.7 * radius)), radius, color, rim),
        Look::HollowStar => (Some(star(center, 1.7 * radius)), radius, WHITE, line),
        Look::Cross => {
            cross(center, 0.8 * radius).into_iter().for_each(|arm| scene.line(arm, line));
            return;
        }
    };
    scene.shapes.push(Shape::Marker { center, radius, corners, fill, outline });
}

/// Draws a bar with its hatching.
pub(crate) fn draw_bar(place: &Rect, color: RGBColor, hatch: Hatch, scene: &mut Scene, sizes: &Sizes) {
    let Rect { x0, y0, x1, y1 } = *place;
    scene.shapes.push(Shape::Fill { points: vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, opacity: 1.0 });
    if hatch == Hatch::None || y1 - y0 < 1.0 {
        return;
    }
    let step = HATCH * sizes.small;
    let pen = Pen::new(WHITE, 0.6 * sizes.axis);
    // Lines x + y = c, or x - y = c, whose c are multiples of the step, so that neighbouring bars match.
    let sign = if hatch == Hatch::Rising { 1.0 } else { -1.0 };
    let ends = [x0 + sign * y0, x0 + sign * y1, x1 + sign * y0, x1 + sign * y1];
    let (low, high) = ends.iter().fold((f64::MAX, f64::MIN), |(low, high), c| (low.min(*c), high.max(*c)));
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    for c in (first..=last).map(|i| i as f64 * step) {
        let at_x = |x: f64| (x, sign * (c - x));
        let at_y = |y: f64| (c - sign * y, y);
        let inside = |spot: &Spot| place.grown(1e-6).touches(*spot);
        let spots: Vec<Spot> = [at_x(x0), at_x(x1), at_y(y0), at_y(y1)].into_iter().filter(inside).collect();
        let far = |a: &Spot, b: &Spot| (a.0 - b.0).hypot(a.1 - b.1);
        if let Some(end) = spots.iter().max_by(|a, b| far(a, &spots[0]).total_cmp(&far(b, &spots[0]))) {
            scene.line(vec![spots[0], *end], pen);
        }
    }
}

/// Adds what names must not cover.
pub(crate) fn cover(layer: &Layer, frame: &Frame, obstacles: &mut Obstacles, sizes: &Sizes) {
    match layer {
        Layer::Line { points, .. } => {
            let spots: Vec<Spot> = points.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            obstacles.add_line(&spots);
        }
        Layer::Mark { at, size, .. } => {
            obstacles.boxes.push(Rect::around(frame.at(at.0, at.1), 1.3 * radius(*size, sizes)));
        }
        Layer::Upright { x, ends, .. } => obstacles.add_line(&[frame.at(*x, ends.0), frame.at(*x, ends.1)]),
        Layer::Flat { y, ends, .. } => obstacles.add_line(&[frame.at(ends.0, *y), frame.at(ends.1, *y)]),
        Layer::Arrow { at, toward, .. } => {
            let spot = frame.at(at.0, at.1);
            let length = ARROW * sizes.small;
            obstacles.add_line(&[spot, (spot.0 + toward.0 * length, spot.1 - toward.1 * length)]);
        }
        Layer::Level { y, .. } => {
            let y = frame.at(1.0, *y).1;
            obstacles.add_line(&[(frame.plot.x0, y), (frame.plot.x1, y)]);
        }
        Layer::Plumb { x } => {
            let x = frame.at(*x, 1.0).0;
            obstacles.add_line(&[(x, frame.plot.y0), (x, frame.plot.y1)]);
        }
        Layer::Bar { .. } | Layer::Band { .. } => {}
    }
}

/// The pieces of a line inside the plot.
fn clipped(line: &[Spot], plot: &Rect) -> Vec<Vec<Spot>> {
    let mut pieces: Vec<Vec<Spot>> = Vec::new();
    let mut open = false;
    for pair in line.windows(2) {
        let Some((a, b)) = clip(pair[0], pair[1], plot) else {
            open = false;
            continue;
        };
        match pieces.last_mut().filter(|_| open) {
            Some(piece) => piece.push(b),
            None => pieces.push(vec![a, b]),
        }
        open = b == pair[1];
    }
    pieces
}

/// The part of a segment inside a box (Liang and Barsky's clipping).
fn clip(a: Spot, b: Spot, plot: &Rect) -> Option<(Spot, Spot)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (along, room) in [(-dx, a.0 - plot.x0), (dx, plot.x1 - a.0), (-dy, a.1 - plot.y0), (dy, plot.y1 - a.1)] {
        if along == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if along < 0.0 {
            enter = enter.max(room / along);
        } else {
            leave = leave.min(room / along);
        }
    }
    let at = |share: f64| match share {
        0.0 => a,
        1.0 => b,
        _ => (a.0 + share * dx, a.1 + share * dy),
    };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_leaves_the_plot() {
        let plot = Rect::new(0.0, 0.0, 10.0, 10.0);
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        let pieces = clipped(&line, &plot);
        assert_eq!(pieces, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
    }

    #[test]
    fn a_hatching_stays_inside_its_bar() {
        let style = crate::Style::paper();
        let sizes = style.sizes().expect("a sound style");
        for hatch in [Hatch::Rising, Hatch::Falling] {
            let mut scene = Scene::default();
            let place = Rect::new(103.0, 207.0, 120.0, 80.0);
            draw_bar(&place, BLACK, hatch, &mut scene, &sizes);
            let lines = scene.shapes.iter().filter_map(|shape| match shape {
                Shape::Line { points, .. } => Some(points),
                _ => None,
            });
            let spots: Vec<Spot> = lines.flatten().copied().collect();
            assert!(spots.len() >= 8 && spots.iter().all(|spot| place.grown(1e-3).touches(*spot)), "{spots:?}");
        }
    }
}
