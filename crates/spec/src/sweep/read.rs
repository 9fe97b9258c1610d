//! Reading the tree of a sweep file into a [`Sweep`], table by table.

use super::{
    Condition, Match, Override, Policy, Resources, Skip, Slurm, Sweep, data, finetune, models, search, slurm, train,
    trainer,
};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range, number, suggestion};
use crate::network::ModelSpec;
use crate::run::DeviceKind;
use crate::search::nine_digits;

pub(crate) const SWEEP_KEYS: [&str; 16] = [
    "$schema",
    "name",
    "description",
    "data",
    "model",
    "grid",
    "search",
    "train",
    "trainer",
    "finetune",
    "resources",
    "slurm",
    "policy",
    "budget",
    "override",
    "skip",
];
pub(crate) const GRID_KEYS: [&str; 3] = ["epochs", "lr", "seeds"];
pub(crate) const LR_KEYS: [&str; 3] = ["center", "factor", "num"];
pub(crate) const RESOURCE_KEYS: [&str; 9] = [
    "executor",
    "slots",
    "threads",
    "loader_threads",
    "device",
    "device_flops",
    "gpus_per_run",
    "runs_per_gpu",
    "skip_busy_gpus",
];
pub(crate) const POLICY_KEYS: [&str; 7] =
    ["retries", "checkpoint_seconds", "grace_seconds", "failures_in_a_row", "stall_seconds", "oom_halvings", "canary"];
pub(crate) const BUDGET_KEYS: [&str; 1] = ["device_hours"];
pub(crate) const OVERRIDE_KEYS: [&str; 6] = ["when", "lr", "seeds", "batch", "weight_decay", "agc_lambda"];
pub(crate) const SKIP_KEYS: [&str; 2] = ["when", "reason"];
pub(crate) const WHEN_KEYS: [&str; 3] = ["model", "epochs", "lr"];

/// The sweep in `root`; where something is wrong, `problems` says what and the sweep is not to be used.
pub(crate) fn sweep(root: &Node, problems: &mut Problems) -> Sweep {
    let empty = Node { place: root.place, value: Value::Table(Vec::new()) };
    let top = Fields::of(root, "", &SWEEP_KEYS, problems);
    for (key, what) in [
        ("name", "a word that names the sweep"),
        ("data", "a table that says what is trained on"),
        ("model", "a table that says which models are trained"),
        ("grid", "a table with epochs and lr"),
        ("train", "a table with at least batch"),
    ] {
        top.require(key, what, problems);
    }
    let name = top.text("name", problems).unwrap_or_default();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if top.has("name") && !(starts_well && name.len() <= 64 && name.chars().all(letters)) {
        let message = format!(
            "name: found {name:?}, expected up to 64 letters, digits, '.', '_' and '-', a letter or digit first"
        );
        problems.add(top.place_of("name"), message);
    }
    let table = |key: &str| top.get(key).unwrap_or(&empty);
    let grid = Fields::of(table("grid"), "grid", &GRID_KEYS, problems);
    if top.has("grid") {
        grid.require("epochs", "a list of epoch budgets", problems);
    }
    let models = models::read(top.get("model"), problems);
    let trainer = trainer::read(top.get("trainer"), &models, problems);
    let pictures = trainer.is_none() || !models.iter().all(|model| matches!(model.spec, ModelSpec::Custom(_)));
    let finetune = top.get("finetune").map(|node| finetune::read(node, &models, pictures, problems));
    if finetune.is_none() {
        for model in models.iter().filter(|model| model.finetune_lr.is_some()) {
            problems.add(model.place, "model.finetune_lr: this sweep has no [finetune]");
        }
    }
    if top.has("grid") && models.iter().any(|model| model.lr.is_none()) {
        grid.require("lr", "a list of learning rates, or { center, factor, num }", problems);
    }
    let epochs = grid.numbers("epochs", Range::Above0(1e6), problems).unwrap_or_default();
    let lr = read_rates(&grid, "lr", problems).unwrap_or_default();
    let seeds = grid.wholes("seeds", 0, u64::MAX, problems).unwrap_or_else(|| vec![0]);
    refuse_repeats(&grid, "epochs", &epochs, problems);
    refuse_repeats(&grid, "seeds", &seeds, problems);
    let train = train::read(table("train"), "train", top.has("train"), problems);
    if trainer.is_some() && train.share_trunk {
        problems.add(train.place, "train.schedule.share_trunk: only the built-in trainer goes on from shared trunks");
    }
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let overrides = top.tables("override", problems).iter().enumerate();
    let overrides = overrides.map(|(index, node)| read_override(node, index, &names, problems)).collect();
    let skips = top.tables("skip", problems).iter().enumerate();
    let skips = skips.map(|(index, node)| read_skip(node, index, &names, problems)).collect();
    let resources = read_resources(table("resources"), problems);
    let slurm = read_slurm(&top, problems);
    Sweep {
        name,
        description: top.text("description", problems),
        data: data::read(top.get("data").unwrap_or(&empty), "data", top.has("data"), pictures, problems),
        epochs,
        lr,
        seeds,
        search: search::read(table("search"), problems),
        train,
        trainer,
        finetune,
        resources,
        slurm,
        policy: read_policy(table("policy"), problems),
        budget_hours: read_budget(table("budget"), problems),
        overrides,
        skips,
        models,
    }
}

pub(crate) fn refuse_repeats<T: PartialEq + std::fmt::Display>(
    fields: &Fields<'_>,
    key: &str,
    list: &[T],
    problems: &mut Problems,
) {
    for (index, item) in list.iter().enumerate() {
        if list[..index].contains(item) {
            problems.add(fields.place_of(key), format!("{}: {item} stands there twice", fields.key_path(key)));
        }
    }
}

/// Learning rates, each once.
pub(crate) fn read_rates(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Vec<f64>> {
    let rates = read_lr(fields, key, problems)?;
    refuse_repeats(fields, key, &rates, problems);
    Some(rates)
}

/// A list, or so many values around a centre, a factor apart.
fn read_lr(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Vec<f64>> {
    let node = fields.get(key)?;
    if !matches!(node.value, Value::Table(_)) {
        return fields.numbers(key, Range::Positive, problems);
    }
    let path = fields.key_path(key);
    let grid = Fields::of(node, &path, &LR_KEYS, problems);
    for key in LR_KEYS {
        grid.require(key, "a grid is { center = 0.2, factor = 2, num = 3 }", problems);
    }
    let center = grid.number("center", Range::Positive, problems)?;
    let factor = grid.number("factor", Range::From(1.01, 1e6), problems)?;
    let num = grid.whole("num", 1, 99, problems)?;
    let value = |index: u64| nine_digits(center * factor.powf(index as f64 - (num - 1) as f64 / 2.0));
    Some((0..num).map(value).collect())
}

fn read_resources(node: &Node, problems: &mut Problems) -> Resources {
    let resources = Fields::of(node, "resources", &RESOURCE_KEYS, problems);
    let device = resources.word("device", &[("cpu", DeviceKind::Cpu), ("cuda", DeviceKind::Cuda)], problems);
    let device = device.unwrap_or_default();
    // On a CPU it would take its core from the training; a GPU must not wait.
    let loaders = if device == DeviceKind::Cuda { 4 } else { 0 };
    for key in ["gpus_per_run", "runs_per_gpu", "skip_busy_gpus"] {
        if resources.has(key) && device != DeviceKind::Cuda {
            problems.add(resources.place_of(key), format!("resources.{key}: only with device = \"cuda\""));
        }
    }
    let gpus = |key: &str, problems: &mut Problems| resources.whole(key, 1, 64, problems).unwrap_or(1) as u32;
    Resources {
        slots: resources.whole("slots", 1, 1024, problems).map(|slots| slots as u32),
        threads: resources.whole("threads", 1, 1024, problems).unwrap_or(1) as u32,
        device,
        loader_threads: resources.whole("loader_threads", 0, 256, problems).map_or(loaders, |threads| threads as u32),
        device_flops: resources.number("device_flops", Range::Positive, problems),
        gpus_per_run: gpus("gpus_per_run", problems),
        runs_per_gpu: gpus("runs_per_gpu", problems),
        skip_busy_gpus: resources.flag("skip_busy_gpus", problems).unwrap_or(false),
    }
}

fn read_budget(node: &Node, problems: &mut Problems) -> Option<f64> {
    let budget = Fields::of(node, "budget", &BUDGET_KEYS, problems);
    budget.number("device_hours", Range::Positive, problems)
}

/// The settings of Slurm, where it starts the attempts.
fn read_slurm(top: &Fields<'_>, problems: &mut Problems) -> Option<Slurm> {
    let resources = top.get("resources").map(|node| Fields::unchecked(node, "resources"));
    let executor =
        resources.as_ref().and_then(|table| table.word("executor", &[("local", false), ("slurm", true)], problems));
    let is_slurm = executor == Some(true);
    if let Some(resources) = resources.filter(|_| is_slurm) {
        for (key, why) in [
            ("slots", "it is slurm.max_jobs that says how many runs"),
            ("runs_per_gpu", "a job has its GPUs to itself"),
            ("skip_busy_gpus", "Slurm knows which GPUs are free"),
        ] {
            if resources.has(key) {
                problems.add(resources.place_of(key), format!("resources.{key}: with executor = \"slurm\" {why}"));
            }
        }
    }
    let settings = top.get("slurm").map(|node| (slurm::read(node, problems), node.place));
    match settings {
        Some((_, place)) if !is_slurm => {
            problems.add(place, "slurm: only used with resources.executor = \"slurm\"");
            None
        }
        Some((settings, _)) => Some(settings),
        None => is_slurm.then(Slurm::default),
    }
}

fn read_policy(node: &Node, problems: &mut Problems) -> Policy {
    let policy = Fields::of(node, "policy", &POLICY_KEYS, problems);
    Policy {
        retries: policy.whole("retries", 0, 1000, problems).unwrap_or(2) as u32,
        checkpoint_seconds: policy.number("checkpoint_seconds", Range::Above0(1e6), problems).unwrap_or(60.0),
        grace_seconds: policy.number("grace_seconds", Range::Above0(1e6), problems).unwrap_or(30.0),
        failures_in_a_row: policy.whole("failures_in_a_row", 1, 1000, problems).unwrap_or(3) as u32,
        stall_seconds: policy.number("stall_seconds", Range::Above0(1e8), problems).unwrap_or(1800.0),
        oom_halvings: policy.whole("oom_halvings", 0, 20, problems).unwrap_or(3) as u32,
        canary: policy.flag("canary", problems).unwrap_or(false),
    }
}

fn read_override(node: &Node, index: usize, models: &[&str], problems: &mut Problems) -> Override {
    let fields = Fields::of(node, &format!("override[{index}]"), &OVERRIDE_KEYS, problems);
    fields.require("when", "which cells are meant", problems);
    let when = read_when(&fields, models, problems);
    if when.lr.is_some() {
        problems.add(
            fields.place_of("when"),
            format!("{}: an override holds for all learning rates of a cell", fields.key_path("when")),
        );
    }
    let lr = read_rates(&fields, "lr", problems);
    let seeds = fields.wholes("seeds", 0, u64::MAX, problems);
    refuse_repeats(&fields, "seeds", seeds.as_deref().unwrap_or_default(), problems);
    Override {
        when,
        lr,
        seeds,
        batch: fields.whole("batch", 1, 1 << 24, problems),
        weight_decay: fields.number("weight_decay", Range::NotNegative, problems),
        agc_lambda: fields.number("agc_lambda", Range::Positive, problems),
        place: fields.place(),
    }
}

fn read_skip(node: &Node, index: usize, models: &[&str], problems: &mut Problems) -> Skip {
    let fields = Fields::of(node, &format!("skip[{index}]"), &SKIP_KEYS, problems);
    fields.require("when", "which cells are left out", problems);
    fields.require("reason", "why they are left out", problems);
    Skip {
        when: read_when(&fields, models, problems),
        reason: fields.text("reason", problems).unwrap_or_default(),
        place: fields.place(),
    }
}

fn read_when(fields: &Fields<'_>, models: &[&str], problems: &mut Problems) -> Condition {
    let Some(node) = fields.get("when") else { return Condition::default() };
    let path = fields.key_path("when");
    let when = Fields::of(node, &path, &WHEN_KEYS, problems);
    let names = match when.get("model") {
        None => None,
        Some(Node { value: Value::Text(name), place }) => Some(vec![(name.clone(), *place)]),
        Some(_) => when.texts("model", problems),
    };
    for (name, place) in names.iter().flatten() {
        if !models.contains(&name.as_str()) {
            problems.add(*place, format!("{path}.model: no model {name:?} in this sweep{}", suggestion(name, models)));
        }
    }
    let model = names.map(|names| names.into_iter().map(|(name, _)| name).collect());
    Condition { model, epochs: read_match(&when, "epochs", problems), lr: read_match(&when, "lr", problems) }
}

/// A number, a list of numbers, or `{ min, max }`.
fn read_match(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Match> {
    let node = fields.get(key)?;
    let path = fields.key_path(key);
    match &node.value {
        Value::List(_) => fields.numbers(key, Range::Positive, problems).map(Match::OneOf),
        Value::Table(_) => {
            let span = Fields::of(node, &path, &["min", "max"], problems);
            let low = span.number("min", Range::NotNegative, problems).unwrap_or(0.0);
            let high = span.number("max", Range::Positive, problems).unwrap_or(f64::INFINITY);
            if low > high {
                problems.add(node.place, format!("{path}: min {low} is above max {high}, so nothing is meant"));
            }
            Some(Match::Between(low, high))
        }
        _ => number(&path, node, Range::Positive, problems).map(|value| Match::OneOf(vec![value])),
    }
}
