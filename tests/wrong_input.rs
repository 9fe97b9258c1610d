//! Whatever is wrong: a message with place, cause and remedy, the right exit code, and nothing lost.

use std::fs;
use std::process::Command;

use crate::support::{Lab, Said, tiny, worker};

#[test]
fn a_sweep_file_with_mistakes_is_refused_with_all_of_them() {
    let lab = Lab::without_worker();
    lab.scalelaw("state", &["run", "none.toml"]).check(2, &["none.toml", "No such file"]);
    lab.write("broken.toml", "name = \"x\"\n[grid\n");
    lab.scalelaw("state", &["plan", "broken.toml"]).check(2, &["broken.toml:2:", "not TOML"]);
    let wrong = tiny("0.1, -4")
        .replace("family = \"nfnet\"", "family = \"nfnet\"\npresets = [\"F9\"]")
        .replace("batch", "bach");
    lab.write("wrong.toml", &wrong);
    let said = lab.scalelaw("state", &["plan", "wrong.toml"]);
    said.check(2, &["wrong.toml:9:12: model.presets", "\"F9\"", "grid.lr[1]", "found -4", "did you mean batch?"]);
    assert_eq!(fs::exists(lab.path("state")).ok(), Some(false), "planning writes nothing");
}

#[test]
fn missing_and_damaged_data_are_named() {
    let Some(lab) = Lab::new() else { return };
    let images = lab.path("data/train-images-idx3-ubyte");
    let content = fs::read(&images).expect("readable");
    fs::write(&images, &content[..1000]).expect("writable");
    lab.scalelaw("state", &["run", "tiny.toml"]).check(3, &["train-images-idx3-ubyte", "truncated", "announced"]);
    fs::remove_file(&images).expect("removable");
    lab.scalelaw("state", &["run", "tiny.toml"])
        .check(3, &["train-images-idx3-ubyte", "no such file", "data.directory"]);
    fs::write(&images, content).expect("writable");
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &[]);
}

#[test]
fn a_gpu_that_is_not_there_is_said_before_anything_runs() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &(tiny("0.02").replace("retries = 3", "retries = 0") + "[resources]\ndevice = \"cuda\"\n"));
    let mut command = lab.command("state", &["run", "tiny.toml"]);
    let said = Said::of(&command.env("CUDA_VISIBLE_DEVICES", "").output().expect("scalelaw starts"));
    said.check(3, &["no NVIDIA GPU that may be used", "device = \"cuda\"", "scalelaw doctor"]);
    assert_eq!(fs::exists(lab.path("state")).ok(), Some(false), "nothing was begun");
    // A worker that is started all the same says so in its journal, and another machine may do better.
    let mut command = lab.command("state", &["run", "tiny.toml"]);
    let said = Said::of(&command.env("CUDA_VISIBLE_DEVICES", "99").output().expect("scalelaw starts"));
    said.check(1, &["failed (node)", "device = \"cpu\" in [resources]"]);
}

#[test]
fn a_missing_worker_is_said_before_anything_runs() {
    let Some(lab) = Lab::new() else { return };
    lab.scalelaw("state", &["run", "tiny.toml", "--worker", "nowhere"]).check(3, &["nowhere", "no such worker"]);
    // A file in this folder and not a program of that name in PATH.
    lab.write("not-a-program", "x");
    lab.scalelaw("state", &["run", "tiny.toml", "--worker", "not-a-program"])
        .check(3, &["cannot start", "not-a-program"]);
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &[]);
    assert_eq!(lab.runs("state").iter().filter(|run| run["state"] == "completed").count(), 8);
}

#[test]
fn what_failed_is_tried_again_by_the_same_command() {
    use std::os::unix::fs::PermissionsExt;
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &tiny("0.02, 0.05").replace("retries = 3", "retries = 0"));
    lab.write("broken", "#!/bin/sh\necho out of paper >&2\nexit 7\n");
    fs::set_permissions(lab.path("broken"), fs::Permissions::from_mode(0o755)).expect("our own file");
    let broken = lab.path("broken").display().to_string();
    let said = lab.scalelaw("state", &["run", "tiny.toml", "--worker", &broken]);
    said.check(1, &["failed (code)", "exit code 7: out of paper"]);
    let status = lab.scalelaw("state", &["status", "--json"]).json();
    assert_eq!((&status["states"]["failed"], status["problems"].as_array().map(Vec::len)), (&8.into(), Some(8)));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["8 kept", "trying again what failed before: 8 runs"]);
    assert_eq!(lab.runs("state").iter().filter(|run| run["state"] == "completed").count(), 8);
}

#[test]
fn asking_before_there_is_anything_is_answered() {
    let lab = Lab::without_worker();
    lab.scalelaw("state", &["status"]).check(3, &["no database", "scalelaw run"]);
    lab.scalelaw("state", &["fit", "frontier"]).check(3, &["no database"]);
    lab.write("two.csv", "compute,loss\n1,3\n10,2\n");
    let said = lab.scalelaw("state", &["fit", "power", "--points", "two.csv", "--json"]);
    said.check(4, &[]);
    assert!(said.json()["refusal"]["mend"].as_str().is_some_and(|mend| mend.contains("add 1 more")), "{}", said.out);
    lab.write("words.csv", "compute,loss\n1,3\n10,two\n");
    let said = lab.scalelaw("state", &["fit", "power", "--points", "words.csv"]);
    said.check(2, &["words.csv: row 2, column \"loss\": \"two\" is not a number"]);
    let said = lab.scalelaw("state", &["fit", "power", "--points", "words.csv", "--loss-column", "los"]);
    said.check(2, &["no column \"los\"", "--loss-column"]);
}

/// Runs a script in a mount namespace of its own, so that nothing stays mounted. `None` where that is not allowed.
fn in_namespace(lab: &Lab, script: &str) -> Option<Said> {
    // Root may mount by itself, everybody else as the root of a user namespace.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let allowed = |way: &&&[&str]| {
        let status = Command::new("unshare").args(**way).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status();
        status.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(allowed) else {
        println!("NOT TESTED: this machine does not allow mount namespaces");
        return None;
    };
    let mut command = Command::new("unshare");
    command.args(*way).args(["sh", "-c", script]).current_dir(lab.path(""));
    command.env("SCALELAW", env!("CARGO_BIN_EXE_scalelaw")).env("SCALELAW_WORKER", worker());
    Some(Said::of(&command.output().expect("unshare starts")))
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(lab) = Lab::new() else { return };
    fs::create_dir(lab.path("small")).expect("writable");
    let script = "mount -t tmpfs -o size=600k tmpfs small || exit 99
        export SCALELAW_STATE_DIR=small/state
        $SCALELAW run tiny.toml; first=$?
        mount -o remount,size=64m small
        $SCALELAW run tiny.toml || exit 98
        $SCALELAW verify samples || exit 97
        $SCALELAW status --json
        exit $first";
    let Some(said) = in_namespace(&lab, script) else { return };
    assert!(matches!(said.code, Some(1 | 3)), "out: {}\nerr: {}", said.out, said.err);
    let first_words = said.err.to_lowercase();
    assert!(first_words.contains("full") || first_words.contains("space"), "{}", said.err);
    assert!(said.out.contains("\"completed\":8"), "{}", said.out);
}

#[test]
fn a_read_only_folder_is_refused() {
    let Some(lab) = Lab::new() else { return };
    fs::create_dir(lab.path("frozen")).expect("writable");
    let script = "mount -t tmpfs -o ro tmpfs frozen || exit 99
        SCALELAW_STATE_DIR=frozen/state $SCALELAW run tiny.toml";
    let Some(said) = in_namespace(&lab, script) else { return };
    said.check(3, &["frozen/state", "Read-only file system", "--state-dir"]);
}
