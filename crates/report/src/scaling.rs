//! Held-out loss, or another error, against compute: what the figure shows. How it looks is in `scaling_draw`.

use crate::csv::{number, row};
use crate::frame::{drawable, range};
use crate::{Error, Style, Words, scaling_draw};

/// Share of the data's span that is left free on both sides of the compute axis.
const AIR: f64 = 0.05;

/// Held-out loss against compute, both logarithmic: one line per model, one marker per epoch budget, and the fitted law.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScalingFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// One series per model, smallest model of a family first: the order gives the colours.
    pub series: Vec<Series>,
    /// Points of other work to compare with, drawn behind the series: in grey, or in the hue of a family that the series do not have.
    pub references: Vec<Reference>,
    /// The fitted law, or one for each family.
    pub laws: Vec<Law>,
}

/// The runs of one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Name of the model, drawn at the end of its line.
    pub name: String,
    /// What kind of model it is, such as `ViT`. Where there are several kinds, each has a hue, a shape and its name in the key.
    pub family: String,
    /// Its runs in any order.
    pub points: Vec<Point>,
}

/// Points of other work under one name: a star for a single point, a thin line with small dots for several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reference {
    /// Its name, drawn beside the star or at the end of the line.
    pub name: String,
    /// What kind of model it is; empty where it does not matter.
    pub family: String,
    /// Compute and loss of each point in any order.
    pub points: Vec<(f64, f64)>,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Compute.
    pub x: f64,
    /// Held-out loss.
    pub y: f64,
    /// Epoch budget, where there is one: the area of the marker grows with its logarithm.
    pub budget: Option<f64>,
    /// How the point counts.
    pub kind: PointKind,
}

/// How a point counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// A held-out loss that the fit uses: a filled marker on the line.
    Finished,
    /// A loss that may still fall: a hollow marker.
    Running,
    /// A held-out loss that the fit uses, of a run that may have seen other examples than it should: a crossed hollow marker
    /// on the line. A note of the figure says what is doubted.
    Unverified,
    /// Left out of the fit: a hollow grey marker.
    Excluded,
}

impl PointKind {
    /// Its word in a CSV.
    pub(crate) fn word(self) -> &'static str {
        match self {
            PointKind::Finished => "finished",
            PointKind::Running => "running",
            PointKind::Unverified => "unverified",
            PointKind::Excluded => "excluded",
        }
    }

    /// Whether the loss will not change any more and counts.
    pub(crate) fn counts(self) -> bool {
        matches!(self, PointKind::Finished | PointKind::Unverified)
    }
}

/// A fitted law with its confidence band.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Law {
    /// The law at ascending compute, at best over [`ScalingFigure::x_range`].
    pub curve: Vec<LawPoint>,
    /// Compute from which to which the fit has data: solid inside, dashed outside.
    pub data_range: (f64, f64),
    /// The law in words and numbers. `^` raises what follows: `L = 3.85 C^-0.043`.
    pub label: String,
    /// The family whose law it is; empty where there is one law.
    pub family: String,
}

/// The law at one compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LawPoint {
    /// Compute.
    pub x: f64,
    /// Loss by the law.
    pub y: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl ScalingFigure {
    /// Compute from which to which the axis goes without a law: where to compute a law's curve. None without points.
    pub fn x_range(&self) -> Option<(f64, f64)> {
        let own = self.series.iter().flat_map(|series| &series.points).map(|point| point.x);
        let others = self.references.iter().flat_map(|reference| &reference.points).map(|point| point.0);
        range(own.chain(others), AIR)
    }

    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on a logarithmic axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        self.check()?;
        scaling_draw::svg(self, style)
    }

    /// Every number drawn, as CSV: the points, the references, then the law's curve.
    pub fn csv(&self) -> String {
        let header = ["item", "series", "x", "y", "low", "high", "budget", "kind", "family"];
        let mut csv = row(&header.map(str::to_owned));
        for series in &self.series {
            for point in &series.points {
                let numbers = [Some(point.x), Some(point.y), None, None, point.budget].map(number);
                csv.push_str(&row(&line("point", &series.name, numbers, point.kind.word(), &series.family)));
            }
        }
        for reference in &self.references {
            for (x, y) in &reference.points {
                let numbers = [Some(*x), Some(*y), None, None, None].map(number);
                csv.push_str(&row(&line("reference", &reference.name, numbers, "", &reference.family)));
            }
        }
        for law in &self.laws {
            for point in &law.curve {
                let data = point.x >= law.data_range.0 && point.x <= law.data_range.1;
                let kind = if data { "inside data" } else { "extrapolated" };
                let numbers = [Some(point.x), Some(point.y), Some(point.low), Some(point.high), None].map(number);
                csv.push_str(&row(&line("law", &law.label, numbers, kind, &law.family)));
            }
        }
        csv
    }

    fn check(&self) -> Result<(), Error> {
        for series in &self.series {
            for (i, point) in series.points.iter().enumerate() {
                for (field, value) in [("x", Some(point.x)), ("y", Some(point.y)), ("budget", point.budget)] {
                    if let Some(value) = value.filter(|value| !drawable(*value)) {
                        return Err(Error::Point { series: series.name.clone(), point: i + 1, field, value });
                    }
                }
            }
        }
        for reference in &self.references {
            for (i, (x, y)) in reference.points.iter().enumerate() {
                for (field, value) in [("x", *x), ("y", *y)] {
                    if !drawable(value) {
                        return Err(Error::Point { series: reference.name.clone(), point: i + 1, field, value });
                    }
                }
            }
        }
        self.laws.iter().try_for_each(Law::check)
    }
}

impl Law {
    /// Whether all its numbers can be drawn.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |point, field, value| Err(Error::Law { label: self.label.clone(), point, field, value });
        for (field, value) in [("data_range.0", self.data_range.0), ("data_range.1", self.data_range.1)] {
            if !drawable(value) {
                return refused(0, field, value);
            }
        }
        for (i, point) in self.curve.iter().enumerate() {
            for (field, value) in [("x", point.x), ("y", point.y), ("low", point.low), ("high", point.high)] {
                if !drawable(value) {
                    return refused(i + 1, field, value);
                }
            }
        }
        Ok(())
    }
}

fn line(item: &str, series: &str, numbers: [String; 5], kind: &str, family: &str) -> Vec<String> {
    let mut cells = vec![item.to_owned(), series.to_owned()];
    cells.extend(numbers);
    cells.extend([kind, family].map(str::to_owned));
    cells
}
