//! `scalelaw suggest`: the runs that narrow a law most for their device hours, as a table and as a sweep file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use fit::{Goal, PossibleRun, Refusal, Suggestion};
use serde_json::{Value, json};
use spec::run::short;
use store::RunRow;
use toml::{Table, Value as Toml};

use crate::args::{Aim, Compute, Stage, Suggest};
use crate::command::table::{count, table};
use crate::exit::{Failure, NO_FIT, print, say};
use crate::laws::{self, Answer, Group};
use crate::place::{self, Place};
use crate::points::{self, Points, RunPoint};
use crate::surfaces::{Cells, cells};
use crate::{samples, write};

/// Share of the budget that learning rates beyond an edge of the grid may take: a law through losses that could be lower
/// is wrong, however narrow.
const FOR_EDGES: f64 = 0.5;

/// A run to do next.
struct Next {
    model: String,
    epochs: f64,
    lr: f64,
    seed: u64,
    hours: f64,
    why: String,
}

pub(crate) async fn run(place: &Place, options: &Suggest) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let rows = place::rows(place, &store, sweep.sweep_id, &options.together.with).await?;
    let source = store.source(sweep.sweep_id).await?;
    let verdicts = samples::verdicts(&store, &rows).await?;
    store.close().await;
    let points = points::of_sweep(&rows, &verdicts, Compute::Flops, Stage::Pretraining);
    let goal = match (options.goal, options.at_compute) {
        (Aim::Exponent, _) => Goal::Exponent,
        (Aim::Parameters, _) => Goal::Parameters,
        (Aim::Loss, Some(compute)) => Goal::Loss { compute, unique: unique(&rows) },
        (Aim::Loss, None) => {
            return Err(Failure::usage("say at which compute the loss is to be predicted: --compute C"));
        }
    };
    let groups = laws::groups(&points.runs);
    let prices = prices(&rows);
    let mut next = edges(&groups, &points.runs, &prices, FOR_EDGES * options.budget);
    let spent: f64 = next.iter().map(|run| run.hours).sum();
    let cells = cells(&points.runs, &options.how);
    let narrowed = narrow(&cells, options, goal, &possible(&groups, &prices, &rows), options.budget - spent, &points);
    let plan = match &narrowed {
        Ok((plan, possible)) => {
            next.extend(plan.runs.iter().filter_map(|one| {
                let (group, epochs, hours) = possible.get(one.run.row)?;
                of_plan(group, *epochs, *hours, one.half_width, &points.runs, &groups)
            }));
            Some(plan)
        }
        Err(_) => None,
    };
    let refusal = narrowed.as_ref().err();
    print(&if place.json { as_json(&next, plan, refusal).to_string() } else { as_text(&next, plan, refusal, options) });
    if let (Some(path), false) = (&options.out, next.is_empty()) {
        let text = sweep_file(&source, &next, options.budget)?;
        write::atomically(path, text.as_bytes())?;
        let both = place.command(&format!("fit parametric {} --with {}", sweep.name, path.display()));
        say(&format!(
            "wrote {0}; `scalelaw plan {0}` prices it; once it has run, {both} fits its runs and these together",
            path.display()
        ));
    }
    Ok(if next.is_empty() { NO_FIT } else { 0 })
}

/// Samples in the data set.
fn unique(rows: &[RunRow]) -> Option<f64> {
    rows.first().map(|row| row.spec.data.train_examples as f64)
}

/// Device hours per epoch of every model: as trained, or as estimated before.
fn prices(rows: &[RunRow]) -> BTreeMap<String, f64> {
    let mut prices: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.spec.pretrained.is_none()) {
        let entry = prices.entry(row.model.clone()).or_default();
        let epochs = row.spec.train.epochs;
        entry.0.extend(row.train_seconds().map(|seconds| seconds / 3600.0 / epochs));
        entry.1.push(row.estimated_seconds / 3600.0 / epochs);
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let price =
        |(trained, estimated): (Vec<f64>, Vec<f64>)| median(if trained.is_empty() { estimated } else { trained });
    prices.into_iter().map(|(model, both)| (model, price(both))).collect()
}

/// Learning rates beyond the edges at which an optimum lies, cheapest first.
fn edges(groups: &[Group], runs: &[RunPoint], prices: &BTreeMap<String, f64>, budget: f64) -> Vec<Next> {
    let mut all: Vec<Next> = groups
        .iter()
        .filter_map(|group| {
            let fit::Optimum::AtEdge { side, best_tried, bounded_by_divergence, .. } = *group.optimum.as_ref().ok()?
            else {
                return None;
            };
            let lr = match (side, bounded_by_divergence) {
                (fit::Side::Low, _) => best_tried / 2.0,
                (fit::Side::High, None) => best_tried * 2.0,
                (fit::Side::High, Some(bound)) => (best_tried * bound).sqrt(),
            };
            let epochs = group.epochs?;
            let seed = runs.iter().find(|run| run.model == group.model).and_then(|run| run.seed).unwrap_or(0);
            let hours = prices.get(&group.model)? * epochs;
            let why = format!("the best learning rate, {}, is at the edge", short(best_tried));
            Some(Next { model: group.model.clone(), epochs, lr: nine(lr), seed, hours, why })
        })
        .collect();
    all.sort_by(|a, b| a.hours.total_cmp(&b.hours).then(a.model.cmp(&b.model)));
    let mut spent = 0.0;
    all.retain(|run| {
        let fits = spent + run.hours <= budget;
        spent += if fits { run.hours } else { 0.0 };
        fits
    });
    all
}

/// A possible run: the model, its epochs and its hours.
type Possible<'a> = (&'a Group, f64, f64);

/// Every model at the budgets of the grid, and one factor of 2 below and two above.
fn possible<'a>(groups: &'a [Group], prices: &BTreeMap<String, f64>, rows: &[RunRow]) -> Vec<Possible<'a>> {
    let mut budgets: Vec<f64> = groups.iter().filter_map(|group| group.epochs).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    if let (Some(&low), Some(&high)) = (budgets.first(), budgets.last()) {
        budgets.insert(0, low / 2.0);
        budgets.extend([2.0 * high, 4.0 * high]);
    }
    let mut seen = BTreeSet::new();
    let models = groups.iter().filter(|group| seen.insert(group.model.as_str()));
    // A run has at least one step.
    let smallest = rows.first().map_or(0.0, |row| row.spec.train.batch as f64 / row.spec.data.train_examples as f64);
    models
        .flat_map(|group| budgets.iter().map(move |epochs| (group, *epochs)))
        .filter(|(_, epochs)| *epochs >= smallest)
        .filter_map(|(group, epochs)| Some((group, epochs, prices.get(&group.model)? * epochs)))
        .collect()
}

fn narrow<'a>(
    cells: &Cells,
    options: &Suggest,
    goal: Goal,
    possible: &[Possible<'a>],
    budget: f64,
    points: &Points,
) -> Result<(Suggestion, Vec<Possible<'a>>), Refusal> {
    let settings = options.how.of_surface(cells.flops_per);
    let noise = laws::noise(&points.runs).map(|noise| noise.for_intervals());
    let per_epoch = points.runs.iter().find_map(|run| Some(run.samples? / run.epochs?)).unwrap_or(f64::NAN);
    let runs: Vec<PossibleRun> = possible
        .iter()
        .enumerate()
        .map(|(row, (group, epochs, hours))| PossibleRun {
            row,
            size: group.parameters.unwrap_or(f64::NAN),
            samples: epochs * per_epoch,
            epochs: *epochs,
            cost: *hours,
        })
        .collect();
    let unknown = || Refusal::NotIdentified {
        what: "the worth of runs",
        why: "the fit has no finite errors".to_owned(),
        mend: "add runs at more sizes and epoch budgets",
    };
    let plan = match fit::repeated(&cells.points, &settings) {
        Ok(fit) => fit.suggest(goal, &runs, budget, noise),
        Err(_) => fit::parametric(&cells.points, &settings)?.suggest(goal, &runs, budget, noise),
    };
    Ok((plan.ok_or_else(unknown)?, possible.to_vec()))
}

/// A planned run with its learning rate: that of its cell where one is known, else of the law, else of the nearest cell of its
/// model; none where no learning rate of the model is known.
fn of_plan(
    group: &Group,
    epochs: f64,
    hours: f64,
    half_width: f64,
    runs: &[RunPoint],
    groups: &[Group],
) -> Option<Next> {
    let best = |group: &Group| match group.optimum.as_ref().ok()? {
        fit::Optimum::Inside { best_tried, .. } | fit::Optimum::AtEdge { best_tried, .. } => Some(*best_tried),
    };
    let same = groups.iter().find(|other| other.model == group.model && other.epochs == Some(epochs));
    let by_law = || match laws::fit_curve(crate::args::Law::Lr, runs, &fit::Settings::default()) {
        Answer::Rates(_, Ok(law), _) => Some(law.predict(epochs, group.parameters).value).filter(|lr| lr.is_finite()),
        _ => None,
    };
    let nearest = || {
        let of_model = groups.iter().filter(|other| other.model == group.model);
        let far = |other: &&Group| other.epochs.map_or(f64::INFINITY, |there| (there / epochs).ln().abs());
        of_model.min_by(|a, b| far(a).total_cmp(&far(b))).and_then(best)
    };
    let lr = same.and_then(best).or_else(by_law).or_else(nearest)?;
    let seeds =
        runs.iter().filter(|run| run.model == group.model && run.epochs == Some(epochs)).filter_map(|run| run.seed);
    let seed = seeds.max().map_or(0, |seed| seed + 1);
    let what = if same.is_some() { "another seed" } else { "a new budget" };
    let why = format!("{what}; the half-width is then {half_width:.3}");
    Some(Next { model: group.model.clone(), epochs, lr: nine(lr), seed, hours, why })
}

/// To nine digits, as a person would write it.
fn nine(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

fn as_json(next: &[Next], plan: Option<&Suggestion>, refusal: Option<&Refusal>) -> Value {
    let run = |run: &Next| json!({"model": run.model, "epochs": run.epochs, "lr": run.lr, "seed": run.seed, "device_hours": run.hours, "why": run.why});
    json!({
        "schema_version": 1,
        "runs": next.iter().map(run).collect::<Vec<_>>(),
        "device_hours": next.iter().map(|run| run.hours).sum::<f64>(),
        "half_width_before": plan.map(|plan| plan.before),
        "half_width_after": plan.and_then(|plan| plan.runs.last()).map(|last| last.half_width),
        "refusal": refusal.map(|refusal| json!({"reason": refusal.to_string(), "mend": refusal.mend()})),
    })
}

fn as_text(next: &[Next], plan: Option<&Suggestion>, refusal: Option<&Refusal>, options: &Suggest) -> String {
    let rows = next.iter().map(|run| {
        let hours = format!("{:.3}", run.hours);
        vec![run.model.clone(), short(run.epochs), short(run.lr), run.seed.to_string(), hours, run.why.clone()]
    });
    let mut text = table(&["model", "epochs", "lr", "seed", "hours", "why"], rows);
    if let Some(plan) = plan {
        let what = match options.goal {
            Aim::Exponent => "95 % half-width of the exponent of the best size",
            Aim::Loss => "95 % half-width of the lowest loss, relative",
            Aim::Parameters => "95 % half-width of all parameters, their geometric mean",
        };
        let after = plan.runs.last().map_or(plan.before, |last| last.half_width);
        let _ = writeln!(text, "\n{what}: {:.3} now, {after:.3} after these runs", plan.before);
    }
    if let Some(refusal) = refusal {
        let _ = writeln!(text, "\nno law whose interval could be narrowed: {refusal}\nto mend it: {}", refusal.mend());
    }
    let hours: f64 = next.iter().map(|run| run.hours).sum();
    let _ = writeln!(text, "{}, {hours:.3} of {} device hours", count(next.len(), "run"), short(options.budget));
    text
}

/// The sweep file of `source` with these runs alone: overrides name their learning rates and seeds, the rest is skipped.
fn sweep_file(source: &str, next: &[Next], budget: f64) -> Result<String, Failure> {
    let mut sweep: Table = source.parse().map_err(|_| {
        Failure::usage("the sweep file is not TOML, so that no other can be made of it: take the runs from the table")
    })?;
    let name = sweep.get("name").and_then(Toml::as_str).unwrap_or("sweep");
    let name = format!("{name}-next");
    sweep.insert("name".to_owned(), Toml::String(name));
    let why = "Runs that narrow the law most for their device hours, by `scalelaw suggest`.";
    sweep.insert("description".to_owned(), Toml::String(why.to_owned()));
    for key in ["search", "finetune", "override", "skip"] {
        sweep.remove(key);
    }
    let numbers = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all.dedup();
        Toml::Array(all.into_iter().map(Toml::Float).collect())
    };
    let mut cells: BTreeMap<(String, u64), Vec<&Next>> = BTreeMap::new();
    next.iter().for_each(|run| cells.entry((run.model.clone(), run.epochs.to_bits())).or_default().push(run));
    let models: BTreeSet<&str> = next.iter().map(|run| run.model.as_str()).collect();
    let budgets: BTreeSet<u64> = next.iter().map(|run| run.epochs.to_bits()).collect();
    let (mut overrides, mut skips) = (Vec::new(), Vec::new());
    for model in &models {
        for bits in &budgets {
            let epochs = f64::from_bits(*bits);
            let when = Table::from_iter([
                ("model".to_owned(), Toml::String((*model).to_owned())),
                ("epochs".to_owned(), Toml::Float(epochs)),
            ]);
            let mut entry = Table::from_iter([("when".to_owned(), Toml::Table(when))]);
            if let Some(runs) = cells.get(&((*model).to_owned(), *bits)) {
                let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
                entry.insert("lr".to_owned(), numbers(runs.iter().map(|run| run.lr).collect()));
                let seeds = seeds.into_iter().map(|seed| Toml::Integer(seed as i64)).collect();
                entry.insert("seeds".to_owned(), Toml::Array(seeds));
                overrides.push(Toml::Table(entry));
            } else {
                entry.insert("reason".to_owned(), Toml::String("not among the suggested runs".to_owned()));
                skips.push(Toml::Table(entry));
            }
        }
    }
    if let Some(Toml::Table(grid)) = sweep.get_mut("grid") {
        grid.insert("epochs".to_owned(), numbers(next.iter().map(|run| run.epochs).collect()));
        // One is asked for; every cell that is left names its own.
        grid.insert("lr".to_owned(), numbers(next.iter().take(1).map(|run| run.lr).collect()));
        grid.remove("seeds");
    }
    if let Some(Toml::Array(sizes)) = sweep.get_mut("model").and_then(|model| model.get_mut("sizes")) {
        let named = |size: &Toml| size.get("name").or(Some(size)).and_then(Toml::as_str).map(str::to_owned);
        sizes.retain(|size| named(size).is_none_or(|name| models.contains(name.as_str())));
        for size in sizes.iter_mut().filter_map(Toml::as_table_mut) {
            size.remove("lr");
        }
    }
    sweep.insert("override".to_owned(), Toml::Array(overrides));
    if !skips.is_empty() {
        sweep.insert("skip".to_owned(), Toml::Array(skips));
    }
    let hours = Table::from_iter([("device_hours".to_owned(), Toml::Float(budget))]);
    sweep.insert("budget".to_owned(), Toml::Table(hours));
    toml::to_string(&sweep).map_err(|error| Failure::usage(format!("the sweep file cannot be written: {error}")))
}
