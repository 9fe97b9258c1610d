//! What draws random numbers. libtorch has one generator per process, so this is one test in a program of its own, beside
//! which nothing else draws: stochastic depth leaves out what it should, and a run that was stopped, killed and damaged at
//! random ends in the bits of one that was not.

#[path = "../train/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use data::dataset::FILES;
use data::{Dataset, Opening};
use spec::files::DataFiles;
use spec::journal::{Event, parse_line};
use spec::network::ModelSpec;
use spec::order::mix;
use spec::run::{
    Agc, Arithmetic, Augment, DataSpec, MemoryFormat, Mixing, OptimizerSpec, RandAugment, Regularisation, RunSpec,
    SPEC_SCHEMA, Sam, SpecFile, TrainSpec,
};
use spec::schedule::Decay;
use spec::vit::{Pooling, Vit};
use tch::{Device, Tensor};
use train::attempt::{self, Ending, Setting};
use train::journal::Journal;
use train::network::{Mode, Network, declare};
use train::parameters::Parameters;

use support::{numbers, small_model, tensor, values};

/// Random schedules of stops, kills and damage for each network.
const SCHEDULES: u64 = 50;

/// Attempts that are disturbed before one is left to end.
const DISTURBED: u64 = 4;

#[test]
#[expect(clippy::print_stdout, reason = "the seed of a random test")]
fn random_numbers_are_a_function_of_the_step() {
    for model in models() {
        branches_are_left_out_as_often_as_asked(&model);
    }
    let seed = std::env::var("SCALELAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    println!("SCALELAW_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_data(folder.path());
    for model in models() {
        let file = run_of(model, folder.path());
        let calm = train(&file, folder.path(), None);
        assert_eq!(calm.attempts, 1);
        let mut attempts = 0;
        for schedule in 0..SCHEDULES {
            let disturbed = train(&file, folder.path(), Some(mix(seed ^ mix(schedule))));
            attempts += disturbed.attempts;
            assert_eq!(disturbed.history, calm.history, "schedule {schedule}, SCALELAW_SEED={seed}");
        }
        assert!(attempts > 2 * SCHEDULES, "hardly anything was disturbed: {attempts} attempts");
    }
}

fn models() -> [ModelSpec; 2] {
    let vit = Vit { patch: 4, width: 8, depth: 3, mlp: 16, heads: 2, pooling: Pooling::Map };
    let nfnet = spec::nfnet::Nfnet { dropout: 0.2, ..small_model(1.0) };
    [ModelSpec::Nfnet(nfnet), ModelSpec::Vit(vit)]
}

/// With all branches of the deepest block left out, an example is as if that block were not there for it; the average
/// over many draws says how often.
fn branches_are_left_out_as_often_as_asked(model: &ModelSpec) {
    let model = match model {
        // Dropout would hide what is counted.
        ModelSpec::Nfnet(nfnet) => ModelSpec::Nfnet(spec::nfnet::Nfnet { dropout: 0.0, ..nfnet.clone() }),
        // One block: the deepest has the full rate.
        ModelSpec::Vit(vit) => ModelSpec::Vit(Vit { depth: 2, ..vit.clone() }),
        ModelSpec::Custom(_) => unreachable!("there is none among the models"),
    };
    let layout = model.layout(1, 12, 5).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), 5, Device::Cpu).expect("memory");
    // A head that starts at zero would show nothing.
    let count = parameters.len();
    parameters.load(&tensor(&numbers(count as usize, 3), &[count])).expect("the same length");
    let network = Network::new(&layout, &parameters, MemoryFormat::ChannelsLast).expect("declared");
    let picture = tensor(&numbers(144, 8), &[1, 1, 12, 12]).expand([600, 1, 12, 12], false).contiguous();
    let logits = |mode| {
        tch::manual_seed(11);
        tch::no_grad(|| network.forward(&parameters, &picture, mode)).expect("the right shape")
    };
    let first = |logits: &Tensor| -> Vec<f64> { values(&logits.select(1, 0)) };
    let full = first(&logits(Mode::Evaluate));
    let same = |found: &[f64]| {
        let close = found.iter().zip(&full).filter(|(a, b)| (*a - *b).abs() <= 1e-4 * (1.0 + b.abs()));
        close.count() as f64 / full.len() as f64
    };
    assert_eq!(
        same(&first(&logits(Mode::Train { stochastic_depth: 0.0, dropout: None }))),
        1.0,
        "nothing is left out at rate 0"
    );
    let rate = 0.4;
    let found = same(&first(&logits(Mode::Train { stochastic_depth: rate, dropout: None })));
    let expected = match &model {
        // Rates of the four blocks: 0, 0.1, 0.2, 0.3; nothing is scaled up, so an example that keeps all is unchanged.
        ModelSpec::Nfnet(_) => 0.9 * 0.8 * 0.7,
        // The second block has the full rate and what it keeps is scaled up, so no example is unchanged.
        ModelSpec::Vit(_) | ModelSpec::Custom(_) => 0.0,
    };
    assert!((found - expected).abs() < 0.08, "{found} of the examples are unchanged, expected {expected}");
    if matches!(model, ModelSpec::Vit(_)) {
        // Both branches of the second block are left out for one example in six.
        let head = first(&logits(Mode::Train { stochastic_depth: rate, dropout: None }));
        let mut counted = BTreeMap::<i64, u32>::new();
        head.iter().for_each(|value| *counted.entry((value * 1e3).round() as i64).or_default() += 1);
        assert_eq!(counted.len(), 4, "each of two branches kept or not: {counted:?}");
        let shares: Vec<f64> = counted.values().map(|count| f64::from(*count) / 600.0).collect();
        for expected in [rate * rate, (1.0 - rate) * (1.0 - rate)] {
            assert!(shares.iter().any(|share| (share - expected).abs() < 0.06), "{shares:?} lacks {expected}");
        }
    }
}

/// What a run leaves behind, without the times.
#[derive(Debug, PartialEq)]
struct Trained {
    attempts: u64,
    /// Of every step with a loss, an evaluation or an end: what the last attempt to reach it said.
    history: BTreeMap<String, String>,
}

/// Trains a run to its end in a folder of its own; with `random`, disturbs it first.
fn train(file: &SpecFile, data: &Path, random: Option<u64>) -> Trained {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut trained = Trained { attempts: 0, history: BTreeMap::new() };
    loop {
        let random = random.filter(|_| trained.attempts < DISTURBED).map(|random| mix(random ^ trained.attempts));
        trained.attempts += 1;
        let ending = attempt_once(file, data, folder.path(), trained.attempts, random, &mut trained.history);
        match ending {
            Ending::Result => return trained,
            Ending::Preempted => damage(folder.path(), random.unwrap_or_default()),
        }
    }
}

fn attempt_once(
    file: &SpecFile,
    data: &Path,
    folder: &Path,
    attempt: u64,
    random: Option<u64>,
    history: &mut BTreeMap<String, String>,
) -> Ending {
    let (stop, step) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let watcher = random.map(|random| {
        let (stop, step, over) = (Arc::clone(&stop), Arc::clone(&step), Arc::clone(&over));
        let steps = file.run.steps();
        // A third of the stops aim at an epoch's end or an evaluation, where there is most to get wrong.
        let at = if random.is_multiple_of(3) { steps * (1 + random / 3 % 6) / 6 } else { random % steps };
        std::thread::spawn(move || {
            while step.load(Ordering::Relaxed) < at && !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(50));
            }
            stop.store(true, Ordering::Relaxed);
        })
    });
    let every = random.map_or(u64::MAX, |random| mix(random) % 6);
    let setting = Setting {
        run: folder.to_owned(),
        data: DataFiles::directory(data.to_string_lossy()),
        cache: None,
        checkpoint_every: if every == u64::MAX { Duration::MAX } else { Duration::from_millis(every) },
        loader_threads: LOADERS[attempt as usize % LOADERS.len()],
        trunk: None,
        keep_trunk: false,
        accumulate: None,
        stop,
        step,
    };
    let path = folder.join(format!("{attempt}.jsonl"));
    let journal = Journal::create(&path).expect("a new file");
    let ending = attempt::run(file, &setting, &journal).expect("nothing is wrong with it");
    over.store(true, Ordering::Relaxed);
    if let Some(watcher) = watcher {
        watcher.join().expect("it only waits");
    }
    for line in fs::read_to_string(&path).expect("readable").lines() {
        let (key, said) = match parse_line(line).expect("its own line").event {
            Event::Progress { step, samples, loss, lr, .. } => {
                (format!("progress {step:04}"), format!("{samples:?} {:x} {lr:?}", loss.nats().to_bits()))
            }
            Event::Evaluated { step, loss, accuracy, .. } => {
                (format!("evaluation {step:04}"), format!("{:x} {accuracy:?}", loss.nats().to_bits()))
            }
            Event::Epoch { epoch, samples, digest } => (format!("epoch {epoch}"), format!("{samples} {digest}")),
            Event::Finished(end) => {
                ("end".to_owned(), format!("{:x} {:?}", end.heldout_loss.nats().to_bits(), end.state_hash))
            }
            _ => continue,
        };
        history.insert(key, said);
    }
    ending
}

/// What a kill or a failing disk may have done to the checkpoints: the newest was not written yet, is half written under
/// its partial name, or is damaged.
fn damage(folder: &Path, random: u64) {
    let checkpoints = folder.join("checkpoints");
    let entries = fs::read_dir(&checkpoints).into_iter().flatten().flatten().map(|entry| entry.path());
    let complete = |path: &std::path::PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u64>().is_ok())
    };
    let Some(newest) = entries.filter(complete).max() else { return };
    match mix(random) % 4 {
        0 => fs::remove_dir_all(newest).expect("writable"),
        1 => {
            let _ = fs::remove_dir_all(checkpoints.join("partial"));
            fs::rename(&newest, checkpoints.join("partial")).expect("writable");
            fs::remove_file(checkpoints.join("partial/manifest.json")).expect("there");
        }
        2 => {
            let state = newest.join("state.safetensors");
            let content = fs::read(&state).expect("readable");
            fs::write(&state, &content[..content.len() / 2]).expect("writable");
        }
        _ => {}
    }
}

/// 60 pictures to train on and 40 held out, of 12 x 12 pixels and 5 classes.
fn write_data(folder: &Path) {
    for (part, count) in [(0, 60_u64), (2, 40)] {
        let mut pictures = vec![0, 0, 8, 3, 0, 0, 0, count as u8, 0, 0, 0, 12, 0, 0, 0, 12];
        pictures.extend((0..count * 144).map(|at| (mix(at ^ part) % 200) as u8 + 10 * (at / 144 % 5) as u8));
        let mut labels = vec![0, 0, 8, 1, 0, 0, 0, count as u8];
        labels.extend((0..count).map(|at| (at % 5) as u8));
        fs::write(folder.join(FILES[part as usize]), pictures).expect("writable");
        fs::write(folder.join(FILES[part as usize + 1]), labels).expect("writable");
    }
}

/// Threads that load data, in turn from attempt to attempt: their number changes no bit.
const LOADERS: [usize; 4] = [1, 0, 2, 4];

/// 22 steps over two and a half epochs, with everything that draws random numbers or keeps a state.
fn run_of(model: ModelSpec, data: &Path) -> SpecFile {
    let files = DataFiles::directory(data.to_string_lossy());
    let facts = Dataset::open(&files, &Opening::quietly("")).expect("just written").facts;
    let optimizer = match model {
        ModelSpec::Nfnet(_) => {
            OptimizerSpec::Sgd { momentum: 0.9, weight_decay: 1e-4, agc: Agc { lambda: 0.1, eps: 1e-3 } }
        }
        ModelSpec::Vit(_) | ModelSpec::Custom(_) => {
            OptimizerSpec::Adamw { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.05, clip_norm: 1.0 }
        }
    };
    let run = RunSpec {
        model,
        data: DataSpec {
            dataset: "tiny".to_owned(),
            fingerprint: facts.fingerprint,
            train_examples: facts.train_examples,
            heldout_examples: facts.heldout_examples,
            channels: 1,
            resolution: 12,
            heldout_resolution: 12,
            classes: facts.classes,
            keep_classes: None,
            mean: facts.mean,
            std: facts.std,
            multi_label: false,
            centre_crop: None,
            blocks: None,
            skip_damaged: None,
        },
        train: TrainSpec {
            epochs: 2.5,
            batch: 7,
            lr: 0.01,
            warmup_steps: 3,
            decay: Decay::Wsd { cooldown_steps: 6 },
            optimizer,
            label_smoothing: 0.1,
            regularisation: Regularisation {
                stochastic_depth: 0.3,
                ema: Some(0.9),
                sam: Some(Sam { rho: 0.05, batch_share: 0.3 }),
                dropout: Some(0.2),
            },
            augment: Augment {
                crop_padding: 0,
                flip: true,
                inception_crop: Some(0.5),
                rand_augment: Some(RandAugment { layers: 1, magnitude: 5.0 }),
                mixing: Some(Mixing::Both { mixup: 0.2, cutmix: 1.0 }),
                multiplicity: 1,
            },
            evaluations: 5,
            divergence: 3.0,
            threads: 1,
            arithmetic: Arithmetic { accumulate: 2, deterministic: true, ..Arithmetic::default() },
        },
        seed: 2,
        pretrained: None,
        trainer: None,
    };
    SpecFile { schema: SPEC_SCHEMA, run_id: run.id(), run }
}
