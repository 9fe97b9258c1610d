//! Trainers of one's own, and networks that only they know.

use spec::custom::Setting;
use spec::document::Format;
use spec::network::ModelSpec;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::{PerChannel, RunSpec};
use spec::sweep::{Source, Sweep};
use spec::trainer::{AttemptValues, TemplateError, Trainer, fill};

use crate::{GOOD, facts, planned, problems};

/// As short as a sweep with such networks can be.
const CUSTOM: &str = r#"name = "c"
data = { dataset = "mine", train_examples = 1000, heldout_examples = 100 }
grid = { epochs = [2], lr = [0.001] }
train = { batch = 10 }
[trainer]
command = ["python3", "train.py", "--lr={lr}", "{model}", "{setting.depth}", "{setting.act}", "{{{epochs}}}", "{steps}", "{samples}", "{seed}", "{batch}", "{run_dir}", "{run_id}", "{attempt}", "{accumulate}"]
[model]
family = "custom"
sizes = [
    { name = "{s}", parameters = 1e6, macs = 2e6, settings = { depth = 2, act = "relu", bias = true, scale = 0.5 } },
    { name = "large", parameters = 4_000_000, macs = 8e6, settings = { depth = 4, act = "relu" } },
]
"#;

fn described() -> DatasetFacts {
    DatasetFacts {
        train_examples: 1000,
        heldout_examples: 100,
        channels: 1,
        resolution: Some(1),
        classes: 1,
        ..facts()
    }
}

fn small() -> RunSpec {
    let sweep = Sweep::parse(CUSTOM, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = Plan::expand(&sweep, &described(), &Outcomes::new()).unwrap_or_else(|problems| panic!("{problems:?}"));
    plan.runs[0].spec.clone()
}

#[test]
fn a_command_is_filled_in_with_the_values_of_a_run() {
    let run = small();
    let Some(Trainer::Command { command }) = &run.trainer else { panic!("{run:?}") };
    let of = AttemptValues { run_dir: "/r", attempt: 3, accumulate: None, devices: 2 };
    assert_eq!(fill("{gpus_per_run}", &run, &of), Ok("2".to_owned()));
    let filled: Vec<String> =
        command.iter().map(|text| fill(text, &run, &of).unwrap_or_else(|error| panic!("{text}: {error}"))).collect();
    let id = run.id().to_string();
    let expected =
        ["python3", "train.py", "--lr=0.001", "{s}", "2", "relu", "{2}", "200", "2000", "0", "10", "/r", &id, "3", "1"];
    assert_eq!(filled, expected);
    assert_eq!(fill("{accumulate}", &run, &AttemptValues { accumulate: Some(4), ..of }), Ok("4".to_owned()));
    assert_eq!(fill("{song}", &run, &of), Err(TemplateError::Unknown("song".to_owned())));
}

#[test]
fn what_only_the_trainer_knows_is_planned_by_what_is_said_of_it() {
    let sweep = Sweep::parse(CUSTOM, Format::Toml).expect("a good sweep");
    let Source::Described(description) = &sweep.data.source else { panic!("{:?}", sweep.data.source) };
    assert_eq!((description.channels, description.classes), (1, 1));
    let plan = Plan::expand(&sweep, &described(), &Outcomes::new()).expect("a good plan");
    let prices: Vec<_> = plan.runs.iter().map(|run| (run.price.parameters, run.price.macs, run.price.flops)).collect();
    assert_eq!(prices, [(1_000_000, 2_000_000, 6.0 * 2e6 * 2000.0), (4_000_000, 8_000_000, 6.0 * 8e6 * 2000.0)]);
    let ModelSpec::Custom(custom) = &plan.runs[0].spec.model else { panic!("{:?}", plan.runs[0]) };
    assert_eq!(custom.settings["depth"], Setting::Whole(2), "a whole number stays one for whoever reads spec.json");
    let json = serde_json::to_string(&plan.runs[0].spec).expect("plain data");
    assert!(json.contains(r#""settings":{"act":"relu","bias":true,"depth":2,"scale":0.5}"#), "{json}");
    assert_eq!(serde_json::from_str::<RunSpec>(&json).expect("its own output"), plan.runs[0].spec);
}

#[test]
fn the_trainer_is_part_of_the_identity_and_so_is_what_it_is_told() {
    let id = |text: &str| planned(text).runs[0].spec.id();
    let with = |command: &str| id(&format!("{GOOD}[trainer]\ncommand = {command}\n"));
    let ours = with("[\"train\", \"{lr}\"]");
    assert_ne!(ours, id(GOOD));
    assert_ne!(ours, with("[\"train\", \"{lr}\", \"--fast\"]"));
    let named = |command: &str| {
        let text = format!("{GOOD}[trainer]\ncommand = {command}\n");
        (id(&text), id(&text.replace("name = \"a\"", "name = \"tiny\"")))
    };
    let (one, other) = named("[\"train\", \"{lr}\"]");
    assert_eq!(one, other, "a name that the trainer is not told decides nothing");
    let (one, other) = named("[\"train\", \"{model}\"]");
    assert_ne!(one, other);
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let with = |from: &str, to: &str| {
        assert!(CUSTOM.contains(from), "{from:?} is not in the sweep");
        problems(&CUSTOM.replace(from, to), Format::Toml)
    };
    let allowed = "(allowed: lr, epochs, model, seed, batch, steps, samples, run_dir, run_id, attempt, accumulate, gpus_per_run, \
                   setting.act, setting.bias, setting.depth, setting.scale)";
    assert_eq!(
        with("{setting.depth}", "{setting.dept}"),
        [format!(
            "6:59: trainer.command[4]: unknown placeholder {{setting.dept}}; did you mean setting.depth? {allowed}"
        )]
    );
    assert_eq!(
        with("{setting.depth}", "{setting.scale}"),
        ["11:5: model \"large\": lacks the setting.scale that trainer.command[4] asks for"]
    );
    assert_eq!(with("--lr={lr}", "--lr={lr"), ["6:35: trainer.command[2]: a single {; write {{ for a brace"]);
    assert_eq!(with("\"python3\"", "\" \""), ["6:12: trainer.command[0]: expected a program"]);
    assert_eq!(with("macs = 2e6", "macs = 2.5"), ["10:46: model.sizes[0].macs: found 2.5, expected a whole number"]);
    assert_eq!(
        with("depth = 2,", "depth = [2],"),
        [
            "10:5: model \"{s}\": lacks the setting.depth that trainer.command[4] asks for",
            "10:72: model.sizes[0].settings.depth: found a list, expected a number, a word, true or false",
        ]
    );
    assert_eq!(
        with(", heldout_examples = 100", ""),
        ["2:8: data.heldout_examples: missing; a data set without files has to be described by it"]
    );
    let without = CUSTOM.split("[model]").nth(1).expect("models");
    let without = format!(
        "name = \"c\"\ndata = {{ dataset = \"d\", directory = \"x\" }}\ngrid = {{ epochs = [2], lr = [0.001] }}\ntrain = {{ batch = 10 }}\n[model]{without}"
    );
    let found = problems(&without, Format::Toml);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("8:5: model \"{s}\": only a trainer of your own knows"), "{found:?}");
    let shared = with("batch = 10", "batch = 10, warmup_steps = 1, schedule = { name = \"wsd\", share_trunk = true }");
    assert_eq!(shared, ["4:19: train.schedule.share_trunk: only the built-in trainer goes on from shared trunks"]);
}

#[test]
fn networks_of_ours_still_need_to_know_the_pictures() {
    let text = GOOD.replace("directory = \"data\"", "train_examples = 100\nheldout_examples = 10");
    let found = problems(&format!("{text}[trainer]\ncommand = [\"train\"]\n"), Format::Toml);
    assert!(
        found.iter().any(|one| one.contains("for a price without files data.channels, classes, resolution")),
        "{found:?}"
    );
    let facts = DatasetFacts { mean: PerChannel::All(0.0), ..facts() };
    let text = GOOD.replace(
        "directory = \"data\"",
        "train_examples = 100\nheldout_examples = 10\nchannels = 1\nclasses = 4\nresolution = 8",
    );
    let sweep = Sweep::parse(&format!("{text}[trainer]\ncommand = [\"train\"]\n"), Format::Toml).expect("a good sweep");
    assert_eq!(Plan::expand(&sweep, &facts, &Outcomes::new()).expect("a good plan").runs.len(), 8);
}
