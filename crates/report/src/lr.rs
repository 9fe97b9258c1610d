//! Optimal learning rate against epochs: what the figure shows. How it looks is in `lr_draw`.

use crate::csv::{number, row};
use crate::frame::drawable;
use crate::{Error, Style, Words, lr_draw};

/// Optimal learning rate against epoch budget, both on base-2 axes, one line per model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimalLrFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// One series per model, smallest model of a family first: the order gives the colours.
    pub series: Vec<LrSeries>,
}

/// The optima of one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LrSeries {
    /// Name of the model, drawn at the end of its line.
    pub name: String,
    /// What kind of model it is. Where there are several kinds, each has a hue, a shape and its name in the key.
    pub family: String,
    /// Its optima in any order.
    pub points: Vec<LrPoint>,
}

/// The optimal learning rate of one model at one epoch budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrPoint {
    /// Epoch budget.
    pub epochs: f64,
    /// The optimum, or the best learning rate tried.
    pub lr: f64,
    /// Lower and upper end of its interval.
    pub interval: Option<(f64, f64)>,
    /// The optimum may lie beyond the learning rates tried: a hollow marker with an arrow.
    pub edge: Option<Edge>,
}

/// The edge of the grid of learning rates at which an optimum lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The smallest learning rate tried was best.
    Low,
    /// The largest learning rate tried was best.
    High,
}

impl OptimalLrFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on a logarithmic axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        self.check()?;
        lr_draw::svg(self, style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let mut csv = row(&["series", "epochs", "lr", "low", "high", "edge", "family"].map(str::to_owned));
        for series in &self.series {
            for point in &series.points {
                let edge = match point.edge {
                    None => "",
                    Some(Edge::Low) => "low",
                    Some(Edge::High) => "high",
                };
                let (low, high) = (point.interval.map(|ends| ends.0), point.interval.map(|ends| ends.1));
                let [epochs, lr, low, high] = [Some(point.epochs), Some(point.lr), low, high].map(number);
                let cells = [&series.name, &epochs, &lr, &low, &high, edge, &series.family];
                csv.push_str(&row(&cells.map(str::to_owned)));
            }
        }
        csv
    }

    fn check(&self) -> Result<(), Error> {
        for series in &self.series {
            for (i, point) in series.points.iter().enumerate() {
                let ends = point.interval.map_or([None, None], |(low, high)| [Some(low), Some(high)]);
                let numbers = [
                    ("epochs", Some(point.epochs)),
                    ("lr", Some(point.lr)),
                    ("interval.0", ends[0]),
                    ("interval.1", ends[1]),
                ];
                for (field, value) in numbers {
                    if let Some(value) = value.filter(|value| !drawable(*value)) {
                        return Err(Error::Point { series: series.name.clone(), point: i + 1, field, value });
                    }
                }
            }
        }
        Ok(())
    }
}
