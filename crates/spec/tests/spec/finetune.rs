//! The second stage: which runs start from the weights of which, and what they are.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spec::document::Format;
use spec::plan::{DatasetFacts, Outcome, Outcomes, Plan};
use spec::run::{Mixing, RunId, RunSpec};
use spec::sweep::Sweep;

use crate::{GOOD, facts, planned, problems};

const STAGE: &str = r#"
[finetune]
epochs = 3
lr = [0.01, 0.02]
[finetune.data]
dataset = "e"
directory = "other"
keep_classes = [2, 0]
resolution = 12
heldout_resolution = 16
[finetune.train]
batch = 8
sam = { rho = 0.05 }
dropout = 0.25
multiplicity = 4
mixup = 0.2
cutmix = 1
rand_augment = { layers = 2, magnitude = 5 }
inception_crop = 0.08
"#;

/// 30 training and 6 held-out examples of each of three classes.
fn others() -> DatasetFacts {
    let fingerprint = "g".to_owned();
    DatasetFacts {
        fingerprint,
        train_examples: 90,
        heldout_examples: 18,
        classes: 3,
        per_class: vec![[30, 6]; 3],
        ..facts()
    }
}

fn tuned(text: &str, outcomes: &Outcomes) -> Plan {
    let sweep = Sweep::parse(text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut plan = planned(text);
    plan.add_finetuning(&sweep, &others(), outcomes).unwrap_or_else(|problems| panic!("{problems:?}"));
    plan
}

fn second_stage(plan: &Plan) -> Vec<&RunSpec> {
    plan.runs.iter().map(|run| &run.spec).filter(|run| run.pretrained.is_some()).collect()
}

#[test]
fn before_there_are_results_it_is_a_number_with_a_price() {
    let plan = tuned(&format!("{GOOD}{STAGE}"), &Outcomes::new());
    assert_eq!(second_stage(&plan).len(), 0);
    // Two models times two budgets, the best of each at two rates.
    assert_eq!(plan.waiting.iter().map(|one| one.runs).collect::<Vec<_>>(), [2, 2, 2, 2]);
    assert!(plan.waiting.iter().all(|one| one.price.seconds > 0.0 && one.price.samples == 180));
    let each =
        tuned(&format!("{GOOD}{}", STAGE.replace("epochs = 3", "epochs = 3\nfrom = \"each\"")), &Outcomes::new());
    assert_eq!(each.waiting.iter().map(|one| one.runs).sum::<usize>(), 16);
}

#[test]
fn it_starts_from_the_best_rate_and_is_what_its_table_says() {
    let text = format!("{GOOD}{STAGE}");
    let first = planned(&text).runs;
    let loss = |run: &RunSpec| if run.train.lr == 0.2 { 1.0 } else { 2.0 };
    let outcomes: Outcomes = first.iter().map(|run| (run.spec.id(), Outcome::Loss(loss(&run.spec)))).collect();
    let plan = tuned(&text, &outcomes);
    assert_eq!((plan.runs.len(), plan.waiting.len()), (8 + 8, 0));
    let parents: BTreeSet<RunId> = second_stage(&plan).iter().filter_map(|run| run.pretrained).collect();
    let best = first.iter().filter(|run| run.spec.train.lr == 0.2).map(|run| run.spec.id());
    assert_eq!(parents, best.collect());
    assert!(plan.runs[..8].iter().all(|run| run.spec.pretrained.is_none()), "what is started from comes first");

    let run = second_stage(&plan)[0];
    assert_eq!((run.data.train_examples, run.data.heldout_examples, run.data.classes), (60, 12, 2));
    assert_eq!((run.data.resolution, run.data.heldout_resolution), (12, 16));
    assert_eq!(run.data.keep_classes.as_deref(), Some(&[2, 0][..]));
    let augment = run.train.augment;
    assert_eq!(augment.mixing, Some(Mixing::Both { mixup: 0.2, cutmix: 1.0 }));
    // 180 pictures of 45 draws: three quarters of a pass over 60 examples.
    assert_eq!((run.samples(), run.draws(), run.steps()), (180, 45, 23));
    let json = serde_json::to_string(run).expect("plain data");
    assert_eq!(&serde_json::from_str::<RunSpec>(&json).expect("its own output"), run);
}

#[test]
fn a_rate_one_of_whose_seeds_diverged_is_not_the_best() {
    let text = format!("{}{STAGE}", GOOD.replace("lr = [0.1, 0.2]", "lr = [0.1, 0.2]\nseeds = [0, 1]"));
    let outcome = |run: &RunSpec| match (run.train.lr == 0.2, run.seed) {
        (true, 1) => Outcome::Diverged,
        (true, _) => Outcome::Loss(0.1),
        (false, _) => Outcome::Loss(1.0),
    };
    let outcomes = planned(&text).runs.iter().map(|run| (run.spec.id(), outcome(&run.spec))).collect();
    let plan = tuned(&text, &outcomes);
    let first: Vec<&RunSpec> = plan.runs.iter().map(|run| &run.spec).collect();
    for run in second_stage(&plan) {
        let parent = first.iter().find(|one| Some(one.id()) == run.pretrained).expect("in the plan");
        assert_eq!((parent.train.lr, parent.seed), (0.1, run.seed), "both seeds of the lower rate, each with its own");
    }
    let diverged = planned(&text).runs.iter().map(|run| (run.spec.id(), Outcome::Diverged)).collect();
    let plan = tuned(&text, &diverged);
    assert_eq!((second_stage(&plan).len(), plan.waiting.len(), plan.skipped.len()), (0, 0, 16));
}

proptest! {
    /// Whatever is known: runs and waiting runs and those without weights add up, results never take a named run away, and
    /// nothing starts from a run without a loss.
    #[test]
    fn results_only_ever_add(known in proptest::collection::vec(0..3_u8, 8), more in proptest::collection::vec(any::<bool>(), 8), each: bool) {
        let from = if each { "each" } else { "best" };
        let text = format!("{GOOD}{}", STAGE.replace("epochs = 3", &format!("epochs = 3\nfrom = \"{from}\"")));
        let grid = planned(&text).runs;
        let outcome = |index: usize| if known[index] == 1 { Outcome::Diverged } else { Outcome::Loss(index as f64 + 1.0) };
        let outcomes = |all: bool| -> Outcomes {
            let there = |index: &usize| all || more[*index];
            (0..8).filter(there).map(|index| (grid[index].spec.id(), outcome(index))).collect()
        };
        let (some, all) = (outcomes(false), outcomes(true));
        let (before, after) = (tuned(&text, &some), tuned(&text, &all));
        let ids = |plan: &Plan| second_stage(plan).iter().map(|run| run.id()).collect::<BTreeSet<_>>();
        prop_assert!(ids(&before).is_subset(&ids(&after)));
        prop_assert!(after.waiting.is_empty());
        for run in second_stage(&before) {
            prop_assert!(matches!(run.pretrained.and_then(|parent| some.get(&parent)), Some(Outcome::Loss(_))));
        }
        if each {
            let later: usize = before.waiting.iter().map(|one| one.runs).sum();
            prop_assert_eq!(ids(&before).len() + later + 2 * before.skipped.len(), 16);
        }
    }
}

#[test]
fn mistakes_of_the_second_stage_are_named() {
    let with = |from: &str, to: &str| problems(&format!("{GOOD}{}", STAGE.replace(from, to)), Format::Toml).join("; ");
    for (from, to, said) in [
        ("lr = [0.01, 0.02]\n", "", "finetune.lr: missing"),
        ("multiplicity = 4", "multiplicity = 3", "finetune.train.multiplicity: a batch of 8 does not hold 3"),
        ("mixup = 0.2", "mixup = 0", "finetune.train.mixup: "),
        ("keep_classes = [2, 0]", "keep_classes = [2]", "finetune.data.keep_classes: at least two"),
        ("keep_classes = [2, 0]", "keep_classes = [2, 2]", "finetune.data.keep_classes: 2 stands there twice"),
        ("layers = 2, ", "", "finetune.train.rand_augment.layers: missing"),
        ("dropout", "dropuot", "did you mean dropout?"),
        ("inception_crop = 0.08", "inception_crop = 0.08\ncrop_padding = 2", "give it or crop_padding, not both"),
        ("epochs = 3", "from = \"worst\"\nepochs = 3", "finetune.from"),
    ] {
        let found = with(from, to);
        assert!(found.contains(said), "{said:?} is not in {found:?}");
    }
    let lonely = GOOD.replace("group_width = 4", "group_width = 4\nfinetune_lr = [0.1]");
    assert!(problems(&lonely, Format::Toml).join("; ").contains("this sweep has no [finetune]"));
}

#[test]
fn what_only_the_data_of_the_second_stage_can_tell() {
    let refused = |stage: &str, facts: &DatasetFacts| {
        let text = format!("{GOOD}{stage}");
        let sweep = Sweep::parse(&text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
        let found = planned(&text).add_finetuning(&sweep, facts, &Outcomes::new());
        found.expect_err("something is wrong").iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let colour = DatasetFacts { channels: 3, ..others() };
    assert!(
        refused(STAGE, &colour).contains("pictures of 3 channels, but the networks were pre-trained on pictures of 1")
    );
    assert!(
        refused(&STAGE.replace("[2, 0]", "[2, 7]"), &others())
            .contains("no class 7 to train on and to hold out; it has 0 to 2")
    );
    assert!(refused(&STAGE.replace("batch = 8", "batch = 64"), &others()).contains("64 is more than the 60 examples"));
    assert!(
        refused(&STAGE.replace("= 12", "= 1"), &others())
            .contains("on the pictures of finetune.data: 1 pixels are too few")
    );
}
