//! Budgets that share their beginning.

use proptest::prelude::*;
use spec::document::Format;
use spec::plan::Plan;
use spec::run::RunSpec;
use spec::trunk::trunks;

use crate::{GOOD, planned, problems};

fn sweep(schedule: &str) -> String {
    GOOD.replace("[0.5, 1]", "[1, 2, 4.25]").replace("batch = 10", &format!("batch = 10\n{schedule}"))
}

/// Budget and learning rate of a run, and the budget and steps of the one it branches off.
type Shown = (f64, f64, Option<(f64, u64)>);

fn shown(plan: &Plan) -> Vec<Shown> {
    let of_a = plan.runs.iter().filter(|run| run.model == "a");
    let budget = |id| plan.runs.iter().find(|one| one.spec.id() == id).map_or(0.0, |one| one.spec.train.epochs);
    of_a.map(|run| {
        let trunk = run.trunk.map(|trunk| (budget(trunk.run), trunk.step));
        (run.spec.train.epochs, run.spec.train.lr, trunk)
    })
    .collect()
}

#[test]
fn each_budget_branches_off_the_next_shorter_one() {
    let plan = planned(&sweep("warmup_steps = 3\nschedule = { name = \"wsd\", cooldown = 0.2, share_trunk = true }"));
    let mut found = shown(&plan);
    found.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    // 100 examples in batches of 10: 10, 20 and 43 steps, of which 2, 4 and 9 are cooldown.
    let expected = |lr| [(1.0, lr, None), (2.0, lr, Some((1.0, 8))), (4.25, lr, Some((2.0, 16)))];
    let mut all = [expected(0.1), expected(0.2)].concat();
    all.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    assert_eq!(found, all);
    let shares: f64 = plan.runs.iter().filter(|run| run.model == "a").map(|run| run.own_share()).sum();
    assert!((shares - 2.0 * (1.0 + 12.0 / 20.0 + 27.0 / 43.0)).abs() < 1e-12, "{shares}");
    let alone = planned(&sweep("warmup_steps = 3\nschedule = { name = \"wsd\", cooldown = 0.2 }"));
    let ids = |plan: &Plan| plan.runs.iter().map(|run| run.spec.id()).collect::<Vec<_>>();
    assert_eq!(ids(&plan), ids(&alone), "sharing makes no other run");
    assert!(alone.runs.iter().all(|run| run.trunk.is_none()));
}

#[test]
fn what_depends_on_the_budget_cannot_be_shared() {
    for (schedule, said) in [
        ("schedule = { name = \"wsd\", share_trunk = true }", "give train.warmup_steps instead"),
        ("warmup_steps = 3\nschedule = { name = \"cosine\", share_trunk = true }", "a cosine depends on the budget"),
        ("warmup_steps = 3\nschedule = { name = \"wsd\", share_trunk = 1 }", "share_trunk"),
    ] {
        let found = problems(&sweep(schedule), Format::Toml).join("; ");
        assert!(found.contains(said), "{said:?} is not in {found:?}");
    }
}

proptest! {
    /// The steps that two runs are said to share are the same in both: rate by rate, batch by batch.
    #[test]
    fn shared_steps_are_the_same_steps(
        short in 0.1..3.0_f64,
        longer in 1.01..4.0_f64,
        batch in 1..33_u64,
        warmup in 0..30_u64,
        cooldown in 0.0..0.99_f64,
        which in 0..3_usize,
        multiplicity in 1..4_u64,
    ) {
        let name = ["wsd", "rsqrt", "constant"][which];
        let cooldown = if name == "constant" { String::new() } else { format!(", cooldown = {cooldown}") };
        let text = GOOD
            .replace("[0.5, 1]", &format!("[{short}, {}]", short * longer))
            .replace("batch = 10", &format!(
                "batch = {}\nmultiplicity = {multiplicity}\nwarmup_steps = {warmup}\nschedule = {{ name = \"{name}\", share_trunk = true{cooldown} }}",
                batch * multiplicity,
            ));
        prop_assume!(problems(&text, Format::Toml).is_empty());
        let runs: Vec<RunSpec> = planned(&text).runs.into_iter().map(|run| run.spec).collect();
        for (longer, trunk) in trunks(&runs) {
            let of = |id| runs.iter().find(|run| run.id() == id).expect("planned");
            let (a, b) = (of(trunk.run), of(longer));
            prop_assert!(trunk.step <= b.trunk_steps());
            prop_assert!(trunk.step * a.train.batch <= a.samples().min(b.samples()));
            for step in 0..trunk.step {
                prop_assert_eq!(a.schedule().rate(step).to_bits(), b.schedule().rate(step).to_bits());
            }
        }
    }
}
