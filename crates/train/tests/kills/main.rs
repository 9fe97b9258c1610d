//! Real workers, killed at random moments, on data in which every picture has a label of its own.
//!
//! With plain gradient descent and a rate so low that all classes stay equally likely, each example moves the bias of its own
//! class up by the rate over the batch, and each step moves all of them down alike. So the weights say how often each example
//! has entered them, and neither the journal nor the digest is asked.
#![expect(clippy::print_stdout, reason = "the seed of a random test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data::dataset::FILES;
use data::{Dataset, Opening};
use safetensors::SafeTensors;
use spec::files::DataFiles;
use spec::journal::{Event, parse_line};
use spec::order::mix;
use spec::run::{RunSpec, SPEC_SCHEMA, SpecFile};
use spec::samples::{Known, Promise, SeenEpoch, check};

/// Schedules with at least one kill that hits.
const SCHEDULES: u64 = 100;

/// Pictures, each of a class of its own.
const EXAMPLES: u64 = 48;

/// No divisor of the pictures: batches are carried over into the next epoch.
const BATCH: u64 = 5;

const EPOCHS: u64 = 5;

const RATE: f64 = 1e-4;

#[test]
fn after_any_kill_the_weights_hold_each_example_once_per_epoch() {
    let seed = std::env::var("SCALELAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    println!("SCALELAW_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    write_data(&data);
    let file = run_of(&data);
    let (calm, kills) = train(&file, &data, &folder.path().join("calm"), None);
    assert_eq!(kills, 0);
    let [next, hit, killed] = [const { AtomicU64::new(0) }; 3];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let schedule = next.fetch_add(1, Ordering::Relaxed);
                    if hit.load(Ordering::Relaxed) >= SCHEDULES {
                        return;
                    }
                    assert!(schedule < 2 * SCHEDULES, "kills come too late");
                    let run = folder.path().join(format!("{schedule}"));
                    let (state, kills) = train(&file, &data, &run, Some(mix(seed ^ mix(schedule))));
                    assert_eq!(state, calm, "schedule {schedule}, SCALELAW_SEED={seed}");
                    // On a busy machine a run can be over before its kill.
                    hit.fetch_add(u64::from(kills > 0), Ordering::Relaxed);
                    killed.fetch_add(kills, Ordering::Relaxed);
                    fs::remove_dir_all(run).expect("writable");
                }
            });
        }
    });
    println!("{} kills in {} schedules", killed.into_inner(), hit.into_inner());
}

/// Trains a run to its end, through kills where there is something random; what it ends in, and how many kills hit it.
fn train(file: &SpecFile, data: &Path, run: &Path, random: Option<u64>) -> (String, u64) {
    fs::create_dir_all(run).expect("writable");
    fs::write(run.join("spec.json"), serde_json::to_vec(file).expect("plain data")).expect("writable");
    let kills = random.map_or(0, |random| 1 + u64::from(random.is_multiple_of(4)));
    let mut hit = 0;
    for attempt in 1.. {
        let random = mix(random.unwrap_or_default() ^ attempt);
        let mut worker = start(data, run, attempt, random);
        if attempt <= kills {
            // Steps of this attempt; not so many that the end comes first.
            let at = 1 + random % (file.run.steps() * 3 / 4);
            hit += u64::from(kill_at(&mut worker, run, attempt, at, Duration::from_micros(random % 4000)));
            counts_are_even(run);
        } else {
            assert!(worker.wait().expect("our own child").success());
            break;
        }
    }
    let counts = counts(&run.join("weights.safetensors"), file.run.steps());
    assert_eq!(counts, [EPOCHS; EXAMPLES as usize], "the weights that the run leaves");
    let (epochs, state) = surviving(run, &file.run);
    let promise = Promise::of(&file.run, false).expect("not empty");
    assert_eq!(check(&promise, &epochs, &[], &mut Known::default()), Ok(()));
    (state, hit)
}

fn start(data: &Path, run: &Path, attempt: u64, random: u64) -> Child {
    let every = ["0", "0.005", "0.02"][random as usize % 3];
    let mut command = Command::new(env!("CARGO_BIN_EXE_scalelaw-worker"));
    command.arg(run).args(["--attempt", &attempt.to_string(), "--checkpoint-seconds", every]);
    command.args(["--loader-threads", &(random / 3 % 4).to_string()]).arg("--data").arg(data);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the worker starts")
}

/// Kills the worker a moment after it has done so many steps; whether that came before its end.
fn kill_at(worker: &mut Child, run: &Path, attempt: u64, at: u64, moment: Duration) -> bool {
    let began = Instant::now();
    while worker.try_wait().expect("our own child").is_none() && steps_of(run, attempt) < at {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(moment);
    let _ = worker.kill();
    !worker.wait().expect("our own child").success()
}

/// Steps that the journal of an attempt tells of: one line each, looked for often and therefore not read as JSON.
fn steps_of(run: &Path, attempt: u64) -> u64 {
    let text = fs::read_to_string(journal(run, attempt)).unwrap_or_default();
    text.matches("\"event\":\"progress\"").count() as u64
}

fn journal(run: &Path, attempt: u64) -> PathBuf {
    run.join(format!("attempts/{attempt}/journal.jsonl"))
}

fn events(run: &Path, attempt: u64) -> Vec<Event> {
    let text = fs::read_to_string(journal(run, attempt)).unwrap_or_default();
    text.lines().filter_map(|line| parse_line(line).ok()).map(|line| line.event).collect()
}

/// In the checkpoints that the next attempt may go on from, the examples of the open epoch are there once more than the others.
fn counts_are_even(run: &Path) {
    let folders = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten().map(|entry| entry.path());
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
    let mut complete: Vec<(u64, PathBuf)> = folders.filter_map(|path| Some((number(&path)?, path))).collect();
    complete.sort();
    // One that is older than these may have been about to go when the kill came.
    for (step, path) in complete.into_iter().rev().take(2) {
        let (counts, samples) = (counts(&path.join("state.safetensors"), step), step * BATCH);
        let (epoch, open) = (samples / EXAMPLES, samples % EXAMPLES);
        assert!(counts.iter().all(|count| *count == epoch || *count == epoch + 1), "step {step}: {counts:?}");
        assert_eq!(counts.iter().filter(|count| **count == epoch + 1).count() as u64, open, "step {step}: {counts:?}");
    }
}

/// How often each example has entered these weights, of so many steps.
fn counts(path: &Path, steps: u64) -> Vec<u64> {
    let content = fs::read(path).expect("readable");
    let tensors = SafeTensors::deserialize(&content).expect("its own form");
    let bias = tensors.tensor("head.fc.bias").expect("a classifier");
    let numbers = bias.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let count = |bias: f32| BATCH as f64 * (f64::from(bias) / RATE + steps as f64 / EXAMPLES as f64);
    let counts = numbers.map(|bias| {
        let count = count(bias);
        assert!((count - count.round()).abs() < 0.1 && count > -0.5, "{}: {count} times", path.display());
        count.round() as u64
    });
    counts.collect()
}

/// The epochs of the surviving lineage, and the hash of the state that it ends in.
fn surviving(run: &Path, spec: &RunSpec) -> (Vec<SeenEpoch>, String) {
    let (mut epochs, mut state) = (Vec::<SeenEpoch>::new(), String::new());
    let attempts = fs::read_dir(run.join("attempts")).expect("there").count() as u64;
    for event in (1..=attempts).flat_map(|attempt| events(run, attempt)) {
        match event {
            Event::Started { resumed_step, .. } => {
                let samples = resumed_step * spec.train.batch;
                epochs.retain(|one| one.epoch * EXAMPLES + one.samples <= samples);
            }
            Event::Epoch { epoch, samples, digest } => epochs.push(SeenEpoch { epoch, samples, digest }),
            Event::Finished(finished) => state = finished.state_hash.unwrap_or_default(),
            _ => {}
        }
    }
    (epochs, state)
}

/// Pictures of 8 x 8 pixels; each shows its id, which is its label as well.
fn write_data(folder: &Path) {
    fs::create_dir_all(folder).expect("writable");
    for part in [0, 2] {
        let mut pictures = vec![0, 0, 8, 3, 0, 0, 0, EXAMPLES as u8, 0, 0, 0, 8, 0, 0, 0, 8];
        pictures.extend((0..EXAMPLES * 64).map(|at| if mix(at / 64) >> (at % 64) & 1 == 1 { 200 } else { 50 }));
        let mut labels = vec![0, 0, 8, 1, 0, 0, 0, EXAMPLES as u8];
        labels.extend(0..EXAMPLES as u8);
        fs::write(folder.join(FILES[part]), pictures).expect("writable");
        fs::write(folder.join(FILES[part + 1]), labels).expect("writable");
    }
}

fn run_of(data: &Path) -> SpecFile {
    let facts = Dataset::open(&DataFiles::directory(data.to_string_lossy()), &Opening::quietly(""))
        .expect("just written")
        .facts;
    assert_eq!((facts.train_examples, u64::from(facts.classes)), (EXAMPLES, EXAMPLES));
    let run: RunSpec = serde_json::from_value(serde_json::json!({
        "model": {
            "family": "nfnet", "depths": [1], "widths": [4], "strides": [2], "stem": [{"channels": 4, "stride": 2}],
            "group_width": 2, "bottleneck": "kept", "alpha": 0.2, "initial_skip_gain": 1.0, "dropout": 0.0
        },
        "data": {
            "dataset": "ids", "fingerprint": facts.fingerprint, "train_examples": EXAMPLES,
            "heldout_examples": 8, "channels": 1, "resolution": 8, "heldout_resolution": 8, "classes": EXAMPLES,
            "mean": facts.mean, "std": facts.std
        },
        "train": {
            "epochs": EPOCHS as f64, "batch": BATCH, "lr": RATE, "warmup_steps": 0, "decay": {"name": "constant"},
            // Clips nothing.
            "optimizer": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0, "agc": {"lambda": 1e6, "eps": 1.0}},
            "label_smoothing": 0.0, "augment": {"crop_padding": 0, "flip": false}, "evaluations": 0, "divergence": 3.0,
            "threads": 1
        },
        "seed": 3
    }))
    .expect("a good specification");
    SpecFile { schema: SPEC_SCHEMA, run_id: run.id(), run }
}
