//! Margins, axes and ticks around the data: where the plot is, and how a pair of numbers gets a place in it.

use crate::geometry::{Rect, Spot};
use crate::marks::BLACK;
use crate::scene::{Anchor, Scene, Text, thin};
use crate::style::{PER_PT, Sizes};
use crate::text::{markup, plain, shortened, width, wrapped};
use crate::ticks::{Notation, Tick, decades, doublings, level, named};
use crate::{Error, Words};
use plotters::coord::types::RangedCoordf64;
use plotters::coord::{CoordTranslate, cartesian::Cartesian2d};

/// Nothing is drawn closer to the edge of the canvas.
pub(crate) const EDGE: f64 = 2.0 * PER_PT;
/// Lengths relative to small text. With these a label below the plot never reaches one left of it.
const TICK: f64 = 0.42;
const MINOR_TICK: f64 = 0.24;
const GAP: f64 = 0.25;
/// Notes beyond this many lines are cut, for the plot to keep its room.
const NOTE_LINES: usize = 5;
/// Distance between panels, relative to small text.
const PANEL_GAP: (f64, f64) = (1.2, 0.7);

/// An axis.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Logarithmic, with ticks at powers of ten.
    Decades,
    /// Logarithmic, with ticks at the anchor times powers of two.
    Doublings { anchor: f64, notation: Notation },
    /// Linear.
    Level,
    /// Names at 0, 1, 2, ...
    Names(Vec<String>),
}

impl Kind {
    /// Where a value is on the axis, before it is brought to its length.
    fn along(&self, value: f64) -> f64 {
        match self {
            Kind::Decades | Kind::Doublings { .. } => value.log10(),
            Kind::Level | Kind::Names(_) => value,
        }
    }
}

/// What an axis shows.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) range: (f64, f64),
    pub(crate) kind: Kind,
}

impl Axis {
    /// Position of a value between the two ends of the axis.
    fn place(&self, value: f64, ends: (f64, f64)) -> f64 {
        let (low, high) = (self.kind.along(self.range.0), self.kind.along(self.range.1));
        ends.0 + (self.kind.along(value) - low) / (high - low) * (ends.1 - ends.0)
    }
}

/// What a frame is made for.
#[derive(Debug, Clone)]
pub(crate) struct Spec<'a> {
    pub(crate) words: &'a Words,
    pub(crate) x: Axis,
    /// In its place an axis for each column of panels; none where all share it.
    pub(crate) columns: &'a [Axis],
    pub(crate) y: Axis,
    /// Room to the right of the plot for the labels of lines.
    pub(crate) right: f64,
    /// Room above the plot for what found no place in it.
    pub(crate) strip: f64,
}

/// The axes with everything at its place.
pub(crate) struct Frame {
    pub(crate) plot: Rect,
    /// The room above the plot that was asked for.
    pub(crate) strip: Rect,
    pub(crate) canvas: Rect,
    coord: Cartesian2d<RangedCoordf64, RangedCoordf64>,
    /// Kind and ends of both axes.
    axes: [(Kind, (f64, f64)); 2],
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    texts: Vec<Text>,
}

impl Frame {
    pub(crate) fn lay_out(spec: &Spec<'_>, sizes: &Sizes) -> Result<Frame, Error> {
        let mut frames = Frame::lay_out_panels(spec, &[String::new()], 1, sizes)?;
        frames.pop().ok_or(Error::NoRoom)
    }

    /// Frames for small multiples, row by row, one for each heading: they share axes, and only the outer ones have labels.
    pub(crate) fn lay_out_panels(
        spec: &Spec<'_>,
        headings: &[String],
        columns: usize,
        sizes: &Sizes,
    ) -> Result<Vec<Frame>, Error> {
        let (wide, high) = (sizes.width, sizes.height);
        let (line, small_line) = (Sizes::line_height(sizes.text), Sizes::line_height(sizes.small));
        let inner = wide - 2.0 * EDGE;
        let columns = columns.max(1);
        let rows = headings.len().div_ceil(columns).max(1);

        let title = spec.words.title.as_ref().map_or(Vec::new(), |title| wrapped(title, sizes.text, inner, 2));
        let strip_top = EDGE + 0.6 * sizes.small + title.len() as f64 * line;
        let top = strip_top + spec.strip;
        let notes = note_lines(&spec.words.notes, sizes.small, inner);
        let notes_top = high - EDGE - notes.len() as f64 * small_line;
        let bottom = notes_top - line - 1.3 * sizes.small - (GAP + TICK) * sizes.small;
        let head = if headings.iter().all(String::is_empty) { 0.0 } else { 1.3 * sizes.small };
        let pitch_y = (bottom - top + PANEL_GAP.1 * sizes.small) / rows as f64;
        let cell_high = pitch_y - PANEL_GAP.1 * sizes.small - head;
        let along_y = |value: f64| spec.y.place(value, (cell_high, 0.0));
        let y_ticks = fitting(&spec.y, cell_high / (1.7 * sizes.small), &along_y, &|_| 1.2 * sizes.small);
        let label_width = |tick: &Tick| tick.label.as_deref().map_or(0.0, |label| width(&markup(label), sizes.small));
        let widest = y_ticks.iter().map(label_width).fold(0.0, f64::max);
        let left = EDGE + line + (2.0 * GAP + TICK) * sizes.small + widest;
        let right = wide - spec.right.max(2.0 * sizes.small);
        if !(right - left >= 0.2 * wide && bottom - top >= 0.2 * high && cell_high >= 3.0 * sizes.small) {
            return Err(Error::NoRoom);
        }
        let pitch_x = (right - left + PANEL_GAP.0 * sizes.small) / columns as f64;
        let cell_wide = pitch_x - PANEL_GAP.0 * sizes.small;
        if cell_wide < 4.0 * sizes.small {
            return Err(Error::NoRoom);
        }

        let gap = 0.6 * sizes.small;
        let x_axis = |index: usize| spec.columns.get(index % columns).unwrap_or(&spec.x);
        let x_ticks = |axis: &Axis| {
            let along_x = |value: f64| axis.place(value, (0.0, cell_wide));
            let extent = |label: &str| width(&markup(label), sizes.small) + gap;
            fitting(axis, cell_wide / (3.0 * sizes.small), &along_x, &extent)
        };
        let cell = |index: usize| {
            let x = x_axis(index);
            let (x0, y0) = (left + (index % columns) as f64 * pitch_x, top + (index / columns) as f64 * pitch_y + head);
            let plot = if rows * columns == 1 {
                Rect { x0: left, y0: top + head, x1: right, y1: bottom }
            } else {
                Rect::new(x0, y0, cell_wide, cell_high)
            };
            let unit = |axis: &Axis| axis.kind.along(axis.range.0)..axis.kind.along(axis.range.1);
            let coord = Cartesian2d::new(
                unit(x),
                unit(&spec.y),
                // plotters counts pixels downwards and takes the first end for the smallest value.
                (plot.x0.round() as i32..plot.x1.round() as i32, plot.y1.round() as i32..plot.y0.round() as i32),
            );
            Frame {
                plot,
                strip: Rect { x0: left, y0: strip_top, x1: wide - EDGE, y1: top },
                canvas: Rect::new(0.0, 0.0, wide, high),
                coord,
                axes: [x, &spec.y].map(|axis| (axis.kind.clone(), axis.range)),
                x_ticks: x_ticks(x),
                y_ticks: y_ticks.clone(),
                texts: Vec::new(),
            }
        };
        let mut frames: Vec<Frame> = (0..headings.len()).map(cell).collect();
        for (i, (frame, heading)) in frames.iter_mut().zip(headings).enumerate() {
            let slack = if columns > 1 { 0.45 * PANEL_GAP.0 * sizes.small } else { f64::INFINITY };
            // Below the lowest panel of a column; the places under it may be empty.
            if (i + columns..headings.len()).step_by(columns).all(|below| headings[below].is_empty()) {
                frame.x_tick_labels(x_axis(i), sizes, slack);
            }
            if i % columns == 0 {
                frame.y_tick_labels(spec, sizes);
            }
            if !heading.is_empty() {
                let at = (frame.plot.x0 + 0.5 * sizes.small, frame.plot.y0 - 0.75 * sizes.small);
                let limit = cell_wide - 0.5 * sizes.small;
                let text = shortened(heading, sizes.small, limit);
                frame.texts.push(Text::centered(plain(&text), at, sizes.small, Anchor::Start));
            }
        }
        if let Some(frame) = frames.first_mut() {
            frame.axis_labels(spec, sizes, notes_top, &Rect { x0: left, y0: top, x1: right, y1: bottom });
            for (i, text) in title.iter().enumerate() {
                let baseline = EDGE + i as f64 * line + 0.9 * sizes.text;
                let runs = markup(text);
                let half = width(&runs, sizes.text) / 2.0;
                let x = inside((left + right) / 2.0, EDGE + half, wide - EDGE - half);
                frame.text(runs, (x, baseline), sizes.text, Anchor::Middle);
            }
            for (i, text) in notes.iter().enumerate() {
                let baseline = notes_top + i as f64 * small_line + 0.9 * sizes.small;
                frame.text(plain(text), (EDGE, baseline), sizes.small, Anchor::Start);
            }
        }
        Ok(frames)
    }

    /// Where a pair of numbers is drawn. Numbers far outside the axes end up a frame's size outside the plot: plotters
    /// counts in whole numbers, which would overflow.
    pub(crate) fn at(&self, x: f64, y: f64) -> Spot {
        let near = |value: f64, (kind, ends): &(Kind, (f64, f64))| {
            let (low, high) = (kind.along(ends.0), kind.along(ends.1));
            inside(kind.along(value), low - (high - low), high + (high - low))
        };
        let (x, y) = self.coord.translate(&(near(x, &self.axes[0]), near(y, &self.axes[1])));
        (f64::from(x), f64::from(y))
    }

    /// Draws axes, ticks and all text of the frame.
    pub(crate) fn draw(&self, scene: &mut Scene, sizes: &Sizes) {
        let Rect { x0, y0, x1, y1 } = self.plot;
        scene.line(vec![(x0, y0), (x0, y1), (x1, y1)], thin(sizes));
        let length = |tick: &Tick| sizes.small * if tick.label.is_some() { TICK } else { MINOR_TICK };
        for tick in &self.x_ticks {
            let x = self.at(tick.value, 1.0).0;
            scene.line(vec![(x, y1), (x, y1 + length(tick))], thin(sizes));
        }
        for tick in &self.y_ticks {
            let y = self.at(1.0, tick.value).1;
            scene.line(vec![(x0, y), (x0 - length(tick), y)], thin(sizes));
        }
        scene.texts.extend(self.texts.iter().cloned());
    }

    /// Labels reach no further than `slack` out of the plot, where those of the next panel are.
    fn x_tick_labels(&mut self, axis: &Axis, sizes: &Sizes, slack: f64) {
        let Rect { x0, x1, y1, .. } = self.plot;
        let mut taken = f64::NEG_INFINITY;
        for tick in self.x_ticks.clone() {
            let Some(label) = tick.label else { continue };
            let runs = markup(&label);
            let half = width(&runs, sizes.small) / 2.0;
            let x = inside(axis.place(tick.value, (x0, x1)), x0 - slack + half, x1 + slack - half);
            let x = inside(x, EDGE + half, self.canvas.x1 - EDGE - half);
            // Only a label that was moved can touch the one before; where the panel is too narrow for any, none is drawn.
            if slack.is_finite() && (x - half < taken || 2.0 * half > x1 - x0 + 2.0 * slack) {
                continue;
            }
            taken = x + half + 0.3 * sizes.small;
            self.text(runs, (x, y1 + (TICK + GAP + 0.86) * sizes.small), sizes.small, Anchor::Middle);
        }
    }

    fn y_tick_labels(&mut self, spec: &Spec<'_>, sizes: &Sizes) {
        let Rect { x0, y0, y1, .. } = self.plot;
        for tick in self.y_ticks.clone() {
            let Some(label) = tick.label else { continue };
            let y = spec.y.place(tick.value, (y1, y0));
            let at = (x0 - (TICK + GAP) * sizes.small, y);
            self.texts.push(Text::centered(markup(&label), at, sizes.small, Anchor::End));
        }
    }

    fn axis_labels(&mut self, spec: &Spec<'_>, sizes: &Sizes, notes_top: f64, area: &Rect) {
        let Rect { x0, y0, x1, y1 } = *area;
        let size = sizes.text;
        let runs = markup(&shortened(&spec.words.x_label, size, self.canvas.x1 - 2.0 * EDGE));
        let half = width(&runs, size) / 2.0;
        let x = inside((x0 + x1) / 2.0, EDGE + half, self.canvas.x1 - EDGE - half);
        self.text(runs, (x, notes_top - 0.3 * size), size, Anchor::Middle);
        let runs = markup(&shortened(&spec.words.y_label, size, self.canvas.y1 - 2.0 * EDGE));
        let half = width(&runs, size) / 2.0;
        let y = inside((y0 + y1) / 2.0, EDGE + half, self.canvas.y1 - EDGE - half);
        let at = (EDGE + 0.86 * size, y);
        self.texts.push(Text { runs, at, size, anchor: Anchor::Middle, color: BLACK, upwards: true });
    }

    fn text(&mut self, runs: Vec<crate::text::Run>, at: Spot, size: f64, anchor: Anchor) {
        self.texts.push(Text { runs, at, size, anchor, color: BLACK, upwards: false });
    }
}

/// The range of an axis that shows all values with some air; values that are all the same get a range around them.
pub(crate) fn range(values: impl Iterator<Item = f64>, air: f64) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    let (low, high) = (low.log10(), high.log10());
    let span = high - low;
    let pad = if span < 1e-3 { 0.1 } else { air * span };
    Some((10f64.powf(low - pad), 10f64.powf(high + pad)))
}

/// Whether a logarithmic axis can show this number. Within these bounds no ratio of two numbers of an axis overflows.
pub(crate) fn drawable(value: f64) -> bool {
    (1e-100..=1e100).contains(&value)
}

/// Whether a linear axis can show this number.
pub(crate) fn level_drawable(value: f64) -> bool {
    value.abs() <= 1e100
}

/// The range of a linear axis that shows all values with some air.
pub(crate) fn level_range(values: impl Iterator<Item = f64>, air: f64) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    let size = low.abs().max(high.abs());
    let span = high - low;
    let pad = match size {
        // Nothing but zeros, as far as ticks go: their unit says how much is much.
        _ if size < 1e-100 => 1.0,
        _ if span > 1e-9 * size => air * span,
        _ => 0.1 * size,
    };
    Some((low - pad, high + pad))
}

/// `value`, moved between `low` and `high`; unlike `clamp` no panic where they are crossed.
fn inside(value: f64, low: f64, high: f64) -> f64 {
    value.min(high).max(low)
}

/// Ticks whose labels do not touch. `extent` is what a label needs along the axis.
fn fitting(axis: &Axis, room: f64, along: &dyn Fn(f64) -> f64, extent: &dyn Fn(&str) -> f64) -> Vec<Tick> {
    let (low, high) = axis.range;
    let make = |room| match &axis.kind {
        Kind::Decades => decades(low, high, room),
        Kind::Doublings { anchor, notation } => doublings(low, high, *anchor, *notation, room),
        Kind::Level => level(low, high, room),
        Kind::Names(names) => named(names, room),
    };
    let clear = |ticks: &[Tick]| {
        let labelled: Vec<(f64, f64)> =
            ticks.iter().filter_map(|tick| Some((along(tick.value), extent(tick.label.as_deref()?)))).collect();
        labelled.windows(2).all(|pair| (pair[1].0 - pair[0].0).abs() >= (pair[0].1 + pair[1].1) / 2.0)
    };
    let most = (room as usize).clamp(2, 12);
    let mut ticks = make(most);
    for room in (2..most).rev() {
        if clear(&ticks) {
            return ticks;
        }
        ticks = make(room);
    }
    if !clear(&ticks) {
        // Two long labels close together on a tiny canvas: one is better than a blot.
        for tick in ticks.iter_mut().filter(|tick| tick.label.is_some()).skip(1) {
            tick.label = None;
        }
    }
    ticks
}

fn note_lines(notes: &[String], size: f64, limit: f64) -> Vec<String> {
    let mut lines = wrapped(&notes.join(" "), size, limit, usize::MAX);
    if lines.len() > NOTE_LINES {
        let left_out = lines.len() - NOTE_LINES + 1;
        lines.truncate(NOTE_LINES - 1);
        lines.push(format!("… and {left_out} more lines in the data"));
    }
    lines
}
