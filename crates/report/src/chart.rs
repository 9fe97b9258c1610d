//! What the figures of this crate that are not special consist of: panels that share their axes, and layers of marks in
//! the numbers of these axes.

use crate::frame::{Axis, Frame, Spec};
use crate::geometry::Obstacles;
use crate::key::{Entry, Key};
use crate::labels::{self, End, Room};
use crate::law_draw::{LawLook, draw_band, draw_line};
use crate::layer::{Layer, cover, draw_layer};
use crate::palette::Palette;
use crate::scaling::Law;
use crate::scaling_draw::draw_labels;
use crate::scene::{Anchor, Scene, Text};
use crate::style::Sizes;
use crate::text::plain;
use crate::{Error, Style, Words};

/// A canvas of this ratio of width to height has one more column of panels.
const WIDE: f64 = 1.6;
/// Rows of panels that the height of a style is for; more of them make the figure higher.
const ROWS: usize = 2;
/// No figure gets higher than this: a page of a journal.
const PAGE_MM: f64 = 170.0;

/// A figure of panels.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    pub(crate) words: Words,
    pub(crate) x: Axis,
    /// In its place an axis for each column of panels, which are then as many; none where all panels share it.
    pub(crate) columns: Vec<Axis>,
    pub(crate) y: Axis,
    /// Row by row. One without a heading keeps a place empty, where there are several.
    pub(crate) panels: Vec<Panel>,
    /// Behind everything in the first panel.
    pub(crate) law: Option<&'a Law>,
    /// The looks of the series.
    pub(crate) palette: Palette,
    /// Above the plot: what colours, shapes and lines mean.
    pub(crate) key: Vec<Entry>,
    /// For those who cannot see the figure.
    pub(crate) description: String,
}

/// One panel.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    /// Above it; empty where there is only one.
    pub(crate) heading: String,
    /// Later ones on top of earlier ones.
    pub(crate) layers: Vec<Layer>,
    /// Names at the ends of lines, only where there is one panel.
    pub(crate) names: Vec<Name>,
}

/// The name of a line.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    /// The end of the line.
    pub(crate) at: (f64, f64),
    pub(crate) series: usize,
}

impl Chart<'_> {
    /// The figure as SVG.
    pub(crate) fn svg(&self, style: &Style) -> Result<String, Error> {
        let (style, columns) = self.fitted(style);
        let sizes = style.sizes()?;
        let scene = self.scene(&sizes, columns)?;
        let title = self.words.heading();
        let notes: String = self.words.notes.iter().map(|note| format!(" {note}")).collect();
        scene.svg(&style, &sizes, &title, &format!("{}{notes}", self.description))
    }

    /// The style with the height that this many rows of panels need, and the number of columns.
    pub(crate) fn fitted(&self, style: &Style) -> (Style, usize) {
        let columns = self.columns(style.width_mm / style.height_mm);
        let rows = self.panels.len().div_ceil(columns);
        let height_mm = style.height_mm * (rows as f64 / ROWS as f64).max(1.0);
        (Style { height_mm: height_mm.min(PAGE_MM.max(style.height_mm)), ..style.clone() }, columns)
    }

    /// Columns that give panels a pleasant shape, on a canvas with this ratio of width to height.
    fn columns(&self, ratio: f64) -> usize {
        if !self.columns.is_empty() {
            return self.columns.len();
        }
        let count = self.panels.len();
        let columns = match count {
            0 | 1 => 1,
            2..=4 => 2,
            5..=9 => 3,
            _ => 4,
        };
        if ratio > WIDE && count > 2 { (columns + 1).min(count) } else { columns }
    }

    /// Everything at its place.
    pub(crate) fn scene(&self, sizes: &Sizes, columns: usize) -> Result<Scene, Error> {
        let key = Key::lay_out(&self.key, sizes);
        let single = self.panels.len() <= 1;
        let names = self.panels.iter().flat_map(|panel| &panel.names).map(|name| name.text.as_str());
        let named = single && self.panels.iter().any(|panel| !panel.names.is_empty());
        let spec = Spec {
            words: &self.words,
            x: self.x.clone(),
            columns: &self.columns,
            y: self.y.clone(),
            right: if named { labels::column_width(names, sizes.small, sizes.width) } else { 0.0 },
            strip: key.height,
        };
        let headings: Vec<String> = self.panels.iter().map(|panel| panel.heading.clone()).collect();
        let frames = Frame::lay_out_panels(&spec, &headings, columns, sizes)?;
        let mut scene = Scene::default();
        for (i, (frame, panel)) in frames.iter().zip(&self.panels).enumerate() {
            if i > 0 && panel.heading.is_empty() {
                continue;
            }
            if let Some(law) = self.law.filter(|_| i == 0) {
                draw_band(law, LawLook::ONLY, frame, &mut scene);
                draw_line(law, LawLook::ONLY, frame, &mut scene, sizes);
            }
            let (back, front): (Vec<&Layer>, Vec<&Layer>) = panel.layers.iter().partition(|layer| layer.is_back());
            for layer in back {
                draw_layer(layer, &self.palette, frame, &mut scene, sizes);
            }
            frame.draw(&mut scene, sizes);
            if single {
                draw_names(panel, &self.palette, frame, &mut scene, sizes);
            }
            for layer in front {
                draw_layer(layer, &self.palette, frame, &mut scene, sizes);
            }
            if i == 0 {
                key.draw((frame.strip.x0, frame.strip.y0), &self.palette, &mut scene, sizes);
            }
            if panel.layers.iter().all(Layer::is_back) {
                let middle = ((frame.plot.x0 + frame.plot.x1) / 2.0, (frame.plot.y0 + frame.plot.y1) / 2.0);
                let words = if single { "no points yet" } else { "no points" };
                let size = if single { sizes.text } else { sizes.small };
                scene.texts.push(Text::centered(plain(words), middle, size, Anchor::Middle));
            }
        }
        Ok(scene)
    }
}

fn draw_names(panel: &Panel, palette: &Palette, frame: &Frame, scene: &mut Scene, sizes: &Sizes) {
    let mut obstacles = Obstacles::default();
    for layer in &panel.layers {
        cover(layer, frame, &mut obstacles, sizes);
    }
    let reach = sizes.marker.0 + 0.4 * (sizes.marker.1 - sizes.marker.0);
    let end = |name: &Name| End {
        name: name.text.clone(),
        at: frame.at(name.at.0, name.at.1),
        reach,
        series: name.series,
        left: false,
    };
    let ends: Vec<End> = panel.names.iter().map(end).collect();
    let labels = labels::place(&ends, &obstacles, &Room::of(frame, sizes), sizes.small);
    draw_labels(&labels, palette, scene, sizes);
}
