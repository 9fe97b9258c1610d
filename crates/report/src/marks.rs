//! Marker shapes, and the colours that are no series'.

use crate::geometry::Spot;
use plotters::style::RGBColor;

/// Grey of points that the fit leaves out.
pub(crate) const GREY: RGBColor = RGBColor(140, 140, 140);
/// Grey of text that stays behind: dark enough to be read.
pub(crate) const DARK_GREY: RGBColor = RGBColor(96, 96, 96);
/// Grey of the confidence band.
pub(crate) const BAND: RGBColor = RGBColor(216, 216, 216);
/// Hours by use: dark to light, and told apart by hatching too.
pub(crate) const USEFUL: RGBColor = RGBColor(0, 82, 130);
pub(crate) const REPEATED: RGBColor = RGBColor(86, 160, 211);
pub(crate) const FAILED: RGBColor = RGBColor(213, 94, 0);
pub(crate) const IDLE: RGBColor = RGBColor(208, 208, 208);
/// A law that was fitted to a part of the runs.
pub(crate) const BACK_TEST: RGBColor = RGBColor(213, 94, 0);
/// Everything that is not data.
pub(crate) const BLACK: RGBColor = RGBColor(0, 0, 0);
/// The paper.
pub(crate) const WHITE: RGBColor = RGBColor(255, 255, 255);

/// The colour between two at this share of the way.
pub(crate) fn mixed(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let between = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
    RGBColor(between(from.0, to.0), between(from.1, to.1), between(from.2, to.2))
}

/// The same colour on a dark ground: greys change sides, and what is too dark to be seen gets lighter.
pub(crate) fn on_dark(color: RGBColor) -> RGBColor {
    let RGBColor(r, g, b) = color;
    if r == g && g == b {
        let grey = (24.0 + (255.0 - f64::from(r)) * (235.0 - 24.0) / 255.0).round() as u8;
        return RGBColor(grey, grey, grey);
    }
    // First as bright as the hue can be, then towards white: dark colours keep their hue.
    let brightest = 255.0 / f64::from(r.max(g).max(b).max(1));
    let shade = |step: u32| {
        let (up, white) = (f64::from(step.min(20)) / 20.0, f64::from(step.saturating_sub(20)) / 20.0);
        [r, g, b].map(|v| {
            let pure = f64::from(v) * (1.0 + (brightest - 1.0) * up);
            pure + (255.0 - pure) * white
        })
    };
    // Relative luminance, with the usual exponent in place of the exact curve.
    let bright = |[r, g, b]: &[f64; 3]| {
        let linear = |v: f64| (v / 255.0).powf(2.2);
        0.2126 * linear(*r) + 0.7152 * linear(*g) + 0.0722 * linear(*b) >= 0.28
    };
    let [r, g, b] = (0..=40).map(shade).find(bright).unwrap_or([255.0; 3]).map(|v| v.round() as u8);
    RGBColor(r, g, b)
}

/// Corners of the marker of the `index`th series, with the area of a circle of this radius; `None` is that circle.
pub(crate) fn corners(index: usize, center: Spot, radius: f64) -> Option<Vec<Spot>> {
    // (corners, turn of the first corner from upright in turns, circumradius of unit-circle area)
    let (count, turn) = match index % 6 {
        0 => return None,
        1 => (4, 0.125),
        2 => (3, 0.0),
        3 => (4, 0.0),
        4 => (3, 0.5),
        _ => (6, 0.0),
    };
    let count = f64::from(count);
    let tau = std::f64::consts::TAU;
    let reach = radius * (tau / (count * (tau / count).sin())).sqrt();
    let corner = |i: f64| {
        let angle = tau * (turn + i / count);
        (center.0 + reach * angle.sin(), center.1 - reach * angle.cos())
    };
    Some((0..count as u32).map(|i| corner(f64::from(i))).collect())
}

/// Corners of an upright five-pointed star, its points at this radius. Fatter than a pentagram, to be a star in print.
pub(crate) fn star(center: Spot, radius: f64) -> Vec<Spot> {
    let corner = |i: u32| {
        let angle = std::f64::consts::TAU * f64::from(i) / 10.0;
        let reach = if i.is_multiple_of(2) { radius } else { 0.45 * radius };
        (center.0 + reach * angle.sin(), center.1 - reach * angle.cos())
    };
    (0..10).map(corner).collect()
}

/// The two lines of a cross whose arms end in the corners of a square around it.
pub(crate) fn cross((x, y): Spot, arm: f64) -> [Vec<Spot>; 2] {
    [[(x - arm, y - arm), (x + arm, y + arm)], [(x - arm, y + arm), (x + arm, y - arm)]].map(Vec::from)
}

/// How far the marker of the `index`th series reaches to the left and right of its middle.
pub(crate) fn reach(index: usize, radius: f64) -> f64 {
    let sideways = |corners: Vec<Spot>| corners.iter().map(|corner| corner.0.abs()).fold(0.0, f64::max);
    corners(index, (0.0, 0.0), radius).map_or(radius, sideways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_equal_area() {
        for index in 1..6 {
            let corners = corners(index, (3.0, 4.0), 10.0).expect("a polygon");
            let next = corners.iter().cycle().skip(1);
            let area: f64 = corners.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>() / 2.0;
            assert!((area.abs() - 100.0 * std::f64::consts::PI).abs() < 1e-9, "shape {index}: {area}");
        }
    }

    #[test]
    fn a_star_points_upwards_and_is_even() {
        let corners = star((3.0, 4.0), 10.0);
        assert_eq!(corners[0], (3.0, -6.0));
        let reach: Vec<f64> = corners.iter().map(|(x, y)| (x - 3.0).hypot(y - 4.0)).collect();
        assert!(reach.chunks(2).all(|pair| (pair[0] - 10.0).abs() < 1e-9 && (pair[1] - 4.5).abs() < 1e-9), "{reach:?}");
        assert!(corners.iter().all(|(x, _)| corners.iter().any(|(other, _)| (x + other - 6.0).abs() < 1e-9)));
    }
}
