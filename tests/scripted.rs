//! Workers that do on purpose what real ones do rarely: shell scripts that honour the run folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Lab, tiny};

/// What every script begins with: `$n` is the number of the attempt, `line` appends to its journal.
pub(crate) const HEAD: &str = r#"#!/bin/sh
run=$1; n=$3; mkdir -p "$run/attempts/$n"
line() { echo "{\"seq\":$1,\"at_ms\":1,$2}" >> "$run/attempts/$n/journal.jsonl"; }
finish() { line 2 '"event":"finished","step":30,"heldout_loss":0.5,"accuracy":0.9,"step_seconds":0.1,"state_hash":"ab"'; }
line 0 "\"event\":\"header\",\"schema\":1,\"run_id\":\"$(basename "$run")\",\"attempt\":$n,\"pid\":$$,\"host\":\"h\""
line 1 '"event":"started","resumed_step":0,"device":"cpu"'
"#;

/// A laboratory with a sweep of one run and a worker that is this script.
pub(crate) fn lab(script: &str, retries: u32) -> (Lab, String) {
    let lab = Lab::with_data();
    let one = tiny("0.05").replace("[1, 2.5]", "[1]").replace("retries = 3", &format!("retries = {retries}"));
    let large = "    { name = \"large\", widths = [16, 32], group_width = 8 },\n";
    assert!(one.contains(large));
    lab.write("one.toml", &one.replace(large, ""));
    lab.write("worker", &format!("{HEAD}{script}"));
    fs::set_permissions(lab.path("worker"), fs::Permissions::from_mode(0o755)).expect("our own file");
    let worker = lab.path("worker").display().to_string();
    (lab, worker)
}

#[test]
fn a_result_in_the_journal_counts_whatever_happens_to_the_worker() {
    let (lab, worker) = lab("finish; kill -9 $$", 0);
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(0, &["held-out loss 0.5000"]);
    let run = lab.runs("state").remove(0);
    assert_eq!(
        (run["state"].as_str(), run["heldout_loss_nats"].as_str(), run["attempts"].as_str()),
        ("completed", "0.5", "1")
    );
}

#[test]
fn a_crash_is_tried_again_as_often_as_the_policy_says() {
    let third_time_lucky = "[ $n -lt 3 ] && { echo 'out of luck: Input/output error' >&2; exit 9; }; finish";
    let (patient, worker) = lab(third_time_lucky, 2);
    let said = patient.scalelaw("state", &["run", "one.toml", "--worker", &worker]);
    said.check(
        0,
        &["back in the queue: the worker ended with exit code 9: out of luck", "attempt 3", "held-out loss 0.5000"],
    );
    let (strict, worker) = lab(third_time_lucky, 1);
    strict.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(1, &["failed (node)", "out of luck"]);
    assert_eq!(strict.runs("state")[0]["attempts"], "2");
}

#[test]
fn a_mistake_in_the_trainer_is_not_tried_again() {
    let (lab, worker) = lab("echo 'NameError: lr' >&2; exit 1", 2);
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(1, &["failed (code)", "NameError: lr"]);
    assert_eq!(lab.runs("state")[0]["attempts"], "1");
}

#[test]
fn memory_that_ran_out_halves_the_batch() {
    let halved = "case \"$*\" in *'--accumulate 4'*) finish ;; *) echo 'CUDA out of memory' >&2; exit 1 ;; esac";
    let (lab, worker) = lab(halved, 0);
    let said = lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]);
    said.check(0, &["computes a batch in 2 parts", "computes a batch in 4 parts", "held-out loss 0.5000"]);
    assert_eq!(lab.runs("state")[0]["attempts"], "3");
}

#[test]
fn stopping_twice_kills_and_blames_nobody() {
    let (lab, worker) = lab("trap '' TERM; while true; do sleep 0.1; done", 0);
    let mut command = lab.command("state", &["run", "one.toml", "--worker", &worker]);
    let mut scheduler = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
    let pid = Pid::from_raw(scheduler.id() as i32).expect("a process id");
    let began = Instant::now();
    while lab.journals("state").values().all(|text| !text.contains("started")) {
        assert!(began.elapsed() < Duration::from_secs(20), "no worker was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    kill_process(pid, Signal::INT).expect("our own child");
    std::thread::sleep(Duration::from_millis(500));
    assert!(scheduler.try_wait().expect("our own child").is_none(), "it waits for a worker that takes its time");
    kill_process(pid, Signal::INT).expect("our own child");
    assert_eq!(scheduler.wait().expect("our own child").code(), Some(130));
    let run = lab.runs("state").remove(0);
    assert_eq!((run["state"].as_str(), run["failure"].as_str()), ("queued", ""));
    // With no crash to its name it is tried although there are no retries.
    lab.write("worker", &format!("{HEAD}finish"));
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(0, &["held-out loss 0.5000"]);
}

#[test]
fn a_line_that_is_torn_for_good_is_passed_over() {
    let (lab, worker) = lab(
        "printf '{\"seq\":2,\"at_ms' >> \"$run/attempts/$n/journal.jsonl\"; echo >> \"$run/attempts/$n/journal.jsonl\"; finish",
        0,
    );
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(0, &["held-out loss 0.5000"]);
}
