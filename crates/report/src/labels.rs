//! Direct labels: the name of a line next to its end, never on top of anything.
//!
//! A name goes right beside the end of its line where that is free. The others go into a column right of the plot,
//! spread so that they do not touch, each with a thin leader to its line.

use crate::frame::{EDGE, Frame};
use crate::geometry::{Obstacles, Rect, Spot, segments_cross};
use crate::style::{PER_PT, Sizes};
use crate::text::{abbreviated, name, shortened, width};

/// Smallest text in print.
const SMALLEST: f64 = 5.0 * PER_PT;
/// Distance of a label from its marker, relative to its text.
pub(crate) const GAP: f64 = 0.33;
/// Height of the box of a label, relative to the size of its text.
const HEIGHT: f64 = 1.1;

/// The end of a line that wants a label.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) at: Spot,
    /// Reach of the marker at the end.
    pub(crate) reach: f64,
    /// Which series this is.
    pub(crate) series: usize,
    /// Whether the name may stand left of it; lines come from there.
    pub(crate) left: bool,
}

/// A name with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Label {
    pub(crate) text: String,
    pub(crate) place: Rect,
    pub(crate) size: f64,
    /// From the end of the line to the label; none where the label is next to it.
    pub(crate) leader: Option<(Spot, Spot)>,
    pub(crate) series: usize,
}

/// Where labels may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) plot: Rect,
    /// The column right of the plot.
    pub(crate) column: Rect,
}

impl Room {
    /// The room of a frame that was laid out with [`column_width`].
    pub(crate) fn of(frame: &Frame, sizes: &Sizes) -> Room {
        let column = Rect {
            x0: frame.plot.x1 + GAP * 2.0 * sizes.small,
            y0: frame.plot.y0,
            x1: frame.canvas.x1 - EDGE,
            y1: frame.plot.y1,
        };
        Room { plot: frame.plot, column }
    }
}

/// Room that the longest of these names needs to the right of the plot.
pub(crate) fn column_width<'a>(names: impl Iterator<Item = &'a str>, size: f64, canvas: f64) -> f64 {
    let longest = names.map(|text| width(&name(text), size)).fold(0.0, f64::max);
    longest.min(0.3 * canvas) + 4.0 * GAP * size
}

/// Places the names of all ends.
pub(crate) fn place(ends: &[End], obstacles: &Obstacles, room: &Room, size: f64) -> Vec<Label> {
    let mut near: Vec<Option<Label>> = Vec::new();
    let mut taken = obstacles.clone();
    for end in ends {
        let leaders: Vec<(Spot, Spot)> = near.iter().flatten().filter_map(|label| label.leader).collect();
        let label = beside(end, &taken, &leaders, room, size);
        taken.boxes.extend(label.as_ref().map(|label| label.place));
        taken.segments.extend(label.as_ref().and_then(|label| label.leader));
        near.push(label);
    }
    if near.iter().all(Option::is_some) {
        return near.into_iter().flatten().collect();
    }
    // The column belongs to its own labels, and no leader may cross a name, so some more names join the column.
    for label in &mut near {
        if label.as_ref().is_some_and(|label| label.place.x1 > room.plot.x1) {
            *label = None;
        }
    }
    loop {
        let crowd: Vec<&End> =
            ends.iter().zip(&near).filter(|(_, label)| label.is_none()).map(|(end, _)| end).collect();
        let column = column(&crowd, room, size);
        let crossed = |place: &Rect| column.iter().filter_map(|l| l.leader).any(|(a, b)| place.crossed_by(a, b));
        match near.iter_mut().find(|label| label.as_ref().is_some_and(|label| crossed(&label.place))) {
            Some(label) => *label = None,
            None => return near.into_iter().flatten().chain(column).collect(),
        }
    }
}

/// A free place right beside the end of the line, above, below or left of it, or a few lines away with a leader.
fn beside(end: &End, taken: &Obstacles, leaders: &[(Spot, Spot)], room: &Room, size: f64) -> Option<Label> {
    let (height, gap) = (HEIGHT * size, GAP * size);
    let wide = width(&name(&end.name), size);
    let start = (end.at.0 + end.reach, end.at.1);
    let right_of_it = |right: f64, down: f64| {
        let middle = start.1 + down * height;
        Rect::new(start.0 + gap + right * height, middle - height / 2.0, wide, height)
    };
    let free = |place: &Rect| {
        let upright = place.y0 >= room.column.y0 && place.y1 <= room.column.y1;
        let inside = place.x0 >= room.plot.x0 + gap && place.x1 <= room.column.x1;
        upright && inside && !taken.hit(&place.grown(0.05 * size))
    };
    // A name nearly as close to another marker as to its own would be read as that one's.
    let clear = |place: &Rect| {
        let others = taken.boxes.iter().filter(|other| !other.touches(end.at));
        let nearest = others.map(|other| place.distance(other.middle())).fold(f64::INFINITY, f64::min);
        nearest > 1.5 * place.distance(end.at)
    };
    const SHIFTS: [f64; 7] = [0.0, -0.25, 0.25, -0.5, 0.5, -0.75, 0.75];
    let aside = SHIFTS.map(|down| right_of_it(0.0, down));
    let before = SHIFTS.map(|down| {
        let middle = start.1 + down * height;
        Rect::new(end.at.0 - end.reach - gap - wide, middle - height / 2.0, wide, height)
    });
    let above_or_below = [1.0, -1.0].map(|down| {
        let middle = end.at.1 + down * (end.reach + 0.5 * gap + height / 2.0);
        Rect::new(end.at.0 - wide / 2.0, middle - height / 2.0, wide, height)
    });
    let label = |place, leader| Label { text: end.name.clone(), place, size, leader, series: end.series };
    let mut close = aside.into_iter().chain(above_or_below).chain(before.into_iter().filter(|_| end.left));
    if let Some(place) = close.find(|place| free(place) && clear(place)) {
        return Some(label(place, None));
    }
    const DOWN: [f64; 8] = [-1.5, 1.5, -2.5, 2.5, -3.5, 3.5, -4.5, 4.5];
    let right = DOWN.into_iter().flat_map(|down| [0.5, 1.5, 3.0, 5.0].map(|right| right_of_it(right, down)));
    let right = right.map(|place| (place, (start, (place.x0 - 0.5 * gap, place.middle().1))));
    let edge = (end.at.0 - end.reach, end.at.1);
    let left = DOWN.into_iter().flat_map(|down| {
        [0.5, 1.5, 3.0].map(|left| {
            let (x, y) = (edge.0 - gap - left * height - wide, edge.1 + down * height);
            let place = Rect::new(x, y - height / 2.0, wide, height);
            (place, (edge, (place.x1 + 0.5 * gap, y)))
        })
    });
    let candidates = right.chain(left.filter(|_| end.left)).filter(|(place, _)| free(place));
    let candidates: Vec<(Rect, (Spot, Spot))> = candidates
        .filter(|(_, leader)| {
            let boxes = taken.boxes.iter().filter(|other| !other.touches(leader.0));
            !boxes.into_iter().any(|other| other.crossed_by(leader.0, leader.1))
                && !leaders.iter().any(|other| segments_cross(*leader, *other))
        })
        .collect();
    let over_no_line =
        candidates.iter().find(|(_, leader)| !taken.segments.iter().any(|s| segments_cross(*leader, *s)));
    over_no_line.or(candidates.first()).map(|(place, leader)| label(*place, Some(*leader)))
}

/// Labels in the column, as close to their lines as they fit without touching.
fn column(ends: &[&End], room: &Room, size: f64) -> Vec<Label> {
    let mut order: Vec<&End> = ends.to_vec();
    order.sort_by(|a, b| a.at.1.total_cmp(&b.at.1).then(a.series.cmp(&b.series)));
    let (top, bottom) = (room.column.y0, room.column.y1);
    let wanted = (bottom - top) / (HEIGHT * order.len().max(1) as f64);
    let size = size.min(wanted.max(SMALLEST));
    let height = HEIGHT * size;
    // More names than lines of the smallest text: the last line says how many are missing.
    let lines = (((bottom - top) / height + 1e-9).floor() as usize).max(1);
    let missing = if order.len() > lines { order.len() - (lines - 1) } else { 0 };
    order.truncate(order.len() - missing);
    let middles: Vec<f64> = order.iter().map(|end| end.at.1).collect();
    let last = bottom - height / 2.0 - if missing > 0 { height } else { 0.0 };
    let places = spread(&middles, height, top + height / 2.0, last);
    let limit = room.column.width();
    let mut labels: Vec<Label> = order
        .iter()
        .zip(places)
        .map(|(end, y)| {
            let text = abbreviated(&end.name, size, limit);
            let place = Rect::new(room.column.x0, y - height / 2.0, width(&name(&text), size), height);
            let leader = Some(((end.at.0 + end.reach, end.at.1), (room.column.x0 - 0.5 * GAP * size, y)));
            Label { text, place, size, leader, series: end.series }
        })
        .collect();
    if missing > 0 {
        let text = shortened(&format!("+{missing} more"), size, limit);
        let place = Rect::new(room.column.x0, bottom - height, width(&name(&text), size), height);
        labels.push(Label { text, place, size, leader: None, series: usize::MAX });
    }
    labels
}

/// The positions closest to `wanted` (ascending) that are `apart` from each other and between `low` and `high`.
///
/// Subtracting the spacing turns it into a regression that must not descend, which pooling neighbours solves exactly.
fn spread(wanted: &[f64], apart: f64, low: f64, high: f64) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (i, y) in wanted.iter().enumerate() {
        pools.push((y - i as f64 * apart, 1));
        while let [.., (before, n), (after, m)] = pools[..] {
            if before <= after {
                break;
            }
            pools.truncate(pools.len() - 2);
            let (a, b) = (n as f64, m as f64);
            pools.push(((before * a + after * b) / (a + b), n + m));
        }
    }
    let limit = high - wanted.len().saturating_sub(1) as f64 * apart;
    let level = pools.iter().flat_map(|(y, count)| std::iter::repeat_n(*y, *count));
    level.enumerate().map(|(i, y)| y.min(limit).max(low) + i as f64 * apart).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: Room = Room {
        plot: Rect { x0: 0.0, y0: 0.0, x1: 1500.0, y1: 1500.0 },
        column: Rect { x0: 1540.0, y0: 0.0, x1: 2000.0, y1: 1500.0 },
    };

    fn end(series: usize, x: f64, y: f64) -> End {
        End { name: format!("model {series}"), at: (x, y), reach: 20.0, series, left: false }
    }

    #[test]
    fn names_stand_next_to_free_ends() {
        let labels = place(&[end(0, 500.0, 300.0), end(1, 900.0, 300.0)], &Obstacles::default(), &ROOM, 60.0);
        assert!(labels.iter().all(|label| label.leader.is_none()), "{labels:?}");
        assert_eq!(labels[0].place.x0, 520.0 + GAP * 60.0);
    }

    #[test]
    fn a_name_may_go_left_where_no_line_comes_from() {
        let mut wall = Obstacles::default();
        wall.boxes.push(Rect::new(530.0, 0.0, 900.0, 1500.0));
        wall.boxes.push(Rect::new(440.0, 0.0, 90.0, 255.0));
        wall.boxes.push(Rect::new(440.0, 345.0, 90.0, 900.0));
        let star = End { left: true, ..end(0, 500.0, 300.0) };
        let labels = place(&[star], &wall, &ROOM, 60.0);
        assert_eq!((labels[0].place.x1, labels[0].leader), (480.0 - GAP * 60.0, None));
    }

    #[test]
    fn a_name_without_room_goes_to_the_column() {
        let mut wall = Obstacles::default();
        wall.boxes.push(Rect::new(530.0, 0.0, 900.0, 1500.0));
        let labels = place(&[end(0, 500.0, 300.0)], &wall, &ROOM, 60.0);
        assert_eq!((labels[0].place.x0, labels[0].leader.is_some()), (1540.0, true));
    }

    #[test]
    fn names_beyond_the_column_are_counted() {
        let ends: Vec<End> = (0..70).map(|i| end(i, 1500.0, 700.0)).collect();
        let labels = place(&ends, &Obstacles::default(), &ROOM, 60.0);
        let last = labels.last().expect("labels");
        assert_eq!(labels.len(), 27);
        assert_eq!(last.text, "+44 more");
    }

    proptest! {
        #[test]
        fn names_never_touch(spots in prop::collection::vec((0.0..1500.0f64, 0.0..1500.0f64), 0..60), coarse in 1.0..400.0f64) {
            let snap = |v: f64| (v / coarse).floor() * coarse;
            let end = |i, (x, y): &(f64, f64)| End { left: i % 3 == 0, ..end(i, snap(*x), snap(*y)) };
            let ends: Vec<End> = spots.iter().enumerate().map(|(i, spot)| end(i, spot)).collect();
            let mut obstacles = Obstacles::default();
            for end in &ends {
                obstacles.boxes.push(Rect::around(end.at, 20.0));
                obstacles.segments.push(((0.0, 0.0), end.at));
            }
            let labels = place(&ends, &obstacles, &ROOM, 60.0);
            for (i, label) in labels.iter().enumerate() {
                prop_assert!(label.place.x1 <= 2000.0 && label.place.y0 >= -1e-6 && label.place.y1 <= 1500.0 + 1e-6);
                let shrunk = label.place.grown(-1e-6);
                prop_assert!(labels[i + 1..].iter().all(|other| !shrunk.overlaps(&other.place)), "{labels:?}");
                if label.leader.is_none() && label.series < ends.len() {
                    prop_assert!(!obstacles.hit(&label.place));
                }
            }
        }
    }
}
