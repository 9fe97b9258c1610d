//! How a [`Reference`] looks: hollow, so that it hides nothing, and grey where no family gives it a colour.

use crate::frame::Frame;
use crate::geometry::{Obstacles, Rect, Spot};
use crate::labels::End;
use crate::marks::{GREY, WHITE, corners, star};
use crate::palette::{Palette, Tint};
use crate::scaling::Reference;
use crate::scene::{Pen, Scene, Shape};
use crate::style::Sizes;

/// Draws a reference: its line below its dots, or its star. Where families are told apart it has the colour of its own, and the
/// shape, hollow.
pub(crate) fn draw_reference(
    reference: &Reference,
    palette: &Palette,
    frame: &Frame,
    scene: &mut Scene,
    sizes: &Sizes,
) {
    let tint = palette.family(&reference.family).unwrap_or(Tint { color: GREY, shape: None });
    let spots = spots(reference, frame);
    let pen = Pen::new(tint.color, 0.6 * sizes.line);
    if spots.len() > 1 {
        scene.line(spots.clone(), pen);
    }
    let radius = radius(&spots, sizes);
    for center in &spots {
        let corners = match tint.shape {
            Some(shape) => corners(shape, *center, 0.8 * radius),
            None => (spots.len() == 1).then(|| star(*center, radius)),
        };
        let radius = if tint.shape.is_some() { 0.8 * radius } else { radius };
        scene.shapes.push(Shape::Marker { center: *center, radius, corners, fill: WHITE, outline: pen });
    }
}

/// The end of a reference, where its name goes, after adding what text must not cover. `series` is its number after
/// those of the data.
pub(crate) fn end(
    reference: &Reference,
    series: usize,
    frame: &Frame,
    obstacles: &mut Obstacles,
    sizes: &Sizes,
) -> Option<End> {
    let spots = spots(reference, frame);
    let reach = radius(&spots, sizes);
    obstacles.add_line(&spots);
    obstacles.boxes.extend(spots.iter().map(|spot| Rect::around(*spot, reach)));
    spots.last().map(|at| End { name: reference.name.clone(), at: *at, reach, series, left: spots.len() == 1 })
}

/// The points in the order of compute.
fn spots(reference: &Reference, frame: &Frame) -> Vec<Spot> {
    let mut points = reference.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.iter().map(|point| frame.at(point.0, point.1)).collect()
}

/// A star has to be larger than a dot to be one.
fn radius(spots: &[Spot], sizes: &Sizes) -> f64 {
    if spots.len() == 1 { 1.25 * sizes.marker.1 } else { sizes.marker.0 }
}
