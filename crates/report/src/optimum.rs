//! The optimum as a function of compute: model size, epochs or learning rate.

use crate::chart::{Chart, Name, Panel};
use crate::csv::{number, row};
use crate::error::logarithmic;
use crate::frame::{Axis, Kind, range};
use crate::key::{Entry, Sample};
use crate::layer::{Ink, Layer, Look};
use crate::palette::Palette;
use crate::{Edge, Error, Law, Style, Words};

/// Optimal model size, epochs or learning rate against compute, with intervals and a law; both axes are logarithmic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimumFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// The optima, by method, family or model.
    pub series: Vec<OptimumSeries>,
    /// The law of the optima.
    pub law: Option<Law>,
}

/// Optima under one name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimumSeries {
    /// Its name, drawn at the end of its line where there are several series.
    pub name: String,
    /// Its optima in any order.
    pub points: Vec<OptimumPoint>,
}

/// The optimum at one compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimumPoint {
    /// Compute.
    pub x: f64,
    /// What is best there.
    pub y: f64,
    /// Lower and upper end of the interval of `y`.
    pub interval: Option<(f64, f64)>,
    /// It may lie beyond what was tried: a hollow marker with an arrow.
    pub edge: Option<Edge>,
}

impl OptimumFigure {
    /// Compute from which to which the axis goes without a law: where to compute a law's curve. None without points.
    pub fn x_range(&self) -> Option<(f64, f64)> {
        range(self.points().map(|point| point.x), 0.06)
    }

    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on a logarithmic axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        for series in &self.series {
            let name = || series.name.clone();
            for (i, point) in series.points.iter().enumerate() {
                logarithmic(&name, i + 1, "x", point.x)?;
                logarithmic(&name, i + 1, "y", point.y)?;
                if let Some((low, high)) = point.interval {
                    logarithmic(&name, i + 1, "interval.0", low)?;
                    logarithmic(&name, i + 1, "interval.1", high)?;
                }
            }
        }
        self.law.as_ref().map_or(Ok(()), Law::check)?;
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV: the optima, then the law's curve.
    pub fn csv(&self) -> String {
        let mut csv = row(&["item", "series", "x", "y", "low", "high", "kind"].map(str::to_owned));
        for series in &self.series {
            for point in &series.points {
                let kind = match point.edge {
                    None => "",
                    Some(Edge::Low) => "at the low edge",
                    Some(Edge::High) => "at the high edge",
                };
                let (low, high) = (point.interval.map(|ends| ends.0), point.interval.map(|ends| ends.1));
                let [x, y, low, high] = [Some(point.x), Some(point.y), low, high].map(number);
                csv.push_str(&row(&["optimum", &series.name, &x, &y, &low, &high, kind].map(str::to_owned)));
            }
        }
        for point in self.law.iter().flat_map(|law| &law.curve) {
            let [x, y, low, high] = [point.x, point.y, point.low, point.high].map(|value| number(Some(value)));
            let label = self.law.as_ref().map_or("", |law| &law.label);
            csv.push_str(&row(&["law", label, &x, &y, &low, &high, ""].map(str::to_owned)));
        }
        csv
    }

    fn points(&self) -> impl Iterator<Item = &OptimumPoint> {
        self.series.iter().flat_map(|series| &series.points)
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let curve = || self.law.iter().flat_map(|law| &law.curve);
        let x = range(self.x_range().into_iter().flat_map(|ends| [ends.0, ends.1]).chain(curve().map(|p| p.x)), 0.0);
        let ends = |point: &OptimumPoint| {
            [point.y, point.interval.map_or(point.y, |i| i.0), point.interval.map_or(point.y, |i| i.1)]
        };
        let y = range(self.points().flat_map(ends).chain(curve().map(|point| point.y)), 0.08);
        let mut panel = Panel::default();
        let several = self.series.len() > 1;
        for (index, series) in self.series.iter().enumerate() {
            let ink = Ink::Series(index);
            let mut points = series.points.clone();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            if self.law.is_none() || several {
                let line = points.iter().map(|point| (point.x, point.y)).collect();
                panel.layers.push(Layer::Line { points: line, ink, width: 0.6, dashed: false });
            }
            for point in &points {
                let at = (point.x, point.y);
                panel.layers.extend(point.interval.map(|ends| Layer::Upright { x: point.x, ends, ink }));
                let up = |edge| if edge == Edge::Low { -1.0 } else { 1.0 };
                panel.layers.extend(point.edge.map(|edge| Layer::Arrow { at, toward: (0.0, up(edge)), ink }));
                let look = if point.edge.is_some() { Look::Hollow(index) } else { Look::Filled(index) };
                panel.layers.push(Layer::Mark { at, ink, look, size: 0.5 });
            }
            if let Some(last) = points.last().filter(|_| several) {
                panel.names.push(Name { text: series.name.clone(), at: (last.x, last.y), series: index });
            }
        }
        let law = self.law.iter().map(|law| Entry { sample: Sample::Law, text: law.label.replace('\n', "; ") });
        let mut notes = Vec::new();
        if self.points().any(|point| point.interval.is_some()) {
            notes.push("Bars: 95 % intervals.".to_owned());
        }
        if self.points().any(|point| point.edge.is_some()) {
            notes.push("Arrows: best at the edge of what was tried, the optimum may lie beyond.".to_owned());
        }
        Chart {
            words: self.words.with(notes),
            x: Axis { range: x.unwrap_or((1.0, 10.0)), kind: Kind::Decades },
            columns: Vec::new(),
            y: Axis { range: y.unwrap_or((1.0, 10.0)), kind: Kind::Decades },
            panels: vec![panel],
            law: self.law.as_ref(),
            palette: Palette::ordered(self.series.len()),
            key: law.collect(),
            description: format!(
                "Log-log plot of {} against {}. Optima: {}.",
                self.words.y_label,
                self.words.x_label,
                self.points().count()
            ),
        }
    }
}
