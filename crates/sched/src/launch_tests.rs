use std::collections::BTreeMap;
use std::path::Path;

use spec::document::Format;
use spec::files::DataFiles;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::PerChannel;
use spec::sweep::Sweep;
use spec::trunk::Trunk;
use store::Task;

use super::*;

/// A run of a sweep with these tables beside the usual ones.
fn task(tables: &str) -> Task {
    let text = format!(
        "name = \"s\"\ngrid = {{ epochs = [1], lr = [0.25] }}\ntrain = {{ batch = 10 }}\n\
         data = {{ dataset = \"d\", train_examples = 100, heldout_examples = 10, channels = 1, classes = 4, resolution = 8 }}\n\
         {tables}"
    );
    let sweep = Sweep::parse(&text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let facts = DatasetFacts {
        fingerprint: "f".to_owned(),
        train_examples: 100,
        heldout_examples: 10,
        channels: 1,
        resolution: Some(8),
        classes: 4,
        mean: PerChannel::All(0.0),
        std: PerChannel::All(1.0),
        multi_label: false,
        per_class: Vec::new(),
    };
    let planned =
        Plan::expand(&sweep, &facts, &Outcomes::new()).unwrap_or_else(|problems| panic!("{problems:?}")).runs.remove(0);
    Task { run: planned.spec.id(), model: planned.model, spec: planned.spec, trunk: None }
}

const NFNET: &str = "model = { family = \"nfnet\", stem_channels = [4], stem_strides = [1], \
                     sizes = [{ name = \"a\", depths = [1], widths = [8], group_width = 4 }] }\n";

fn others() -> Others {
    Others {
        scalelaw: "/bin/scalelaw".into(),
        folder: "/sweeps".into(),
        simulated: Simulated { speed: 4.0, faults: "crash=0.5".to_owned(), seed: 0 },
    }
}

fn launched(task: &Task, change: impl FnOnce(&mut Attempt<'_>)) -> Result<Launch, LaunchError> {
    let others = others();
    let data = BTreeMap::from([("f".to_owned(), DataFiles::directory("/data"))]);
    let settings = Settings {
        worker: Path::new("/bin/worker"),
        others: &others,
        data: &data,
        checkpoint_seconds: 2.5,
        loader_threads: 0,
    };
    let mut attempt = Attempt {
        task,
        number: 3,
        folder: Path::new("/state/runs/r"),
        devices: &["7".to_owned(), "GPU-a".to_owned()],
        accumulate: None,
        keep_trunk: false,
        bound_to: Some(42),
        port: 20_007,
    };
    change(&mut attempt);
    launch(&settings, &attempt)
}

fn variable<'a>(launch: &'a Launch, name: &str) -> Option<&'a str> {
    launch.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_built_in_trainer_gets_what_it_has_always_got() {
    let mut task = task(NFNET);
    let plain = launched(&task, |_| {}).expect("data are at hand");
    assert_eq!(plain.program, Path::new("/bin/worker"));
    let expected =
        ["/state/runs/r", "--attempt", "3", "--data", "/data", "--checkpoint-seconds", "2.5", "--bound-to", "42"];
    assert_eq!(plain.arguments, expected);
    assert!(!plain.holds_lock && plain.working_directory.is_none());
    assert_eq!(variable(&plain, "CUDA_VISIBLE_DEVICES"), Some(""), "a run on the CPU sees no GPU");
    assert_eq!(variable(&plain, "OMP_NUM_THREADS"), Some("1"));
    assert_eq!(variable(&plain, "CUBLAS_WORKSPACE_CONFIG"), None);
    task.trunk = Some(Trunk { run: task.run, step: 4 });
    let trunk = launched(&task, |attempt| attempt.keep_trunk = true).expect("data are at hand");
    assert_eq!(trunk.arguments[9..], ["--trunk", &task.run.to_string(), "--keep-trunk"]);
    task.spec.data.fingerprint = "other".to_owned();
    assert_eq!(launched(&task, |_| {}), Err(LaunchError::NoData("d".to_owned())));
}

#[test]
fn a_command_is_bound_and_started_in_the_folder_of_its_sweep() {
    let task =
        task(&format!("{NFNET}[trainer]\ncommand = [\"./train.sh\", \"{{lr}}\", \"{{model}}\", \"{{run_dir}}\"]\n"));
    let launch = launched(&task, |_| {}).expect("a good command");
    assert_eq!(launch.program, Path::new("/bin/scalelaw"));
    assert_eq!(launch.arguments, ["bound", "42", "/sweeps/./train.sh", "0.25", "a", "/state/runs/r"]);
    assert_eq!(launch.working_directory.as_deref(), Some(Path::new("/sweeps")));
    assert!(launch.holds_lock);
    let free = launched(&task, |attempt| attempt.bound_to = None).expect("a good command");
    assert_eq!((free.program.as_path(), free.arguments[0].as_str()), (Path::new("/sweeps/./train.sh"), "0.25"));
    let found = ["python3", "bin/x", "/usr/bin/x"].map(|name| program(Path::new("/sweeps"), name));
    assert_eq!(found, ["python3", "/sweeps/bin/x", "/usr/bin/x"].map(PathBuf::from));
}

#[test]
fn every_trainer_is_told_of_its_run() {
    let task = task(&format!("{NFNET}[resources]\ndevice = \"cuda\"\nthreads = 2\n[trainer]\ncommand = [\"train\"]\n"));
    let launch = launched(&task, |attempt| attempt.accumulate = Some(4)).expect("a good command");
    let expected = [
        ("SCALELAW_RUN_DIR", "/state/runs/r"),
        ("SCALELAW_SPEC", "/state/runs/r/spec.json"),
        ("SCALELAW_JOURNAL", "/state/runs/r/attempts/3/journal.jsonl"),
        ("SCALELAW_RUN_ID", &task.run.to_string()),
        ("SCALELAW_ATTEMPT", "3"),
        ("SCALELAW_ACCUMULATE", "4"),
        ("OMP_NUM_THREADS", "2"),
        ("CUDA_VISIBLE_DEVICES", "7,GPU-a"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "20007"),
    ];
    for (name, value) in expected {
        assert_eq!(variable(&launch, name), Some(value), "{name}");
    }
    assert_eq!(variable(&launched(&task, |_| {}).expect("a good command"), "SCALELAW_ACCUMULATE"), Some("1"));
}

#[test]
fn a_run_has_a_port_of_its_own_and_others_to_turn_to() {
    let run: RunId = "0123456789abcdef".parse().expect("16 digits");
    let mut tried: Vec<u16> = ports(run).collect();
    assert_eq!(tried.first(), ports(run).next().as_ref());
    assert_ne!(ports(run).next(), ports("0123456789abcdee".parse().expect("16 digits")).next());
    tried.sort_unstable();
    tried.dedup();
    assert_eq!((tried.len(), tried[0], tried[9_999]), (10_000, 20_000, 29_999));
}
