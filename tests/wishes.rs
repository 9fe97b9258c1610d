//! What people ask for by selector, without a scheduler and beside one; simulated, so no worker is needed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Lab, Said};

const SIMULATE: [&str; 6] = ["simulate", "tiny.toml", "--progress", "none", "--slots", "1"];

fn simulate(speed: &str) -> Vec<&str> {
    SIMULATE.into_iter().chain(["--speed", speed]).collect()
}

fn states(lab: &Lab, selector: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["runs", "ls", "--json"].into_iter().chain(selector.iter().copied()).collect();
    let said = lab.scalelaw("state", &arguments);
    let runs = said.json()["runs"].as_array().cloned().unwrap_or_default();
    runs.iter().map(|run| run["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn runs_are_excluded_and_taken_back() {
    let lab = Lab::with_data();
    lab.scalelaw("state", &simulate("1e9")).check(0, &[]);
    assert_eq!(states(&lab, &["model=small", "lr=0.02"]), ["completed", "completed"]);
    lab.scalelaw("state", &["exclude", "model=sm*", "lr<0.03", "--reason", "wrong data"]).check(0, &[]);
    let status = lab.scalelaw("state", &["status", "--json"]).json();
    assert_eq!(status["excluded"].as_array().map(Vec::len), Some(2));
    let hours = &status["device_hours"];
    let hours = |name: &str| hours[name].as_f64().unwrap_or(f64::NAN);
    assert!((hours("useful") + hours("repeated") + hours("failed") - hours("total")).abs() < 1e-12);
    let devices = status["device_hours_by_device"].as_array().expect("a list");
    for device in devices {
        let hours = |name: &str| device[name].as_f64().unwrap_or(f64::NAN);
        assert!((hours("useful") + hours("repeated") + hours("failed") - hours("busy")).abs() < 1e-12, "{device}");
    }
    let fit = lab.scalelaw("state", &["fit", "frontier", "--json"]).json();
    let text = fit.to_string();
    assert_eq!(text.matches("excluded: wrong data").count(), 2, "{text}");
    lab.scalelaw("state", &["include", "lr=0.02"]).check(0, &[]);
    assert!(!lab.scalelaw("state", &["fit", "frontier", "--json"]).out.contains("wrong data"));
    lab.scalelaw("state", &["include", "lr=0.02"]).check(2, &["none of these runs"]);
}

#[test]
fn what_selects_nothing_is_refused() {
    let lab = Lab::with_data();
    lab.scalelaw("state", &simulate("1e9")).check(0, &[]);
    lab.scalelaw("state", &["runs", "ls", "model=huge"]).check(2, &["model=huge", "none of the 8 runs"]);
    lab.scalelaw("state", &["runs", "cancel", "lr=high"]).check(2, &["\"high\" is not a number"]);
    lab.scalelaw("state", &["runs", "cancel", "model=small"]).check(2, &["none waits or runs"]);
    lab.scalelaw("state", &["runs", "retry", "seed=0", "--yes"]).check(2, &["none failed or was cancelled"]);
    lab.scalelaw("state", &["runs", "show", "xyz"]).check(2, &["xyz"]);
    lab.scalelaw("state", &["runs", "logs", "0000000000000000"]).check(2, &["no run begins with"]);
}

#[test]
fn a_scheduler_at_work_grants_what_is_asked_for() {
    let lab = Lab::with_data();
    let mut scheduler = lab.command("state", &simulate("0.5"));
    let mut scheduler = scheduler.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
    wait(&lab, |status| status["scheduled"] == true && status["states"]["running"] == 1);
    lab.scalelaw("state", &["pause"]).check(0, &[]);
    wait(&lab, |status| status["paused"].is_string() && status["states"]["running"].is_null());
    let refused = lab.scalelaw("state", &["runs", "cancel", "state=queued"]);
    refused.check(2, &["--yes"]);
    let cancelled: Said = lab.scalelaw("state", &["runs", "cancel", "state=queued", "--yes", "--json"]);
    cancelled.check(0, &[]);
    let answers = cancelled.json()["answers"].as_array().cloned().unwrap_or_default();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer["answered"] == true), "{answers:?}");
    lab.scalelaw("state", &["resume"]).check(0, &[]);
    // Nothing is left to do; cancelled runs make it end as one with failures does.
    assert_eq!(scheduler.wait().expect("it ends").code(), Some(1));
    let after = states(&lab, &[]);
    assert!(after.iter().all(|state| state == "cancelled" || state == "completed"), "{after:?}");
    // Without a scheduler the same command does it by itself.
    lab.scalelaw("state", &["runs", "retry", "state=cancelled", "--yes"]).check(0, &[]);
    assert!(states(&lab, &[]).iter().any(|state| state == "queued"));
    lab.scalelaw("state", &simulate("1e9")).check(0, &[]);
    assert!(states(&lab, &[]).iter().all(|state| state == "completed"));
}

#[track_caller]
fn wait(lab: &Lab, until: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let said = lab.scalelaw("state", &["status", "--json"]);
        if said.code == Some(0) && until(&said.json()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within a minute: {}", lab.scalelaw("state", &["status", "--json"]).out);
}
