//! How far runs are from a law: residuals of a fit, and errors of predictions that were made without them.

use crate::chart::{Chart, Name, Panel};
use crate::csv::{number, row};
use crate::error::{linear, logarithmic};
use crate::frame::{Axis, Kind, level_range, range};
use crate::key::{Entry, Sample};
use crate::layer::{Ink, Layer, Look};
use crate::{Error, Style};

/// Distances from a law against compute: a linear axis around zero over a logarithmic one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResidualsFigure {
    /// Title above the figure; papers have a caption instead.
    pub title: Option<String>,
    /// Label of the compute axis with its unit.
    pub x_label: String,
    /// Label of the distance with its unit, such as `Loss above the law (%)`.
    pub y_label: String,
    /// One series per model, smallest model first.
    pub series: Vec<ResidualSeries>,
    /// Compute, lower and upper end of the interval of a prediction, as distances from it: a band.
    pub band: Vec<(f64, f64, f64)>,
    /// The largest compute that a back-test fitted: a dashed line.
    pub cut: Option<f64>,
    /// What a reader must know; below the figure.
    pub notes: Vec<String>,
}

/// The runs of one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResidualSeries {
    /// Name of the model.
    pub name: String,
    /// Its runs in any order.
    pub points: Vec<Residual>,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// Compute.
    pub x: f64,
    /// Distance from the law.
    pub residual: f64,
    /// Whether the law was fitted without it: a hollow marker.
    pub held_back: bool,
}

impl ResidualsFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on its axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        for series in &self.series {
            let name = || series.name.clone();
            for (i, point) in series.points.iter().enumerate() {
                logarithmic(&name, i + 1, "x", point.x)?;
                linear(&name, i + 1, "residual", point.residual)?;
            }
        }
        let name = || "band".to_owned();
        for (i, (x, low, high)) in self.band.iter().enumerate() {
            logarithmic(&name, i + 1, "x", *x)?;
            linear(&name, i + 1, "low", *low)?;
            linear(&name, i + 1, "high", *high)?;
        }
        self.cut.map_or(Ok(()), |cut| logarithmic(&|| "cut".to_owned(), 1, "x", cut))?;
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let mut csv = row(&["item", "series", "x", "residual", "low", "high", "kind"].map(str::to_owned));
        for series in &self.series {
            for point in &series.points {
                let [x, residual] = [point.x, point.residual].map(|value| number(Some(value)));
                let kind = if point.held_back { "held back" } else { "fitted" };
                csv.push_str(&row(&["point", &series.name, &x, &residual, "", "", kind].map(str::to_owned)));
            }
        }
        for (x, low, high) in &self.band {
            let [x, low, high] = [*x, *low, *high].map(|value| number(Some(value)));
            csv.push_str(&row(&["band", "", &x, "", &low, &high, ""].map(str::to_owned)));
        }
        if let Some(cut) = self.cut {
            csv.push_str(&row(&["cut", "", &number(Some(cut)), "", "", "", ""].map(str::to_owned)));
        }
        csv
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = range(points().map(|p| p.x).chain(self.band.iter().map(|p| p.0)).chain(self.cut), 0.05);
        // A band much wider than the points is cut off: it must not flatten them.
        let far = points().map(|point| point.residual.abs()).fold(0.0, f64::max);
        let near = |value: f64| if far > 0.0 { value.clamp(-2.5 * far, 2.5 * far) } else { value };
        let band = self.band.iter().flat_map(|(_, low, high)| [near(*low), near(*high)]);
        let y = level_range(points().map(|point| point.residual).chain(band).chain([0.0]), 0.08);
        let mut panel = Panel::default();
        if self.band.len() > 1 {
            let mut points = self.band.clone();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            panel.layers.push(Layer::Band { points });
        }
        panel.layers.push(Layer::Level { y: 0.0, dashed: false });
        panel.layers.extend(self.cut.map(|x| Layer::Plumb { x }));
        for (index, series) in self.series.iter().enumerate() {
            let ink = Ink::Series(index);
            for point in &series.points {
                let look = if point.held_back { Look::Hollow(index) } else { Look::Filled(index) };
                panel.layers.push(Layer::Mark { at: (point.x, point.residual), ink, look, size: 0.5 });
            }
            if let Some(last) = series.points.iter().max_by(|a, b| a.x.total_cmp(&b.x)) {
                panel.names.push(Name { text: series.name.clone(), at: (last.x, last.residual), series: index });
            }
        }
        let mark = |look| Sample::Mark { ink: Ink::Black, look, line: false };
        let mut key = Vec::new();
        if points().any(|point| point.held_back) {
            key.push(Entry { sample: mark(Look::Filled(0)), text: "fitted".to_owned() });
            key.push(Entry { sample: mark(Look::Hollow(0)), text: "not fitted".to_owned() });
        }
        if self.band.len() > 1 {
            key.push(Entry { sample: Sample::Law, text: "law and its 95 % interval".to_owned() });
        }
        Chart {
            title: self.title.as_deref(),
            x: Axis { label: &self.x_label, range: x.unwrap_or((1.0, 10.0)), kind: Kind::Decades },
            y: Axis { label: &self.y_label, range: y.unwrap_or((-1.0, 1.0)), kind: Kind::Level },
            panels: vec![panel],
            law: None,
            count: self.series.len(),
            key,
            notes: self.notes.clone(),
            description: format!(
                "Plot of {} against {} on a logarithmic axis. Points: {}, of them held back: {}.",
                self.y_label,
                self.x_label,
                points().count(),
                points().filter(|point| point.held_back).count()
            ),
        }
    }
}
