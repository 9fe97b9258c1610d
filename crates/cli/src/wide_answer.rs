//! Laws of several variables and robust curves, as text for people and as JSON for scripts.

use std::fmt::Write;

use fit::{
    Backtest, Candidate, Choice, CurveForm, Estimate, Excluded, Isoflop, Refusal, Summary, SurfaceForm, Variant,
};
use serde::Serialize;
use serde_json::{Value, json};
use spec::run::short;

use crate::answer::{interval, verdict_text};
use crate::command::table::{count, table};
use crate::surfaces::{Fitted, Wide};

/// Names of parameters in the order of their equations.
const ORDER: [&str; 13] = ["E", "A", "alpha", "B", "beta", "R*", "x0", "c0", "c1", "x1", "f", "a", "b"];

impl Wide {
    /// Points that were left out, by the law or before it.
    pub(crate) fn excluded(&self) -> Vec<Excluded> {
        let own: &[Excluded] = match &self.law {
            Fitted::Curve(fit) => &fit.summary.excluded,
            Fitted::Surface(fit, _) => &fit.summary.excluded,
            Fitted::Repeated(fit, _) => &fit.summary.excluded,
            Fitted::Isoflop(found) => &found.excluded,
            Fitted::Auto { .. } => &[],
        };
        let mut all: Vec<Excluded> = self.excluded.iter().chain(own).cloned().collect();
        all.sort_by_key(|one| one.row);
        all
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let own: &[String] = match &self.law {
            Fitted::Curve(fit) => &fit.summary.warnings,
            Fitted::Surface(fit, _) => &fit.summary.warnings,
            Fitted::Repeated(fit, _) => &fit.summary.warnings,
            Fitted::Isoflop(found) => &found.warnings,
            Fitted::Auto { .. } => &[],
        };
        own.iter().chain(&self.warnings).cloned().collect()
    }

    /// Without what every answer has: version, law, excluded points and warnings.
    pub(crate) fn as_json(&self) -> Value {
        let mut answer = match &self.law {
            Fitted::Curve(fit) => {
                let mut answer = summary_json(&fit.summary);
                answer["form"] = json!(fit.form);
                answer["range"] = json!({"low": fit.x_range.0, "high": fit.x_range.1});
                answer
            }
            Fitted::Surface(fit, best) => {
                let mut answer = summary_json(&fit.summary);
                answer["best_at_largest_compute"] = json!(best);
                answer["same_rate"] = json!(fit.same_rate());
                answer["size_range"] = json!({"low": fit.size_range.0, "high": fit.size_range.1});
                answer["samples_range"] = json!({"low": fit.samples_range.0, "high": fit.samples_range.1});
                answer
            }
            Fitted::Repeated(fit, best) => {
                let mut answer = summary_json(&fit.summary);
                answer["best_at_largest_compute"] = json!(best);
                answer["size_range"] = json!({"low": fit.size_range.0, "high": fit.size_range.1});
                answer["epochs"] = json!(fit.epochs);
                answer
            }
            Fitted::Isoflop(found) => json!({
                "params": found.params(),
                "points": {"used": found.used.len(), "rows": found.used},
                "minima": found.valleys, "noise": found.noise, "bias": found.bias,
            }),
            Fitted::Auto { curves, surfaces } => {
                let refusal = |refusal: &Refusal| json!({"reason": refusal.to_string(), "mend": refusal.mend()});
                let curves = curves.as_ref().map_or_else(refusal, choice_json);
                json!({"curves": curves, "surfaces": surfaces.as_ref().map(choice_json)})
            }
        };
        if let Some(backtest) = &self.backtest {
            answer["backtest"] = json!(backtest);
        }
        if let Some(table) = &self.sensitivity {
            answer["sensitivity"] = json!(table);
        }
        answer
    }

    /// Without excluded points and warnings.
    pub(crate) fn as_text(&self) -> String {
        let mut text = match &self.law {
            Fitted::Curve(fit) => {
                let equation = match fit.form {
                    CurveForm::Power => "L = A C^-alpha",
                    CurveForm::Saturating => "L = E + A C^-alpha",
                    CurveForm::Shifted => "L = E + A (C + x0)^-alpha",
                    CurveForm::Broken => "L = E + A C^-c0 (1 + (C / x1)^(1 / f))^(-c1 f)",
                };
                format!("{equation}\n{}", summary_text(&fit.summary))
            }
            Fitted::Surface(fit, best) => {
                let mut text = format!("L = E + A N^-alpha + B D^-beta\n{}", summary_text(&fit.summary));
                let _ = writeln!(text, "\nat the largest compute of these runs, {}", short(best.compute));
                text += &best_text(&[("size", &best.size), ("samples", &best.samples)], &best.loss, &best.run);
                let claim = fit.same_rate();
                let _ = writeln!(text, "  {}? {}: {}", claim.claim, verdict_text(claim.verdict), claim.because);
                text
            }
            Fitted::Repeated(fit, best) => {
                let equation = "L = E + A N^-alpha + B D'^-beta, D' = U + U R* (1 - exp(-(epochs - 1) / R*))";
                let mut text = format!("{equation}\n{}", summary_text(&fit.summary));
                let _ = writeln!(
                    text,
                    "\nat the largest compute of these runs, {}, with {} unique samples",
                    short(best.compute),
                    short(best.unique)
                );
                text += &best_text(&[("size", &best.size), ("epochs", &best.epochs)], &best.loss, &best.run);
                text
            }
            Fitted::Isoflop(found) => isoflop_text(found),
            Fitted::Auto { curves, surfaces } => {
                let mut text = match curves {
                    Ok(choice) => choice_text("of compute", choice, |form| form.name().to_owned()),
                    Err(refusal) => format!("no law of compute: {refusal}\nto mend it: {}\n", refusal.mend()),
                };
                if let Some(choice) = surfaces {
                    let name = |form| match form {
                        SurfaceForm::Parametric => "parametric".to_owned(),
                        SurfaceForm::Repeated => "repeated".to_owned(),
                    };
                    text += &format!("\n{}", choice_text("of size and samples", choice, name));
                }
                text
            }
        };
        if let Some(backtest) = &self.backtest {
            text += &format!("\n{}", backtest_text(backtest));
        }
        if let Some(variants) = &self.sensitivity {
            text += &format!("\n{}", sensitivity_text(variants));
        }
        text
    }

    /// How many points were fitted, where one law was.
    pub(crate) fn used(&self) -> Option<usize> {
        match &self.law {
            Fitted::Curve(fit) => Some(fit.summary.used.len()),
            Fitted::Surface(fit, _) => Some(fit.summary.used.len()),
            Fitted::Repeated(fit, _) => Some(fit.summary.used.len()),
            Fitted::Isoflop(found) => Some(found.used.len()),
            Fitted::Auto { .. } => None,
        }
    }
}

fn summary_json(summary: &Summary) -> Value {
    json!({
        "params": summary.params,
        "points": {"used": summary.used.len(), "rows": summary.used},
        "quality": summary.quality,
        "convergence": summary.convergence,
        "delta": summary.delta,
        "noise": summary.noise,
        "intervals": summary.intervals,
    })
}

fn choice_json<F: Serialize>(choice: &Choice<F>) -> Value {
    json!({"winner": choice.winner, "used": choice.used, "candidates": choice.candidates})
}

fn summary_text(summary: &Summary) -> String {
    let mut text = String::new();
    for name in ORDER {
        if let Some(estimate) = summary.params.get(name) {
            let _ = writeln!(text, "  {name:<6} {}", wide_interval(estimate));
        }
    }
    let found = summary.convergence;
    let loss = summary.delta.map_or("least squares".to_owned(), |delta| format!("Huber, delta {delta:.2e}"));
    let intervals = match summary.intervals {
        fit::Intervals::Delta => "delta method with Student's t",
        fit::Intervals::Runs => "bootstrap over runs",
        fit::Intervals::Cells => "bootstrap over models",
    };
    let _ = writeln!(
        text,
        "  R2 {:.4}, residuals {:.2} % (of the logarithm); {loss}; 95 % intervals by {intervals}\n  {} of {} starts reached the best; condition number {:.0}",
        summary.quality.r2,
        100.0 * summary.quality.rmse_log,
        found.reached_best,
        found.starts,
        found.condition
    );
    text
}

/// Large and small numbers by their digits, others by their places.
pub(crate) fn wide_interval(estimate: &Estimate) -> String {
    if (0.01..1e4).contains(&estimate.value.abs()) || estimate.value == 0.0 {
        interval(estimate)
    } else {
        format!("{:.3e} [{:.3e}, {:.3e}]", estimate.value, estimate.low, estimate.high)
    }
}

fn best_text(parts: &[(&str, &Estimate)], loss: &Estimate, run: &Estimate) -> String {
    let mut text = String::new();
    for (name, estimate) in parts {
        let _ = writeln!(text, "  best {name:<8} {}", wide_interval(estimate));
    }
    let _ = writeln!(text, "  loss there    {}, one run [{:.4}, {:.4}]", interval(loss), run.low, run.high);
    text
}

fn isoflop_text(found: &Isoflop) -> String {
    let rows = found.valleys.iter().map(|valley| {
        vec![
            short(valley.compute),
            wide_interval(&valley.size),
            format!("{:.3e}", valley.samples),
            interval(&valley.loss),
            valley.sizes.to_string(),
        ]
    });
    let mut text = table(&["compute", "best size", "samples", "loss", "sizes"], rows);
    let _ = writeln!(text, "\nbest size    C^{}", interval(&found.size.exponent));
    let _ = writeln!(text, "samples      C^{}", interval(&found.samples.exponent));
    let _ = writeln!(text, "lowest loss  C^{}", interval(&found.loss.exponent));
    text
}

pub(crate) fn backtest_text(backtest: &Backtest) -> String {
    let mut text = "extrapolation: fitted without the largest budgets, which are then predicted\n".to_owned();
    for step in &backtest.steps {
        if let Some(refusal) = &step.refusal {
            let _ = writeln!(text, "  {} left out: {refusal}", step.left_out);
            continue;
        }
        let n = step.misses.len();
        let mean = step.misses.iter().map(|miss| miss.error).sum::<f64>() / n as f64;
        let inside = step.misses.iter().filter(|miss| miss.inside).count();
        let _ = writeln!(
            text,
            "  {} left out, reaching {:.1} times further: {:+.2} % on average over {n}, {inside} inside their interval",
            step.left_out,
            step.reach,
            100.0 * mean.exp_m1()
        );
    }
    text
}

fn choice_text<F: Copy>(what: &str, choice: &Choice<F>, name: impl Fn(F) -> String) -> String {
    let row = |candidate: &Candidate<F>| {
        let percent = |number: Option<f64>| number.map_or(String::new(), |n| format!("{:.2} %", 100.0 * n));
        let backtest = &candidate.backtest;
        vec![
            name(candidate.form),
            candidate.parameters.to_string(),
            percent(candidate.error),
            percent(backtest.coverage),
            candidate.refusal.as_deref().or(candidate.behind).unwrap_or_default().to_owned(),
        ]
    };
    let rows = choice.candidates.iter().map(row);
    format!(
        "law {what}, from {}: {}\n{}",
        count(choice.used, "point"),
        name(choice.winner),
        table(&["form", "parameters", "error", "inside", "not chosen because"], rows)
    )
}

pub(crate) fn sensitivity_text(variants: &[Variant]) -> String {
    let names: Vec<&str> =
        ORDER.into_iter().filter(|name| variants.iter().any(|variant| variant.params.contains_key(name))).collect();
    let rows = variants.iter().map(|variant| {
        let mut row = vec![variant.choice.clone(), variant.used.to_string()];
        row.extend(
            names.iter().map(|name| variant.params.get(name).map_or(String::new(), |p| short(rounded(p.value)))),
        );
        row.push(variant.refusal.clone().unwrap_or_default());
        row
    });
    let mut header = vec!["choice", "runs"];
    header.extend(&names);
    header.push("no fit because");
    table(&header, rows)
}

/// To four significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
