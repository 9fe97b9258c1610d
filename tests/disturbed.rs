//! Kills in the middle of a sweep change nothing but the time it takes.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spec::order::mix;

use crate::support::Lab;

/// Kinds of trouble, each several times.
const TROUBLES: usize = 9;

/// Eight of NFNets and two of a Vision Transformer.
const RUNS: usize = 10;

#[test]
fn kills_leave_every_cell_trained_once_to_the_same_bits() {
    let Some(lab) = Lab::new() else { return };
    // Long enough that trouble comes in the middle.
    let sweep = crate::support::tiny("0.02, 0.05")
        .replace("[1, 2.5]", "[6, 12.5]")
        // Everything that draws random numbers.
        .replace("batch = 16", "batch = 16\nflip = true\ncrop_padding = 1\nlabel_smoothing = 0.1\nstochastic_depth = 0.2\nema = 0.9\nsam = { rho = 0.05, batch_share = 0.25 }")
        .replace("initial_skip_gain = 1", "initial_skip_gain = 1\ndropout = 0.1")
        .replace("[model]", "[[model]]")
        + "[[model]]\nfamily = \"vit\"\nlr = [1e-3]\nsizes = [{ name = \"vit\", patch = 2, width = 8, depth = 2, heads = 2 }]\n";
    lab.write("tiny.toml", &sweep);
    lab.scalelaw("calm", &["run", "tiny.toml"]).check(0, &[]);

    let seed = std::env::var("SCALELAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    println!("SCALELAW_SEED={seed}");
    let mut troubled = 0;
    for round in 0..TROUBLES {
        let random = mix(seed ^ mix(round as u64));
        let mut scheduler = start(&lab);
        std::thread::sleep(Duration::from_millis(300 + random % 700));
        if scheduler.try_wait().expect("our own child").is_some() {
            break;
        }
        troubled += 1;
        match round % 3 {
            0 => scheduler.kill().expect("our own child"),
            1 => signal(scheduler.id(), Signal::INT),
            _ => {
                workers(&scheduler).into_iter().for_each(|worker| signal(worker, Signal::KILL));
                std::thread::sleep(Duration::from_millis(200));
                signal(scheduler.id(), Signal::TERM);
            }
        }
        let ended = scheduler.wait().expect("our own child");
        match round % 3 {
            0 => assert_eq!(ended.code(), None),
            1 => assert!(matches!(ended.code(), Some(130 | 0)), "{ended}"),
            _ => assert!(matches!(ended.code(), Some(143 | 0)), "{ended}"),
        }
    }
    assert!(troubled >= 3, "the sweep was over before it could be disturbed ({troubled} times)");
    lab.scalelaw("disturbed", &["run", "tiny.toml"]).check(0, &[]);

    let (calm, disturbed) = (results(&lab, "calm"), results(&lab, "disturbed"));
    assert_eq!(calm.len(), RUNS);
    assert_eq!(calm, disturbed, "losses and weights, to the last bit");
    lab.scalelaw("disturbed", &["verify", "samples"]).check(0, &[]);
    let journals = lab.journals("disturbed");
    let finished = journals.values().filter(|text| text.contains("\"event\":\"finished\"")).count();
    assert_eq!(finished, RUNS, "every cell is trained to its end exactly once");
    assert!(journals.len() > RUNS, "no attempt was ever disturbed");
    assert_eq!(lab.scalelaw("disturbed", &["run", "tiny.toml"]).code, Some(0));
    assert_eq!(lab.journals("disturbed").len(), journals.len(), "running again repeats nothing");
}

#[test]
fn a_second_scheduler_is_refused_while_one_works() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &crate::support::tiny("0.02, 0.05").replace("[1, 2.5]", "[20]"));
    let mut first = start(&lab);
    let began = Instant::now();
    while lab.journals("disturbed").is_empty() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    lab.scalelaw("disturbed", &["run", "tiny.toml"]).check(3, &["another scalelaw is running"]);
    // Readers are welcome at any time.
    lab.scalelaw("disturbed", &["status"]).check(0, &[]);
    signal(first.id(), Signal::INT);
    assert_eq!(first.wait().expect("our own child").code(), Some(130));
    let journals = lab.journals("disturbed");
    assert!(
        journals.values().any(|text| text.contains("\"event\":\"preempted\"")),
        "nobody saved its state: {journals:?}"
    );
}

#[test]
fn workers_do_not_outlive_their_scheduler() {
    let Some(lab) = Lab::new() else { return };
    lab.write("tiny.toml", &crate::support::tiny("0.02, 0.05").replace("[1, 2.5]", "[200]"));
    let mut scheduler = start(&lab);
    let began = Instant::now();
    let mut orphans = Vec::new();
    while orphans.is_empty() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
        orphans = workers(&scheduler);
    }
    assert!(!orphans.is_empty(), "no worker was started");
    std::thread::sleep(Duration::from_millis(500));
    scheduler.kill().expect("our own child");
    scheduler.wait().expect("our own child");
    let began = Instant::now();
    while orphans.iter().any(|orphan| is_alive(*orphan)) {
        assert!(began.elapsed() < Duration::from_secs(10), "an orphan goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = lab.scalelaw("disturbed", &["status"]);
    assert!(status.out.contains("no scheduler is at work"), "{}", status.out);
}

fn start(lab: &Lab) -> Child {
    let mut command = lab.command("disturbed", &["run", "tiny.toml"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process id");
    let _ = kill_process(pid, signal);
}

/// The processes whose parent is the scheduler.
fn workers(scheduler: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", scheduler.id());
    let children = std::fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Per run: state, held-out loss and hash of the final state.
fn results(lab: &Lab, state: &str) -> BTreeMap<String, (String, String, String)> {
    let row = |run: BTreeMap<String, String>| {
        let part = |name: &str| run[name].clone();
        (part("run_id"), (part("state"), part("heldout_loss_nats"), part("state_hash")))
    };
    lab.runs(state).into_iter().map(row).collect()
}
