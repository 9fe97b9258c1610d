//! A laboratory: a temporary folder with a tiny data set, in which `scalelaw` runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use spec::order::mix;
use tempfile::TempDir;

/// Pictures of the tiny data set.
pub(crate) const TRAIN: usize = 480;
const HELDOUT: usize = 120;
const SIDE: usize = 8;
const CLASSES: u64 = 4;

pub(crate) struct Lab {
    folder: TempDir,
}

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Lab {
    /// A laboratory with data and the sweep `tiny.toml`. `None`, loudly, where there is no worker.
    pub(crate) fn new() -> Option<Lab> {
        if !worker().is_file() {
            let message = format!("{} is missing: build it with `make build`", worker().display());
            assert!(std::env::var_os("SCALELAW_REQUIRE_WORKER").is_none(), "{message}");
            println!("NOT TESTED: {message}");
            return None;
        }
        Some(Lab::with_data())
    }

    /// A laboratory with data and the sweep `tiny.toml`, for commands that train nothing.
    pub(crate) fn with_data() -> Lab {
        let lab = Lab::without_worker();
        write_data(&lab.path("data"));
        lab.write("tiny.toml", &tiny("0.02, 0.05"));
        lab
    }

    /// An empty folder, for commands that train nothing.
    pub(crate) fn without_worker() -> Lab {
        Lab { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writable");
    }

    /// `scalelaw` in this laboratory, its runs in `state`.
    pub(crate) fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scalelaw"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("SCALELAW_STATE_DIR", state).env("SCALELAW_WORKER", worker());
        command
    }

    pub(crate) fn scalelaw(&self, state: &str, arguments: &[&str]) -> Said {
        Said::of(&self.command(state, arguments).output().expect("scalelaw starts"))
    }

    /// Has a sweep of this laboratory pretend to train, in `state`.
    pub(crate) fn simulate(&self, state: &str, file: &str, options: &[&str]) {
        let command = [&["simulate", file, "--progress", "none", "--speed", "100000"], options].concat();
        self.scalelaw(state, &command).check(0, &[]);
    }

    /// The exported table: one map from column to value per run.
    pub(crate) fn runs(&self, state: &str) -> Vec<BTreeMap<String, String>> {
        let said = self.scalelaw(state, &["export", "csv"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let mut reader = csv::Reader::from_reader(said.out.as_bytes());
        reader.deserialize().map(|record| record.expect("a row of our own table")).collect()
    }

    /// All journals, as text, by their path.
    pub(crate) fn journals(&self, state: &str) -> BTreeMap<PathBuf, String> {
        let mut journals = BTreeMap::new();
        let runs = fs::read_dir(self.path(state).join("runs")).into_iter().flatten().flatten();
        for run in runs {
            let attempts = fs::read_dir(run.path().join("attempts")).into_iter().flatten().flatten();
            for attempt in attempts {
                let path = attempt.path().join("journal.jsonl");
                if let Ok(text) = fs::read_to_string(&path) {
                    journals.insert(path, text);
                }
            }
        }
        journals
    }
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Asserts the exit code and that every part was said on standard error.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }
}

/// The text of a sweep file that is shipped.
pub(crate) fn shipped(sweep: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps").join(format!("{sweep}.toml"));
    fs::read_to_string(path).expect("a sweep that is shipped")
}

pub(crate) fn worker() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_scalelaw")).with_file_name("scalelaw-worker")
}

/// Two models, two budgets and these learning rates, on the tiny data set.
pub(crate) fn tiny(learning_rates: &str) -> String {
    format!(
        r#"name = "tiny"

[data]
dataset = "blobs"
directory = "data"

[model]
family = "nfnet"
stem_channels = [4]
stem_strides = [2]
strides = [1, 2]
depths = [1, 1]
initial_skip_gain = 1
sizes = [
    {{ name = "small", widths = [8, 16], group_width = 4 }},
    {{ name = "large", widths = [16, 32], group_width = 8 }},
]

[grid]
epochs = [1, 2.5]
lr = [{learning_rates}]

[train]
batch = 16
agc_lambda = 0.1
evaluations = 1

[policy]
retries = 3
checkpoint_seconds = 0.1
failures_in_a_row = 100
"#
    )
}

/// Pictures whose class shows in the brightness of one quarter, under noise; as four IDX files.
fn write_data(folder: &Path) {
    fs::create_dir_all(folder).expect("writable");
    for (name, from, count) in [("train", 0, TRAIN), ("t10k", TRAIN, HELDOUT)] {
        let mut images = idx_header(&[count, SIDE, SIDE]);
        let mut labels = idx_header(&[count]);
        for example in from..from + count {
            let random = |what: u64| mix(mix(example as u64) ^ what);
            let class = random(1) % CLASSES;
            labels.push(class as u8);
            for pixel in 0..SIDE * SIDE {
                let quarter = (pixel / SIDE / (SIDE / 2) * 2 + pixel % SIDE / (SIDE / 2)) as u64;
                let signal = if quarter == class { 90 } else { 0 };
                images.push((signal + random(100 + pixel as u64) % 160) as u8);
            }
        }
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).expect("writable");
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).expect("writable");
    }
}

fn idx_header(shape: &[usize]) -> Vec<u8> {
    let sizes = shape.iter().flat_map(|size| (*size as u32).to_be_bytes());
    [0, 0, 8, shape.len() as u8].into_iter().chain(sizes).collect()
}
