//! Searches of the learning rate, with trainers that pretend.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::support::Lab;

const SWEEP: &str = r#"
name = "law"
trainer = { command = ["sh", "train.sh", "{lr}", "{model}", "{epochs}"] }
data = { dataset = "d", train_examples = 1000, heldout_examples = 100 }
[model]
family = "custom"
sizes = [
    { name = "small", parameters = 1e4, macs = 2e5 },
    { name = "middle", parameters = 1e5, macs = 2e6 },
    { name = "large", parameters = 1e6, macs = 2e7 },
]
[grid]
epochs = [1, 2, 4]
lr = { center = 0.1, factor = 2, num = 5 }
[train]
batch = 10
[resources]
slots = 2
device_flops = 1e12
[policy]
retries = 100
failures_in_a_row = 1000
"#;

fn two_trial() -> String {
    SWEEP.to_owned() + "[search]\nstrategy = \"two-trial\"\nmax_extra = 0\n"
}

/// Model, epochs and learning rate of what was trained.
fn trained(lab: &Lab, state: &str) -> BTreeSet<(String, String, String)> {
    let runs = lab.runs(state).into_iter();
    runs.map(|run| (run["model"].clone(), run["epochs"].clone(), run["lr"].clone())).collect()
}

#[test]
fn a_killed_search_ends_with_what_its_replay_over_the_grid_says() {
    let lab = Lab::without_worker();
    lab.write("grid.toml", SWEEP);
    lab.write("law.toml", &two_trial());
    lab.scalelaw("grid", &["simulate", "grid.toml", "--speed", "1e6"]).check(0, &[]);
    let told = lab.scalelaw("grid", &["search", "--json"]).json();
    let mut tried = BTreeSet::new();
    for cell in told["cells"].as_array().expect("a list") {
        for lr in cell["tried"].as_array().expect("a list") {
            tried.insert((
                cell["model"].as_str().expect("a name").to_owned(),
                cell["epochs"].to_string(),
                lr.to_string(),
            ));
        }
    }
    assert!((18..45).contains(&tried.len()), "{told}");

    let arguments = ["simulate", "law.toml", "--speed", "1000", "--faults", "crash=0.2,preempt=0.1", "--seed", "7"];
    let mut kills = 0;
    loop {
        let mut command = lab.command("state", &arguments);
        let mut scheduler = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
        let before = lab.journals("state").len();
        let mut over = None;
        while over.is_none() && (kills == 8 || lab.journals("state").len() < before + 3) {
            std::thread::sleep(Duration::from_millis(5));
            over = scheduler.try_wait().expect("our own child");
        }
        if let Some(over) = over {
            assert_eq!(over.code(), Some(0));
            break;
        }
        scheduler.kill().expect("our own child");
        scheduler.wait().expect("our own child");
        kills += 1;
    }
    assert!(kills >= 3, "the search was over before it could be disturbed");
    let number = |text: &str| text.parse::<f64>().expect("a number").to_bits();
    let exact = |set: BTreeSet<(String, String, String)>| -> BTreeSet<(String, u64, u64)> {
        set.into_iter().map(|(model, epochs, lr)| (model, number(&epochs), number(&lr))).collect()
    };
    assert_eq!(exact(trained(&lab, "state")), exact(tried));
    assert!(lab.runs("state").iter().all(|run| run["state"] == "completed" && run["wanted"] == "true"));
    lab.scalelaw("state", &["verify", "database"]).check(0, &[]);
}

#[test]
fn a_plan_says_what_a_search_may_ask_for_and_slots_are_kept_for_it() {
    let lab = scripted(&two_trial().replace("slots = 2", "slots = 7"), "finish \"$1\"");
    let plan = lab.scalelaw("state", &["plan", "law.toml"]);
    // Two to five of each of the other eight, and beyond the three in the middle of the first one two at most.
    let search = "to follow as the search of learning rates goes on: 8 to 41 runs";
    assert!(plan.out.contains(search), "{}", plan.out);
    let json = lab.scalelaw("state", &["plan", "law.toml", "--json"]).json();
    assert_eq!(json["search_to_follow"].as_array().map(Vec::len), Some(9));
    let said = lab.scalelaw("state", &["run", "law.toml"]);
    said.check(0, &["3 runs and 8 to 41 of the search to follow", "7 at a time"]);
    let over = lab.scalelaw("state", &["plan", "law.toml"]);
    assert_eq!(over.code, Some(0));
    assert!(!over.out.contains("to follow"), "{}", over.out);
}

/// The sweep with this script as trainer; `$1` is the learning rate, `$2` the model, `$3` the epochs.
fn scripted(sweep: &str, script: &str) -> Lab {
    let lab = Lab::without_worker();
    let finish = "finish() { echo \"{\\\"event\\\":\\\"finished\\\",\\\"heldout_loss\\\":$1}\" >> \"$SCALELAW_JOURNAL\"; exit 0; }\n";
    lab.write("train.sh", &(finish.to_owned() + script));
    lab.write("law.toml", &sweep.replace("retries = 100", "retries = 0"));
    lab
}

#[test]
fn a_search_goes_on_without_a_run_that_fails_and_catches_up_once_it_is_mended() {
    let small = two_trial().replace("epochs = [1, 2, 4]", "epochs = [1]");
    // The lowest loss is at the lowest rate, but the rate below the middle fails for the smallest model.
    let lab = scripted(&small, "[ \"$1 $2\" = \"0.05 small\" ] && [ ! -e mended ] && exit 9\nfinish \"$1\"");
    lab.scalelaw("state", &["run", "law.toml"]).check(1, &["failed (code)"]);
    let of = |model: &str| trained(&lab, "state").iter().filter(|run| run.0 == model).count();
    // Of the other two 0.1 is the best. From there the middle one goes down to the lowest of the grid, where the large one begins.
    assert_eq!((of("small"), of("middle"), of("large")), (3, 3, 1), "{:?}", trained(&lab, "state"));
    lab.write("mended", "");
    lab.scalelaw("state", &["run", "law.toml"]).check(0, &["trying again what failed before: 1 run"]);
    assert_eq!(of("small"), 4, "0.05 was better than 0.1, and so 0.025 was tried");
    assert!(lab.runs("state").iter().all(|run| run["state"] == "completed" && run["wanted"] == "true"));
}

#[test]
fn canaries_spare_the_others_a_mistake() {
    let canary = SWEEP.replace("retries", "canary = true\nretries");
    let wrong = scripted(&canary.replace("slots = 2", "slots = 1"), "exit 9");
    wrong.scalelaw("state", &["run", "law.toml"]).check(1, &["a canary run failed, so the others were not started"]);
    assert_eq!(wrong.runs("state").iter().filter(|run| run["state"] == "failed").count(), 1);
    assert_eq!(wrong.runs("state").iter().filter(|run| run["state"] == "queued").count(), 44);
    let right = scripted(&canary, "echo \"$2 $3\" >> order\nfinish 1");
    right.scalelaw("state", &["run", "law.toml"]).check(0, &[]);
    let order = std::fs::read_to_string(right.path("order")).expect("written by the trainers");
    assert_eq!(order.lines().count(), 45);
    let first: BTreeSet<&str> = order.lines().take(2).collect();
    assert_eq!(first, BTreeSet::from(["small 1", "large 1"]), "the cheapest and the one that takes most memory");
}
