//! Trainers of one's own: the shipped example, and simulated sweeps whose law is known.

use std::path::Path;

use crate::support::{Lab, tiny};

#[test]
fn the_shipped_example_trains_with_ten_lines_of_python() {
    let lab = Lab::without_worker();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps/any-trainer");
    for name in ["train.py", "sweep.toml"] {
        std::fs::copy(shipped.join(name), lab.path(name)).expect("shipped");
    }
    lab.scalelaw("state", &["run", "sweep.toml"]).check(0, &[]);
    let runs = lab.runs("state");
    assert_eq!(runs.len(), 18);
    let loss = |model: &str| {
        let of_model = runs.iter().filter(|run| run["model"] == model && run["state"] == "completed");
        of_model.map(|run| run["heldout_loss_nats"].parse::<f64>().expect("a number")).fold(f64::INFINITY, f64::min)
    };
    // The points lie on a cubic, under noise of variance 0.01.
    assert!(loss("linear") > 0.02, "{}", loss("linear"));
    assert!((0.005..0.016).contains(&loss("cubic")), "{}", loss("cubic"));
    assert_eq!(lab.scalelaw("state", &["run", "sweep.toml"]).code, Some(0));
    assert_eq!(lab.journals("state").len(), 18, "running again repeats nothing");
}

/// A sweep of one run whose trainer is this shell script.
fn scripted(script: &str) -> Lab {
    let lab = Lab::without_worker();
    lab.write("train.sh", script);
    lab.write(
        "sweep.toml",
        "name = \"s\"\ntrainer = { command = [\"sh\", \"train.sh\", \"{lr}\", \"{setting.depth}\"] }\n\
         data = { dataset = \"d\", train_examples = 10, heldout_examples = 10 }\ngrid = { epochs = [1], lr = [0.25] }\n\
         model = { family = \"custom\", sizes = [{ name = \"m\", parameters = 10, macs = 10, settings = { depth = 3 } }] }\n\
         train = { batch = 5 }\n",
    );
    lab
}

#[test]
fn a_trainer_is_told_what_it_needs_and_may_stop_to_go_on_later() {
    let script = r#"
        [ "$1 $2" = "0.25 3" ] || exit 9
        grep -q "$SCALELAW_RUN_ID" "$SCALELAW_SPEC" || exit 8
        [ "$SCALELAW_ATTEMPT" = 1 ] && { touch "$SCALELAW_RUN_DIR/saved"; exit 75; }
        [ -e "$SCALELAW_RUN_DIR/saved" ] && echo '{"event":"finished","heldout_loss":0.5}' >> "$SCALELAW_JOURNAL"
    "#;
    let lab = scripted(script);
    lab.scalelaw("state", &["run", "sweep.toml"]).check(0, &["back in the queue", "held-out loss 0.5"]);
    assert_eq!(lab.runs("state")[0]["attempts"], "2");
}

#[test]
fn a_trainer_that_says_nothing_or_is_not_there_is_told_apart() {
    let silent = scripted("exit 0");
    silent.scalelaw("state", &["run", "sweep.toml"]).check(1, &["failed (code)", "left no result", "heldout_loss"]);
    let missing = scripted("exit 0");
    let text = std::fs::read_to_string(missing.path("sweep.toml")).expect("our own file");
    missing.write("sweep.toml", &text.replace("\"sh\", \"train.sh\"", "\"./no-such-program\""));
    missing.scalelaw("state", &["run", "sweep.toml"]).check(1, &["cannot start the trainer", "no-such-program"]);
}

#[test]
fn a_planted_law_is_found_again() {
    let lab = Lab::without_worker();
    let sweep = tiny("0.1")
        .replace(
            "directory = \"data\"",
            "train_examples = 100000\nheldout_examples = 1000\nchannels = 1\nclasses = 4\nresolution = 8",
        )
        .replace("[1, 2.5]", "[1, 2, 4, 8, 16, 32]")
        .replace("    { name = \"large\", widths = [16, 32], group_width = 8 },\n", "");
    lab.write("law.toml", &sweep);
    // Samples alone decide the loss, and one model's compute is in proportion to them.
    let law = "a=0,floor=0,curvature=0,b=5,beta=0.31,noise=0.001";
    lab.scalelaw("state", &["simulate", "law.toml", "--speed", "10000", "--law", law]).check(0, &["simulated"]);
    let fit = lab.scalelaw("state", &["fit", "frontier", "--compute", "flops", "--json"]).json();
    let alpha = &fit["params"]["alpha"];
    let (low, high) = (alpha["low"].as_f64().expect("a number"), alpha["high"].as_f64().expect("a number"));
    assert!(low <= 0.31 && 0.31 <= high && high - low < 0.1, "{alpha}");
    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);
}

#[test]
fn faults_cost_attempts_and_no_results() {
    let lab = Lab::without_worker();
    let sweep = tiny("0.1, 0.2")
        .replace(
            "directory = \"data\"",
            "train_examples = 1000\nheldout_examples = 100\nchannels = 1\nclasses = 4\nresolution = 8",
        )
        .replace("retries = 3", "retries = 100");
    lab.write("law.toml", &sweep);
    let simulate = |state: &str, faults: &str| {
        let arguments = ["simulate", "law.toml", "--speed", "100", "--faults", faults, "--seed", "5"];
        lab.scalelaw(state, &arguments).check(0, &[]);
        lab.runs(state)
            .into_iter()
            .map(|run| (run["run_id"].clone(), run["heldout_loss_nats"].clone()))
            .collect::<Vec<_>>()
    };
    let calm = simulate("calm", "");
    assert_eq!(simulate("troubled", "crash=0.2,oom=0.2,preempt=0.2,torn=0.1,diskfull=0.1"), calm);
    assert!(lab.journals("troubled").len() > calm.len(), "nothing went wrong");
}
