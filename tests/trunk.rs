//! Budgets that share their beginning come to the same bits in less time.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Lab, tiny};

fn shared(share: bool) -> String {
    let schedule =
        format!("warmup_steps = 5\nschedule = {{ name = \"wsd\", cooldown = 0.3, share_trunk = {share} }}\nema = 0.9");
    // The longest budget goes beyond two epochs, so that a branch lies behind a closed one.
    tiny("0.02, 0.05").replace("[1, 2.5]", "[0.5, 1.6, 2.5]").replace("batch = 16", &format!("batch = 16\n{schedule}"))
}

/// Identity, steps that were not trained, and hash of the final state of every run.
fn found(lab: &Lab, state: &str) -> BTreeMap<String, (String, String)> {
    let row =
        |run: BTreeMap<String, String>| (run["run_id"].clone(), (run["trunk_step"].clone(), run["state_hash"].clone()));
    lab.runs(state).into_iter().map(row).collect()
}

#[test]
fn branching_off_changes_no_bit() {
    let Some(lab) = Lab::new() else { return };
    lab.write("alone.toml", &shared(false));
    lab.write("shared.toml", &shared(true));
    lab.scalelaw("alone", &["run", "alone.toml"]).check(0, &[]);
    let plan = lab.scalelaw("state", &["plan", "shared.toml", "--json"]).json();
    let total = |key: &str| plan["totals"][key].as_f64().expect("a number");
    assert!(total("training_flops_with_shared_trunks") < 0.7 * total("training_flops"));
    lab.scalelaw("state", &["run", "shared.toml"]).check(0, &[]);
    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);

    let (alone, together) = (found(&lab, "alone"), found(&lab, "state"));
    assert_eq!(alone.len(), 12);
    let hashes = |all: &BTreeMap<String, (String, String)>| {
        all.iter().map(|(run, (_, hash))| (run.clone(), hash.clone())).collect::<Vec<_>>()
    };
    assert_eq!(hashes(&alone), hashes(&together));
    assert!(alone.values().all(|(step, hash)| step.is_empty() && hash.len() == 64));
    // 480 examples in batches of 16: 15, 48 and 75 steps, of which 5 (rounded), 14 and 23 (rounded) are cooldown.
    let mut steps: Vec<&str> = together.values().map(|(step, _)| step.as_str()).collect();
    steps.sort_unstable();
    assert_eq!(steps, ["", "", "", "", "10", "10", "10", "10", "34", "34", "34", "34"]);

    // Compute is that of the whole run, as if nothing had been shared.
    let flops = |state: &str| lab.runs(state).iter().map(|run| run["training_flops"].clone()).collect::<Vec<_>>();
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(flops("alone")), sorted(flops("state")));
}

#[test]
fn a_constant_rate_has_all_steps_for_its_trunk() {
    let Some(lab) = Lab::new() else { return };
    let constant = |share: &str| {
        let schedule = format!("warmup_steps = 5\nschedule = {{ name = \"constant\"{share} }}");
        tiny("0.02").replace("[1, 2.5]", "[1, 1.7]").replace("batch = 16", &format!("batch = 16\n{schedule}"))
    };
    lab.write("alone.toml", &constant(""));
    lab.write("shared.toml", &constant(", share_trunk = true"));
    lab.scalelaw("alone", &["run", "alone.toml"]).check(0, &[]);
    lab.scalelaw("state", &["run", "shared.toml"]).check(0, &[]);
    let (alone, together) = (found(&lab, "alone"), found(&lab, "state"));
    let steps: Vec<&str> = together.values().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps.iter().filter(|step| **step == "30").count(), 2, "{steps:?}");
    for (run, (_, hash)) in &together {
        assert_eq!(hash, &alone[run].1);
    }
    let left = fs::read_dir(lab.path("state/runs")).expect("runs").flatten();
    assert!(left.into_iter().all(|run| !run.path().join("trunk").exists()), "a trunk that nobody waits for is removed");
}

#[test]
fn a_trunk_that_is_gone_or_damaged_costs_time_and_nothing_else() {
    let Some(lab) = Lab::new() else { return };
    lab.write("alone.toml", &shared(false));
    lab.scalelaw("alone", &["run", "alone.toml"]).check(0, &[]);
    let short = shared(true).replace("[0.5, 1.6, 2.5]", "[0.5]");
    let two = shared(true).replace("[0.5, 1.6, 2.5]", "[0.5, 1.6]");
    // Alone, the shortest budget keeps no trunk, for nobody asks for it.
    lab.write("short.toml", &short.replace("\"tiny\"", "\"short\""));
    lab.scalelaw("state", &["run", "short.toml"]).check(0, &[]);
    lab.write("two.toml", &two);
    lab.scalelaw("state", &["run", "two.toml"])
        .check(0, &["trained from its first step on", "trunk/0000000010: No such file"]);
    for (run, (step, hash)) in found(&lab, "state") {
        assert_eq!((step.as_str(), &hash), ("", &found(&lab, "alone")[&run].1));
    }
    // One that is not what it should be is passed over, too.
    lab.scalelaw("other", &["run", "short.toml"]).check(0, &[]);
    for run in fs::read_dir(lab.path("other/runs")).expect("runs").flatten() {
        let trunk = run.path().join("trunk/0000000010");
        fs::create_dir_all(&trunk).expect("writable");
        fs::write(trunk.join("manifest.json"), "{}").expect("writable");
    }
    let said = lab.scalelaw("other", &["run", "two.toml"]);
    said.check(0, &["trained from its first step on", "missing field `schema`"]);
    for (run, (step, hash)) in found(&lab, "other") {
        assert_eq!((step.as_str(), &hash), ("", &found(&lab, "alone")[&run].1));
    }
}
