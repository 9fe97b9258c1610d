//! How far runs are from a law: residuals of a fit, and the same law fitted without the largest of them.

use crate::chart::{Chart, Name, Panel};
use crate::csv::{number, row};
use crate::error::{linear, logarithmic};
use crate::frame::{Axis, Kind, level_range, range};
use crate::key::{Entry, Sample};
use crate::layer::{Ink, Layer, Look};
use crate::marks::BACK_TEST;
use crate::palette::Palette;
use crate::{Error, Style, Words};

/// Points far outside the band would be flattened by one much wider than they are: it is cut off at this many times their
/// distance.
const FAR: f64 = 2.5;

/// Distances from a law against compute: a linear axis around zero over a logarithmic one, a panel for each law.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResidualsFigure {
    /// Title, axis labels such as `Loss above the law (%)`, and notes.
    pub words: Words,
    /// The laws.
    pub panels: Vec<ResidualPanel>,
}

/// A law and what lies around it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResidualPanel {
    /// The family whose law it is, above the panel; empty where there is one law.
    pub name: String,
    /// One series per model, smallest model first.
    pub series: Vec<ResidualSeries>,
    /// Compute, lower and upper end of the interval of the law, as distances from it: a band.
    pub band: Vec<(f64, f64, f64)>,
    /// The law put to the test.
    pub back_test: Option<BackTest>,
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

/// A law fitted without the largest runs: a line, dashed beyond what it was fitted to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BackTest {
    /// The largest compute that it was fitted to: a dashed line upwards.
    pub cut: f64,
    /// Compute, and its distance there from the law of all runs.
    pub curve: Vec<(f64, f64)>,
    /// What was left out, and how far off it is there; in the key.
    pub label: String,
}

impl ResidualsFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on its axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        self.panels.iter().try_for_each(ResidualPanel::check)?;
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let mut csv = row(&["panel", "item", "series", "x", "residual", "low", "high", "kind"].map(str::to_owned));
        for panel in &self.panels {
            let mut line = |item: &str, series: &str, numbers: [Option<f64>; 4], kind: &str| {
                let [x, residual, low, high] = numbers.map(number);
                csv.push_str(&row(&[&panel.name, item, series, &x, &residual, &low, &high, kind].map(str::to_owned)));
            };
            for series in &panel.series {
                for point in &series.points {
                    let kind = if point.held_back { "held back" } else { "fitted" };
                    line("point", &series.name, [Some(point.x), Some(point.residual), None, None], kind);
                }
            }
            for (x, low, high) in &panel.band {
                line("band", "", [Some(*x), None, Some(*low), Some(*high)], "");
            }
            if let Some(test) = &panel.back_test {
                for (x, residual) in &test.curve {
                    let kind = if *x > test.cut { "extrapolated" } else { "inside data" };
                    line("back-test", &test.label, [Some(*x), Some(*residual), None, None], kind);
                }
            }
        }
        csv
    }

    fn points(&self) -> impl Iterator<Item = &Residual> {
        self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points)
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let bands = || self.panels.iter().flat_map(|panel| &panel.band);
        let tests = || self.panels.iter().filter_map(|panel| panel.back_test.as_ref());
        let ends = bands().map(|p| p.0).chain(tests().flat_map(|test| test.curve.iter().map(|spot| spot.0)));
        let x = range(self.points().map(|p| p.x).chain(ends), 0.05);
        let far = self.points().map(|point| point.residual.abs()).fold(0.0, f64::max);
        let near = |value: f64| if far > 0.0 { value.clamp(-FAR * far, FAR * far) } else { value };
        let band = bands().flat_map(|(_, low, high)| [near(*low), near(*high)]);
        let test = tests().flat_map(|test| test.curve.iter().map(|spot| near(spot.1)));
        let y = level_range(self.points().map(|point| point.residual).chain(band).chain(test).chain([0.0]), 0.08);
        let families: Vec<&str> =
            self.panels.iter().flat_map(|panel| panel.series.iter().map(|_| panel.name.as_str())).collect();
        let palette = Palette::of_families(&families, &[]);
        let single = self.panels.len() <= 1;
        let mut first = 0;
        let mut panels: Vec<Panel> = Vec::new();
        for panel in &self.panels {
            panels.push(panel.drawn(first, &palette, single));
            first += panel.series.len();
        }
        if panels.is_empty() {
            panels.push(Panel::default());
        }
        Chart {
            words: self.words.clone(),
            x: Axis { range: x.unwrap_or((1.0, 10.0)), kind: Kind::Decades },
            columns: Vec::new(),
            y: Axis { range: y.unwrap_or((-1.0, 1.0)), kind: Kind::Level },
            panels,
            law: None,
            key: self.key(&palette),
            palette,
            description: format!(
                "Plot of {} against {} on a logarithmic axis. Points: {}, of them not fitted: {}.",
                self.words.y_label,
                self.words.x_label,
                self.points().count(),
                self.points().filter(|point| point.held_back).count()
            ),
        }
    }

    fn key(&self, palette: &Palette) -> Vec<Entry> {
        let mark = |ink, look| Sample::Mark { ink, look, line: false };
        let mut key = Vec::new();
        if self.panels.len() > 1 {
            let names = self.panels.iter().flat_map(|panel| &panel.series).map(|series| series.name.clone());
            key.extend(names.enumerate().map(|(i, text)| {
                let sample = mark(Ink::Series(i), Look::Filled(palette.shape(i)));
                Entry { sample, text }
            }));
        }
        if self.points().any(|point| point.held_back) {
            key.push(Entry { sample: mark(Ink::Black, Look::Filled(0)), text: "fitted".to_owned() });
            key.push(Entry { sample: mark(Ink::Black, Look::Hollow(0)), text: "not fitted".to_owned() });
        }
        if self.panels.iter().any(|panel| panel.band.len() > 1) {
            key.push(Entry { sample: Sample::Law, text: "law and its 95 % interval".to_owned() });
        }
        for panel in &self.panels {
            let of = if panel.name.is_empty() { String::new() } else { format!("{}: ", panel.name) };
            let sample = Sample::Line { ink: Ink::Fixed(BACK_TEST), width: 0.8, dashed: true };
            key.extend(panel.back_test.iter().map(|test| Entry { sample, text: format!("{of}{}", test.label) }));
        }
        key
    }
}

impl ResidualPanel {
    fn check(&self) -> Result<(), Error> {
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
        let name = || "back-test".to_owned();
        if let Some(test) = &self.back_test {
            logarithmic(&name, 1, "cut", test.cut)?;
            for (i, (x, residual)) in test.curve.iter().enumerate() {
                logarithmic(&name, i + 1, "x", *x)?;
                linear(&name, i + 1, "residual", *residual)?;
            }
        }
        Ok(())
    }

    /// Its layers; its first series is the one with the number `first` of the figure.
    fn drawn(&self, first: usize, palette: &Palette, single: bool) -> Panel {
        let mut panel = Panel { heading: self.name.clone(), ..Panel::default() };
        if self.band.len() > 1 {
            let mut points = self.band.clone();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            panel.layers.push(Layer::Band { points });
        }
        panel.layers.push(Layer::Level { y: 0.0, dashed: false });
        if let Some(test) = &self.back_test {
            panel.layers.push(Layer::Plumb { x: test.cut });
            let [inside, beyond] = parted(&test.curve, test.cut);
            let ink = Ink::Fixed(BACK_TEST);
            panel.layers.push(Layer::Line { points: inside, ink, width: 0.8, dashed: false });
            panel.layers.push(Layer::Line { points: beyond, ink, width: 0.8, dashed: true });
        }
        for (index, series) in self.series.iter().enumerate() {
            let series_index = first + index;
            let (ink, shape) = (Ink::Series(series_index), palette.shape(series_index));
            for point in &series.points {
                let look = if point.held_back { Look::Hollow(shape) } else { Look::Filled(shape) };
                panel.layers.push(Layer::Mark { at: (point.x, point.residual), ink, look, size: 0.5 });
            }
            if let Some(last) = series.points.iter().max_by(|a, b| a.x.total_cmp(&b.x)).filter(|_| single) {
                panel.names.push(Name { text: series.name.clone(), at: (last.x, last.residual), series: series_index });
            }
        }
        panel
    }
}

/// A curve up to a place, and from there on; the spot before the place begins the second part, so that there is no gap.
fn parted(curve: &[(f64, f64)], cut: f64) -> [Vec<(f64, f64)>; 2] {
    let mut curve = curve.to_vec();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    let beyond = curve.iter().position(|spot| spot.0 > cut).unwrap_or(curve.len());
    [curve[..beyond].to_vec(), curve[beyond.saturating_sub(1)..].to_vec()]
}
