//! Laws as text for people and as JSON for scripts.

use std::collections::BTreeMap;
use std::fmt::Write;

use fit::{Claim, Estimate, Excluded, Form, Frontier, LawFit, LrLaw, Optimum, Refusal, SeedNoise, Side, Verdict};
use serde_json::{Value, json};
use spec::run::short;

use crate::args::Law;
use crate::command::table::{count, si, table};
use crate::laws::{Answer, Checks, Group, claims};
use crate::points::Points;
use crate::wide_answer::{backtest_text, sensitivity_text};

impl Answer {
    /// Whether there is no fit.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Answer::Refused(_) | Answer::Rates(_, Err(_), _))
    }

    /// The contract of `scalelaw fit --json`.
    pub(crate) fn as_json(&self, law: Law, points: &Points) -> Value {
        let name = law_name(law);
        let excluded = |list: &[Excluded]| -> Vec<Value> {
            let run = |row: usize| points.runs.iter().find(|point| point.row == row).and_then(|point| point.run);
            let all = list.iter().chain(&points.left_out);
            all.map(|one| json!({"row": one.row, "run_id": run(one.row), "reason": one.reason})).collect()
        };
        match self {
            Answer::Refused(refusal) => {
                json!({"schema_version": 1, "law": name, "refusal": refusal_json(refusal), "left_out": excluded(&[])})
            }
            Answer::Curve(frontier, fitted, checks) => {
                let all = frontier.as_ref().map_or(&fitted.excluded, |frontier| &frontier.excluded);
                json!({
                    "schema_version": 1,
                    "law": name,
                    "form": fitted.form,
                    "params": fitted.params,
                    "points": {"used": fitted.used.len(), "rows": fitted.used, "excluded": excluded(all)},
                    "quality": fitted.quality,
                    "range": {"low": fitted.x_range.0, "high": fitted.x_range.1},
                    "backtest": checks.as_ref().map(|checks| &checks.backtest),
                    "sensitivity": checks.as_ref().and_then(|checks| checks.sensitivity.as_ref()),
                    "compute": points.axes.compute,
                    "loss": points.axes.loss,
                    "warnings": warnings(&fitted.warnings, points),
                })
            }
            Answer::Wide(wide) => {
                let mut answer = wide.as_json();
                answer["schema_version"] = json!(1);
                answer["law"] = json!(name);
                (answer["compute"], answer["loss"]) = (json!(points.axes.compute), json!(points.axes.loss));
                answer["points"]["excluded"] = json!(excluded(&wide.excluded()));
                answer["warnings"] = json!(warnings(&wide.warnings(), points));
                answer
            }
            Answer::Rates(groups, fitted, noise) => {
                let inside = groups.iter().filter(|group| matches!(group.optimum, Ok(Optimum::Inside { .. }))).count();
                let not_inside = groups.iter().enumerate().filter_map(|(index, group)| {
                    let reason = match &group.optimum {
                        Ok(optimum) => format!("optimum at the edge of the grid; {}", optimum.mend()?),
                        Err(refusal) => format!("{refusal}; {}", refusal.mend()),
                    };
                    Some(json!({"row": index + 1, "model": group.model, "epochs": group.epochs, "reason": reason}))
                });
                let mut answer = json!({
                    "schema_version": 1,
                    "law": name,
                    "points": {"used": inside, "excluded": not_inside.collect::<Vec<_>>(), "left_out": excluded(&[])},
                    "noise": noise,
                    "groups": groups.iter().map(group_json).collect::<Vec<_>>(),
                    "claims": claims(&points.runs, groups),
                });
                match fitted {
                    Ok(law) => {
                        answer["params"] = json!(law.params);
                        answer["size_reference"] = json!(law.size_reference);
                        answer["quality"] = json!(law.quality);
                        answer["warnings"] = json!(warnings(&law.warnings, points));
                    }
                    Err(refusal) => answer["refusal"] = refusal_json(refusal),
                }
                answer
            }
        }
    }

    /// For people.
    pub(crate) fn as_text(&self, points: &Points) -> String {
        match self {
            Answer::Refused(refusal) => {
                let mut text = format!("no fit: {refusal}\nto mend it: {}\n", refusal.mend());
                text += &reasons(points.left_out.iter());
                text
            }
            Answer::Curve(frontier, fitted, checks) => curve_text(frontier.as_ref(), fitted, checks.as_ref(), points),
            Answer::Wide(wide) => {
                let mut text = format!("C: {}; L: {}\n{}", points.axes.compute, points.axes.loss, wide.as_text());
                let excluded = wide.excluded();
                let all = excluded.len() + points.left_out.len();
                if let Some(used) = wide.used() {
                    let _ = writeln!(text, "\n{used} points used, {all} not{}", of_export(points));
                }
                text += &reasons(excluded.iter().chain(&points.left_out));
                warnings(&wide.warnings(), points).iter().for_each(|warning| text += &format!("warning: {warning}\n"));
                text
            }
            Answer::Rates(groups, fitted, noise) => {
                let mut text = rates_text(groups, fitted, *noise, points);
                text += &claims_text(&claims(&points.runs, groups));
                text += &reasons(points.left_out.iter());
                text
            }
        }
    }
}

/// What a law has to be read with, as it and its points say.
fn warnings(of_law: &[String], points: &Points) -> Vec<String> {
    of_law.iter().cloned().chain(points.warnings()).collect()
}

fn refusal_json(refusal: &Refusal) -> Value {
    json!({"reason": refusal.to_string(), "mend": refusal.mend()})
}

/// What row numbers mean.
fn of_export(points: &Points) -> &'static str {
    if points.runs.iter().any(|point| point.run.is_some()) { ", rows of `export csv`" } else { "" }
}

/// Ranges of rows named for one reason.
const MOST_RANGES: usize = 24;

/// Reasons that differ in numbers only, which JSON has: their beginning, and what people are told.
const ALIKE: [(&str, &str, &str); 3] = [
    ("the same as row ", "", "the same as an earlier row"),
    (
        "learning rate ",
        " is not the best of its model",
        "another learning rate of its model and epoch budget is better",
    ),
    ("not on the frontier: ", "", "not on the frontier: another run has no higher loss for no more compute"),
];

/// One line per reason, with the rows it holds for.
fn reasons<'a>(excluded: impl Iterator<Item = &'a Excluded>) -> String {
    let mut reasons: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for one in excluded {
        let alike = ALIKE.iter().find(|(start, part, _)| one.reason.starts_with(start) && one.reason.contains(part));
        let reason = alike.map_or(one.reason.as_str(), |(_, _, said)| said);
        reasons.entry(reason).or_default().push(one.row);
    }
    let line = |(reason, rows): (&&str, &mut Vec<usize>)| {
        rows.sort_unstable();
        let ranges: Vec<String> = rows.chunk_by(|a, b| a + 1 == *b).map(range).collect();
        let shown = ranges[..ranges.len().min(MOST_RANGES)].join(", ");
        let more = if ranges.len() > MOST_RANGES { ", ... (all with --json)" } else { "" };
        format!("  {} {shown}{more}: {reason}\n", if rows.len() == 1 { "row" } else { "rows" })
    };
    reasons.iter_mut().map(line).collect()
}

/// `7`, `16-18`.
fn range(rows: &[usize]) -> String {
    match rows {
        [first, .., last] => format!("{first}-{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    }
}

pub(crate) fn law_name(law: Law) -> &'static str {
    match law {
        Law::Power => "power",
        Law::Saturating => "saturating",
        Law::Frontier => "frontier",
        Law::Shifted => "shifted",
        Law::Broken => "broken",
        Law::Isoflop => "isoflop",
        Law::Parametric => "parametric",
        Law::Repeated => "repeated",
        Law::Lr => "lr",
        Law::Auto => "auto",
    }
}

fn group_json(group: &Group) -> Value {
    let optimum = match &group.optimum {
        Ok(optimum) => json!(optimum),
        Err(refusal) => json!({"where": "unknown", "reason": refusal.to_string(), "mend": refusal.mend()}),
    };
    json!({"model": group.model, "epochs": group.epochs, "params": group.parameters, "optimum": optimum})
}

/// The law with its numbers, `^` before an exponent.
pub(crate) fn equation(fitted: &LawFit) -> String {
    let value = |name: &str| fitted.params.get(name).map_or(f64::NAN, |estimate| estimate.value);
    let (coefficient, exponent) = (value("A"), format!("{:.3}", value("alpha")));
    let offset = if fitted.form == Form::Saturating { format!("{} + ", short(value("E"))) } else { String::new() };
    format!("L = {offset}{} C^-{exponent}", short(coefficient))
}

/// Four decimals, or four digits where these would say little.
pub(crate) fn interval(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = *estimate;
    let largest = value.abs().max(low.abs()).max(high.abs());
    match largest {
        _ if value != 0.0 && value.abs() < 1e-3 || largest >= 1e6 => format!("{value:.3e} [{low:.3e}, {high:.3e}]"),
        _ => format!("{value:.4} [{low:.4}, {high:.4}]"),
    }
}

fn curve_text(frontier: Option<&Frontier>, fitted: &LawFit, checks: Option<&Checks>, points: &Points) -> String {
    let mut text = format!("{}\n  C: {}; L: {}\n", equation(fitted), points.axes.compute, points.axes.loss);
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
            let budget = point.budget.map(short).unwrap_or_default();
            vec![point.group.clone(), budget, lr, short(point.compute), format!("{:.4}", point.loss)]
        });
        let _ = write!(text, "\nfrontier\n{}", table(&["model", "epochs", "lr", "compute", "loss"], points));
    }
    if let Some(backtest) = checks.map(|checks| &checks.backtest).filter(|backtest| !backtest.steps.is_empty()) {
        text += &format!("\n{}", backtest_text(backtest));
    }
    if let Some(table) = checks.and_then(|checks| checks.sensitivity.as_ref()) {
        text += &format!("\n{}", sensitivity_text(table));
    }
    let excluded = frontier.map_or(&fitted.excluded, |frontier| &frontier.excluded);
    let all = excluded.len() + points.left_out.len();
    let _ = writeln!(text, "\n{} points used, {all} not{}", fitted.used.len(), of_export(points));
    text += &reasons(excluded.iter().chain(&points.left_out));
    warnings(&fitted.warnings, points).iter().for_each(|warning| text += &format!("warning: {warning}\n"));
    text
}

fn rates_text(groups: &[Group], fitted: &Result<LrLaw, Refusal>, noise: Option<SeedNoise>, points: &Points) -> String {
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
        let epochs = group.epochs.map(short).unwrap_or_default();
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
            let size = law.size_reference.map(|size| format!(" (parameters / {})^a", si(size))).unwrap_or_default();
            let _ = writeln!(text, "\nlr* = K epochs^b{size} over {} optima", law.used.len());
            law.params.iter().for_each(|(name, estimate)| text += &format!("  {name:<2} {}\n", interval(estimate)));
            warnings(&law.warnings, points).iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        }
        Err(refusal) => {
            let _ = writeln!(text, "\nno law of the learning rate: {refusal}\nto mend it: {}", refusal.mend());
        }
    }
    text
}

pub(crate) fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::CannotTell => "cannot tell",
    }
}

fn claims_text(claims: &[Claim]) -> String {
    let mut text = String::new();
    for Claim { claim, verdict, because, .. } in claims {
        let verdict = verdict_text(*verdict);
        let _ = writeln!(text, "{claim}?\n  {verdict}: {because}");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Three significant digits, zeros at the end kept, so that a column of them is even.
fn significant(value: f64) -> String {
    let digits = 2 - value.abs().log10().floor() as i32;
    if (0..=7).contains(&digits) { format!("{value:.0$}", digits as usize) } else { format!("{value:.2e}") }
}
