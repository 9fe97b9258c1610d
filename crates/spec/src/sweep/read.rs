//! Reading the tree of a sweep file into a [`Sweep`], table by table.

use super::{
    Adamw, Condition, Data, Description, Match, Override, Policy, Resources, ScheduleName, Skip, Source, Sweep, Train,
    Warmup, models,
};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range, number, suggestion};
use crate::run::{Regularisation, Sam};

pub(crate) const SWEEP_KEYS: [&str; 11] =
    ["$schema", "name", "description", "data", "model", "grid", "train", "resources", "policy", "override", "skip"];
pub(crate) const DATA_KEYS: [&str; 8] = [
    "dataset",
    "directory",
    "train_examples",
    "heldout_examples",
    "resolution",
    "heldout_resolution",
    "channels",
    "classes",
];
pub(crate) const GRID_KEYS: [&str; 3] = ["epochs", "lr", "seeds"];
pub(crate) const LR_KEYS: [&str; 3] = ["center", "factor", "num"];
pub(crate) const ADAMW_KEYS: [&str; 5] = ["beta1", "beta2", "eps", "weight_decay", "clip_norm"];
pub(crate) const TRAIN_KEYS: [&str; 17] = [
    "batch",
    "warmup",
    "warmup_steps",
    "schedule",
    "momentum",
    "weight_decay",
    "agc_lambda",
    "agc_eps",
    "adamw",
    "label_smoothing",
    "stochastic_depth",
    "ema",
    "sam",
    "crop_padding",
    "flip",
    "evaluations",
    "divergence",
];
pub(crate) const SCHEDULE_KEYS: [&str; 3] = ["name", "timescale", "cooldown"];
pub(crate) const SAM_KEYS: [&str; 2] = ["rho", "batch_share"];
pub(crate) const RESOURCE_KEYS: [&str; 3] = ["slots", "threads", "device_flops"];
pub(crate) const POLICY_KEYS: [&str; 3] = ["retries", "checkpoint_seconds", "grace_seconds"];
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
    if top.has("grid") && models.iter().any(|model| model.lr.is_none()) {
        grid.require("lr", "a list of learning rates, or { center, factor, num }", problems);
    }
    let epochs = grid.numbers("epochs", Range::Above0(1e6), problems).unwrap_or_default();
    let lr = read_rates(&grid, problems).unwrap_or_default();
    let seeds = grid.wholes("seeds", 0, u64::MAX, problems).unwrap_or_else(|| vec![0]);
    refuse_repeats(&grid, "epochs", &epochs, problems);
    refuse_repeats(&grid, "seeds", &seeds, problems);
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let overrides = top.tables("override", problems).iter().enumerate();
    let overrides = overrides.map(|(index, node)| read_override(node, index, &names, problems)).collect();
    let skips = top.tables("skip", problems).iter().enumerate();
    let skips = skips.map(|(index, node)| read_skip(node, index, &names, problems)).collect();
    Sweep {
        name,
        description: top.text("description", problems),
        data: read_data(top.get("data").unwrap_or(&empty), top.has("data"), problems),
        epochs,
        lr,
        seeds,
        train: read_train(table("train"), top.has("train"), problems),
        resources: read_resources(table("resources"), problems),
        policy: read_policy(table("policy"), problems),
        overrides,
        skips,
        models,
    }
}

fn refuse_repeats<T: PartialEq + std::fmt::Display>(
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

fn read_data(node: &Node, present: bool, problems: &mut Problems) -> Data {
    let data = Fields::of(node, "data", &DATA_KEYS, problems);
    if present {
        data.require("dataset", "the name of a data set, such as \"fashion-mnist\"", problems);
    }
    let dataset = data.text("dataset", problems).unwrap_or_default();
    let train_examples = data.whole("train_examples", 1, u64::MAX, problems);
    let heldout_examples = data.whole("heldout_examples", 1, u64::MAX, problems);
    let mut pixels = |key| data.whole(key, 1, 16_384, problems).map(|pixels| pixels as u32);
    let (resolution, heldout_resolution) = (pixels("resolution"), pixels("heldout_resolution"));
    let described = ["channels", "classes"].iter().any(|key| data.has(key));
    let directory = data.text("directory", problems);
    let source = match directory {
        Some(directory) => Source::Directory(directory),
        None if dataset == "fashion-mnist" => Source::FashionMnist,
        None if described => {
            for key in ["channels", "classes", "resolution", "train_examples", "heldout_examples"] {
                data.require(key, "a data set without files has to be described by it", problems);
            }
            let channels = data.whole("channels", 1, 4, problems).unwrap_or(3) as u32;
            let classes = data.whole("classes", 2, 10_000_000, problems).unwrap_or(2) as u32;
            Source::Described(Description { channels, classes })
        }
        None => {
            if data.has("dataset") {
                let message = format!(
                    "data.dataset: unknown data set {dataset:?}{}; for your own files give data.directory, for a price without files data.channels, classes, resolution, train_examples and heldout_examples",
                    suggestion(&dataset, &["fashion-mnist"])
                );
                problems.add(data.place_of("dataset"), message);
            }
            Source::FashionMnist
        }
    };
    if described && !matches!(source, Source::Described(_)) {
        for key in ["channels", "classes"].into_iter().filter(|key| data.has(key)) {
            problems.add(data.place_of(key), format!("data.{key}: read from the files of this data set; leave it out"));
        }
    }
    Data { dataset, source, train_examples, heldout_examples, resolution, heldout_resolution, place: data.place() }
}

/// Learning rates, each once.
pub(crate) fn read_rates(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<f64>> {
    let rates = read_lr(fields, problems)?;
    refuse_repeats(fields, "lr", &rates, problems);
    Some(rates)
}

/// A list, or so many values around a centre, a factor apart.
fn read_lr(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<f64>> {
    let node = fields.get("lr")?;
    if !matches!(node.value, Value::Table(_)) {
        return fields.numbers("lr", Range::Positive, problems);
    }
    let path = fields.key_path("lr");
    let grid = Fields::of(node, &path, &LR_KEYS, problems);
    for key in LR_KEYS {
        grid.require(key, "a grid is { center = 0.2, factor = 2, num = 3 }", problems);
    }
    let center = grid.number("center", Range::Positive, problems)?;
    let factor = grid.number("factor", Range::From(1.01, 1e6), problems)?;
    let num = grid.whole("num", 1, 99, problems)?;
    // Rounded to nine digits, so that 0.2 / 2 and 0.1 are one cell and not two.
    let value = |index: u64| {
        let exact = center * factor.powf(index as f64 - (num - 1) as f64 / 2.0);
        format!("{exact:.8e}").parse().unwrap_or(exact)
    };
    Some((0..num).map(value).collect())
}

fn read_train(node: &Node, present: bool, problems: &mut Problems) -> Train {
    let train = Fields::of(node, "train", &TRAIN_KEYS, problems);
    if present {
        train.require("batch", "examples per step", problems);
    }
    if train.has("warmup") && train.has("warmup_steps") {
        problems.add(train.place_of("warmup_steps"), "train.warmup_steps: give it or train.warmup, not both");
    }
    let share = train.number("warmup", Range::From(0.0, 1.0), problems).unwrap_or(0.05);
    let steps = train.whole("warmup_steps", 0, u64::MAX, problems);
    Train {
        batch: train.whole("batch", 1, 1 << 24, problems).unwrap_or(1),
        warmup: steps.map_or(Warmup::Share(share), Warmup::Steps),
        schedule: read_schedule(&train, share, problems).unwrap_or(ScheduleName::Cosine),
        momentum: train.number("momentum", Range::From(0.0, 1.0), problems).unwrap_or(0.9),
        weight_decay: train.number("weight_decay", Range::NotNegative, problems).unwrap_or(0.0),
        agc_lambda: train.number("agc_lambda", Range::Positive, problems).unwrap_or(0.01),
        agc_eps: train.number("agc_eps", Range::Positive, problems).unwrap_or(1e-3),
        adamw: read_adamw(train.get("adamw"), problems),
        label_smoothing: train.number("label_smoothing", Range::From(0.0, 1.0), problems).unwrap_or(0.0),
        regularisation: Regularisation {
            stochastic_depth: train.number("stochastic_depth", Range::From(0.0, 1.0), problems).unwrap_or(0.0),
            ema: train.number("ema", Range::From(0.0, 1.0), problems),
            sam: train.get("sam").and_then(|node| read_sam(node, problems)),
        },
        crop_padding: train.whole("crop_padding", 0, 1024, problems).unwrap_or(0) as u32,
        flip: train.flag("flip", problems).unwrap_or(false),
        evaluations: train.whole("evaluations", 0, 1000, problems).unwrap_or(0) as u32,
        divergence: train.number("divergence", Range::From(1.0, 1e9), problems).unwrap_or(3.0),
        place: train.place_of("batch"),
    }
}

fn read_sam(node: &Node, problems: &mut Problems) -> Option<Sam> {
    let fields = Fields::of(node, "train.sam", &SAM_KEYS, problems);
    fields.require("rho", "how far the weights are moved along the gradient; 0.05 in arXiv 2102.06171", problems);
    let batch_share = fields.number("batch_share", Range::Above0(1.0), problems).unwrap_or(1.0);
    Some(Sam { rho: fields.number("rho", Range::Positive, problems)?, batch_share })
}

/// A name, or a table with a name and what that schedule can be told.
fn read_schedule(train: &Fields<'_>, warmup: f64, problems: &mut Problems) -> Option<ScheduleName> {
    let node = train.get("schedule")?;
    let is_table = matches!(node.value, Value::Table(_));
    let fields = if is_table {
        Fields::of(node, "train.schedule", &SCHEDULE_KEYS, problems)
    } else {
        Fields::unchecked(node, "train.schedule")
    };
    let cooldown = fields.number("cooldown", Range::From(0.0, 1.0), problems).unwrap_or(0.2);
    let timescale = fields.whole("timescale", 1, 1 << 40, problems).unwrap_or(10_000);
    let schedules = [
        ("cosine", ScheduleName::Cosine),
        ("constant", ScheduleName::Constant),
        ("rsqrt", ScheduleName::Rsqrt { timescale, cooldown }),
        ("wsd", ScheduleName::Wsd { cooldown }),
    ];
    let schedule = if is_table {
        fields.require("name", "cosine, constant, rsqrt or wsd", problems);
        fields.word("name", &schedules, problems)?
    } else {
        train.word("schedule", &schedules, problems)?
    };
    let (decays, cools) = match schedule {
        ScheduleName::Cosine | ScheduleName::Constant => (false, false),
        ScheduleName::Rsqrt { .. } => (true, true),
        ScheduleName::Wsd { .. } => (false, true),
    };
    for (key, meant) in [("timescale", decays), ("cooldown", cools)] {
        if fields.has(key) && !meant {
            problems.add(fields.place_of(key), format!("train.schedule.{key}: this schedule has none"));
        }
    }
    if cools && warmup + cooldown > 1.0 {
        let message =
            format!("train.schedule: a warm-up of {warmup} and a cooldown of {cooldown} are more than all steps");
        problems.add(node.place, message);
    }
    Some(schedule)
}

/// What the table does not say is what ViTs are usually trained with (arXiv 2106.10270, section 3.4, with the decoupled
/// decay of arXiv 2106.04560).
fn read_adamw(node: Option<&Node>, problems: &mut Problems) -> Adamw {
    let usual = Adamw { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.03, clip_norm: 1.0 };
    let Some(node) = node else { return usual };
    let fields = Fields::of(node, "train.adamw", &ADAMW_KEYS, problems);
    Adamw {
        beta1: fields.number("beta1", Range::From(0.0, 1.0), problems).unwrap_or(usual.beta1),
        beta2: fields.number("beta2", Range::From(0.0, 1.0), problems).unwrap_or(usual.beta2),
        eps: fields.number("eps", Range::Positive, problems).unwrap_or(usual.eps),
        weight_decay: fields.number("weight_decay", Range::NotNegative, problems).unwrap_or(usual.weight_decay),
        clip_norm: fields.number("clip_norm", Range::Positive, problems).unwrap_or(usual.clip_norm),
    }
}

fn read_resources(node: &Node, problems: &mut Problems) -> Resources {
    let resources = Fields::of(node, "resources", &RESOURCE_KEYS, problems);
    Resources {
        slots: resources.whole("slots", 1, 1024, problems).map(|slots| slots as u32),
        threads: resources.whole("threads", 1, 1024, problems).unwrap_or(1) as u32,
        device_flops: resources.number("device_flops", Range::Positive, problems),
    }
}

fn read_policy(node: &Node, problems: &mut Problems) -> Policy {
    let policy = Fields::of(node, "policy", &POLICY_KEYS, problems);
    Policy {
        retries: policy.whole("retries", 0, 1000, problems).unwrap_or(2) as u32,
        checkpoint_seconds: policy.number("checkpoint_seconds", Range::Above0(1e6), problems).unwrap_or(60.0),
        grace_seconds: policy.number("grace_seconds", Range::Above0(1e6), problems).unwrap_or(30.0),
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
    let lr = read_rates(&fields, problems);
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
