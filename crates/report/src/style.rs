//! Physical sizes of a figure.

use crate::Error;

/// Units of the drawing per point: whole numbers in the SVG are tenths of a point, fine enough for print.
pub(crate) const PER_PT: f64 = 10.0;
const PT_PER_MM: f64 = 72.0 / 25.4;

/// Physical sizes of a figure. The default is [`Style::paper`].
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Width in millimetres.
    pub width_mm: f64,
    /// Height in millimetres.
    pub height_mm: f64,
    /// Size of axis labels and the title in points.
    pub text_pt: f64,
    /// Size of tick labels, line labels and notes in points.
    pub small_pt: f64,
    /// Width of axes and ticks in points.
    pub axis_pt: f64,
    /// Width of data lines in points.
    pub line_pt: f64,
    /// Marker radius of the smallest and of the largest epoch budget in points.
    pub marker_pt: (f64, f64),
    /// Light marks on a dark ground.
    pub dark: bool,
}

impl Style {
    /// One column of a paper: 89 mm wide, 7 pt text.
    pub fn paper() -> Style {
        Style {
            width_mm: 89.0,
            height_mm: 66.0,
            text_pt: 7.0,
            small_pt: 6.0,
            axis_pt: 0.5,
            line_pt: 0.8,
            marker_pt: (1.1, 2.3),
            dark: false,
        }
    }

    /// A wide slide: the paper's figure for people who sit far away.
    pub fn slides() -> Style {
        Style {
            width_mm: 254.0,
            height_mm: 143.0,
            text_pt: 16.0,
            small_pt: 14.0,
            axis_pt: 1.0,
            line_pt: 1.8,
            marker_pt: (2.4, 5.6),
            dark: false,
        }
    }

    /// A slide with a dark ground.
    pub fn dark() -> Style {
        Style { dark: true, ..Style::slides() }
    }

    /// The same sizes in drawing units, or which size is out of range.
    pub(crate) fn sizes(&self) -> Result<Sizes, Error> {
        let checked = |field, value: f64, low: f64, high: f64| {
            if value >= low && value <= high { Ok(value) } else { Err(Error::Style { field, value, low, high }) }
        };
        Ok(Sizes {
            width: (checked("width_mm", self.width_mm, 30.0, 1000.0)? * PT_PER_MM * PER_PT).round(),
            height: (checked("height_mm", self.height_mm, 25.0, 1000.0)? * PT_PER_MM * PER_PT).round(),
            text: checked("text_pt", self.text_pt, 3.0, 40.0)? * PER_PT,
            small: checked("small_pt", self.small_pt, 3.0, 40.0)? * PER_PT,
            axis: checked("axis_pt", self.axis_pt, 0.1, 10.0)? * PER_PT,
            line: checked("line_pt", self.line_pt, 0.1, 10.0)? * PER_PT,
            marker: (
                checked("marker_pt.0", self.marker_pt.0, 0.2, 30.0)? * PER_PT,
                checked("marker_pt.1", self.marker_pt.1, 0.2, 30.0)? * PER_PT,
            ),
        })
    }
}

impl Default for Style {
    fn default() -> Style {
        Style::paper()
    }
}

/// [`Style`] in drawing units, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) text: f64,
    pub(crate) small: f64,
    pub(crate) axis: f64,
    pub(crate) line: f64,
    pub(crate) marker: (f64, f64),
}

impl Sizes {
    /// Height of one line of text of this size.
    pub(crate) fn line_height(size: f64) -> f64 {
        1.2 * size
    }
}
