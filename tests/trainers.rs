//! Trainers of one's own: the shipped example, and simulated sweeps whose law is known.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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
         train = { batch = 5 }\npolicy = { grace_seconds = 1, retries = 1 }\n",
    );
    lab
}

/// What a script begins with: `finish` is its result, `fail_beside` ends it if the process in the file `child` is still at work.
const HEAD: &str = r#"
    finish() { echo '{"event":"finished","heldout_loss":0.5}' >> "$SCALELAW_JOURNAL"; }
    fail_beside() {
        case "$(cut -d' ' -f3 "/proc/$(cat "$SCALELAW_RUN_DIR/child")/stat" 2>/dev/null)" in ''|Z) ;; *) exit 9 ;; esac
    }
    stubborn() {
        sh -c 'trap "" TERM; echo $$ > "$SCALELAW_RUN_DIR/child"; exec sleep 60' &
        while [ ! -s "$SCALELAW_RUN_DIR/child" ]; do sleep 0.05; done
    }
"#;

/// A scheduler at work on the sweep of `lab`, once the only run has made this file in its folder.
fn scheduler(lab: &Lab, file: &str) -> (Child, PathBuf) {
    let mut command = lab.command("state", &["run", "sweep.toml"]);
    let scheduler = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
    let found = || {
        let runs = std::fs::read_dir(lab.path("state/runs")).into_iter().flatten().flatten();
        runs.map(|run| run.path().join(file)).find(|path| path.exists())
    };
    let began = Instant::now();
    while found().is_none() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    (scheduler, found().unwrap_or_else(|| panic!("the trainer does not come to make {file}")))
}

#[test]
fn a_trainer_is_told_what_it_needs_and_may_stop_to_go_on_later() {
    let script = r#"
        [ "$1 $2 $SCALELAW_ACCUMULATE" = "0.25 3 1" ] || exit 9
        cat || exit 7 # there is nothing to read, which is no error
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
    for (program, code, parts) in [
        ("no-such-program", 3, ["trainer.command: \"no-such-program\" is not in PATH", "\"./no-such-program\""]),
        ("./train.sh", 3, ["trainer.command:", "train.sh is no file that may be executed"]),
        ("{run_dir}/none", 1, ["cannot start the trainer", "/none"]),
    ] {
        missing.write("sweep.toml", &text.replace("\"sh\", \"train.sh\"", &format!("{program:?}")));
        missing.scalelaw("state", &["run", "sweep.toml"]).check(code, &parts);
    }
}

#[test]
fn a_crash_of_the_machine_is_tried_again_and_one_of_the_program_is_not() {
    let machine = scripted(&format!("{HEAD} [ $SCALELAW_ATTEMPT = 1 ] && kill -9 $$; finish"));
    machine.scalelaw("state", &["run", "sweep.toml"]).check(0, &["(signal 9)", "attempt 2", "held-out loss 0.5"]);
    let program = scripted(&format!("{HEAD} [ $SCALELAW_ATTEMPT = 1 ] && {{ echo no such layer; exit 9; }}; finish"));
    program.scalelaw("state", &["run", "sweep.toml"]).check(1, &["failed (code)", "exit code 9: no such layer"]);
}

#[test]
fn what_a_crashed_trainer_leaves_at_work_ends_before_the_next_attempt() {
    let lab =
        scripted(&format!("{HEAD} [ $SCALELAW_ATTEMPT = 1 ] && {{ stubborn; kill -9 $$; }}; fail_beside; finish"));
    lab.scalelaw("state", &["run", "sweep.toml"]).check(0, &["attempt 2", "held-out loss 0.5"]);
}

#[test]
fn what_outlives_a_killed_scheduler_ends_before_the_next_attempt() {
    let lab = scripted(&format!("{HEAD} [ $SCALELAW_ATTEMPT = 1 ] && {{ stubborn; wait; }}; fail_beside; finish"));
    let (mut killed, _) = scheduler(&lab, "child");
    // It writes down whom it has started within a fifth of a second.
    std::thread::sleep(Duration::from_secs(1));
    killed.kill().expect("our own child");
    killed.wait().expect("our own child");
    lab.scalelaw("state", &["run", "sweep.toml"]).check(0, &["settled 1 attempt", "held-out loss 0.5"]);
}

#[test]
fn a_child_of_the_trainer_has_time_to_save() {
    // The script itself ends at once when the signal comes.
    let saving = r#"
        [ -e "$SCALELAW_RUN_DIR/saved" ] && { finish; exit 0; }
        sh -c 'trap "sleep 0.4; touch \"$SCALELAW_RUN_DIR/saved\"; exit 75" TERM; touch "$SCALELAW_RUN_DIR/ready"
               while :; do sleep 0.05; done'
        echo over
    "#;
    let lab = scripted(&format!("{HEAD}{saving}"));
    let (mut stopped, ready) = scheduler(&lab, "ready");
    kill_process(Pid::from_raw(stopped.id() as i32).expect("a process"), Signal::TERM).expect("our own child");
    assert_eq!(stopped.wait().expect("our own child").code(), Some(143));
    assert!(ready.with_file_name("saved").exists(), "it was not waited for");
    lab.scalelaw("state", &["run", "sweep.toml"]).check(0, &["held-out loss 0.5"]);
}

/// The tiny sweep, its data only described.
fn described(rates: &str) -> String {
    tiny(rates).replace(
        "directory = \"data\"",
        "train_examples = 1000\nheldout_examples = 100\nchannels = 1\nclasses = 4\nresolution = 8",
    )
}

#[test]
fn a_planted_law_is_found_again() {
    let lab = Lab::without_worker();
    let sweep = described("0.1")
        .replace("train_examples = 1000", "train_examples = 100000")
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
    let sweep = described("0.1, 0.2")
        .replace("failures_in_a_row = 100", "failures_in_a_row = 1000\nstall_seconds = 1\ngrace_seconds = 0.3")
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
    assert_eq!(simulate("hanging", "hang=0.2,silent=0.2,slow=0.3"), calm);
    let ended = lab.scalelaw("hanging", &["export", "csv"]).out;
    assert!(lab.journals("hanging").len() > calm.len(), "nothing hung: {ended}");
}

#[test]
fn pretending_needs_neither_a_gpu_nor_a_cluster() {
    let lab = Lab::without_worker();
    let resources = "[resources]\ndevice = \"cuda\"\nexecutor = \"slurm\"\ngpus_per_run = 1\n";
    lab.write("far.toml", &format!("{}{resources}", described("0.1")));
    lab.scalelaw("state", &["simulate", "far.toml", "--speed", "1000"]).check(0, &["simulated"]);
    lab.scalelaw("state", &["simulate", "far.toml", "--faults", "crash=2"]).check(2, &["--faults", "crash=2"]);
}
