//! Points, boxes and what touches what, in drawing units with y downwards.

pub(crate) type Spot = (f64, f64);

/// An upright box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Rect {
    pub(crate) fn new(x: f64, y: f64, width: f64, height: f64) -> Rect {
        Rect { x0: x, y0: y, x1: x + width, y1: y + height }
    }

    pub(crate) fn around(center: Spot, radius: f64) -> Rect {
        Rect::new(center.0 - radius, center.1 - radius, 2.0 * radius, 2.0 * radius)
    }

    pub(crate) fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    pub(crate) fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    /// The box with `by` added on every side.
    pub(crate) fn grown(&self, by: f64) -> Rect {
        Rect { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    /// Whether two boxes share more than an edge.
    pub(crate) fn overlaps(&self, other: &Rect) -> bool {
        self.x0 < other.x1 && other.x0 < self.x1 && self.y0 < other.y1 && other.y0 < self.y1
    }

    /// Whether all of `other` is inside.
    #[cfg(test)]
    pub(crate) fn contains(&self, other: &Rect) -> bool {
        self.x0 <= other.x0 && self.y0 <= other.y0 && other.x1 <= self.x1 && other.y1 <= self.y1
    }

    /// Whether a spot is inside or on the edge.
    pub(crate) fn touches(&self, spot: Spot) -> bool {
        self.x0 <= spot.0 && spot.0 <= self.x1 && self.y0 <= spot.1 && spot.1 <= self.y1
    }

    pub(crate) fn middle(&self) -> Spot {
        ((self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0)
    }

    /// How far a spot is from the box; 0 inside.
    pub(crate) fn distance(&self, spot: Spot) -> f64 {
        let outside = |value: f64, low: f64, high: f64| (low - value).max(value - high).max(0.0);
        outside(spot.0, self.x0, self.x1).hypot(outside(spot.1, self.y0, self.y1))
    }

    /// Whether the segment from `a` to `b` enters the box (Liang and Barsky's clipping).
    pub(crate) fn crossed_by(&self, a: Spot, b: Spot) -> bool {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (along, room) in [(-dx, a.0 - self.x0), (dx, self.x1 - a.0), (-dy, a.1 - self.y0), (dy, self.y1 - a.1)] {
            if along == 0.0 {
                if room < 0.0 {
                    return false;
                }
            } else if along < 0.0 {
                enter = enter.max(room / along);
            } else {
                leave = leave.min(room / along);
            }
        }
        enter <= leave
    }
}

/// Whether two segments cross each other.
pub(crate) fn segments_cross((a, b): (Spot, Spot), (c, d): (Spot, Spot)) -> bool {
    let side = |p: Spot, q: Spot, r: Spot| (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

/// What text must not cover.
#[derive(Debug, Clone, Default)]
pub(crate) struct Obstacles {
    pub(crate) segments: Vec<(Spot, Spot)>,
    pub(crate) boxes: Vec<Rect>,
}

impl Obstacles {
    /// Adds the segments of a line.
    pub(crate) fn add_line(&mut self, points: &[Spot]) {
        self.segments.extend(points.windows(2).map(|pair| (pair[0], pair[1])));
    }

    /// Whether a box covers any obstacle.
    pub(crate) fn hit(&self, rect: &Rect) -> bool {
        self.boxes.iter().any(|other| rect.overlaps(other))
            || self.segments.iter().any(|(a, b)| rect.crossed_by(*a, *b))
    }

    /// The first place for a box of this size inside `area`: corners first, then everywhere on a coarse grid.
    pub(crate) fn free_place(&self, width: f64, height: f64, area: &Rect) -> Option<Rect> {
        const STEPS: u32 = 8;
        let (room_x, room_y) = (area.width() - width, area.height() - height);
        if room_x < 0.0 || room_y < 0.0 {
            return None;
        }
        let corners = [(STEPS, 0), (0, STEPS), (STEPS, STEPS), (0, 0)];
        let grid = (0..=STEPS).flat_map(|row| (0..=STEPS).rev().map(move |column| (column, row)));
        corners
            .into_iter()
            .chain(grid)
            .map(|(column, row)| {
                let x = area.x0 + room_x * f64::from(column) / f64::from(STEPS);
                let y = area.y0 + room_y * f64::from(row) / f64::from(STEPS);
                Rect::new(x, y, width, height)
            })
            .find(|place| !self.hit(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_crosses_a_box_only_where_it_enters() {
        let rect = Rect::new(0.0, 0.0, 10.0, 10.0);
        assert!(rect.crossed_by((-5.0, 5.0), (15.0, 5.0)));
        assert!(rect.crossed_by((5.0, 5.0), (6.0, 6.0)));
        assert!(!rect.crossed_by((-5.0, 5.0), (-1.0, 5.0)));
        assert!(!rect.crossed_by((-1.0, 12.0), (12.0, 11.0)));
        assert!(!rect.crossed_by((11.0, -3.0), (11.0, 30.0)));
    }

    #[test]
    fn a_free_corner_is_found_and_a_full_area_has_none() {
        let area = Rect::new(0.0, 0.0, 100.0, 100.0);
        let mut obstacles = Obstacles::default();
        assert_eq!(obstacles.free_place(10.0, 10.0, &area), Some(Rect::new(90.0, 0.0, 10.0, 10.0)));
        obstacles.boxes.push(Rect::new(80.0, 0.0, 20.0, 20.0));
        assert_eq!(obstacles.free_place(10.0, 10.0, &area), Some(Rect::new(0.0, 90.0, 10.0, 10.0)));
        obstacles.boxes.push(area);
        assert_eq!(obstacles.free_place(10.0, 10.0, &area), None);
    }
}
