//! Every mistake is found, with its place, what is allowed and what was probably meant.

use proptest::prelude::*;
use spec::document::Format;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::sweep::Sweep;

use crate::{GOOD, facts, problems};

/// `text` has exactly these problems.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text, Format::Toml), expected);
}

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the good sweep");
    GOOD.replace(from, to)
}

#[test]
fn a_good_sweep_has_none() {
    check(GOOD, &[]);
}

#[test]
fn numbers_out_of_range_are_named_with_what_is_allowed() {
    check(
        &with("batch = 10", "batch = 0"),
        &["16:9: train.batch: found 0, expected a whole number from 1 to 16777216"],
    );
    check(&with("[0.1, 0.2]", "[0.1, -0.2]"), &["14:12: grid.lr[1]: found -0.2, expected a number above 0"]);
    check(&with("[0.5, 1]", "[]"), &["13:10: grid.epochs: found an empty list, expected a list of numbers"]);
    check(
        &with("[0.5, 1]", "[nan]"),
        &["13:11: grid.epochs[0]: found NaN, expected a number above 0, at most 1000000"],
    );
    check(
        &with("batch = 10", "batch = 2.5"),
        &["16:9: train.batch: found 2.5, expected a whole number from 1 to 16777216"],
    );
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    check(
        &with("epochs =", "epoch ="),
        &[
            "12:1: grid.epochs: missing; a list of epoch budgets",
            "13:1: grid.epoch: unknown key; did you mean epochs? (allowed: epochs, lr, seeds)",
        ],
    );
    check(
        &with("name = \"s\"", "name = \"s\"\nzzz = 1"),
        &[
            "2:1: zzz: unknown key (allowed: $schema, name, description, data, model, grid, search, train, trainer, finetune, resources, slurm, policy, budget, override, skip)",
        ],
    );
    check(
        &with("family = \"nfnet\"", "family = \"nfnets\""),
        &["6:10: model.family: unknown value \"nfnets\"; did you mean nfnet? (allowed: nfnet, vit, custom)"],
    );
}

#[test]
fn a_schedule_has_to_be_a_known_one() {
    check(
        &with("batch = 10", "batch = 10\nschedule = \"cosin\""),
        &[
            "17:12: train.schedule: unknown value \"cosin\"; did you mean cosine? (allowed: cosine, constant, rsqrt, wsd)",
        ],
    );
    check(
        &with("batch = 10", "batch = 10\nschedule = { cooldown = 0.1 }"),
        &["17:12: train.schedule.name: missing; cosine, constant, rsqrt or wsd"],
    );
    check(
        &with("batch = 10", "batch = 10\nschedule = 3"),
        &["17:12: train.schedule: found 3, expected one of cosine, constant, rsqrt, wsd"],
    );
}

#[test]
fn sharpness_aware_minimisation_needs_its_length() {
    check(
        &with("batch = 10", "batch = 10\nsam = { batch_share = 0.2 }"),
        &["17:7: train.sam.rho: missing; how far the weights are moved along the gradient; 0.05 in arXiv 2102.06171"],
    );
    check(
        &with("batch = 10", "batch = 10\nsam = { rho = 0.05, batch_share = 2 }"),
        &["17:35: train.sam.batch_share: found 2, expected a number above 0, at most 1"],
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    check(
        &with("batch = 10", "batch = 10\nwarmup = 0.1\nwarmup_steps = 3"),
        &["18:16: train.warmup_steps: give it or train.warmup, not both"],
    );
    check(
        &with("batch = 10", "batch = 10\nschedule = { name = \"constant\", cooldown = 0.1 }"),
        &["17:44: train.schedule.cooldown: this schedule has none"],
    );
    check(
        &with("batch = 10", "batch = 10\nwarmup = 0.5\nschedule = { name = \"wsd\", cooldown = 0.75 }"),
        &["18:12: train.schedule: a warm-up of 0.5 and a cooldown of 0.75 are more than all steps"],
    );
    check(&with("[0.1, 0.2]", "[0.1, 0.1]"), &["14:6: grid.lr: 0.1 stands there twice"]);
    check(&with("name = \"b\"", "name = \"a\""), &["11:44: model: two models are named \"a\""]);
    check(
        &with("stem_strides = [1]", "stem_strides = [1, 2]"),
        &["8:16: model.stem_strides: needs as many values as stem_channels"],
    );
    check(&with("stem_strides = [1]\n", ""), &["7:17: model.stem_channels: needs stem_strides beside it"]);
    let preset =
        with("sizes = [{ name = \"a\", widths = [8, 16] }, { name = \"b\", widths = [16, 32] }]", "presets = [\"F0\"]");
    check(&preset, &["9:10: model.depths: a preset has its own depths; spell out sizes instead"]);
    check(
        &with("batch = 10", "batch = 10\n[[override]]\nwhen = { lr = 0.1 }\nseeds = [1]"),
        &["18:8: override[0].when: an override holds for all learning rates of a cell"],
    );
    check(
        &with("batch = 10", "batch = 10\n[[skip]]\nwhen = { model = \"c\" }\nreason = \"r\""),
        &["18:18: skip[0].when.model: no model \"c\" in this sweep; did you mean a? (allowed: a, b)"],
    );
}

#[test]
fn each_family_has_its_own_keys() {
    let vit = "name = \"s\"\ndata = { dataset = \"d\", directory = \"x\" }\ngrid = { epochs = [1] }\ntrain = { batch = 8 }\n[[model]]\nfamily = \"vit\"\nwidths = [8]\npresets = [\"ti/16\"]\n[[model]]\nfamily = \"nfnet\"\npresets = [\"F0\"]\nlr = [0.1]\n";
    check(
        vit,
        &[
            "7:1: model[0].widths: unknown key (allowed: family, presets, sizes, lr, finetune_lr, pooling)",
            "8:12: model[0].presets: unknown preset \"ti/16\"; did you mean Ti/16? (allowed: s/28, s/16, Ti/16, S/32, S/16, B/32, B/28, B/16, L/16, So400m/14, H/14, g/14, G/14)",
        ],
    );
    let rateless = vit.replace("widths = [8]\n", "").replace("ti/16", "Ti/16");
    check(&rateless, &["3:8: grid.lr: missing; a list of learning rates, or { center, factor, num }"]);
}

#[test]
fn what_would_be_trained_twice_is_refused() {
    check(&with("widths = [16, 32] }", "widths = [8, 16] }"), &["11:44: model: \"b\" is the same network as \"a\""]);
    check(
        &with("batch = 10", "batch = 10\n[[override]]\nwhen = {}\nseeds = [1, 1]\nlr = [2, 2]"),
        &["19:9: override[0].seeds: 1 stands there twice", "20:6: override[0].lr: 2 stands there twice"],
    );
}

#[test]
fn all_problems_are_said_at_once_in_the_order_of_the_file() {
    let text = with("name = \"s\"", "name = \"a b\"").replace("[0.1, 0.2]", "\"high\"").replace("batch", "bach");
    let found = problems(&text, Format::Toml);
    assert_eq!(found.len(), 4, "{found:?}");
    let lines: Vec<u32> = found
        .iter()
        .map(|problem| problem.split(':').next().and_then(|line| line.parse().ok()).expect("a line"))
        .collect();
    assert!(lines.is_sorted(), "{found:?}");
}

#[test]
fn what_only_the_data_can_tell_is_found_when_planning() {
    let plan = |text: &str| {
        let sweep = Sweep::parse(text, Format::Toml).expect("a good file");
        let problems = Plan::expand(&sweep, &facts(), &Outcomes::new()).expect_err("a bad plan");
        problems.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    assert_eq!(plan(&with("batch = 10", "batch = 101")).len(), 1);
    assert!(plan(&with("batch = 10", "batch = 101"))[0].contains("101 is more than the 100 examples"));
    let found = plan(&with("directory = \"data\"", "directory = \"data\"\ntrain_examples = 101\nresolution = 1"));
    assert!(found[0].contains("data.train_examples: asked for 101, the data set has 100"), "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("1 pixels are too few")), "{found:?}");
    assert!(plan(&with("group_width = 4", "group_width = 5")).iter().all(|problem| problem.contains("group")));
    let all = "batch = 10\n[[skip]]\nwhen = {}\nreason = \"none\"";
    assert_eq!(plan(&with("batch = 10", all)), ["2:1: the grid is empty: every cell is skipped"]);
}

#[test]
fn a_rule_that_matches_nothing_is_a_slip() {
    let plan = |rules: &str| {
        let sweep =
            Sweep::parse(&with("batch = 10", &format!("batch = 10\n{rules}")), Format::Toml).expect("a good file");
        let planned = Plan::expand(&sweep, &facts(), &Outcomes::new());
        planned.err().map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<String>>())
    };
    let nothing = |rule: &str| Some(vec![format!("17:1: {rule}[0]: matches no cell of this sweep")]);
    assert_eq!(plan("[[override]]\nwhen = { epochs = 0.05 }\nseeds = [1, 2]"), nothing("override"));
    assert_eq!(plan("[[skip]]\nwhen = { model = \"a\", lr = 0.3 }\nreason = \"r\""), nothing("skip"));
    let of_an_override =
        "[[skip]]\nwhen = { lr = 0.3 }\nreason = \"r\"\n[[override]]\nwhen = { model = \"a\" }\nlr = [0.3, 0.4]";
    assert_eq!(plan(of_an_override), None);
    check(
        &with("batch = 10", "batch = 10\n[[skip]]\nwhen = { lr = { min = 2, max = 1 } }\nreason = \"r\""),
        &["18:15: skip[0].when.lr: min 2 is above max 1, so nothing is meant"],
    );
}

#[test]
fn absurd_numbers_are_refused_or_priced() {
    check(
        &with("[0.5, 1]", "[1e19]"),
        &["13:11: grid.epochs[0]: found 10000000000000000000, expected a number above 0, at most 1000000"],
    );
    check(
        &with("batch = 10", "batch = 10\n[policy]\ngrace_seconds = 1e20"),
        &["18:17: policy.grace_seconds: found 100000000000000000000, expected a number above 0, at most 1000000"],
    );
    let text = with("widths = [16, 32]", "widths = [1048576, 1048576]")
        .replace("batch = 10", "batch = 10\nevaluations = 1000");
    let sweep = Sweep::parse(&text, Format::Toml).expect("a good file");
    let facts = DatasetFacts { resolution: Some(16_384), train_examples: u64::MAX / 2, ..facts() };
    let plan = Plan::expand(&sweep, &facts, &Outcomes::new()).expect("a price, however high");
    assert!(plan.runs.iter().all(|run| run.price.flops > 0.0 && run.price.seconds > 0.0));
}

#[test]
fn yaml_and_json_have_places_too() {
    let yaml = "name: x\ndata: {dataset: fashion-mnist}\nmodel: {family: nfnet, presets: [F0]}\ngrid: {epochs: [1], lr: [no]}\ntrain: {batch: 8}\n";
    assert_eq!(problems(yaml, Format::Yaml), ["4:26: grid.lr[0]: found \"no\", expected a number above 0"]);
    let json = "{\"name\": \"x\",\n \"data\": {\"dataset\": \"fashion-mnist\"},\n \"model\": {\"family\": \"nfnet\", \"presets\": [\"F0\"]},\n \"grid\": {\"epochs\": [1], \"lr\": [0.1]},\n \"train\": {\"batch\": 8, \"flip\": 1}}";
    assert_eq!(problems(json, Format::Json), ["5:32: train.flip: found 1, expected true or false"]);
    assert!(problems("{\"name\": }", Format::Json)[0].starts_with("1:10: not JSON"));
    assert!(problems("a: [", Format::Yaml)[0].contains("not YAML"));
    assert!(problems("[grid", Format::Toml)[0].starts_with("1:6: not TOML"));
    assert!(problems("a: 1\n---\nb: 2\n", Format::Yaml)[0].contains("a second YAML document"));
}

/// The good sweep with some lines lost, doubled, cut or moved.
fn damaged() -> impl Strategy<Value = String> {
    let text = format!("{GOOD}evaluations = 3\n[policy]\ngrace_seconds = 5\n");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let count = lines.len();
    proptest::collection::vec((0..count, 0..5_u8, 0..40_usize), 1..6).prop_map(move |damage| {
        let mut lines = lines.clone();
        for (at, kind, cut) in damage {
            let at = at.min(lines.len().saturating_sub(1));
            match kind {
                0 if lines.len() > 1 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at] = lines[at].chars().take(cut).collect(),
                3 => lines[at] = lines[at].replace(['0', '1', '2'], "9999999999999999999"),
                _ => lines.swap(at, 0),
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}") {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let _ = problems(&text, format);
        }
    }

    /// A damaged file is read or refused; what is read can be planned or refused, too.
    #[test]
    fn no_damage_makes_the_reader_or_the_planner_panic(text in damaged()) {
        if let Ok(sweep) = Sweep::parse(&text, Format::Toml) {
            let _ = Plan::expand(&sweep, &facts(), &Outcomes::new());
        }
        let _ = problems(&text, Format::Yaml);
    }
}
