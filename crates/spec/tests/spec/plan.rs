//! A sweep expands into exactly the runs it asks for, each priced and with an identity.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spec::document::Format;
use spec::network::ModelSpec;
use spec::plan::{Outcomes, Plan};
use spec::run::{OptimizerSpec, RunId, RunSpec};
use spec::schedule::Decay;
use spec::sweep::Sweep;
use spec::vit::Pooling;

use crate::{GOOD, facts, planned};

#[test]
fn every_cell_is_there_once_and_the_cheapest_first() {
    let plan = planned(&GOOD.replace("lr = [0.1, 0.2]", "lr = { center = 0.2, factor = 2, num = 3 }\nseeds = [3, 4]"));
    assert_eq!(plan.runs.len(), 2 * 2 * 3 * 2);
    assert!(plan.runs.is_sorted_by(|a, b| a.price.seconds <= b.price.seconds));
    let ids: BTreeSet<RunId> = plan.runs.iter().map(|run| run.spec.id()).collect();
    assert_eq!(ids.len(), 24);
    let cells: BTreeSet<_> = plan.runs.iter().map(|run| run.spec.cell()).collect();
    assert_eq!(cells.len(), 12, "a cell is a run without its seed");
    let rates: BTreeSet<String> = plan.runs.iter().map(|run| run.spec.train.lr.to_string()).collect();
    assert_eq!(rates.into_iter().collect::<Vec<_>>(), ["0.1", "0.2", "0.4"]);
}

#[test]
fn a_grid_beyond_measure_is_refused() {
    let list = |from: u64| (from..from + 4000).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
    let grid = format!("lr = [{}]\nseeds = [{}]", list(1), list(0));
    let skip =
        format!("{}\n[[skip]]\nwhen = {{ epochs = 1 }}\nreason = \"slow\"\n", GOOD.replace("lr = [0.1, 0.2]", &grid));
    for text in [GOOD.replace("lr = [0.1, 0.2]", &grid), skip] {
        let sweep = Sweep::parse(&text, Format::Toml).expect("a sweep");
        let problems = Plan::expand(&sweep, &facts(), &Outcomes::new()).expect_err("too large");
        assert!(problems[0].message.contains("more than 100000 runs"), "{problems:?}");
    }
}

#[test]
fn a_fraction_of_an_epoch_is_a_number_of_steps() {
    let plan = planned(&GOOD.replace("[0.5, 1]", "[0.25]").replace("batch = 10", "batch = 10\nwarmup = 0.4"));
    let (spec, price) = (&plan.runs[0].spec, &plan.runs[0].price);
    // 25 examples in batches of 10.
    assert_eq!((price.samples, price.steps, spec.train.warmup_steps), (25, 3, 1));
    let layout_macs = price.macs as f64;
    assert_eq!(price.flops, 6.0 * layout_macs * 25.0, "two operations per MAC, three passes");
}

#[test]
fn a_cooldown_is_a_share_of_the_steps_and_another_schedule_is_another_run() {
    let with = |schedule: &str| {
        let text = GOOD.replace("[0.5, 1]", "[1]").replace("batch = 10", &format!("batch = 10\nschedule = {schedule}"));
        planned(&text).runs.remove(0).spec
    };
    let decay = |schedule| with(schedule).train.decay;
    // 100 examples in batches of 10.
    assert_eq!(decay("\"wsd\""), Decay::Wsd { cooldown_steps: 2 });
    assert_eq!(
        decay("{ name = \"rsqrt\", timescale = 7, cooldown = 0.5 }"),
        Decay::Rsqrt { timescale: 7, cooldown_steps: 5 }
    );
    assert_eq!(decay("\"constant\""), Decay::Constant);
    let untold = planned(&GOOD.replace("[0.5, 1]", "[1]")).runs.remove(0).spec;
    assert_eq!(with("\"cosine\"").id(), untold.id());
    assert_ne!(with("\"constant\"").id(), untold.id());
    let json = serde_json::to_string(&with("\"wsd\"")).expect("plain data");
    assert_eq!(serde_json::from_str::<RunSpec>(&json).expect("its own output"), with("\"wsd\""));
}

#[test]
fn sharpness_aware_minimisation_has_its_price_and_regularisation_makes_another_run() {
    let with = |settings: &str| {
        let text = GOOD.replace("[0.5, 1]", "[0.25]").replace("batch = 10", &format!("batch = 10\n{settings}"));
        planned(&text).runs.remove(0)
    };
    let (plain, sam) = (with(""), with("sam = { rho = 0.05, batch_share = 0.25 }"));
    // 25 examples in batches of 10, 10 and 5, of which 3, 3 and 2 go through twice.
    assert_eq!(sam.price.flops, plain.price.flops / 25.0 * 33.0);
    assert!(sam.price.seconds > plain.price.seconds && sam.price.samples == plain.price.samples);
    let ids: BTreeSet<RunId> = ["", "sam = { rho = 0.05 }", "ema = 0.99", "stochastic_depth = 0.1"]
        .iter()
        .map(|settings| with(settings).spec.id())
        .collect();
    assert_eq!(ids.len(), 4);
    for settings in ["", "sam = { rho = 0.05 }\nema = 0.99"] {
        let json = serde_json::to_string(&with(settings).spec).expect("plain data");
        assert_eq!(serde_json::from_str::<RunSpec>(&json).expect("its own output"), with(settings).spec);
    }
}

#[test]
fn overrides_change_some_cells_and_skips_leave_some_out_with_the_reason() {
    let rules = r#"
[[override]]
when = { model = "a", epochs = { max = 0.5 } }
lr = [0.3]
seeds = [7, 8]
batch = 20
[[override]]
when = { model = ["a", "b"], epochs = [1] }
weight_decay = 0.5
[[skip]]
when = { model = "b", lr = { min = 0.15 } }
reason = "diverges"
"#;
    let plan = planned(&format!("{GOOD}{rules}"));
    let of = |model: &str, epochs: f64| {
        let runs = plan.runs.iter().filter(|run| run.model == model && run.spec.train.epochs == epochs);
        runs.map(|run| &run.spec).collect::<Vec<&RunSpec>>()
    };
    let small: Vec<_> = of("a", 0.5).iter().map(|spec| (spec.train.lr, spec.seed, spec.train.batch)).collect();
    assert_eq!(small, [(0.3, 7, 20), (0.3, 8, 20)]);
    assert_eq!(of("a", 1.0).len(), 2);
    assert!(of("a", 1.0).iter().all(|spec| weight_decay(spec) == 0.5 && spec.train.batch == 10));
    assert_eq!(of("b", 0.5).len() + of("b", 1.0).len(), 2);
    let skipped: Vec<_> = plan.skipped.iter().map(|one| (one.cell.as_str(), one.reason.as_str())).collect();
    assert_eq!(skipped, [("b, 0.5 epochs, lr 0.2", "diverges"), ("b, 1 epoch, lr 0.2", "diverges")]);
}

fn weight_decay(spec: &RunSpec) -> f64 {
    match spec.train.optimizer {
        OptimizerSpec::Sgd { weight_decay, .. } | OptimizerSpec::Adamw { weight_decay, .. } => weight_decay,
    }
}

#[test]
fn two_families_stand_in_one_sweep() {
    let families = r#"
name = "s"
data = { dataset = "d", directory = "data" }
grid = { epochs = [1] }
train = { batch = 10, adamw = { weight_decay = 0.1 } }
[[model]]
family = "nfnet"
stem_channels = [4]
stem_strides = [1]
group_width = 4
lr = [0.1]
sizes = [{ name = "a", depths = [1], widths = [8] }]
[[model]]
family = "vit"
pooling = "class-token"
lr = { center = 1e-3, factor = 2, num = 3 }
sizes = [{ name = "b", patch = 4, width = 8, depth = 2, heads = 2 }]
"#;
    let plan = planned(families);
    let of = |model: &str| plan.runs.iter().filter(|run| run.model == model).collect::<Vec<_>>();
    assert_eq!((of("a").len(), of("b").len()), (1, 3));
    assert!(matches!(of("a")[0].spec.train.optimizer, OptimizerSpec::Sgd { momentum: 0.9, .. }));
    let vit = &of("b")[0].spec;
    assert!(matches!(vit.train.optimizer, OptimizerSpec::Adamw { weight_decay: 0.1, beta2: 0.999, .. }));
    let ModelSpec::Vit(numbers) = &vit.model else { panic!("{vit:?}") };
    assert_eq!((numbers.mlp, numbers.pooling), (32, Pooling::ClassToken));
    assert_eq!(of("b")[0].price.parameters - of("b")[0].price.parameters_without_head, 36);
}

#[test]
fn the_identity_follows_from_what_decides_the_weights_and_from_nothing_else() {
    let id = |text: &str| planned(text).runs.iter().map(|run| run.spec.id()).collect::<BTreeSet<RunId>>();
    let good = id(GOOD);
    for same in [
        GOOD.replace("name = \"s\"", "name = \"t\"\ndescription = \"other words\""),
        GOOD.replace("name = \"a\"", "name = \"tiny\""),
        GOOD.replace("lr = [0.1, 0.2]", "lr = { center = 0.1414213562373095, factor = 2, num = 2 }"),
        format!("{GOOD}[policy]\nretries = 5\n[resources]\nslots = 3\n"),
    ] {
        assert_eq!(id(&same), good, "{same}");
    }
    for other in [
        GOOD.replace("[0.1, 0.2]", "[0.11, 0.21]"),
        GOOD.replace("batch = 10", "batch = 11"),
        GOOD.replace("batch = 10", "batch = 10\nflip = true"),
        GOOD.replace("batch = 10", "batch = 10\nevaluations = 1"),
        GOOD.replace("family = \"nfnet\"", "family = \"nfnet\"\nalpha = 0.3"),
        format!("{GOOD}[resources]\nthreads = 2\n"),
    ] {
        assert!(id(&other).is_disjoint(&good), "{other}");
    }
}

#[test]
fn the_identity_is_part_of_the_format() {
    let ids: Vec<String> = planned(GOOD).runs.iter().map(|run| run.spec.id().to_string()).collect();
    assert_eq!(ids[0], FROZEN, "changing how runs are hashed orphans every finished run");
}

const FROZEN: &str = "0ff1a84c6d3ac411";

#[test]
fn three_spellings_mean_the_same() {
    let table: serde_json::Value = toml::from_str(GOOD).expect("TOML");
    let json = serde_json::to_string_pretty(&table).expect("JSON");
    let yaml = r#"
name: s
data: { dataset: d, directory: data }
model:
  family: nfnet
  stem_channels: [4]
  stem_strides: [1]
  depths: [1, 1]
  group_width: 4
  sizes:
    - { name: a, widths: [8, 16] }
    - { name: b, widths: [16, 32] }
grid: { epochs: [0.5, 1], lr: [0.1, 0.2] }
train: { batch: 10 }
"#;
    let plan = |text: &str, format| {
        let sweep = Sweep::parse(text, format).unwrap_or_else(|problems| panic!("{problems:?}"));
        Plan::expand(&sweep, &facts(), &Outcomes::new()).expect("a good plan")
    };
    assert_eq!(plan(&json, Format::Json), planned(GOOD));
    assert_eq!(plan(yaml, Format::Yaml), planned(GOOD));
}

proptest! {
    /// A grid of learning rates is centred, evenly spaced in the logarithm, and its values are short numbers.
    #[test]
    fn a_grid_of_rates_is_what_it_says(center in 1e-4..10.0_f64, factor in 1.1..10.0_f64, num in 1_usize..9) {
        let text = GOOD.replace("lr = [0.1, 0.2]", &format!("lr = {{ center = {center}, factor = {factor}, num = {num} }}"));
        let sweep = Sweep::parse(&text, Format::Toml).expect("a good file");
        prop_assert_eq!(sweep.lr.len(), num);
        let middle = sweep.lr.iter().map(|lr| lr.ln()).sum::<f64>() / num as f64;
        prop_assert!((middle - center.ln()).abs() < 1e-6);
        prop_assert!(sweep.lr.windows(2).all(|pair| (pair[1] / pair[0] / factor - 1.0).abs() < 1e-6));
        prop_assert!(sweep.lr.iter().all(|lr| lr.to_string().trim_start_matches("0.").trim_start_matches('0').len() <= 12));
    }

    /// Runs survive the way through spec.json.
    #[test]
    fn a_run_reads_as_it_was_written(lr in 1e-6..100.0_f64, epochs in 0.01..50.0_f64, seed: u32) {
        let mut spec = planned(GOOD).runs[0].spec.clone();
        spec.train.lr = lr;
        spec.train.epochs = epochs;
        spec.seed = u64::from(seed);
        let text = serde_json::to_string(&spec).expect("plain data");
        let read: RunSpec = serde_json::from_str(&text).expect("its own output");
        prop_assert_eq!(read.id(), spec.id());
        prop_assert_eq!(read, spec);
    }
}
