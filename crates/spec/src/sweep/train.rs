//! The table `[train]`, of either stage.

use super::{Adamw, ScheduleName, Train, Warmup};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range};
use crate::run::{Arithmetic, Augment, MemoryFormat, Mixing, Precision, RandAugment, Regularisation, Sam};

pub(crate) const TRAIN_KEYS: [&str; 27] = [
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
    "dropout",
    "crop_padding",
    "flip",
    "inception_crop",
    "rand_augment",
    "mixup",
    "cutmix",
    "multiplicity",
    "precision",
    "memory_format",
    "accumulate",
    "deterministic",
    "evaluations",
    "divergence",
];
pub(crate) const ADAMW_KEYS: [&str; 5] = ["beta1", "beta2", "eps", "weight_decay", "clip_norm"];
pub(crate) const SCHEDULE_KEYS: [&str; 4] = ["name", "timescale", "cooldown", "share_trunk"];
pub(crate) const SAM_KEYS: [&str; 2] = ["rho", "batch_share"];
pub(crate) const RAND_AUGMENT_KEYS: [&str; 2] = ["layers", "magnitude"];

/// Reads the table at `path`; where it is not `present`, nothing in it is missed.
pub(crate) fn read(node: &Node, path: &str, present: bool, problems: &mut Problems) -> Train {
    let train = Fields::of(node, path, &TRAIN_KEYS, problems);
    if present {
        train.require("batch", "examples per step", problems);
    }
    if train.has("warmup") && train.has("warmup_steps") {
        problems
            .add(train.place_of("warmup_steps"), format!("{path}.warmup_steps: give it or {path}.warmup, not both"));
    }
    let share = train.number("warmup", Range::From(0.0, 1.0), problems).unwrap_or(0.05);
    let steps = train.whole("warmup_steps", 0, u64::MAX, problems);
    let batch = train.whole("batch", 1, 1 << 24, problems).unwrap_or(1);
    Train {
        batch,
        warmup: steps.map_or(Warmup::Share(share), Warmup::Steps),
        share_trunk: read_share_trunk(&train, share, steps, problems),
        schedule: read_schedule(&train, if steps.is_some() { 0.0 } else { share }, problems)
            .unwrap_or(ScheduleName::Cosine),
        momentum: train.number("momentum", Range::From(0.0, 1.0), problems).unwrap_or(0.9),
        weight_decay: train.number("weight_decay", Range::NotNegative, problems).unwrap_or(0.0),
        agc_lambda: train.number("agc_lambda", Range::Positive, problems).unwrap_or(0.01),
        agc_eps: train.number("agc_eps", Range::Positive, problems).unwrap_or(1e-3),
        adamw: read_adamw(&train, problems),
        label_smoothing: train.number("label_smoothing", Range::From(0.0, 1.0), problems).unwrap_or(0.0),
        regularisation: Regularisation {
            stochastic_depth: train.number("stochastic_depth", Range::From(0.0, 1.0), problems).unwrap_or(0.0),
            ema: train.number("ema", Range::From(0.0, 1.0), problems),
            sam: read_sam(&train, problems),
            dropout: train.number("dropout", Range::From(0.0, 1.0), problems),
        },
        augment: read_augment(&train, batch, problems),
        evaluations: train.whole("evaluations", 0, 1000, problems).unwrap_or(0) as u32,
        divergence: train.number("divergence", Range::From(1.0, 1e9), problems).unwrap_or(3.0),
        arithmetic: read_arithmetic(&train, batch, problems),
        place: train.place_of("batch"),
    }
}

fn read_arithmetic(train: &Fields<'_>, batch: u64, problems: &mut Problems) -> Arithmetic {
    let usual = Arithmetic::default();
    let accumulate = train.whole("accumulate", 1, 1 << 24, problems).unwrap_or(1);
    if accumulate > batch {
        let message = format!("{}: a batch of {batch} does not have {accumulate} parts", train.key_path("accumulate"));
        problems.add(train.place_of("accumulate"), message);
    }
    let precisions = [("fp32", Precision::Fp32), ("bf16", Precision::Bf16)];
    let formats = [("channels-last", MemoryFormat::ChannelsLast), ("contiguous", MemoryFormat::Contiguous)];
    Arithmetic {
        precision: train.word("precision", &precisions, problems).unwrap_or(usual.precision),
        memory_format: train.word("memory_format", &formats, problems).unwrap_or(usual.memory_format),
        accumulate: accumulate as u32,
        deterministic: train.flag("deterministic", problems).unwrap_or(usual.deterministic),
        // Stands in [resources].
        device: usual.device,
    }
}

/// Crops, mirrors, RandAugment, mixing, and how often an example stands in its batch.
fn read_augment(train: &Fields<'_>, batch: u64, problems: &mut Problems) -> Augment {
    if train.has("crop_padding") && train.has("inception_crop") {
        let message = format!("{}: give it or crop_padding, not both", train.key_path("inception_crop"));
        problems.add(train.place_of("inception_crop"), message);
    }
    let multiplicity = train.whole("multiplicity", 1, 1024, problems).unwrap_or(1);
    if !batch.is_multiple_of(multiplicity) {
        let message = format!(
            "{}: a batch of {batch} does not hold {multiplicity} pictures of every example; take a multiplicity that divides it",
            train.key_path("multiplicity")
        );
        problems.add(train.place_of("multiplicity"), message);
    }
    let mut alpha = |key| train.number(key, Range::Positive, problems);
    let mixing = match (alpha("mixup"), alpha("cutmix")) {
        (None, None) => None,
        (Some(alpha), None) => Some(Mixing::Mixup { alpha }),
        (None, Some(alpha)) => Some(Mixing::Cutmix { alpha }),
        (Some(mixup), Some(cutmix)) => Some(Mixing::Both { mixup, cutmix }),
    };
    Augment {
        crop_padding: train.whole("crop_padding", 0, 1024, problems).unwrap_or(0) as u32,
        flip: train.flag("flip", problems).unwrap_or(false),
        inception_crop: train.number("inception_crop", Range::Above0(1.0), problems),
        rand_augment: read_rand_augment(train, problems),
        mixing,
        multiplicity: multiplicity as u32,
    }
}

fn read_rand_augment(train: &Fields<'_>, problems: &mut Problems) -> Option<RandAugment> {
    let fields = Fields::of(train.get("rand_augment")?, &train.key_path("rand_augment"), &RAND_AUGMENT_KEYS, problems);
    fields.require("layers", "operations per picture; 4 in arXiv 2102.06171", problems);
    fields.require("magnitude", "how strong they are, from 0 up; 5 to 15 in arXiv 2102.06171", problems);
    let layers = fields.whole("layers", 1, 64, problems).map(|layers| layers as u32);
    Some(RandAugment { layers: layers?, magnitude: fields.number("magnitude", Range::From(0.0, 31.0), problems)? })
}

fn read_sam(train: &Fields<'_>, problems: &mut Problems) -> Option<Sam> {
    let fields = Fields::of(train.get("sam")?, &train.key_path("sam"), &SAM_KEYS, problems);
    fields.require("rho", "how far the weights are moved along the gradient; 0.05 in arXiv 2102.06171", problems);
    let batch_share = fields.number("batch_share", Range::Above0(1.0), problems).unwrap_or(1.0);
    Some(Sam { rho: fields.number("rho", Range::Positive, problems)?, batch_share })
}

/// Whether budgets share their beginning, which they cannot if it depends on the budget.
fn read_share_trunk(train: &Fields<'_>, share: f64, steps: Option<u64>, problems: &mut Problems) -> bool {
    let Some(node @ Node { value: Value::Table(_), .. }) = train.get("schedule") else { return false };
    let fields = Fields::unchecked(node, &train.key_path("schedule"));
    if !fields.flag("share_trunk", problems).unwrap_or(false) {
        return false;
    }
    let path = fields.key_path("share_trunk");
    if matches!(fields.get("name"), Some(Node { value: Value::Text(name), .. }) if name == "cosine") {
        let message =
            format!("{path}: a cosine depends on the budget from its first step on; wsd, rsqrt or constant do not");
        problems.add(fields.place_of("share_trunk"), message);
    } else if steps.is_none() && share > 0.0 {
        let message = format!(
            "{path}: a warm-up that is a share of all steps depends on the budget; give {} instead",
            train.key_path("warmup_steps")
        );
        problems.add(fields.place_of("share_trunk"), message);
    }
    true
}

/// A name, or a table with a name and what that schedule can be told.
fn read_schedule(train: &Fields<'_>, warmup: f64, problems: &mut Problems) -> Option<ScheduleName> {
    let node = train.get("schedule")?;
    let path = train.key_path("schedule");
    let is_table = matches!(node.value, Value::Table(_));
    let fields =
        if is_table { Fields::of(node, &path, &SCHEDULE_KEYS, problems) } else { Fields::unchecked(node, &path) };
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
            problems.add(fields.place_of(key), format!("{path}.{key}: this schedule has none"));
        }
    }
    if cools && warmup + cooldown > 1.0 {
        let message = format!("{path}: a warm-up of {warmup} and a cooldown of {cooldown} are more than all steps");
        problems.add(node.place, message);
    }
    Some(schedule)
}

/// What the table does not say is what ViTs are usually trained with (arXiv 2106.10270, section 3.4, with the decoupled
/// decay of arXiv 2106.04560).
fn read_adamw(train: &Fields<'_>, problems: &mut Problems) -> Adamw {
    let usual = Adamw { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.03, clip_norm: 1.0 };
    let Some(node) = train.get("adamw") else { return usual };
    let fields = Fields::of(node, &train.key_path("adamw"), &ADAMW_KEYS, problems);
    Adamw {
        beta1: fields.number("beta1", Range::From(0.0, 1.0), problems).unwrap_or(usual.beta1),
        beta2: fields.number("beta2", Range::From(0.0, 1.0), problems).unwrap_or(usual.beta2),
        eps: fields.number("eps", Range::Positive, problems).unwrap_or(usual.eps),
        weight_decay: fields.number("weight_decay", Range::NotNegative, problems).unwrap_or(usual.weight_decay),
        clip_norm: fields.number("clip_norm", Range::Positive, problems).unwrap_or(usual.clip_norm),
    }
}
