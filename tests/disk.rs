//! A disk that is full or fails at the n-th write of the scheduler, for n from 1 on: the database stays whole, what was acknowledged
//! stays, and the same command goes on.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scripted::lab;

/// How many writes fail one after the other, each in a sweep of its own.
const WRITES: usize = 100;

/// Tests that run at once elsewhere leave little; more than this many schedulers would only wait for each other.
const AT_ONCE: usize = 2;

#[test]
fn a_disk_that_fails_at_any_write_loses_nothing() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("NOT TESTED: strace is missing, so no disk can be made to fail");
        assert!(std::env::var_os("SCALELAW_REQUIRE_STRACE").is_none());
        return;
    }
    let cases: Vec<(&str, usize)> = (1..=WRITES).flat_map(|n| [("ENOSPC", n), ("EIO", n)]).collect();
    let stopped = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (cases, stopped) = (&cases, &stopped);
            scope.spawn(move || {
                for (error, n) in cases.iter().skip(worker).step_by(AT_ONCE) {
                    stopped.fetch_add(usize::from(check(error, *n)), Ordering::Relaxed);
                }
            });
        }
    });
    let stopped = stopped.into_inner();
    assert!(stopped > WRITES / 4, "only {stopped} schedulers noticed, so nothing was tried");
}

/// The calls by which SQLite writes, and nothing else here does.
const CALLS: &str = "pwrite64,fdatasync,fsync";

/// Whether the scheduler had to give up.
fn check(error: &str, n: usize) -> bool {
    let (lab, worker) = lab("finish", 3);
    let sweep =
        std::fs::read_to_string(lab.path("one.toml")).expect("our own file").replace("epochs = [1]", "epochs = [1, 2]");
    lab.write("one.toml", &sweep);
    let mut traced = Command::new("strace");
    traced.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")]);
    traced.args(["-e", &format!("inject={CALLS}:error={error}:when={n}")]);
    traced.arg(env!("CARGO_BIN_EXE_scalelaw")).args(["run", "one.toml", "--worker", &worker, "--progress", "none"]);
    traced.current_dir(lab.path("")).env("SCALELAW_STATE_DIR", "state");
    let ended = traced.output().expect("strace starts");
    let code = ended.status.code();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(matches!(code, Some(0 | 1 | 3)), "{error} at {n}: {code:?} {said}");
    // What the first scheduler has acknowledged.
    let before = if lab.path("state/scalelaw.db").exists() { acknowledged(&lab) } else { Vec::new() };
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(0, &[]);
    let after = acknowledged(&lab);
    assert_eq!(after.len(), 2, "{error} at {n}");
    assert!(before.iter().all(|one| after.contains(one)), "{error} at {n}: {before:?} became {after:?}");
    let verified = lab.scalelaw("state", &["verify", "database"]);
    assert_eq!(verified.code, Some(0), "{error} at {n}: {}{}", verified.out, verified.err);
    code == Some(3)
}

/// Completed runs, each with the attempt that completed it.
fn acknowledged(lab: &crate::support::Lab) -> Vec<(String, String)> {
    let said = lab.scalelaw("state", &["export", "csv"]);
    if said.code != Some(0) {
        // The sweep had not been written down.
        return Vec::new();
    }
    let runs = lab.runs("state").into_iter().filter(|run| run["state"] == "completed");
    runs.map(|run| (run["run_id"].clone(), run["attempts"].clone())).collect()
}
