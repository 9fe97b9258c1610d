//! Two stages: pre-training, then fine-tuning from its weights, with kills, damage and wrong input.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Lab, tiny};

type Row = BTreeMap<String, String>;

/// The tiny sweep with a Vision Transformer, on two of the four classes, then fine-tuned on the other two with everything on.
fn two_stages() -> String {
    let vit = r#"
[[model]]
family = "vit"
lr = [0.002]
finetune_lr = [0.001]
sizes = [{ name = "vit", patch = 4, width = 16, depth = 2, heads = 2 }]
"#;
    let stage = r#"
[finetune]
epochs = 8
lr = [0.1, 0.2]

[finetune.data]
dataset = "blobs"
directory = "data"
keep_classes = [3, 1]
train_examples = 160
resolution = 12
heldout_resolution = 16

[finetune.train]
batch = 16
agc_lambda = 0.1
evaluations = 2
sam = { rho = 0.05, batch_share = 0.2 }
stochastic_depth = 0.1
dropout = 0.25
ema = 0.9
flip = false
inception_crop = 0.8
rand_augment = { layers = 1, magnitude = 3 }
mixup = 0.2
cutmix = 1
multiplicity = 2
"#;
    let grid = tiny("0.02, 0.05").replace("[model]", "[[model]]").replace("[grid]", &format!("{vit}\n[grid]"));
    grid.replace("directory = \"data\"", "directory = \"data\"\nkeep_classes = [0, 2]") + stage
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} is {:?}", row[column]))
}

fn stages(lab: &Lab, state: &str) -> (Vec<Row>, Vec<Row>) {
    lab.runs(state).into_iter().partition(|row| row["pretrained_run_id"].is_empty())
}

#[test]
fn the_best_of_each_budget_is_fine_tuned_and_drawn() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &two_stages());
    let planned = lab.scalelaw("state", &["plan", "tiny.toml", "--json"]).json();
    let later = planned["finetuning_to_follow"].as_array().expect("six groups");
    assert_eq!(later.iter().filter_map(|one| one["runs"].as_u64()).collect::<Vec<_>>(), [2, 2, 2, 2, 1, 1]);
    lab.scalelaw("state", &["run", "tiny.toml"])
        .check(0, &["10 runs and 10 of fine-tuning to follow", "fine-tuned at lr"]);

    let (first, second) = stages(&lab, "state");
    assert_eq!((first.len(), second.len()), (10, 10));
    for row in &second {
        let parent = first.iter().find(|one| one["run_id"] == row["pretrained_run_id"]).expect("of this sweep");
        let rivals = first.iter().filter(|one| one["model"] == parent["model"] && one["epochs"] == parent["epochs"]);
        let lowest = rivals.map(|one| number(one, "heldout_loss_nats")).fold(f64::INFINITY, f64::min);
        assert_eq!(number(parent, "heldout_loss_nats"), lowest, "not the best learning rate of its group");
        assert_eq!(row["pretraining_flops"], parent["training_flops"]);
        assert_eq!(row["pretraining_epochs"], parent["epochs"]);
        assert_eq!(number(row, "samples"), 1280.0, "eight epochs of pictures, whatever the multiplicity");
    }
    let right = second.iter().map(|row| number(row, "heldout_accuracy")).fold(0.0, f64::max);
    assert!(right > 0.8, "two classes that show plainly were not learned: {right}");

    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "transfer", "--compute", "flops", "--out", "figures"]).check(0, &[]);
    let drawn = fs::read_to_string(lab.path("figures/transfer-flops.csv")).expect("drawn");
    assert_eq!(drawn.lines().filter(|line| line.starts_with("point,")).count(), 6, "{drawn}");
    let fit = lab.scalelaw("state", &["fit", "frontier", "--stage", "finetuning", "--json"]);
    assert!(matches!(fit.code, Some(0 | 4)), "{}", fit.err);
    // Fits of the grid know nothing of the second stage.
    let grid = lab.scalelaw("state", &["fit", "lr", "--json"]).json();
    assert_eq!(grid["groups"].as_array().map(Vec::len), Some(6), "{grid}");

    lab.scalelaw("state", &["run", "tiny.toml"])
        .check(0, &["20 runs (0 new, 20 kept, 0 dropped; 20 with a result already)"]);
    assert_eq!(lab.journals("state").len(), 20, "nothing is trained twice");
}

#[test]
fn a_scheduler_killed_in_the_second_stage_changes_no_bit() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &two_stages());
    lab.scalelaw("whole", &["run", "tiny.toml"]).check(0, &[]);
    let mut kills = 0;
    for attempt in 0..40 {
        let mut command = lab.command("cut", &["run", "tiny.toml", "--progress", "none"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
        let began = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().expect("our child") {
                break Some(status);
            }
            // Longer each time, so that it comes to an end on any machine.
            if began.elapsed() > Duration::from_millis(700 + 150 * attempt) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => {
                kills += 1;
                let pid = Pid::from_raw(child.id() as i32).expect("a process");
                kill_process(pid, Signal::KILL).expect("it runs");
                child.wait().expect("our child");
            }
        }
    }
    assert!(kills > 0, "it was never killed");
    let hashes = |state| {
        lab.runs(state).iter().map(|row| (row["run_id"].clone(), row["state_hash"].clone())).collect::<BTreeMap<_, _>>()
    };
    let (whole, cut) = (hashes("whole"), hashes("cut"));
    assert_eq!(whole.len(), 20);
    assert_eq!(whole, cut, "after {kills} kills");
    assert!(whole.values().all(|hash| hash.len() == 64));
}

#[test]
fn weights_that_are_gone_damaged_or_of_another_network_fail_by_name() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &two_stages());
    let stage = two_stages();
    let (grid, _) = stage.split_once("[finetune]").expect("a second stage");
    lab.write("grid.toml", &grid.replace("finetune_lr = [0.001]\n", ""));
    lab.scalelaw("state", &["run", "grid.toml"]).check(0, &[]);
    let (first, _) = stages(&lab, "state");
    let weights = |row: &Row| lab.path("state/runs").join(&row["run_id"]).join("weights.safetensors");
    let of = |model: &'static str| first.iter().filter(move |row| row["model"] == model);
    for row in of("small") {
        fs::remove_file(weights(row)).expect("a finished run has weights");
    }
    for row in of("large") {
        let mut content = fs::read(weights(row)).expect("a finished run has weights");
        let last = content.len() - 3;
        content[last] ^= 1;
        fs::write(weights(row), content).expect("writable");
    }
    let said = lab.scalelaw("state", &["run", "tiny.toml"]);
    said.check(
        1,
        &[
            "weights.safetensors: no such file",
            "train that run again in another --state-dir",
            "do not match their hash",
            "failed (data)",
        ],
    );
    let (_, second) = stages(&lab, "state");
    let state = |model: &str| {
        second.iter().filter(|row| row["model"] == model).map(|row| row["state"].as_str()).collect::<Vec<_>>()
    };
    assert_eq!(
        (state("small"), state("large"), state("vit")),
        (vec!["failed"; 4], vec!["failed"; 4], vec!["completed"; 2])
    );
}

#[test]
fn fine_tuning_that_was_asked_for_before_is_taken_up_when_the_grid_has_grown() {
    let Some(lab) = Lab::new() else { return };
    // One model; its fine-tuning fails at first, because the weights are away.
    let sweep = two_stages();
    let large = "    { name = \"large\", widths = [16, 32], group_width = 8 },\n";
    let (before, vit) = (sweep.find("[[model]]\nfamily = \"vit\""), sweep.find("\n[grid]"));
    let one = sweep.replace(&sweep[before.expect("a ViT")..vit.expect("a grid")], "").replace(large, "");
    lab.write("grid.toml", one.split_once("[finetune]").expect("a second stage").0);
    lab.scalelaw("state", &["run", "grid.toml"]).check(0, &[]);
    let away = |from: &str, to: &str| {
        for run in fs::read_dir(lab.path("state/runs")).expect("runs").flatten() {
            let _ = fs::rename(run.path().join(from), run.path().join(to));
        }
    };
    away("weights.safetensors", "away");
    lab.write("tiny.toml", &one);
    lab.scalelaw("state", &["run", "tiny.toml"]).check(1, &["no such file"]);
    away("away", "weights.safetensors");
    // A learning rate more: until it has its loss, nobody knows the best. It is the worst, so the same runs are called for.
    lab.write("tiny.toml", &one.replace("lr = [0.02, 0.05]", "lr = [0.0001, 0.02, 0.05]"));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["6 runs and 4 of fine-tuning to follow"]);
    let (first, second) = stages(&lab, "state");
    assert_eq!((first.len(), second.len()), (6, 4));
    assert!(second.iter().all(|row| row["state"] == "completed" && row["wanted"] == "true"), "{second:?}");
}
