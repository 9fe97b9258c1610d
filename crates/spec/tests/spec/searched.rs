//! Plans of sweeps that search their learning rates: they grow with the results, and everything else of a sweep file holds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spec::document::Format;
use spec::plan::{Outcome, Outcomes, Plan};
use spec::run::{RunId, RunSpec};
use spec::search::replay::{Measured, replay};
use spec::sweep::{Strategy as Search, Sweep};

use crate::{GOOD, facts, planned, problems};

const STAGE: &str = "[finetune]\nepochs = 3\nlr = [0.01, 0.02]\n[finetune.train]\nbatch = 8\n";

/// The good sweep with three rates and these settings of its search.
fn sweep(search: &str) -> String {
    GOOD.replace("lr = [0.1, 0.2]", "lr = { center = 0.2, factor = 2, num = 3 }") + "[search]\n" + search + "\n"
}

fn with(text: &str, outcomes: &Outcomes) -> Plan {
    let sweep = Sweep::parse(text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut plan = Plan::expand(&sweep, &facts(), outcomes).unwrap_or_else(|problems| panic!("{problems:?}"));
    plan.add_finetuning(&sweep, &facts(), outcomes).unwrap_or_else(|problems| panic!("{problems:?}"));
    plan
}

fn ids(plan: &Plan) -> BTreeSet<RunId> {
    plan.runs.iter().map(|run| run.id).collect()
}

/// Takes the first run without an outcome until there is none; the plans on the way, the last one included.
fn history(text: &str, outcome: impl Fn(&RunSpec) -> Outcome) -> Vec<Plan> {
    let (mut outcomes, mut plans) = (Outcomes::new(), Vec::new());
    loop {
        let plan = with(text, &outcomes);
        assert_eq!(ids(&plan).len(), plan.runs.len(), "a run stands there twice");
        assert!(plan.runs.iter().all(|run| run.id == run.spec.id()));
        let next = plan.runs.iter().find(|run| !outcomes.contains_key(&run.id)).map(|run| run.spec.clone());
        plans.push(plan);
        let Some(next) = next else { return plans };
        outcomes.insert(next.id(), outcome(&next));
    }
}

/// Lowest at this rate.
fn valley(run: &RunSpec, lr: f64) -> Outcome {
    Outcome::Loss(1.0 + (run.train.lr / lr).ln().powi(2) + 1e-3 * run.seed as f64)
}

/// Model, epochs, learning rate, seed.
fn shown(plan: &Plan) -> Vec<(&str, f64, f64, u64)> {
    plan.runs.iter().map(|run| (run.model.as_str(), run.spec.train.epochs, run.spec.train.lr, run.spec.seed)).collect()
}

#[test]
fn two_trials_are_known_one_group_after_the_other() {
    let plans = history(&sweep("strategy = \"two-trial\""), |run| valley(run, 0.2));
    let (first, last) = (&plans[0], plans.last().expect("a last one"));
    // The smallest model and the shortest budget, from the middle in both directions.
    assert_eq!(shown(first), [("a", 0.5, 0.1, 0), ("a", 0.5, 0.2, 0), ("a", 0.5, 0.4, 0)]);
    let follow = |plan: &Plan| plan.to_follow.iter().map(|one| (one.at_least, one.at_most)).collect::<Vec<_>>();
    // Two beyond the grid on either side: seven rates for each of the others.
    assert_eq!(follow(first), [(0, 2), (1, 7), (1, 7), (1, 7)]);
    assert_eq!(last.runs.len(), 3 + 3 * 2);
    assert!(last.to_follow.is_empty());
    assert!(last.runs[3..].iter().all(|run| [0.1, 0.2].contains(&run.spec.train.lr)));
    for pair in plans.windows(2) {
        assert!(ids(&pair[0]).is_subset(&ids(&pair[1])), "a run was taken back");
    }
    // The last budget of the larger model waits for both of its neighbours.
    let begun = plans.iter().find(|plan| plan.runs.iter().any(|run| run.model == "b" && run.spec.train.epochs == 1.0));
    assert_eq!(begun.map(|plan| plan.runs.len()), Some(9));
}

#[test]
fn what_two_trials_ask_for_are_runs_of_the_grid() {
    let grid = ids(&planned(&sweep("strategy = \"grid\"")));
    let last = history(&sweep("strategy = \"two-trial\""), |run| valley(run, 0.2)).pop().expect("a last one");
    assert!(ids(&last).is_subset(&grid));
    // With the grid trained, nothing is left to ask for.
    let outcomes = planned(&sweep("")).runs.iter().map(|run| (run.id, valley(&run.spec, 0.2))).collect();
    let plan = with(&sweep("strategy = \"two-trial\""), &outcomes);
    assert_eq!((ids(&plan), plan.to_follow.len()), (grid, 0));
}

#[test]
fn refining_adds_what_a_grid_with_more_rates_has() {
    let refined =
        history(&sweep("strategy = \"refine\"\nmax_extra = 1"), |run| valley(run, 0.01)).pop().expect("a last one");
    let wider = planned(&GOOD.replace("lr = [0.1, 0.2]", "lr = [0.05, 0.1, 0.2, 0.4]"));
    assert_eq!(ids(&refined), ids(&wider));
}

#[test]
fn families_are_searched_side_by_side() {
    let vit = "[[model]]\nfamily = \"vit\"\nlr = [0.001, 0.002]\nsizes = [{ name = \"v\", patch = 4, width = 8, depth = 1, heads = 1 }]\n[grid]";
    let text = sweep("strategy = \"two-trial\"").replace("[model]", "[[model]]").replace("[grid]", vit);
    let first = with(&text, &Outcomes::new());
    let models: BTreeSet<&str> = first.runs.iter().map(|run| run.model.as_str()).collect();
    assert_eq!(models, BTreeSet::from(["a", "v"]));
    let rates = |plan: &Plan| -> Vec<f64> {
        let of_vit = plan.runs.iter().filter(|run| run.model == "v" && run.spec.train.epochs == 0.5);
        of_vit.map(|run| run.spec.train.lr).collect()
    };
    assert_eq!(rates(&first), [0.001, 0.002, 0.004]);
}

#[test]
fn skips_overrides_and_seeds_hold() {
    let rules = r#"
[[override]]
when = { model = "b", epochs = 1 }
lr = [0.3]
[[override]]
when = { model = "a", epochs = 1 }
seeds = [4, 5]
[[skip]]
when = { model = "b", lr = { min = 0.35 } }
reason = "diverges"
"#;
    let text = sweep("strategy = \"two-trial\"") + rules;
    let last = history(&text, |run| valley(run, 0.4)).pop().expect("a last one");
    let of = |model: &str, epochs: f64| {
        let runs = shown(&last).into_iter().filter(|run| (run.0, run.1) == (model, epochs));
        runs.map(|run| (run.2, run.3)).collect::<Vec<_>>()
    };
    assert_eq!(of("a", 0.5), [(0.1, 0), (0.2, 0), (0.4, 0), (0.8, 0)]);
    assert_eq!(of("a", 1.0), [(0.2, 4), (0.2, 5), (0.4, 4), (0.4, 5)]);
    // 0.4 is left out, so that the next lower ones stand for it.
    assert_eq!(of("b", 0.5), [(0.1, 0), (0.2, 0)]);
    assert_eq!(of("b", 1.0), [(0.3, 0)]);
    assert_eq!(last.skipped.iter().map(|one| one.cell.as_str()).collect::<Vec<_>>(), ["b, 0.5 epochs, lr 0.4"]);
}

#[test]
fn fine_tuning_waits_for_the_end_of_the_search() {
    let text = sweep("strategy = \"two-trial\"") + STAGE;
    let plans = history(&text, |run| if run.pretrained.is_some() { Outcome::Loss(1.0) } else { valley(run, 0.1) });
    assert_eq!(plans[0].waiting.iter().map(|one| one.runs).collect::<Vec<_>>(), [2, 2, 2, 2]);
    for plan in &plans {
        let tuned: BTreeSet<RunId> = plan.runs.iter().filter_map(|run| run.spec.pretrained).collect();
        for parent in plan.runs.iter().filter(|run| tuned.contains(&run.id)) {
            assert_eq!(parent.spec.train.lr, 0.1);
            let open =
                |one: &&spec::plan::RunsToFollow| one.model == parent.model && one.epochs == parent.spec.train.epochs;
            assert!(plan.to_follow.iter().find(open).is_none(), "fine-tuned before the search was over");
        }
    }
    let last = plans.last().expect("a last one");
    assert!(last.waiting.is_empty());
    assert_eq!(last.runs.iter().filter(|run| run.spec.pretrained.is_some()).count(), 4 * 2);
    let each = with(&text.replace("epochs = 3", "epochs = 3\nfrom = \"each\""), &Outcomes::new());
    // Three rates that are asked for, and at least one more in each of three groups; each at two rates.
    assert_eq!(each.waiting.iter().map(|one| one.runs).sum::<usize>(), 2 * (3 + 3));
}

#[test]
fn the_best_of_the_cheapest_are_repeated_and_not_fine_tuned() {
    let text = sweep("noise = { cells = 2, seeds = 3 }") + STAGE;
    let plans = history(&text, |run| valley(run, 0.2));
    assert_eq!(plans[0].to_follow.iter().map(|one| (one.at_most, one.repeats)).collect::<Vec<_>>(), [(0, 2), (0, 2)]);
    let last = plans.last().expect("a last one");
    let repeats: Vec<_> = last.runs.iter().filter(|run| run.repeat).collect();
    let cheapest: BTreeSet<_> = last.runs[..6].iter().map(|run| &run.model).collect();
    assert_eq!(repeats.len(), 4);
    assert!(repeats.iter().all(|run| run.spec.train.lr == 0.2 && [1, 2].contains(&run.spec.seed)));
    assert!(repeats.iter().any(|run| cheapest.contains(&run.model)));
    let repeated: BTreeSet<RunId> = repeats.iter().map(|run| run.id).collect();
    assert!(last.runs.iter().all(|run| run.spec.pretrained.is_none_or(|parent| !repeated.contains(&parent))));
    // Seeds that the sweep has anyway count, and a group without an optimum leaves its place to the next.
    let seeded = text.replace("num = 3 }", "num = 3 }\nseeds = [1, 7]");
    let last = history(&seeded, |run| valley(run, 0.2)).pop().expect("a last one");
    assert!(last.runs.iter().filter(|run| run.repeat).all(|run| run.spec.seed == 0));
    let last = history(&text, |run| if run.train.epochs == 0.5 { Outcome::Diverged } else { valley(run, 0.2) });
    let repeats = last.last().expect("a last one").runs.iter().filter(|run| run.repeat);
    assert_eq!(repeats.map(|run| run.spec.train.epochs).collect::<Vec<_>>(), [1.0; 4]);
}

#[test]
fn trunks_join_the_runs_that_are_there() {
    let shared = "batch = 10\nwarmup_steps = 2\nschedule = { name = \"wsd\", share_trunk = true }";
    let text = sweep("strategy = \"two-trial\"").replace("batch = 10", shared);
    let last = history(&text, |run| valley(run, 0.2)).pop().expect("a last one");
    let branched: Vec<_> = last.runs.iter().filter_map(|run| Some((run, run.trunk?))).collect();
    assert_eq!(branched.len(), 4, "two rates of the longer budget of each model");
    for (run, trunk) in branched {
        let shorter = last.runs.iter().find(|one| one.id == trunk.run).expect("in the plan");
        assert_eq!((shorter.spec.train.lr, &shorter.model), (run.spec.train.lr, &run.model));
    }
}

#[test]
fn canaries_are_the_cheapest_and_the_hungriest() {
    assert!(planned(GOOD).canaries.is_empty());
    let plan = planned(&format!("{GOOD}[policy]\ncanary = true\n"));
    let canaries: Vec<_> = plan.canaries.iter().filter_map(|id| plan.runs.iter().find(|run| run.id == *id)).collect();
    assert_eq!(canaries.len(), 2);
    assert_eq!(canaries[0].id, plan.runs[0].id);
    let most = plan.runs.iter().map(|run| run.price.bytes).max();
    assert_eq!(
        (canaries[1].model.as_str(), canaries[1].spec.train.epochs, Some(canaries[1].price.bytes)),
        ("b", 0.5, most)
    );
    let alone = planned(&format!(
        "{}[policy]\ncanary = true\n",
        GOOD.replace("[0.5, 1]", "[1]")
            .replace("[0.1, 0.2]", "[0.1]")
            .replace(", { name = \"b\", widths = [16, 32] }", "")
    ));
    assert_eq!(alone.canaries, [alone.runs[0].id]);
}

#[test]
fn mistakes_of_a_search_are_named() {
    for (search, said) in [
        ("strategy = \"tow-trial\"", "did you mean two-trial?"),
        ("strategy = 2", "search.strategy: found 2, expected one of grid, two-trial, refine"),
        ("max_extra = 2", "search.max_extra: the full grid has no rates beyond it"),
        ("strategy = \"refine\"\nmax_extra = 17", "search.max_extra: found 17, expected a whole number from 0 to 16"),
        ("noise = { cells = 1 }", "search.noise.seeds: missing"),
        ("noise = { cells = 1, seeds = 1 }", "search.noise.seeds: found 1, expected a whole number from 2 to 1000"),
        ("noise = 3", "search.noise: found 3, expected a table"),
        ("[policy]\ncanary = 1", "policy.canary: found 1, expected true or false"),
    ] {
        let found = problems(&sweep(search), Format::Toml).join("; ");
        assert!(found.contains(said), "{said:?} is not in {found:?}");
    }
    let single = GOOD.replace("[0.1, 0.2]", "[0.1]") + "[search]\nstrategy = \"refine\"\n";
    let single = Sweep::parse(&single, Format::Toml).expect("a sweep");
    let problems = Plan::expand(&single, &facts(), &Outcomes::new()).expect_err("nothing to search");
    assert!(problems[0].message.contains("nothing to search"), "{problems:?}");
}

/// A full grid of two models and three budgets, whose optimum falls from rung to rung.
fn measured() -> Vec<Measured> {
    let mut runs = Vec::new();
    for (model, size) in [("large", 10.0), ("small", 1.0)] {
        for (step, epochs) in [1.0, 2.0, 4.0].into_iter().enumerate() {
            for rung in 0..5_i32 {
                let optimum = 3 - step as i32 / 2 - i32::from(model == "large");
                let loss = (rung != 4).then(|| 1.0 + f64::from(rung - optimum).powi(2));
                let lr = 0.1 * f64::from(1 << rung);
                let (family, model) = (String::new(), model.to_owned());
                runs.push(Measured { family, model, size, epochs, lr, loss, cost: size * epochs });
            }
        }
    }
    runs
}

#[test]
fn a_replay_tells_what_two_trials_would_have_found() {
    let replayed = replay(Search::TwoTrial, &measured());
    let told: Vec<_> = replayed.iter().map(|one| (one.model.as_str(), one.epochs, one.tried.len())).collect();
    // The first one starts in the middle, goes up to 0.8 and finds 1.6 diverged.
    assert_eq!(
        told,
        [
            ("small", 1.0, 4),
            ("small", 2.0, 2),
            ("small", 4.0, 3),
            ("large", 1.0, 3),
            ("large", 2.0, 3),
            ("large", 4.0, 3)
        ]
    );
    assert!(replayed.iter().all(|one| one.found == one.best && one.found.is_some() && one.rates.len() == 5));
    let cost = |part: fn(&spec::search::replay::Replayed) -> f64| replayed.iter().map(part).sum::<f64>();
    assert_eq!(cost(|one| one.full_cost), 5.0 * 77.0);
    assert_eq!(cost(|one| one.cost), 4.0 + 2.0 * 2.0 + 3.0 * 4.0 + 10.0 * (3.0 + 3.0 * 2.0 + 3.0 * 4.0));
    let all = replay(Search::Grid, &measured());
    assert!(all.iter().all(|one| one.tried == one.rates && one.cost == one.full_cost));
    assert!(replay(Search::TwoTrial, &[]).is_empty());
}

proptest! {
    /// A replay says of each group what a running search comes to, with the grid's rates alone.
    #[test]
    fn a_replay_is_what_a_search_does(losses in proptest::collection::vec(0..50_u32, 12)) {
        let grid = planned(&sweep("")).runs;
        let index = |run: &RunSpec| grid.iter().position(|one| one.spec == *run).expect("a run of the grid");
        let outcome = |run: &RunSpec| match losses[index(run)] {
            0 => Outcome::Diverged,
            loss => Outcome::Loss(f64::from(loss)),
        };
        let measured: Vec<Measured> = grid.iter().map(|run| Measured {
            family: "nfnet".to_owned(),
            model: run.model.clone(),
            size: run.price.parameters as f64,
            epochs: run.spec.train.epochs,
            lr: run.spec.train.lr,
            loss: match outcome(&run.spec) { Outcome::Loss(loss) => Some(loss), _ => None },
            cost: 1.0,
        }).collect();
        let searched = history(&sweep("strategy = \"two-trial\"\nmax_extra = 0"), outcome).pop().expect("a last one");
        for group in replay(Search::TwoTrial, &measured) {
            let runs = searched.runs.iter().filter(|run| run.model == group.model && run.spec.train.epochs == group.epochs);
            prop_assert_eq!(runs.map(|run| run.spec.train.lr).collect::<Vec<_>>(), group.tried);
        }
    }
}
