//! Loss while it falls.

use crate::chart::{Chart, Name, Panel};
use crate::csv::{number, row};
use crate::error::logarithmic;
use crate::frame::{Axis, Kind, range};
use crate::key::{Entry, Sample};
use crate::layer::{Ink, Layer, Look};
use crate::palette::Palette;
use crate::{Error, Style, Words};

/// Training and held-out loss against samples or compute, both logarithmic, one line per run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CurvesFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// The runs in the order of their colours.
    pub series: Vec<Curve>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Its name, drawn at its end.
    pub name: String,
    /// Progress and training loss: a thin line.
    pub training: Vec<(f64, f64)>,
    /// Progress and held-out loss: markers, joined.
    pub held_out: Vec<(f64, f64)>,
    /// How it ended.
    pub end: CurveEnd,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CurveEnd {
    /// With all its steps.
    #[default]
    Finished,
    /// Not yet: a hollow marker at its end.
    Running,
    /// By a loss that was too high: a cross at its end.
    Diverged,
}

impl CurvesFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on a logarithmic axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        for curve in &self.series {
            let name = || curve.name.clone();
            for (i, (x, y)) in curve.training.iter().chain(&curve.held_out).enumerate() {
                logarithmic(&name, i + 1, "x", *x)?;
                logarithmic(&name, i + 1, "y", *y)?;
            }
        }
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let mut csv = row(&["series", "loss", "x", "y", "end"].map(str::to_owned));
        for curve in &self.series {
            let end = match curve.end {
                CurveEnd::Finished => "finished",
                CurveEnd::Running => "running",
                CurveEnd::Diverged => "diverged",
            };
            for (loss, points) in [("training", &curve.training), ("held-out", &curve.held_out)] {
                for (x, y) in points {
                    let [x, y] = [*x, *y].map(|value| number(Some(value)));
                    csv.push_str(&row(&[&curve.name, loss, &x, &y, end].map(str::to_owned)));
                }
            }
        }
        csv
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let points = || self.series.iter().flat_map(|curve| curve.training.iter().chain(&curve.held_out));
        let x = range(points().map(|point| point.0), 0.03).unwrap_or((1.0, 10.0));
        let y = range(points().map(|point| point.1), 0.05).unwrap_or((1.0, 10.0));
        let mut panel = Panel::default();
        let mut marks = Vec::new();
        for (index, curve) in self.series.iter().enumerate() {
            let ink = Ink::Series(index);
            let sorted = |points: &[(f64, f64)]| {
                let mut points = points.to_vec();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                points
            };
            let (training, held_out) = (sorted(&curve.training), sorted(&curve.held_out));
            let last = training.last().into_iter().chain(held_out.last()).max_by(|a, b| a.0.total_cmp(&b.0)).copied();
            marks.extend(held_out.iter().map(|at| Layer::Mark { at: *at, ink, look: Look::Filled(index), size: 0.3 }));
            panel.layers.push(Layer::Line { points: training, ink, width: 0.45, dashed: false });
            panel.layers.push(Layer::Line { points: held_out, ink, width: 1.0, dashed: false });
            let Some(at) = last else { continue };
            let look = match curve.end {
                CurveEnd::Finished => None,
                CurveEnd::Running => Some(Look::Hollow(index)),
                CurveEnd::Diverged => Some(Look::Cross),
            };
            marks.extend(look.map(|look| Layer::Mark { at, ink, look, size: 0.5 }));
            panel.names.push(Name { text: curve.name.clone(), at, series: index });
        }
        panel.layers.append(&mut marks);
        let mark = |look, line| Sample::Mark { ink: Ink::Black, look, line };
        let any = |end| self.series.iter().any(|curve| curve.end == end);
        let mut key = Vec::new();
        if self.series.iter().any(|curve| !curve.training.is_empty()) {
            let sample = Sample::Line { ink: Ink::Black, width: 0.45, dashed: false };
            key.push(Entry { sample, text: "training".to_owned() });
        }
        if self.series.iter().any(|curve| !curve.held_out.is_empty()) {
            key.push(Entry { sample: mark(Look::Filled(0), true), text: "held-out".to_owned() });
        }
        if any(CurveEnd::Running) {
            key.push(Entry { sample: mark(Look::Hollow(0), false), text: "running".to_owned() });
        }
        if any(CurveEnd::Diverged) {
            key.push(Entry { sample: mark(Look::Cross, false), text: "diverged".to_owned() });
        }
        Chart {
            words: self.words.clone(),
            x: Axis { range: x, kind: Kind::Decades },
            columns: Vec::new(),
            y: Axis { range: y, kind: Kind::Decades },
            panels: vec![panel],
            law: None,
            palette: Palette::ordered(self.series.len()),
            key,
            description: format!(
                "Log-log plot of {} against {}. Runs: {}.",
                self.words.y_label,
                self.words.x_label,
                self.series.len()
            ),
        }
    }
}
