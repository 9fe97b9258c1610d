//! SVG to PDF: lines stay lines, and text stays text, in the embedded font.

use std::collections::{BTreeMap, BTreeSet};

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use resvg::tiny_skia::{PathSegment, Transform};
use resvg::usvg::{Fill, Group, Node, Paint, Path, Stroke, Text, Tree};
use ttf_parser::{Face, GlyphId};

use crate::Error;
use crate::png::options;
use crate::text::FONT;

const FONT_NAME: Name<'_> = Name(b"ScalelawSans");
/// Points per CSS pixel.
const PT: f32 = 0.75;
const SYSTEM: SystemInfo<'_> = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

/// Turns an SVG of this crate into a PDF of the printed size, whose text can be selected and searched.
///
/// It holds the whole font, so that it looks the same everywhere, and no date: the same SVG is the same bytes.
/// Of SVG it knows what figures consist of: paths in one colour, and text.
///
/// # Errors
/// If the SVG cannot be read.
pub fn pdf(svg: &str) -> Result<Vec<u8>, Error> {
    let tree = Tree::from_str(svg, &options()).map_err(|error| Error::Pdf(error.to_string()))?;
    let face = Face::parse(FONT, 0).map_err(|error| Error::Pdf(error.to_string()))?;
    let (wide, high) = (PT * tree.size().width(), PT * tree.size().height());
    let mut page = Page {
        content: Content::new(),
        glyphs: BTreeMap::new(),
        alphas: BTreeSet::new(),
        to_page: Transform::from_row(PT, 0.0, 0.0, -PT, 0.0, high),
    };
    page.group(tree.root(), 1.0);
    Ok(document(page, &face, (wide, high)))
}

/// What is drawn, the glyphs that it needs with what they stand for, and how much fills hide, in percent, where that is not all.
struct Page {
    content: Content,
    glyphs: BTreeMap<u16, String>,
    alphas: BTreeSet<u8>,
    to_page: Transform,
}

impl Page {
    fn group(&mut self, group: &Group, alpha: f32) {
        let alpha = alpha * group.opacity().get();
        for node in group.children() {
            match node {
                Node::Group(group) => self.group(group, alpha),
                Node::Path(path) => self.path(path, alpha),
                Node::Text(text) => self.text(text),
                Node::Image(_) => {}
            }
        }
    }

    fn path(&mut self, path: &Path, alpha: f32) {
        if !path.is_visible() {
            return;
        }
        let to_page = self.to_page.pre_concat(path.abs_transform());
        if let Some((fill, [r, g, b])) = path.fill().and_then(|fill: &Fill| Some((fill, color(fill.paint())?))) {
            let percent = (100.0 * alpha * fill.opacity().get()).round() as u8;
            self.content.save_state();
            if percent < 100 {
                self.alphas.insert(percent);
                self.content.set_parameters(Name(alpha_name(percent).as_bytes()));
            }
            self.content.set_fill_rgb(r, g, b);
            self.outline(path, to_page);
            self.content.fill_nonzero();
            self.content.restore_state();
        }
        if let Some((stroke, [r, g, b])) =
            path.stroke().and_then(|stroke: &Stroke| Some((stroke, color(stroke.paint())?)))
        {
            let scale = to_page.get_scale().0;
            self.content.set_stroke_rgb(r, g, b).set_line_width(scale * stroke.width().get());
            self.content.set_line_join(pdf_writer::types::LineJoinStyle::RoundJoin);
            self.outline(path, to_page);
            self.content.stroke();
        }
    }

    fn outline(&mut self, path: &Path, to_page: Transform) {
        let at = |mut point: resvg::tiny_skia::Point| {
            to_page.map_point(&mut point);
            (point.x, point.y)
        };
        let mut last = (0.0, 0.0);
        for segment in path.data().segments() {
            match segment {
                PathSegment::MoveTo(p) => {
                    last = at(p);
                    self.content.move_to(last.0, last.1);
                }
                PathSegment::LineTo(p) => {
                    last = at(p);
                    self.content.line_to(last.0, last.1);
                }
                PathSegment::QuadTo(c, p) => {
                    // A quadratic curve as a cubic one: two thirds of the way to its control point.
                    let (c, p) = (at(c), at(p));
                    let toward =
                        |from: (f32, f32)| (from.0 + (c.0 - from.0) * 2.0 / 3.0, from.1 + (c.1 - from.1) * 2.0 / 3.0);
                    let (c1, c2) = (toward(last), toward(p));
                    self.content.cubic_to(c1.0, c1.1, c2.0, c2.1, p.0, p.1);
                    last = p;
                }
                PathSegment::CubicTo(c1, c2, p) => {
                    let (c1, c2, p) = (at(c1), at(c2), at(p));
                    self.content.cubic_to(c1.0, c1.1, c2.0, c2.1, p.0, p.1);
                    last = p;
                }
                PathSegment::Close => {
                    self.content.close_path();
                }
            }
        }
    }

    fn text(&mut self, text: &Text) {
        let to_page = self.to_page.pre_concat(text.abs_transform());
        for span in text.layouted().iter().filter(|span| span.visible) {
            let Some([r, g, b]) = span.fill.as_ref().and_then(|fill| color(fill.paint())) else { continue };
            self.content.begin_text().set_font(FONT_NAME, 1.0).set_fill_rgb(r, g, b);
            for glyph in &span.positioned_glyphs {
                // The embedded font has far fewer glyphs than that.
                let Ok(id) = u16::try_from(glyph.id.0) else { continue };
                // `outline_transform` is of font units, PDF counts in ems.
                let em = f32::from(UNITS);
                let m = to_page.pre_concat(glyph.outline_transform()).pre_scale(em, em);
                self.content.set_text_matrix([m.sx, m.ky, m.kx, m.sy, m.tx, m.ty]);
                self.content.show(Str(&id.to_be_bytes()));
                self.glyphs.entry(id).or_insert_with(|| glyph.text.clone());
            }
            self.content.end_text();
        }
    }
}

/// Units per em of the embedded font.
const UNITS: u16 = 2048;

fn color(paint: &Paint) -> Option<[f32; 3]> {
    match paint {
        Paint::Color(color) => Some([color.red, color.green, color.blue].map(|v| f32::from(v) / 255.0)),
        _ => None,
    }
}

fn alpha_name(percent: u8) -> String {
    format!("Alpha{percent}")
}

fn document(page: Page, face: &Face<'_>, (wide, high): (f32, f32)) -> Vec<u8> {
    let [catalog, pages, only, content, font, cid, descriptor, file, cmap] = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([only]).count(1);
    let mut first = pdf.page(only);
    first.media_box(Rect::new(0.0, 0.0, wide, high)).parent(pages).contents(content);
    let states: Vec<(u8, Ref)> = page.alphas.iter().zip(10..).map(|(percent, id)| (*percent, Ref::new(id))).collect();
    let mut resources = first.resources();
    resources.fonts().pair(FONT_NAME, font);
    if !states.is_empty() {
        let mut named = resources.ext_g_states();
        for (percent, state) in &states {
            named.pair(Name(alpha_name(*percent).as_bytes()), *state);
        }
    }
    resources.finish();
    first.finish();
    for (percent, state) in &states {
        pdf.ext_graphics(*state).non_stroking_alpha(f32::from(*percent) / 100.0);
    }
    pdf.stream(content, &page.content.finish());

    let per_mille = |units: i16| 1000.0 * f32::from(units) / f32::from(face.units_per_em());
    pdf.type0_font(font)
        .base_font(FONT_NAME)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(cmap);
    let mut described = pdf.cid_font(cid);
    described.subtype(CidFontType::Type2).base_font(FONT_NAME).system_info(SYSTEM).font_descriptor(descriptor);
    described.default_width(0.0).cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = described.widths();
    for glyph in page.glyphs.keys() {
        let advance = face.glyph_hor_advance(GlyphId(*glyph)).unwrap_or(0);
        widths.consecutive(*glyph, [1000.0 * f32::from(advance) / f32::from(face.units_per_em())]);
    }
    widths.finish();
    described.finish();
    let bounds = face.global_bounding_box();
    let [x0, y0, x1, y1] = [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(per_mille);
    pdf.font_descriptor(descriptor)
        .name(FONT_NAME)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(x0, y0, x1, y1))
        .italic_angle(0.0)
        .ascent(per_mille(face.ascender()))
        .descent(per_mille(face.descender()))
        .cap_height(per_mille(face.capital_height().unwrap_or(face.ascender())))
        .stem_v(80.0)
        .font_file2(file);
    pdf.stream(file, FONT).pair(Name(b"Length1"), FONT.len() as i32);
    let mut unicode = UnicodeCmap::new(Name(b"Custom"), SYSTEM);
    for (glyph, text) in &page.glyphs {
        unicode.pair_with_multiple(*glyph, text.chars());
    }
    pdf.stream(cmap, &unicode.finish());
    pdf.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OptimumFigure, OptimumPoint, OptimumSeries, Style, Words};

    #[test]
    fn the_font_has_the_units_that_are_assumed() {
        assert_eq!(Face::parse(FONT, 0).expect("a font").units_per_em(), UNITS);
    }

    #[test]
    fn a_pdf_has_the_size_of_the_paper_and_its_text() {
        let point = OptimumPoint { x: 1e18, y: 2e7, interval: Some((1e7, 4e7)), edge: None };
        let series = vec![OptimumSeries { name: "S".to_owned(), points: vec![point] }];
        let figure = OptimumFigure { words: Words::axes("Compute", "Size"), series, ..OptimumFigure::default() };
        let svg = figure.svg(&Style::paper()).expect("a figure");
        let bytes = pdf(&svg).expect("a PDF");
        assert_eq!(bytes, pdf(&svg).expect("a PDF"), "same data, same bytes");
        let text = String::from_utf8_lossy(&bytes);
        // 89 x 66 mm in points.
        assert!(bytes.starts_with(b"%PDF-1.7") && text.contains("/MediaBox [0 0 252.2"), "{}", &text[..600]);
        let face = Face::parse(FONT, 0).expect("a font");
        for letter in "Compute".chars() {
            let glyph = face.glyph_index(letter).expect("a glyph").0;
            let mapped = format!("<{glyph:04X}> <{:04X}>", letter as u32);
            assert!(text.contains(&mapped), "{letter}: {mapped}");
        }
        assert!(matches!(pdf("no svg"), Err(Error::Pdf(_))));
    }
}
