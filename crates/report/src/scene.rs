//! What a figure consists of once everything has its place, and its way into an SVG.
//!
//! Shapes go through plotters. Text is written here: plotters knows neither superscripts nor titles and descriptions.

use crate::geometry::Spot;
use crate::marks::{BLACK, WHITE, on_dark};
use crate::style::Sizes;
use crate::text::{Level, Run, SUPER_RAISE, SUPER_SIZE, escaped};
use crate::{Error, Style};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon};
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::{Color, RGBColor, ShapeStyle};
use std::fmt::Write;

/// A figure as shapes and texts, later ones on top of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) texts: Vec<Text>,
}

/// Something drawn.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Line {
        points: Vec<Spot>,
        pen: Pen,
    },
    Fill {
        points: Vec<Spot>,
        color: RGBColor,
        /// From 0 to 1; less than 1 where fills of equal rank may overlap.
        opacity: f64,
    },
    /// A marker: filled, then outlined. `corners` is `None` for a circle.
    Marker {
        center: Spot,
        radius: f64,
        corners: Option<Vec<Spot>>,
        fill: RGBColor,
        outline: Pen,
    },
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pen {
    pub(crate) color: RGBColor,
    pub(crate) width: f64,
    pub(crate) dashed: bool,
}

impl Pen {
    pub(crate) fn new(color: RGBColor, width: f64) -> Pen {
        Pen { color, width, dashed: false }
    }

    fn style(self, dark: bool) -> ShapeStyle {
        tone(self.color, dark).stroke_width((self.width.round() as u32).max(1))
    }
}

/// Which part of the text is at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) runs: Vec<Run>,
    /// The anchor on the baseline.
    pub(crate) at: Spot,
    pub(crate) size: f64,
    pub(crate) anchor: Anchor,
    pub(crate) color: RGBColor,
    /// Reads from bottom to top.
    pub(crate) upwards: bool,
}

impl Text {
    /// Level text whose middle height, as eyes see it, is at `at`.
    pub(crate) fn centered(runs: Vec<Run>, at: Spot, size: f64, anchor: Anchor) -> Text {
        Text { runs, at: (at.0, at.1 + 0.36 * size), size, anchor, color: BLACK, upwards: false }
    }
}

impl Scene {
    pub(crate) fn line(&mut self, points: Vec<Spot>, pen: Pen) {
        self.shapes.push(Shape::Line { points, pen });
    }

    /// The SVG. `title` and `description` are for those who cannot see it.
    pub(crate) fn svg(&self, style: &Style, sizes: &Sizes, title: &str, description: &str) -> Result<String, Error> {
        let (wide, high) = (sizes.width as u32, sizes.height as u32);
        let mut drawn = String::new();
        {
            let area = SVGBackend::with_string(&mut drawn, (wide, high)).into_drawing_area();
            area.fill(&tone(WHITE, style.dark)).map_err(refused)?;
            for shape in &self.shapes {
                draw(&area, shape, style.dark)?;
            }
            area.present().map_err(refused)?;
        }
        let body = drawn
            .split_once('>')
            .and_then(|(_, rest)| rest.rsplit_once("</svg>"))
            .ok_or_else(|| Error::Drawing("the drawing is no SVG".to_owned()))?
            .0;
        let mut svg = String::with_capacity(drawn.len() + 4096);
        // The view box shrinks plotters' whole numbers to tenths of a point.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}mm\" height=\"{}mm\" viewBox=\"0 0 {wide} {high}\" \
             role=\"img\" stroke-linejoin=\"round\">\n<title>{}</title>\n<desc>{}</desc>",
            style.width_mm,
            style.height_mm,
            escaped(title),
            escaped(description)
        );
        svg.push_str(body);
        let RGBColor(r, g, b) = tone(BLACK, style.dark);
        let family = "Liberation Sans, Arial, Helvetica, sans-serif";
        let _ = writeln!(svg, "<g font-family=\"{family}\" fill=\"#{r:02X}{g:02X}{b:02X}\">");
        for text in &self.texts {
            write_text(&mut svg, text, style.dark);
        }
        svg.push_str("</g>\n</svg>\n");
        Ok(svg)
    }
}

/// Whole drawing units, the only ones plotters knows.
fn whole(spot: Spot) -> (i32, i32) {
    (spot.0.round() as i32, spot.1.round() as i32)
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Drawing(error.to_string())
}

/// The colour on this ground.
fn tone(color: RGBColor, dark: bool) -> RGBColor {
    if dark { on_dark(color) } else { color }
}

fn draw(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, shape: &Shape, dark: bool) -> Result<(), Error> {
    match shape {
        Shape::Line { points, pen } => {
            let points: Vec<_> = points.iter().map(|spot| whole(*spot)).collect();
            if pen.dashed {
                let (dash, gap) = ((4.0 * pen.width) as u32, (3.0 * pen.width) as u32);
                let dashes = DashedPathElement::new(points, dash, gap, pen.style(dark));
                area.draw(&dashes).map_err(refused)
            } else {
                area.draw(&PathElement::new(points, pen.style(dark))).map_err(refused)
            }
        }
        Shape::Fill { points, color, opacity } => {
            let points: Vec<_> = points.iter().map(|spot| whole(*spot)).collect();
            area.draw(&Polygon::new(points, tone(*color, dark).mix(*opacity).filled())).map_err(refused)
        }
        Shape::Marker { center, radius, corners: None, fill, outline } => {
            let radius = radius.round() as u32;
            area.draw(&Circle::new(whole(*center), radius, tone(*fill, dark).filled())).map_err(refused)?;
            area.draw(&Circle::new(whole(*center), radius, outline.style(dark))).map_err(refused)
        }
        Shape::Marker { corners: Some(corners), fill, outline, .. } => {
            let points: Vec<_> = corners.iter().map(|spot| whole(*spot)).collect();
            let closed: Vec<_> = points.iter().chain(points.iter().take(2)).copied().collect();
            area.draw(&Polygon::new(points, tone(*fill, dark).filled())).map_err(refused)?;
            area.draw(&PathElement::new(closed, outline.style(dark))).map_err(refused)
        }
    }
}

fn write_text(svg: &mut String, text: &Text, dark: bool) {
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let (x, y) = whole(text.at);
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\"", text.size);
    if text.color != BLACK {
        let RGBColor(r, g, b) = tone(text.color, dark);
        let _ = write!(svg, " fill=\"#{r:02X}{g:02X}{b:02X}\"");
    }
    if text.upwards {
        let _ = write!(svg, " transform=\"rotate(-90 {x} {y})\"");
    }
    svg.push('>');
    let raise = (SUPER_RAISE * text.size).round();
    let mut raised = false;
    for run in &text.runs {
        match (run.level, raised) {
            (Level::Super, _) => {
                let size = SUPER_SIZE * text.size;
                let _ = write!(svg, "<tspan dy=\"-{raise}\" font-size=\"{size:.1}\">{}</tspan>", escaped(&run.text));
            }
            // Back to the line: `dy` moves everything that follows.
            (Level::Base, true) => {
                let _ = write!(svg, "<tspan dy=\"{raise}\">{}</tspan>", escaped(&run.text));
            }
            (Level::Base, false) => svg.push_str(&escaped(&run.text)),
        }
        raised = run.level == Level::Super;
    }
    svg.push_str("</text>\n");
}

/// The pen of axes, ticks and leaders.
pub(crate) fn thin(sizes: &Sizes) -> Pen {
    Pen::new(BLACK, sizes.axis)
}
