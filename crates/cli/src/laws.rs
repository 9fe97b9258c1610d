//! From points to laws, and laws as text and JSON. The one place where `fit` is called.

use std::collections::BTreeMap;
use std::fmt::Write;

use fit::{
    Estimate, Excluded, Form, Frontier, LawFit, LrLaw, LrPoint, Optimum, Refusal, SeedNoise, Settings, Side, Trial,
};
use serde_json::{Value, json};
use spec::run::short;

use crate::args::Law;
use crate::command::table::{count, table};
use crate::points::RunPoint;

/// A fit, or why there is none.
pub(crate) enum Answer {
    /// A law in one variable, with the frontier it goes through where it goes through one.
    Curve(Option<Frontier>, Box<LawFit>),
    /// Optimal learning rates, their law, and the noise between seeds that their intervals rest on, where it is known.
    Rates(Vec<Group>, Result<LrLaw, Refusal>, Option<SeedNoise>),
    /// The data cannot carry it.
    Refused(Refusal),
}

/// The learning rates of one model and epoch budget.
pub(crate) struct Group {
    pub(crate) model: String,
    pub(crate) parameters: Option<f64>,
    pub(crate) epochs: f64,
    pub(crate) optimum: Result<Optimum, Refusal>,
}

/// Fits `law`. Points of a sweep go through its frontier; points of a file are all used by `power` and `saturating`.
pub(crate) fn fit_law(law: Law, points: &[RunPoint], settings: &Settings) -> Answer {
    let from_sweep = points.iter().any(|point| point.run.is_some());
    let form = if law == Law::Saturating { Form::Saturating } else { Form::Power };
    match law {
        Law::Lr => rates(points),
        Law::Power | Law::Saturating if !from_sweep => {
            let all: Vec<fit::Point> = points
                .iter()
                .map(|point| fit::Point { row: point.row, x: point.compute, y: point.loss.unwrap_or(f64::NAN) })
                .collect();
            let fitted = if form == Form::Power { fit::power(&all, settings) } else { fit::saturating(&all, settings) };
            fitted.map_or_else(Answer::Refused, |fitted| Answer::Curve(None, Box::new(fitted)))
        }
        Law::Power | Law::Saturating | Law::Frontier => {
            let fitted = fit::frontier_law(&frontier_runs(points), form, settings);
            fitted.map_or_else(Answer::Refused, |(frontier, fitted)| Answer::Curve(Some(frontier), Box::new(fitted)))
        }
    }
}

/// The points as the frontier wants them. Without a budget, each is a cell of its own.
pub(crate) fn frontier_runs(points: &[RunPoint]) -> Vec<fit::RunPoint> {
    let run = |point: &RunPoint| fit::RunPoint {
        row: point.row,
        group: point.model.clone(),
        budget: if point.epochs.is_finite() { point.epochs } else { point.row as f64 },
        compute: point.compute,
        loss: point.loss,
        lr: point.lr,
        seed: point.seed,
    };
    points.iter().map(run).collect()
}

/// The noise of ln loss between seeds, over all cells that have several.
pub(crate) fn noise(points: &[RunPoint]) -> Option<SeedNoise> {
    let mut cells: BTreeMap<(&str, u64, u64), Vec<f64>> = BTreeMap::new();
    for point in points {
        if let (Some(lr), Some(loss)) = (point.lr, point.loss) {
            cells.entry((&point.model, point.epochs.to_bits(), lr.to_bits())).or_default().push(loss);
        }
    }
    fit::seed_noise(cells.values().map(Vec::as_slice))
}

/// The optimum of every model and epoch budget, models in the order of their size and then of their first point.
pub(crate) fn groups(points: &[RunPoint]) -> Vec<Group> {
    let mut cells: BTreeMap<(usize, u64), Vec<&RunPoint>> = BTreeMap::new();
    let order = models(points);
    let noise = noise(points).map(|noise| noise.for_intervals());
    for point in points {
        let model = order.iter().position(|name| *name == point.model).unwrap_or(0);
        cells.entry((model, point.epochs.to_bits())).or_default().push(point);
    }
    let group = |points: Vec<&RunPoint>| {
        let trial = |point: &&RunPoint| Trial { row: point.row, lr: point.lr.unwrap_or(f64::NAN), loss: point.loss };
        let trials: Vec<Trial> = points.iter().map(trial).collect();
        Group {
            model: points[0].model.clone(),
            parameters: points[0].parameters,
            epochs: points[0].epochs,
            optimum: fit::optimal_lr(&trials, noise),
        }
    };
    cells.into_values().map(group).collect()
}

/// The models, smallest first where sizes are known.
pub(crate) fn models(points: &[RunPoint]) -> Vec<String> {
    let mut models: Vec<(f64, String)> = Vec::new();
    for point in points {
        if !models.iter().any(|(_, name)| *name == point.model) {
            models.push((point.parameters.unwrap_or(0.0), point.model.clone()));
        }
    }
    models.sort_by(|a, b| a.0.total_cmp(&b.0));
    models.into_iter().map(|(_, name)| name).collect()
}

fn rates(points: &[RunPoint]) -> Answer {
    let groups = groups(points);
    let optima = groups.iter().enumerate().filter_map(|(index, group)| {
        let optimum = *group.optimum.as_ref().ok()?;
        Some(LrPoint { row: index + 1, budget: group.epochs, size: group.parameters, optimum })
    });
    let optima: Vec<LrPoint> = optima.collect();
    match (optima.is_empty(), groups.iter().find_map(|group| group.optimum.as_ref().err())) {
        (true, Some(refusal)) => Answer::Refused(refusal.clone()),
        _ => Answer::Rates(groups, fit::lr_law(&optima), noise(points)),
    }
}

impl Answer {
    /// Whether there is no fit.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Answer::Refused(_))
    }

    /// The contract of `scalelaw fit --json`.
    pub(crate) fn as_json(&self, law: Law, points: &[RunPoint]) -> Value {
        let name = law_name(law);
        let excluded = |list: &[Excluded]| -> Vec<Value> {
            let run = |row: usize| points.iter().find(|point| point.row == row).and_then(|point| point.run);
            list.iter().map(|one| json!({"row": one.row, "run_id": run(one.row), "reason": one.reason})).collect()
        };
        match self {
            Answer::Refused(refusal) => json!({
                "schema_version": 1,
                "law": name,
                "refusal": {"reason": refusal.to_string(), "mend": refusal.mend()},
            }),
            Answer::Curve(frontier, fitted) => {
                let all = frontier.as_ref().map_or(&fitted.excluded, |frontier| &frontier.excluded);
                json!({
                    "schema_version": 1,
                    "law": name,
                    "form": fitted.form,
                    "params": fitted.params,
                    "points": {"used": fitted.used.len(), "rows": fitted.used, "excluded": excluded(all)},
                    "quality": fitted.quality,
                    "range": {"low": fitted.x_range.0, "high": fitted.x_range.1},
                    "warnings": fitted.warnings,
                })
            }
            Answer::Rates(groups, fitted, noise) => {
                let mut warnings: Vec<String> = fitted.as_ref().map(|law| law.warnings.clone()).unwrap_or_default();
                warnings.extend(fitted.as_ref().err().map(|refusal| format!("no law: {refusal}; {}", refusal.mend())));
                let inside = groups.iter().filter(|group| matches!(group.optimum, Ok(Optimum::Inside { .. }))).count();
                let not_inside = groups.iter().enumerate().filter_map(|(index, group)| {
                    let reason = match &group.optimum {
                        Ok(optimum) => format!("optimum at the edge of the grid; {}", optimum.mend()?),
                        Err(refusal) => format!("{refusal}; {}", refusal.mend()),
                    };
                    Some(json!({"row": index + 1, "model": group.model, "epochs": finite(group.epochs), "reason": reason}))
                });
                json!({
                    "schema_version": 1,
                    "law": name,
                    "params": fitted.as_ref().map(|law| law.params.clone()).unwrap_or_default(),
                    "points": {"used": inside, "excluded": not_inside.collect::<Vec<_>>()},
                    "quality": fitted.as_ref().ok().map(|law| law.quality),
                    "noise": noise,
                    "warnings": warnings,
                    "groups": groups.iter().map(group_json).collect::<Vec<_>>(),
                })
            }
        }
    }

    /// For people.
    pub(crate) fn as_text(&self) -> String {
        match self {
            Answer::Refused(refusal) => format!("no fit: {refusal}\nto mend it: {}\n", refusal.mend()),
            Answer::Curve(frontier, fitted) => curve_text(frontier.as_ref(), fitted),
            Answer::Rates(groups, fitted, noise) => rates_text(groups, fitted, *noise),
        }
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

pub(crate) fn law_name(law: Law) -> &'static str {
    match law {
        Law::Power => "power",
        Law::Saturating => "saturating",
        Law::Frontier => "frontier",
        Law::Lr => "lr",
    }
}

fn group_json(group: &Group) -> Value {
    let optimum = match &group.optimum {
        Ok(optimum) => json!(optimum),
        Err(refusal) => json!({"where": "unknown", "reason": refusal.to_string(), "mend": refusal.mend()}),
    };
    json!({"model": group.model, "epochs": finite(group.epochs), "params": group.parameters, "optimum": optimum})
}

/// The law with its numbers, `^` before an exponent.
pub(crate) fn equation(fitted: &LawFit) -> String {
    let value = |name: &str| fitted.params.get(name).map_or(f64::NAN, |estimate| estimate.value);
    let (coefficient, exponent) = (value("A"), format!("{:.3}", value("alpha")));
    let offset = if fitted.form == Form::Saturating { format!("{} + ", short(value("E"))) } else { String::new() };
    format!("L = {offset}{} C^-{exponent}", short(coefficient))
}

fn interval(estimate: &Estimate) -> String {
    format!("{:.4} [{:.4}, {:.4}]", estimate.value, estimate.low, estimate.high)
}

fn curve_text(frontier: Option<&Frontier>, fitted: &LawFit) -> String {
    let mut text = format!("{}\n", equation(fitted));
    for (name, estimate) in &fitted.params {
        let _ = writeln!(text, "  {name:<6} {}", interval(estimate));
    }
    let _ = writeln!(
        text,
        "  R2 {:.4}, residuals {:.2} % (of the logarithm), 95 % intervals",
        fitted.quality.r2,
        100.0 * fitted.quality.rmse_log
    );
    if let Some(frontier) = frontier {
        let points = frontier.pareto.iter().map(|point| {
            let lr = point.lr.map(short).unwrap_or_default();
            let budget = if point.budget.is_finite() { short(point.budget) } else { String::new() };
            vec![point.group.clone(), budget, lr, short(point.compute), format!("{:.4}", point.loss)]
        });
        let _ = write!(text, "\nfrontier\n{}", table(&["model", "epochs", "lr", "compute", "loss"], points));
    }
    let excluded = frontier.map_or(&fitted.excluded, |frontier| &frontier.excluded);
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    excluded.iter().for_each(|one| reasons.entry(&one.reason).or_default().push(one.row.to_string()));
    let _ = writeln!(text, "\n{} points used, {} not", fitted.used.len(), excluded.len());
    for (reason, rows) in reasons {
        let _ = writeln!(text, "  row {}: {reason}", rows.join(", "));
    }
    fitted.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
    text
}

fn rates_text(groups: &[Group], fitted: &Result<LrLaw, Refusal>, noise: Option<SeedNoise>) -> String {
    let rows = groups.iter().map(|group| {
        let [rate, interval] = match &group.optimum {
            Ok(Optimum::Inside { lr, .. }) => {
                [significant(lr.value), format!("[{}, {}]", significant(lr.low), significant(lr.high))]
            }
            Ok(Optimum::AtEdge { side, best_tried, .. }) => {
                let (sign, end) = if *side == Side::Low { ("<=", "lower") } else { (">=", "upper") };
                [format!("{sign} {}", significant(*best_tried)), format!("at the {end} edge of the grid")]
            }
            Err(refusal) => ["unknown".to_owned(), refusal.to_string()],
        };
        let epochs = if group.epochs.is_finite() { short(group.epochs) } else { String::new() };
        vec![group.model.clone(), epochs, rate, interval]
    });
    let mut text = table(&["model", "epochs", "optimal lr", "interval"], rows);
    let _ = match noise {
        Some(noise) => writeln!(
            text,
            "\nintervals are 95 % and rest on the noise between seeds, {:.2} % of the loss ({})",
            100.0 * noise.sd,
            count(noise.df, "repeat"),
        ),
        None => writeln!(
            text,
            "\nintervals are 95 % and assume {:.1} % noise of the loss between seeds; repeat some cells with other seeds to measure it",
            100.0 * fit::NOISE_FLOOR
        ),
    };
    match fitted {
        Ok(law) => {
            let _ = writeln!(text, "\nlr* = K epochs^b (size / mean size)^a over {} optima", law.used.len());
            law.params.iter().for_each(|(name, estimate)| text += &format!("  {name:<2} {}\n", interval(estimate)));
            law.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        }
        Err(refusal) => {
            let _ = writeln!(text, "\nno law of the learning rate: {refusal}\nto mend it: {}", refusal.mend());
        }
    }
    text
}

/// Three significant digits, zeros at the end kept, so that a column of them is even.
fn significant(value: f64) -> String {
    let digits = 2 - value.abs().log10().floor() as i32;
    if (0..=7).contains(&digits) { format!("{value:.0$}", digits as usize) } else { format!("{value:.2e}") }
}

/// A hash of the points, so that a stored fit can be told from one of other data.
pub(crate) fn points_hash(points: &[RunPoint]) -> String {
    let mut hasher = blake3::Hasher::new();
    for point in points {
        let numbers = [
            point.epochs,
            point.lr.unwrap_or(f64::NAN),
            point.compute,
            point.loss.unwrap_or(f64::NAN),
            point.parameters.unwrap_or(f64::NAN),
        ];
        hasher.update(point.model.as_bytes());
        hasher.update(&[0]);
        numbers.iter().for_each(|number| {
            hasher.update(&number.to_le_bytes());
        });
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
