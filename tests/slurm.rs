//! Slurm: a real one, of two nodes in this machine, started by scripts/slurm.sh. Nodes fail, jobs are pre-empted, the controller is
//! started again, schedulers are killed; every run comes to its result once.
//!
//! Where there is no Slurm and none can be installed the test says so and passes, unless SCALELAW_REQUIRE_SLURM is set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Lab, Said};

/// Eight runs of four to thirteen seconds, four at a time.
const SWEEP: &str = r#"name = "queued"
[data]
dataset = "nothing"
train_examples = 640
heldout_examples = 64
[trainer]
command = ["replaced-by-the-simulation"]
[model]
family = "custom"
sizes = [
    { name = "small", parameters = 1e4, macs = 2e8 },
    { name = "large", parameters = 1e5, macs = 4e8 },
]
[grid]
epochs = [60, 90]
lr = [0.1, 0.2]
[train]
batch = 16
[resources]
executor = "slurm"
[slurm]
partition = "main"
time_minutes = 10
poll_seconds = 0.5
max_jobs = 4
[policy]
retries = 5
failures_in_a_row = 1000
grace_seconds = 10
"#;

const RUNS: usize = 8;

/// The same cluster for one run that takes longer than its jobs may: a minute, of which they are told fifty seconds before its end.
fn limited() -> String {
    SWEEP
        .replace("epochs = [60, 90]", "epochs = [450]")
        .replace("lr = [0.1, 0.2]", "lr = [0.1]")
        .replace("    { name = \"small\", parameters = 1e4, macs = 2e8 },\n", "")
        .replace("partition = \"main\"", "partition = \"high\"\nsignal_seconds = 50")
        .replace("time_minutes = 10", "time_minutes = 1")
        .replace("name = \"queued\"", "name = \"limited\"")
}

/// A cluster of its own, gone with this value.
struct Cluster {
    lab: Lab,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.script("down");
    }
}

impl Cluster {
    fn new() -> Option<Cluster> {
        let cluster = Cluster { lab: Lab::without_worker() };
        cluster.lab.write("queued.toml", SWEEP);
        cluster.lab.write("limited.toml", &limited());
        let up = cluster.script("up");
        if up.code == Some(0) {
            return Some(cluster);
        }
        println!("NOT TESTED: no Slurm: {}", up.err);
        assert!(std::env::var_os("SCALELAW_REQUIRE_SLURM").is_none());
        None
    }

    fn script(&self, what: &str) -> Said {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/slurm.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg(what).env("SCALELAW_SLURM_DIR", self.lab.path("cluster")).env("GRACE", "0");
        Said::of(&command.output().expect("bash starts"))
    }

    /// Starts what does not run; the port of a controller that has just ended may not be free yet.
    fn come_back(&self) {
        let began = Instant::now();
        loop {
            let up = self.script("up");
            if up.code == Some(0) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the controller does not come back: {}", up.err);
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.lab.path("cluster").join(name)
    }

    fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(state, arguments);
        command.env("SLURM_CONF", self.file("slurm.conf"));
        command
    }

    fn start(&self, state: &str) -> Child {
        let log = fs::File::create(self.lab.path(&format!("{state}.log"))).expect("writable");
        let sweep = if state == "limited" { "limited.toml" } else { "queued.toml" };
        let mut command = self.command(state, &["simulate", sweep, "--speed", "250", "--on-cluster"]);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("scalelaw starts")
    }

    /// Waits until so many attempts work at once on a node.
    fn wait_for(&self, state: &str, attempts: usize) {
        let began = Instant::now();
        let working = || self.lab.journals(state).values().filter(|text| text.contains("\"progress\"")).count();
        while working() < attempts {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing starts: {}", self.said(state));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The trainers that work on a node, as soon as there are any.
    fn on_node(&self, state: &str, node: &str) -> Vec<i32> {
        let began = Instant::now();
        loop {
            let found = self.working_on(state, node);
            if !found.is_empty() {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "nobody works on {node}");
        }
    }

    fn working_on(&self, state: &str, node: &str) -> Vec<i32> {
        let runs = self.lab.scalelaw(state, &["runs", "ls", "state=running", "--json"]);
        let runs =
            if runs.code == Some(0) { runs.json()["runs"].as_array().cloned().unwrap_or_default() } else { Vec::new() };
        let on_node = |run: &serde_json::Value| {
            let run = run["run_id"].as_str()?;
            let shown = self.lab.scalelaw(state, &["runs", "show", run, "--json"]).json();
            let attempt = shown["attempt_list"].as_array()?.last()?.clone();
            let folder =
                self.lab.path(state).join("runs").join(run).join("attempts").join(attempt["attempt"].to_string());
            let journal = fs::read_to_string(folder.join("journal.jsonl")).ok()?;
            let header: serde_json::Value = serde_json::from_str(journal.lines().next()?).ok()?;
            (attempt["node"] == node).then(|| header["pid"].as_i64().map(|pid| pid as i32))?
        };
        runs.iter().filter_map(on_node).collect()
    }

    fn said(&self, state: &str) -> String {
        fs::read_to_string(self.lab.path(&format!("{state}.log"))).unwrap_or_default()
    }

    fn wait(&self, state: &str, scheduler: &mut Child) {
        assert_eq!(self.ended(state, scheduler), Some(0), "{}", self.said(state));
    }

    fn ended(&self, state: &str, scheduler: &mut Child) -> Option<i32> {
        let began = Instant::now();
        while scheduler.try_wait().expect("our own child").is_none() {
            if began.elapsed() > Duration::from_secs(180) {
                let _ = scheduler.kill();
                panic!("it does not end: {}", self.said(state));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        scheduler.wait().expect("our own child").code()
    }

    /// Every run has one result, and the database agrees with the journals; returns how many attempts there were.
    fn check(&self, state: &str, wanted: usize) -> usize {
        let runs = self.lab.runs(state);
        assert!(runs.len() == wanted && runs.iter().all(|run| run["state"] == "completed"), "{runs:?}");
        self.lab.scalelaw(state, &["verify", "database"]).check(0, &[]);
        self.lab.scalelaw(state, &["verify", "samples"]).check(0, &[]);
        let journals = self.lab.journals(state);
        let mut finished: BTreeMap<_, usize> = BTreeMap::new();
        for (path, text) in &journals {
            *finished.entry(path.ancestors().nth(3)).or_default() += text.matches("\"event\":\"finished\"").count();
        }
        assert!(finished.values().all(|times| *times == 1), "{finished:?}");
        journals.len()
    }
}

#[test]
fn a_real_cluster_with_all_its_trouble_loses_nothing() {
    let Some(cluster) = Cluster::new() else { return };

    // The scheduler is killed and the controller with it; the jobs go on, and who comes back takes them over.
    let mut scheduler = cluster.start("adopted");
    cluster.wait_for("adopted", 3);
    scheduler.kill().expect("our own child");
    scheduler.wait().expect("our own child");
    kill(&cluster.file("run/slurmctld.pid"), Signal::TERM);
    cluster.come_back();
    let mut scheduler = cluster.start("adopted");
    cluster.wait("adopted", &mut scheduler);
    assert_eq!(cluster.check("adopted", RUNS), RUNS, "nothing was started a second time");

    // Jobs of another partition take the nodes.
    let mut scheduler = cluster.start("preempted");
    cluster.wait_for("preempted", 3);
    let mut urgent = Command::new("sbatch");
    urgent.args(["--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"]);
    urgent.env("SLURM_CONF", cluster.file("slurm.conf")).current_dir(cluster.lab.path(""));
    assert!(urgent.output().expect("sbatch is there").status.success());
    cluster.wait("preempted", &mut scheduler);
    assert!(cluster.check("preempted", RUNS) > RUNS, "nobody was pre-empted: {}", cluster.said("preempted"));

    // Two runs are taken back while no scheduler works: one whose job does, and one that waits.
    let mut scheduler = cluster.start("cancelled");
    cluster.wait_for("cancelled", 3);
    scheduler.kill().expect("our own child");
    scheduler.wait().expect("our own child");
    let cancel = ["runs", "cancel", "lr=0.1", "epochs=60", "--yes"];
    let said = Said::of(&cluster.command("cancelled", &cancel).output().expect("scalelaw starts"));
    said.check(0, &[]);
    assert_eq!(said.out.matches(": cancelled").count(), 2, "{}", said.out);
    let mut scheduler = cluster.start("cancelled");
    assert_eq!(cluster.ended("cancelled", &mut scheduler), Some(1), "{}", cluster.said("cancelled"));
    let runs = cluster.lab.runs("cancelled");
    let count = |state: &str| runs.iter().filter(|run| run["state"] == state).count();
    assert_eq!((count("cancelled"), count("completed")), (2, RUNS - 2), "{runs:?}");
    cluster.lab.scalelaw("cancelled", &["verify", "database"]).check(0, &[]);

    // A node fails, and all that worked on it. Beside it, a run saves its state whenever the time of its job is over.
    let mut limited = cluster.start("limited");
    let mut scheduler = cluster.start("failed");
    cluster.wait_for("failed", 3);
    let victims = cluster.on_node("failed", "n1");
    kill(&cluster.file("run/slurmd-n1.pid"), Signal::KILL);
    victims.into_iter().for_each(|pid| kill_one(pid, Signal::KILL));
    cluster.working_on("limited", "n1").into_iter().for_each(|pid| kill_one(pid, Signal::KILL));
    cluster.wait("failed", &mut scheduler);
    assert!(cluster.check("failed", RUNS) > RUNS, "{}", cluster.said("failed"));

    cluster.wait("limited", &mut limited);
    assert!(cluster.check("limited", 1) > 1, "{}", cluster.said("limited"));
    let saved =
        cluster.lab.journals("limited").values().filter(|text| text.contains("\"event\":\"preempted\"")).count();
    assert!(saved >= 1, "no job was told in time: {}", cluster.said("limited"));
}

fn kill_one(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a process id"), signal);
}

fn kill(pid_file: &Path, signal: Signal) {
    let pid = fs::read_to_string(pid_file).expect("it runs").trim().parse().expect("a process id");
    kill_one(pid, signal);
    let began = Instant::now();
    // It has to be gone before another one is started.
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}
