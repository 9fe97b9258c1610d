//! How the [`Law`] of a figure looks.

use crate::frame::Frame;
use crate::geometry::Spot;
use crate::marks::{BAND, BLACK, mixed};
use crate::scaling::Law;
use crate::scene::{Pen, Scene, Shape};
use crate::style::Sizes;
use plotters::style::RGBColor;

/// The colours of a law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LawLook {
    pub(crate) line: RGBColor,
    pub(crate) band: RGBColor,
    pub(crate) opacity: f64,
}

impl LawLook {
    /// The law of a figure that has one.
    pub(crate) const ONLY: LawLook = LawLook { line: BLACK, band: BAND, opacity: 1.0 };

    /// One of several, by the colour of its family: bands may lie over each other.
    pub(crate) fn of_family(color: RGBColor) -> LawLook {
        LawLook { line: mixed(color, BLACK, 0.35), band: color, opacity: 0.2 }
    }
}

/// Draws the band of a law.
pub(crate) fn draw_band(law: &Law, look: LawLook, frame: &Frame, scene: &mut Scene) {
    let curve = curve(law, frame);
    if curve.len() > 1 {
        let upper = curve.iter().map(|(_, _, high)| *high);
        let lower = curve.iter().rev().map(|(_, low, _)| *low);
        scene.shapes.push(Shape::Fill {
            points: upper.chain(lower).collect(),
            color: look.band,
            opacity: look.opacity,
        });
    }
}

/// Draws the line of a law: solid where it has data, dashed elsewhere.
pub(crate) fn draw_line(law: &Law, look: LawLook, frame: &Frame, scene: &mut Scene, sizes: &Sizes) {
    let curve = curve(law, frame);
    let ends = (frame.at(law.data_range.0, 1.0).0, frame.at(law.data_range.1, 1.0).0);
    let middle: Vec<Spot> = curve.iter().map(|spots| spots.0).collect();
    let solid = Pen::new(look.line, 0.8 * sizes.line);
    let dashed = Pen { dashed: true, ..solid };
    for (from, to, pen) in [(f64::MIN, ends.0, dashed), (ends.0, ends.1, solid), (ends.1, f64::MAX, dashed)] {
        let part = between(&middle, from, to);
        if part.len() > 1 {
            scene.line(part, pen);
        }
    }
}

/// The law's curve from left to right: the law, its lower and its upper end, cut off at the frame.
pub(crate) fn curve(law: &Law, frame: &Frame) -> Vec<(Spot, Spot, Spot)> {
    let mut points = law.curve.clone();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    let at = |x: f64, y: f64| {
        let spot = frame.at(x, y);
        (spot.0, spot.1.min(frame.plot.y1).max(frame.plot.y0))
    };
    points.iter().map(|p| (at(p.x, p.y), at(p.x, p.low), at(p.x, p.high))).collect()
}

/// The part of a line, which runs from left to right, between two positions.
fn between(line: &[Spot], from: f64, to: f64) -> Vec<Spot> {
    let mut part: Vec<Spot> = Vec::new();
    for pair in line.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (start, end) = (x0.max(from), x1.min(to));
        if start >= end {
            continue;
        }
        let at = |x: f64| (x, y0 + (x - x0) / (x1 - x0) * (y1 - y0));
        if part.is_empty() {
            part.push(at(start));
        }
        part.push(at(end));
    }
    part
}
