//! Why a figure could not be drawn.

use crate::frame::{drawable, level_drawable};

/// Why a figure could not be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number that a logarithmic axis cannot show.
    #[error(
        "series {series:?}, point {point}: {field} is {value}; a logarithmic axis needs a number between 1e-100 and 1e100"
    )]
    Point {
        /// Name of the series.
        series: String,
        /// Position of the point in its series, from 1.
        point: usize,
        /// Which number of the point.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A number that a linear axis cannot show.
    #[error("series {series:?}, point {point}: {field} is not a number that can be drawn here")]
    Level {
        /// Name of the series.
        series: String,
        /// Position of the point in its series, from 1.
        point: usize,
        /// Which number of the point.
        field: &'static str,
    },
    /// A number of the fitted law that a logarithmic axis cannot show.
    #[error("law {label:?}, {field} {point}: {value}; a logarithmic axis needs a number between 1e-100 and 1e100")]
    Law {
        /// Label of the law.
        label: String,
        /// Position on the curve, from 1 (0 for the ends of the data range).
        point: usize,
        /// Which number.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A size of the style is out of range.
    #[error("style: {field} is {value}, expected {low} to {high}")]
    Style {
        /// Which size.
        field: &'static str,
        /// What it was.
        value: f64,
        /// Smallest value accepted.
        low: f64,
        /// Largest value accepted.
        high: f64,
    },
    /// Labels and notes leave no room for the plot.
    #[error("labels and notes leave no room for the plot; use a larger canvas or smaller text")]
    NoRoom,
    /// The drawing library refused.
    #[error("drawing: {0}")]
    Drawing(String),
    /// The SVG could not be turned into a PNG.
    #[error("png: {0}")]
    Png(String),
    /// The SVG could not be turned into a PDF.
    #[error("pdf: {0}")]
    Pdf(String),
}

/// Refuses what a logarithmic axis cannot show.
pub(crate) fn logarithmic(
    series: &dyn Fn() -> String,
    point: usize,
    field: &'static str,
    value: f64,
) -> Result<(), Error> {
    if drawable(value) { Ok(()) } else { Err(Error::Point { series: series(), point, field, value }) }
}

/// Refuses what a linear axis cannot show.
pub(crate) fn linear(series: &dyn Fn() -> String, point: usize, field: &'static str, value: f64) -> Result<(), Error> {
    if level_drawable(value) { Ok(()) } else { Err(Error::Level { series: series(), point, field }) }
}
