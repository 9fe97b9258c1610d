//! The sweep files that come with scalelaw, and the JSON Schema that editors check them with.

use spec::document::Format;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::PerChannel;
use spec::schema::SWEEP_SCHEMA;
use spec::sweep::Sweep;

use crate::{GOOD, problems};

const DEMO: &str = include_str!("../../../../sweeps/demo.toml");
const FAMILIES: &str = include_str!("../../../../sweeps/families.toml");
const TRANSFER: &str = include_str!("../../../../sweeps/transfer-demo.toml");
const PAPER: &str = include_str!("../../../../sweeps/convnets-match-vits.toml");

fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(SWEEP_SCHEMA).expect("JSON");
    jsonschema::draft7::meta::validate(&schema).expect("a draft-07 schema");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// Schema and reader agree on `text`.
#[track_caller]
fn check(text: &str, good: bool) {
    let document: serde_json::Value = toml::from_str(text).expect("TOML");
    let complaints: Vec<String> = schema().iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(complaints.is_empty(), good, "schema: {complaints:?}\n{text}");
    let problems = problems(text, Format::Toml);
    assert_eq!(problems.is_empty(), good, "reader: {problems:?}\n{text}");
}

#[test]
fn schema_and_reader_agree() {
    for good in [DEMO, FAMILIES, TRANSFER, PAPER, GOOD] {
        check(good, true);
    }
    let trained = GOOD.replace("[model]", "[trainer]\ncommand = [\"train\", \"{lr}\"]\n[model]");
    check(&trained, true);
    let custom =
        "family = \"custom\"\nsizes = [{ name = \"a\", parameters = 1e6, macs = 3, settings = { depth = 2 } }]";
    let start = trained.find("family").expect("there");
    let end = trained.find("[grid]").expect("there");
    let custom = format!("{}{custom}\n{}", &trained[..start], &trained[end..]);
    check(&custom, true);
    for (from, to) in [
        ("command = [\"train\", \"{lr}\"]", "command = []"),
        ("command = [\"train\", \"{lr}\"]", "command = \"train\""),
        ("parameters = 1e6", "parameters = 0.5"),
        ("macs = 3, ", ""),
        ("depth = 2", "depth = [2]"),
    ] {
        assert!(custom.contains(from), "{from:?} is not in the good sweep");
        check(&custom.replace(from, to), false);
    }
    let rules = "[[override]]\nwhen = { model = \"a\", epochs = { min = 1 } }\nlr = { center = 1, factor = 2, num = 2 }\n[[skip]]\nwhen = { lr = [0.1] }\nreason = \"r\"\n";
    check(&format!("{GOOD}{rules}"), true);
    for (from, to) in [
        ("batch = 10", "batch = 0"),
        ("batch = 10", "bach = 10"),
        ("[0.1, 0.2]", "[0.1, -0.2]"),
        ("[0.1, 0.2]", "[0.1, 0.1]"),
        ("[0.1, 0.2]", "{ center = 1, factor = 1, num = 3 }"),
        ("[0.1, 0.2]", "0.1"),
        ("name = \"s\"", "name = \"a b\""),
        ("family = \"nfnet\"", "family = \"vits\""),
        ("family = \"nfnet\"", "family = \"nfnet\"\npresets = [\"F8\"]"),
        ("depths = [1, 1]", "depths = [1, 0]"),
        ("batch = 10", "batch = 10\n[[skip]]\nwhen = { lr = 0.1 }"),
        ("batch = 10", "batch = 10\n[policy]\nretries = -1"),
    ] {
        assert!(GOOD.contains(from), "{from:?} is not in the good sweep");
        check(&GOOD.replace(from, to), false);
    }
}

#[test]
fn the_papers_grid_costs_what_the_paper_paid() {
    let sweep = Sweep::parse(PAPER, Format::Toml).expect("a good file");
    let facts = DatasetFacts {
        fingerprint: String::new(),
        train_examples: 4_000_000_000,
        heldout_examples: 130_000,
        channels: 3,
        resolution: Some(224),
        classes: 30_000,
        mean: PerChannel::All(0.0),
        std: PerChannel::All(1.0),
        multi_label: false,
        per_class: Vec::new(),
    };
    let mut plan = Plan::expand(&sweep, &facts, &Outcomes::new()).expect("a good plan");
    assert_eq!(plan.runs.len(), 6 * 6 * 5);
    let dearest = plan.runs.last().expect("runs");
    assert_eq!((dearest.model.as_str(), dearest.spec.train.epochs), ("F7+", 8.0));
    // 4e9 x 8 / 4096.
    assert_eq!(dearest.price.steps, 7_812_500);
    // 832,885,080 with 1000 classes (both readings of the bottleneck are in `nfnet`), and 29,000 x 4,097 more.
    assert_eq!(dearest.price.parameters, 832_885_080 + 29_000 * 4_097);
    // Within a fifth of the hours read off figure 2, although one speed stands for six models.
    for (model, epochs, hours) in [("F0", 0.25, 402.0), ("F3", 1.0, 4_920.0), ("F7+", 8.0, 106_700.0)] {
        let run = plan.runs.iter().find(|run| run.model == model && run.spec.train.epochs == epochs).expect("there");
        let ratio = run.price.seconds / 3600.0 / hours;
        assert!((0.8..1.25).contains(&ratio), "{model} at {epochs} epochs: {ratio:.2} of the paper's hours");
    }
    let imagenet = DatasetFacts {
        train_examples: 1_281_167,
        heldout_examples: 50_000,
        resolution: Some(384),
        classes: 1000,
        ..facts
    };
    plan.add_finetuning(&sweep, &imagenet, &Outcomes::new()).expect("a good plan");
    assert_eq!(plan.waiting.iter().map(|one| one.runs).sum::<usize>(), 6 * 6 * 3);
    let largest = plan.waiting.iter().find(|one| one.model == "F7+").expect("there");
    let ratio = largest.price.seconds / 3600.0 / 1600.0;
    assert!((0.8..1.25).contains(&ratio), "fine-tuning F7+: {ratio:.2} of the paper's hours");
}
