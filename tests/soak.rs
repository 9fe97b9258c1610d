//! Kills, hundreds of them, of schedulers and of trainers at any moment: nothing acknowledged is lost, nothing is done twice.
//! `SCALELAW_KILLS` says how many (`make soak`: 5,000), `SCALELAW_SEED` replays the moments as far as time can be replayed.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use spec::order::mix;

use crate::support::Lab;

/// Kills of a test run that says nothing else.
const KILLS: u64 = 300;

/// Labs at once, each with a scheduler of its own.
const AT_ONCE: u64 = 2;

/// Eight cells with five seeds each, a twentieth of a second a run; none needs anything that is not here.
const SWEEP: &str = r#"name = "soak"
[data]
dataset = "nothing"
train_examples = 640
heldout_examples = 64
[trainer]
command = ["replaced-by-the-simulation"]
[model]
family = "custom"
sizes = [
    { name = "small", parameters = 1e4, macs = 2e6 },
    { name = "large", parameters = 1e5, macs = 4e6 },
]
[grid]
epochs = [1, 2]
lr = [0.1, 0.2]
seeds = [0, 1, 2, 3, 4]
[train]
batch = 16
[resources]
slots = 2
device_flops = 1e12
[policy]
retries = 1000
failures_in_a_row = 1000
grace_seconds = 5
"#;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn kills_lose_nothing_and_repeat_nothing() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let (seed, kills) = (number("SCALELAW_SEED").unwrap_or(now), number("SCALELAW_KILLS").unwrap_or(KILLS));
    println!("SCALELAW_SEED={seed}");
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            scope.spawn(move || {
                let mut left = kills.div_ceil(AT_ONCE);
                let mut round = 0;
                while left > 0 {
                    left -= soak(mix(seed ^ mix(worker ^ mix(round))), left).min(left);
                    round += 1;
                }
            });
        }
    });
}

/// One sweep, killed until it is finished or `most` kills are done; returns how many there were.
fn soak(seed: u64, most: u64) -> u64 {
    let lab = Lab::without_worker();
    lab.write("soak.toml", SWEEP);
    let (mut random, mut kills) = (seed, 0);
    let mut below = |bound: u64| {
        random = mix(random);
        random % bound
    };
    let mut acknowledged = BTreeMap::new();
    while kills < most {
        let mut scheduler = start(&lab);
        let mut over = false;
        // Trainers are killed while their scheduler looks on, then it is killed itself.
        for victim in 0..=below(4) {
            std::thread::sleep(Duration::from_millis(20 + below(150)));
            over = scheduler.try_wait().expect("our own child").is_some();
            if over {
                break;
            }
            if let Some(trainer) = children(&scheduler).first().filter(|_| victim > 0) {
                let _ = kill_process(Pid::from_raw(*trainer as i32).expect("a process"), Signal::KILL);
                kills += 1;
            }
        }
        if over {
            break;
        }
        let orphans = children(&scheduler);
        scheduler.kill().expect("our own child");
        scheduler.wait().expect("our own child");
        kills += 1;
        acknowledged = compared(&lab, &acknowledged, seed);
        gone(&orphans, seed);
    }
    let said = lab.scalelaw("state", &["simulate", "soak.toml", "--speed", "1"]);
    assert_eq!(said.code, Some(0), "seed {seed}: {}{}", said.out, said.err);
    let results = compared(&lab, &acknowledged, seed);
    assert_eq!(results.len(), 40, "seed {seed}");
    lab.scalelaw("state", &["verify", "database"]).check(0, &[]);
    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);
    let status = lab.scalelaw("state", &["status", "--json"]).json();
    let devices = status["device_hours_by_device"].as_array().expect("a list");
    assert_eq!(devices.len(), 2, "seed {seed}: {status}");
    for device in devices {
        let seconds = |name: &str| 3600.0 * device[name].as_f64().expect("a number");
        let billed = seconds("useful") + seconds("repeated") + seconds("failed");
        // What a killed scheduler had not written down is lost on both sides, a second at most each time.
        let lost = 1.5 * kills as f64;
        assert!((billed - seconds("busy")).abs() <= lost, "seed {seed}: {device}");
        assert!(seconds("repeated") > 0.0 || kills < 20, "seed {seed}: {device}");
    }
    let mut finished: BTreeMap<String, u64> = BTreeMap::new();
    for (path, text) in lab.journals("state") {
        let run = path.ancestors().nth(3).and_then(|run| run.file_name()).expect("runs/RUN/attempts/N/journal.jsonl");
        *finished.entry(run.to_string_lossy().into_owned()).or_default() +=
            text.lines().filter(|line| line.contains("\"event\":\"finished\"")).count() as u64;
    }
    assert!(finished.values().all(|times| *times == 1), "seed {seed}: a run was finished twice: {finished:?}");
    kills
}

fn start(lab: &Lab) -> Child {
    let mut command = lab.command("state", &["simulate", "soak.toml", "--speed", "1", "--progress", "none"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts")
}

/// The results that a reader sees now; those seen before must be among them, unchanged.
fn compared(lab: &Lab, before: &BTreeMap<String, String>, seed: u64) -> BTreeMap<String, String> {
    if !lab.path("state/scalelaw.db").exists() || lab.scalelaw("state", &["export", "csv"]).code != Some(0) {
        assert!(before.is_empty(), "seed {seed}: the database is gone");
        return BTreeMap::new();
    }
    let runs = lab.runs("state").into_iter().filter(|run| run["state"] == "completed");
    let now: BTreeMap<String, String> =
        runs.map(|run| (run["run_id"].clone(), format!("{} {}", run["heldout_loss_nats"], run["attempts"]))).collect();
    for (run, result) in before {
        assert_eq!(now.get(run), Some(result), "seed {seed}: an acknowledged result has changed");
    }
    now
}

/// Orphans end with their scheduler.
fn gone(orphans: &[u32], seed: u64) {
    let began = Instant::now();
    for orphan in orphans {
        let pid = Pid::from_raw(*orphan as i32).expect("a process");
        while test_kill_process(pid).is_ok() && !is_zombie(*orphan) {
            assert!(began.elapsed() < Duration::from_secs(20), "seed {seed}: trainer {orphan} outlives its scheduler");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

fn children(scheduler: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", scheduler.id());
    let children = std::fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
