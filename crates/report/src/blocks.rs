//! Boxes of text and marks that look for a free place in the plot: the fitted law and the key to the marker sizes.

use crate::geometry::{Obstacles, Rect, Spot};
use crate::law_draw::LawLook;
use crate::layer::{Look, draw_mark, radius};
use crate::marks::GREY;
use crate::scene::{Anchor, Pen, Scene, Shape, Text};
use crate::style::Sizes;
use crate::text::{markup, plain, width, wrapped};
use crate::ticks::epochs_label;
use plotters::style::RGBColor;

/// Distance of a block from axes and from other blocks, relative to small text, as are all lengths here.
const MARGIN: f64 = 0.5;
/// Length of the piece of line beside the label of a law.
const SWATCH: f64 = 1.7;
const GAP: f64 = 0.33;
/// Lines of the label of a law; what is more is cut.
const LAW_LINES: usize = 5;
/// More marker sizes than this are not told apart anyway.
const MOST_SIZES: usize = 6;

/// A box with content.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) width: f64,
    pub(crate) height: f64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Laws(Vec<Row>),
    Key { heading: String, sizes: Vec<KeySize> },
}

/// A sample with what it means, in lines.
#[derive(Debug, Clone)]
struct Row {
    sample: Sample,
    lines: Vec<String>,
}

/// What stands beside the label of a law or the name of a family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// A piece of the law.
    pub(crate) law: Option<LawLook>,
    /// The marker of the family.
    pub(crate) mark: Option<(Look, RGBColor)>,
}

#[derive(Debug, Clone)]
struct KeySize {
    label: String,
    radius: f64,
    middle: f64,
}

impl Block {
    /// Labels of laws, or names of families, below each other and each beside its sample; none without text.
    pub(crate) fn laws(labels: &[(String, Sample)], sizes: &Sizes, limit: f64) -> Option<Block> {
        // An equation is not broken around its signs.
        let glued = |label: String, sign: &str| label.replace(sign, &sign.replace(' ', "\u{a0}"));
        let row = |(label, sample): &(String, Sample)| {
            let label = label.replace("[-", "[\u{2212}").replace(", -", ", \u{2212}");
            let label = [" = ", " ± ", " %"].into_iter().fold(label, glued);
            let lines = wrapped(&label, sizes.small, limit - (SWATCH + GAP) * sizes.small, LAW_LINES);
            Row { sample: *sample, lines: lines.iter().map(|line| line.replace('\u{a0}', " ")).collect() }
        };
        let rows: Vec<Row> = labels.iter().map(row).filter(|row| !row.lines.is_empty()).collect();
        let lines = || rows.iter().flat_map(|row| &row.lines);
        let widest = lines().map(|line| width(&markup(line), sizes.small)).fold(0.0, f64::max);
        let height = lines().count() as f64 * Sizes::line_height(sizes.small);
        let width = (SWATCH + GAP) * sizes.small + widest;
        (height > 0.0).then_some(Block { width, height, content: Content::Laws(rows) })
    }

    /// A key to marker sizes; none where all markers have one size. `budgets` ascend.
    pub(crate) fn key(heading: &str, budgets: &[f64], radius: &dyn Fn(f64) -> f64, sizes: &Sizes) -> Option<Block> {
        let last = budgets.len().checked_sub(1).filter(|last| *last > 0)?;
        let shown = budgets.len().min(MOST_SIZES);
        let picked: Vec<f64> = (0..shown).map(|i| budgets[i * last / (shown - 1)]).collect();
        let wide = |budget: &f64| width(&markup(&epochs_label(*budget)), sizes.small).max(2.0 * radius(*budget));
        let column = picked.iter().map(wide).fold(0.0, f64::max) + 0.3 * sizes.small;
        let entry = |(i, budget): (usize, &f64)| KeySize {
            label: epochs_label(*budget),
            radius: radius(*budget),
            middle: (i as f64 + 0.5) * column,
        };
        let entries: Vec<KeySize> = picked.iter().enumerate().map(entry).collect();
        let largest = entries.iter().map(|entry| entry.radius).fold(0.0, f64::max);
        let height = 2.0 * Sizes::line_height(sizes.small) + 2.0 * largest + GAP * sizes.small;
        let width = (shown as f64 * column).max(width(&plain(heading), sizes.small));
        Some(Block { width, height, content: Content::Key { heading: heading.to_owned(), sizes: entries } })
    }

    /// Draws the block into its place.
    pub(crate) fn draw(&self, place: &Rect, scene: &mut Scene, sizes: &Sizes) {
        let line = Sizes::line_height(sizes.small);
        let small = sizes.small;
        match &self.content {
            Content::Laws(rows) => {
                let mut y = place.y0 + line / 2.0;
                for row in rows {
                    row.sample.draw((place.x0, y), scene, sizes);
                    for text in &row.lines {
                        let at = (place.x0 + (SWATCH + GAP) * small, y);
                        scene.texts.push(Text::centered(markup(text), at, small, Anchor::Start));
                        y += line;
                    }
                }
            }
            Content::Key { heading, sizes: entries } => {
                let at = (place.x0, place.y0 + line / 2.0);
                scene.texts.push(Text::centered(plain(heading), at, small, Anchor::Start));
                let largest = entries.iter().map(|entry| entry.radius).fold(0.0, f64::max);
                let y = place.y0 + line + 0.5 * GAP * small + largest;
                for entry in entries {
                    let center = (place.x0 + entry.middle, y);
                    let outline = Pen::new(GREY, 1.0);
                    scene.shapes.push(Shape::Marker {
                        center,
                        radius: entry.radius,
                        corners: None,
                        fill: GREY,
                        outline,
                    });
                    let at = (center.0, place.y1 - line / 2.0);
                    scene.texts.push(Text::centered(markup(&entry.label), at, small, Anchor::Middle));
                }
            }
        }
    }
}

impl Sample {
    /// Draws it to the right of a spot.
    fn draw(&self, (x0, y): Spot, scene: &mut Scene, sizes: &Sizes) {
        let (x1, half) = (x0 + SWATCH * sizes.small, 0.25 * sizes.small);
        if let Some(LawLook { line, band, opacity }) = self.law {
            let points = vec![(x0, y - half), (x1, y - half), (x1, y + half), (x0, y + half)];
            scene.shapes.push(Shape::Fill { points, color: band, opacity });
            scene.line(vec![(x0, y), (x1, y)], Pen::new(line, 0.8 * sizes.line));
        }
        if let Some((look, color)) = self.mark {
            draw_mark(((x0 + x1) / 2.0, y), look, color, radius(0.5, sizes), scene, sizes);
        }
    }
}

/// Places for all blocks inside `area` that cover nothing, or none if one has no place.
pub(crate) fn place_inside(blocks: &[Block], obstacles: &Obstacles, area: &Rect, sizes: &Sizes) -> Option<Vec<Rect>> {
    let margin = MARGIN * sizes.small;
    let mut taken = obstacles.clone();
    let area = area.grown(-margin);
    let mut places = Vec::new();
    for block in blocks {
        let place = taken.free_place(block.width, block.height, &area)?;
        taken.boxes.push(place.grown(margin));
        places.push(place);
    }
    Some(places)
}

/// Height of a strip of this width that holds all blocks beside each other, in rows.
pub(crate) fn strip_height(blocks: &[Block], width: f64, sizes: &Sizes) -> f64 {
    let places = place_in_strip(blocks, &Rect::new(0.0, 0.0, width, 0.0), sizes);
    let bottom = places.iter().map(|place| place.y1).fold(0.0, f64::max);
    if places.is_empty() { 0.0 } else { bottom + MARGIN * sizes.small }
}

/// Places for all blocks beside each other, in rows.
pub(crate) fn place_in_strip(blocks: &[Block], strip: &Rect, sizes: &Sizes) -> Vec<Rect> {
    let (mut x, mut y, mut high) = (strip.x0, strip.y0, 0.0f64);
    let mut places = Vec::new();
    for block in blocks {
        if x > strip.x0 && x + block.width > strip.x1 {
            (x, y, high) = (strip.x0, y + high + MARGIN * sizes.small, 0.0);
        }
        places.push(Rect::new(x, y, block.width, block.height));
        (x, high) = (x + block.width + 2.0 * MARGIN * sizes.small, high.max(block.height));
    }
    places
}
