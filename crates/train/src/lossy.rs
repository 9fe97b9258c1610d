//! Only in this crate's own tests: a sampler that loses an example and repeats another, which the digest must tell.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data::batch::Batch;
use data::dataset::FILES;
use data::{Dataset, Opening};
use spec::files::DataFiles;
use spec::journal::{Event, parse_line};
use spec::run::{RunSpec, SPEC_SCHEMA, SpecFile};
use spec::samples::{Difference, Known, Promise, SeenEpoch, Wrong, check};

use crate::attempt::{self, Ending, Setting};
use crate::journal::Journal;

thread_local! {
    /// The step, if any, whose batch is spoilt on this thread.
    static SPOILT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// In the step that is to be spoilt, the first example takes the place of the last one: pixels, label and id.
pub(crate) fn spoilt(mut batch: Batch, step: u64) -> Batch {
    let count = batch.ids.len();
    if SPOILT.get() == Some(step) && count > 1 {
        let picture = batch.pixels.len() / count;
        batch.pixels.copy_within(..picture, (count - 1) * picture);
        batch.labels[count - 1] = batch.labels[0].clone();
        batch.ids[count - 1] = batch.ids[0];
    }
    batch
}

/// Trains two and a half epochs and holds the journal against what it must say.
fn verdict(lossy: Option<u64>) -> Result<(), Wrong> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_data(folder.path());
    let file = run_of(folder.path());
    let setting = Setting {
        run: folder.path().join("run"),
        data: DataFiles::directory(folder.path().to_string_lossy()),
        cache: None,
        checkpoint_every: Duration::MAX,
        loader_threads: 1,
        trunk: None,
        keep_trunk: false,
        accumulate: None,
        stop: Arc::default(),
        step: Arc::default(),
    };
    fs::create_dir(&setting.run).expect("writable");
    let path = folder.path().join("journal.jsonl");
    let journal = Journal::create(&path).expect("a new file");
    SPOILT.set(lossy);
    assert_eq!(attempt::run(&file, &setting, &journal).expect("nothing is wrong with it"), Ending::Result);
    SPOILT.set(None);
    let journal = fs::read_to_string(path).expect("readable");
    let seen = journal.lines().filter_map(|line| match parse_line(line).expect("its own line").event {
        Event::Epoch { epoch, samples, digest } => Some(SeenEpoch { epoch, samples, digest }),
        _ => None,
    });
    let promise = Promise::of(&file.run, false).expect("not empty");
    check(&promise, &seen.collect::<Vec<_>>(), &[], &mut Known::default())
}

#[test]
fn a_lossy_sampler_is_found_and_its_epoch_named() {
    assert_eq!(verdict(None), Ok(()));
    // Steps 5 and 6 are samples 20 to 27, in epoch 1; step 11 is in the last half epoch.
    for (step, epoch, samples) in [(0, 0, 20), (6, 1, 20), (11, 2, 10)] {
        let found = verdict(Some(step));
        assert_eq!(found, Err(Wrong { epoch, what: Difference::Digest { samples } }), "step {step}");
    }
}

/// 20 pictures to train on and 8 held out, of 8 x 8 pixels and 4 classes.
fn write_data(folder: &Path) {
    for (part, count) in [(0, 20_u8), (2, 8)] {
        let mut pictures = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 8, 0, 0, 0, 8];
        pictures.extend((0..u32::from(count) * 64).map(|at| (at * 7 % 251) as u8));
        let mut labels = vec![0, 0, 8, 1, 0, 0, 0, count];
        labels.extend((0..count).map(|id| id % 4));
        fs::write(folder.join(FILES[part]), pictures).expect("writable");
        fs::write(folder.join(FILES[part + 1]), labels).expect("writable");
    }
}

fn run_of(data: &Path) -> SpecFile {
    let files = DataFiles::directory(data.to_string_lossy());
    let facts = Dataset::open(&files, &Opening::quietly("")).expect("just written").facts;
    let run: RunSpec = serde_json::from_value(serde_json::json!({
        "model": {
            "family": "nfnet", "depths": [1], "widths": [4], "strides": [2], "stem": [{"channels": 4, "stride": 2}],
            "group_width": 2, "bottleneck": "kept", "alpha": 0.2, "initial_skip_gain": 1.0, "dropout": 0.0
        },
        "data": {
            "dataset": "tiny", "fingerprint": facts.fingerprint, "train_examples": 20, "heldout_examples": 8,
            "channels": 1, "resolution": 8, "heldout_resolution": 8, "classes": 4, "mean": facts.mean, "std": facts.std
        },
        "train": {
            "epochs": 2.5, "batch": 4, "lr": 0.01, "warmup_steps": 0,
            "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 0.0, "agc": {"lambda": 0.1, "eps": 0.001}},
            "label_smoothing": 0.0, "augment": {"crop_padding": 0, "flip": false}, "evaluations": 0, "divergence": 3.0,
            "threads": 1
        },
        "seed": 1
    }))
    .expect("a good specification");
    SpecFile { schema: SPEC_SCHEMA, run_id: run.id(), run }
}
