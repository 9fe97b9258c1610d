//! What colours, shapes and lines mean, in rows above the plot, where nothing can be in the way.

use crate::geometry::{Rect, Spot};
use crate::layer::{Hatch, Ink, Look, draw_bar, draw_mark, radius};
use crate::marks::{BAND, DARK_GREY};
use crate::palette::Palette;
use crate::scene::{Anchor, Pen, Scene, Shape, Text};
use crate::style::Sizes;
use crate::text::{markup, shortened, width};

/// Width of a sample, relative to small text, as are all lengths here.
const SAMPLE: f64 = 1.5;
const GAP: f64 = 0.3;
const BETWEEN: f64 = 1.0;
/// Rows beyond these are left out, for the plot to keep its room; the last entry says how many entries.
const ROWS: usize = 4;

/// One explanation.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) sample: Sample,
    pub(crate) text: String,
}

/// What is explained.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    Mark {
        ink: Ink,
        look: Look,
        line: bool,
    },
    Line {
        ink: Ink,
        width: f64,
        dashed: bool,
    },
    Bar {
        ink: Ink,
        hatch: Hatch,
    },
    /// A law with its band.
    Law,
    /// A heading for the entries that follow.
    Heading,
}

/// The entries at their places below the corner of the key.
pub(crate) struct Key {
    pub(crate) height: f64,
    entries: Vec<(Entry, Spot)>,
}

impl Key {
    /// Puts entries beside each other as far as they fit.
    pub(crate) fn lay_out(entries: &[Entry], sizes: &Sizes) -> Key {
        let small = sizes.small;
        let room = 0.8 * sizes.width;
        let line = Sizes::line_height(small);
        let (mut x, mut row) = (0.0, 0);
        let mut placed: Vec<(Entry, Spot)> = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let indent = if matches!(entry.sample, Sample::Heading) { 0.0 } else { (SAMPLE + GAP) * small };
            let text = shortened(&entry.text, small, room - indent);
            let wide = indent + width(&markup(&text), small);
            if x > 0.0 && x + wide > room {
                (x, row) = (0.0, row + 1);
            }
            if row == ROWS {
                // The place of the last one is taken by the number of those that are missing.
                let missing = entries.len() - i + 1;
                if let Some((last, _)) = placed.last_mut() {
                    *last = Entry { sample: Sample::Heading, text: format!("+{missing} more") };
                }
                row -= 1;
                break;
            }
            placed.push((Entry { text, ..entry.clone() }, (x, (row as f64 + 0.5) * line)));
            x += wide + if indent == 0.0 { GAP * small } else { BETWEEN * small };
        }
        let height = if placed.is_empty() { 0.0 } else { (row as f64 + 1.0) * line + 0.5 * small };
        Key { height, entries: placed }
    }

    pub(crate) fn draw(&self, corner: Spot, palette: &Palette, scene: &mut Scene, sizes: &Sizes) {
        let small = sizes.small;
        let long = SAMPLE * small;
        for (entry, (x, y)) in &self.entries {
            let (x, y) = (corner.0 + x, corner.1 + y);
            let half = 0.25 * small;
            let line = |pen: Pen, scene: &mut Scene| scene.line(vec![(x, y), (x + long, y)], pen);
            match entry.sample {
                Sample::Mark { ink, look, line: lined } => {
                    let color = ink.color(palette);
                    if lined {
                        line(Pen::new(color, sizes.line), scene);
                    }
                    draw_mark((x + long / 2.0, y), look, color, radius(0.3, sizes), scene, sizes);
                }
                Sample::Line { ink, width, dashed } => {
                    line(Pen { dashed, ..Pen::new(ink.color(palette), width * sizes.line) }, scene);
                }
                Sample::Bar { ink, hatch } => {
                    let place = Rect { x0: x, y0: y - 1.4 * half, x1: x + long, y1: y + 1.4 * half };
                    draw_bar(&place, ink.color(palette), hatch, scene, sizes);
                }
                Sample::Law => {
                    let (x1, low, high) = (x + long, y + half, y - half);
                    let points = vec![(x, low), (x1, low), (x1, high), (x, high)];
                    scene.shapes.push(Shape::Fill { points, color: BAND, opacity: 1.0 });
                    line(Pen::new(Ink::Black.color(palette), 0.8 * sizes.line), scene);
                }
                Sample::Heading => {}
            }
            let heading = matches!(entry.sample, Sample::Heading);
            let at = (if heading { x } else { x + long + GAP * small }, y);
            let text = Text::centered(markup(&entry.text), at, small, Anchor::Start);
            scene.texts.push(if heading { Text { color: DARK_GREY, ..text } } else { text });
        }
    }
}
