//! Loss against something that has an optimum: learning rate, or model size at equal compute.

use crate::chart::{Chart, Name, Panel};
use crate::csv::{number, row};
use crate::error::logarithmic;
use crate::frame::{Axis, Kind, range};
use crate::key::{Entry, Sample};
use crate::layer::{Ink, Layer, Look};
use crate::lr_draw::lr_ticks;
use crate::palette::Palette;
use crate::{Edge, Error, PointKind, Style, Words};

/// Share of the span left free around the points.
const AIR: f64 = 0.08;
/// Share of the span above the points that crosses of diverged runs take.
const CROSSES: f64 = 0.16;

/// Loss against learning rate, one panel per model and one curve per epoch budget; or loss against model size, one
/// curve per compute. Both axes are logarithmic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfileFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// What the curves of a panel differ in, such as `Epochs`.
    pub budget_label: String,
    /// The panels, which share their axes but for the families.
    pub panels: Vec<ProfilePanel>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfilePanel {
    /// Stands above it.
    pub name: String,
    /// What kind of model it is, such as `ViT`. Where there are several kinds, each has a column with a horizontal axis of its own.
    pub family: String,
    /// Its curves in any order.
    pub curves: Vec<Profile>,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// Its name, such as `1/4`.
    pub name: String,
    /// What orders the curves and their colours, such as the epoch budget; the same number is the same colour everywhere.
    pub budget: f64,
    /// x and loss of the runs in any order.
    pub points: Vec<(f64, f64, PointKind)>,
    /// x of the runs that diverged: crosses at the top.
    pub diverged: Vec<f64>,
    /// The fitted parabola from left to right; without it the points are joined.
    pub fit: Vec<(f64, f64)>,
    /// The optimum.
    pub optimum: Option<ProfileOptimum>,
}

/// The lowest place of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProfileOptimum {
    /// Where it is.
    pub x: f64,
    /// The loss there.
    pub y: f64,
    /// Lower and upper end of the interval of `x`.
    pub interval: Option<(f64, f64)>,
    /// It may lie beyond what was tried: a hollow star with an arrow.
    pub edge: Option<Edge>,
}

impl ProfileFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If a number cannot be on a logarithmic axis, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        self.check()?;
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let mut csv = row(&["panel", "curve", "item", "x", "y", "low", "high", "kind"].map(str::to_owned));
        for (panel, curve) in self.curves() {
            let mut line = |item: &str, numbers: [Option<f64>; 4], kind: &str| {
                let [x, y, low, high] = numbers.map(number);
                let cells = [&panel.name, &curve.name, item, &x, &y, &low, &high, kind];
                csv.push_str(&row(&cells.map(str::to_owned)));
            };
            for (x, y, kind) in &curve.points {
                line("point", [Some(*x), Some(*y), None, None], kind.word());
            }
            for x in &curve.diverged {
                line("point", [Some(*x), None, None, None], "diverged");
            }
            for (x, y) in &curve.fit {
                line("fit", [Some(*x), Some(*y), None, None], "");
            }
            if let Some(optimum) = &curve.optimum {
                let (low, high) = (optimum.interval.map(|ends| ends.0), optimum.interval.map(|ends| ends.1));
                let kind = match optimum.edge {
                    None => "",
                    Some(Edge::Low) => "at the low edge",
                    Some(Edge::High) => "at the high edge",
                };
                line("optimum", [Some(optimum.x), Some(optimum.y), low, high], kind);
            }
        }
        csv
    }

    fn curves(&self) -> impl Iterator<Item = (&ProfilePanel, &Profile)> {
        self.panels.iter().flat_map(|panel| panel.curves.iter().map(move |curve| (panel, curve)))
    }

    fn check(&self) -> Result<(), Error> {
        for (panel, curve) in self.curves() {
            let series = || format!("{} {}", panel.name, curve.name);
            logarithmic(&series, 1, "budget", curve.budget)?;
            for (i, (x, y, _)) in curve.points.iter().enumerate() {
                logarithmic(&series, i + 1, "x", *x)?;
                logarithmic(&series, i + 1, "y", *y)?;
            }
            for (i, x) in curve.diverged.iter().enumerate() {
                logarithmic(&series, i + 1, "diverged", *x)?;
            }
            for (i, (x, y)) in curve.fit.iter().enumerate() {
                logarithmic(&series, i + 1, "fit.x", *x)?;
                logarithmic(&series, i + 1, "fit.y", *y)?;
            }
            if let Some(optimum) = &curve.optimum {
                logarithmic(&series, 1, "optimum.x", optimum.x)?;
                logarithmic(&series, 1, "optimum.y", optimum.y)?;
                for end in
                    optimum.interval.map_or([None, None], |(low, high)| [Some(low), Some(high)]).into_iter().flatten()
                {
                    logarithmic(&series, 1, "optimum.interval", end)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let mut budgets: Vec<(f64, &str)> =
            self.curves().map(|(_, curve)| (curve.budget, curve.name.as_str())).collect();
        budgets.sort_by(|a, b| a.0.total_cmp(&b.0));
        budgets.dedup_by(|a, b| a.0 == b.0);
        let place = |budget: f64| budgets.iter().position(|other| other.0 == budget).unwrap_or(0);
        let optima = || self.curves().filter_map(|(_, curve)| curve.optimum.as_ref());
        let all: Vec<&ProfilePanel> = self.panels.iter().collect();
        let axis = horizontal(&all);
        let columns = self.columns();
        let own: Vec<Axis> = columns.iter().map(|column| horizontal(column)).collect();
        let losses = self.curves().flat_map(|(_, curve)| curve.points.iter().map(|point| point.1));
        let data = range(losses.chain(optima().map(|optimum| optimum.y)), AIR).unwrap_or((1.0, 10.0));
        let diverged = self.curves().any(|(_, curve)| !curve.diverged.is_empty());
        let top = |share: f64| 10f64.powf(data.1.log10() + share * (data.1 / data.0).log10());
        let y = (data.0, if diverged { top(CROSSES) } else { data.1 });
        // Curves with a heading for what they differ in are told apart by the key, others by names at their ends.
        let named = self.budget_label.is_empty() && self.panels.len() <= 1;
        let panel = |panel: &ProfilePanel| {
            let mut made = Panel { heading: panel.name.clone(), ..Panel::default() };
            let mut marks = Vec::new();
            for curve in &panel.curves {
                let index = place(curve.budget);
                let height = (index as f64 + 0.5) / budgets.len() as f64;
                draw(curve, index, top(CROSSES * 0.9 * height), &mut made.layers, &mut marks);
                let last = curve.points.iter().max_by(|a, b| a.0.total_cmp(&b.0));
                let end = curve.fit.last().filter(|end| end.0 <= axis.range.1 && end.1 <= y.1 && end.1 >= y.0).copied();
                if let Some(at) = end.or(last.map(|point| (point.0, point.1))).filter(|_| named) {
                    made.names.push(Name { text: curve.name.clone(), at, series: index });
                }
            }
            made.layers.append(&mut marks);
            made
        };
        // Row by row, with places left empty under the shorter columns.
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        let grid = (0..rows).flat_map(|row| columns.iter().map(move |column| column.get(row)));
        let panels: Vec<Panel> = match columns.is_empty() {
            true => all.iter().map(|shown| panel(shown)).collect(),
            false => grid.map(|shown| shown.map_or_else(Panel::default, |shown| panel(shown))).collect(),
        };
        Chart {
            words: self.words.clone(),
            x: axis.clone(),
            columns: own,
            y: Axis { range: y, kind: Kind::Decades },
            panels: if panels.is_empty() { vec![Panel::default()] } else { panels },
            law: None,
            palette: Palette::ordered(budgets.len()),
            key: self.key(&budgets, named),
            description: self.description(),
        }
    }

    /// The panels of each family, in the order of their first panels; none where there is one family.
    fn columns(&self) -> Vec<Vec<&ProfilePanel>> {
        let mut columns: Vec<Vec<&ProfilePanel>> = Vec::new();
        for panel in &self.panels {
            match columns.iter_mut().find(|column| column.iter().any(|other| other.family == panel.family)) {
                Some(column) => column.push(panel),
                None => columns.push(vec![panel]),
            }
        }
        if columns.len() > 1 { columns } else { Vec::new() }
    }

    fn key(&self, budgets: &[(f64, &str)], named: bool) -> Vec<Entry> {
        let entry = |sample, text: &str| Entry { sample, text: text.to_owned() };
        let mut key = Vec::new();
        if !budgets.is_empty() && !self.budget_label.is_empty() {
            key.push(entry(Sample::Heading, &self.budget_label));
        }
        if !named {
            key.extend(budgets.iter().enumerate().map(|(i, (_, name))| {
                entry(Sample::Mark { ink: Ink::Series(i), look: Look::Filled(i), line: true }, name)
            }));
        }
        let any = |test: &dyn Fn(&Profile) -> bool| self.curves().any(|(_, curve)| test(curve));
        let mark = |look| Sample::Mark { ink: Ink::Black, look, line: false };
        if any(&|curve| curve.optimum.is_some_and(|optimum| optimum.edge.is_none())) {
            key.push(entry(mark(Look::Star), "optimum, 95 %"));
        }
        if any(&|curve| curve.optimum.is_some_and(|optimum| optimum.edge.is_some())) {
            key.push(entry(mark(Look::HollowStar), "best at the edge"));
        }
        if any(&|curve| !curve.diverged.is_empty()) {
            key.push(entry(mark(Look::Cross), "diverged"));
        }
        let hollow = |kind| any(&|curve: &Profile| curve.points.iter().any(|point| point.2 == kind));
        if hollow(PointKind::Running) {
            key.push(entry(mark(Look::Hollow(0)), "running"));
        }
        if hollow(PointKind::Excluded) {
            let sample = Sample::Mark { ink: Ink::Grey, look: Look::Hollow(0), line: false };
            key.push(entry(sample, "left out"));
        }
        key
    }

    fn description(&self) -> String {
        let panels: Vec<&str> = self.panels.iter().map(|panel| panel.name.as_str()).collect();
        let runs: usize = self.curves().map(|(_, curve)| curve.points.len()).sum();
        let diverged: usize = self.curves().map(|(_, curve)| curve.diverged.len()).sum();
        let panels = if panels.iter().all(|name| name.is_empty()) {
            String::new()
        } else {
            format!(" Panels: {}.", panels.join(", "))
        };
        format!(
            "Log-log plot of {} against {}.{panels} Runs: {runs}, diverged: {diverged}.",
            self.words.y_label, self.words.x_label
        )
    }
}

/// The horizontal axis for all that these panels show.
fn horizontal(panels: &[&ProfilePanel]) -> Axis {
    let curves = || panels.iter().flat_map(|panel| &panel.curves);
    let tried: Vec<f64> =
        curves().flat_map(|c| c.points.iter().map(|p| p.0).chain(c.diverged.iter().copied())).collect();
    let optima = || curves().filter_map(|curve| curve.optimum.as_ref());
    // Arrows at the edge need more room.
    let air = if optima().any(|optimum| optimum.edge.is_some()) { 1.6 * AIR } else { AIR };
    let range = range(tried.iter().copied().chain(optima().map(|optimum| optimum.x)), air).unwrap_or((0.1, 1.0));
    // Learning rates are read as doublings, model sizes as powers of ten.
    let kind = if range.1 < 1e3 { lr_ticks(&tried, range) } else { Kind::Decades };
    Axis { range, kind }
}

/// The layers of a curve; `marks` go on top of all curves.
fn draw(curve: &Profile, index: usize, crosses: f64, layers: &mut Vec<Layer>, marks: &mut Vec<Layer>) {
    let ink = Ink::Series(index);
    let mut points = curve.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let line = if curve.fit.len() > 1 {
        curve.fit.clone()
    } else {
        points.iter().filter(|point| point.2.counts()).map(|point| (point.0, point.1)).collect()
    };
    let width = if curve.fit.len() > 1 { 1.0 } else { 0.5 };
    layers.push(Layer::Line { points: line, ink, width, dashed: false });
    for (x, y, kind) in points {
        let (look, ink) = match kind {
            PointKind::Finished => (Look::Filled(index), ink),
            PointKind::Running | PointKind::Unverified => (Look::Hollow(index), ink),
            PointKind::Excluded => (Look::Hollow(index), Ink::Grey),
        };
        marks.push(Layer::Mark { at: (x, y), ink, look, size: 0.3 });
    }
    marks.extend(curve.diverged.iter().map(|x| Layer::Mark { at: (*x, crosses), ink, look: Look::Cross, size: 0.3 }));
    let Some(optimum) = curve.optimum else { return };
    let at = (optimum.x, optimum.y);
    if let Some(ends) = optimum.interval {
        marks.push(Layer::Flat { y: optimum.y, ends, ink });
    }
    if let Some(edge) = optimum.edge {
        marks.push(Layer::Arrow { at, toward: (if edge == Edge::Low { -1.0 } else { 1.0 }, 0.0), ink });
    }
    let look = if optimum.edge.is_some() { Look::HollowStar } else { Look::Star };
    marks.push(Layer::Mark { at, ink, look, size: 0.3 });
}
