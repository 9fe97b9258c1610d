//! What a person sees, word for word. After a wanted change: `SCALELAW_BLESS=1 cargo test --test it screens`, then read the
//! difference.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Lab, Said, tiny};

/// Screens that tell times.
const TIMED: [&str; 8] = [
    "status-after-trouble",
    "runs-ls",
    "runs-show",
    "explain-failed",
    "explain-queued",
    "explain-paused",
    "budget-too-small",
    "pause",
];

/// Compares with `tests/golden/NAME.txt`; where the laboratory lies is left out.
#[track_caller]
fn check(lab: &Lab, name: &str, arguments: &[&str]) {
    let said = lab.scalelaw("state", arguments);
    let text = screen(lab, arguments, &said);
    let text = if TIMED.contains(&name) { without_times(&text) } else { text };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("SCALELAW_BLESS").is_some() {
        fs::write(&golden, &text).expect("writable");
        return;
    }
    let wanted = fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    assert!(text == wanted, "{name}.txt has:\n{wanted}\nbut this is said:\n{text}");
}

fn screen(lab: &Lab, arguments: &[&str], said: &Said) -> String {
    let mut text = format!("$ scalelaw {}\n{}", arguments.join(" "), said.out);
    for line in said.err.lines() {
        text += &format!("! {line}\n");
    }
    text += &format!("exit code {}\n", said.code.unwrap_or(-1));
    text.replace(&lab.path("").display().to_string(), "")
}

/// With times, which differ from day to day, as `# s`; columns are as wide as they need to be, so blanks are one.
fn without_times(text: &str) -> String {
    let is_number = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        for index in 1..words.len() {
            let unit = words[index].trim_end_matches([',', ':', ')', ';']);
            if matches!(unit, "s" | "min" | "h") && is_number(words[index - 1]) {
                words[index - 1] = "#";
            }
        }
        words.join(" ").replace("# min # s", "# s")
    };
    text.lines().map(|one| line(one) + "\n").collect()
}

/// A sweep of which one run diverges and two fail, by a trainer of one's own.
const TROUBLE: &str = r#"
name = "trouble"
trainer = { command = ["./train.sh", "{model} {lr}", "{run_dir}/attempts/{attempt}/journal.jsonl"] }
data = { dataset = "none", train_examples = 640, heldout_examples = 64 }
model = { family = "custom", sizes = [{ name = "small", parameters = 1000, macs = 1000 }, { name = "large", parameters = 4000, macs = 4000 }] }
grid = { epochs = [1, 2], lr = [0.1, 0.2] }
train = { batch = 64 }
policy = { retries = 0, failures_in_a_row = 10 }
resources = { slots = 1 }
"#;

const TRAINER: &str = r#"#!/bin/sh
case "$1" in
"large 0.2")
    printf 'loading\nTraceback (most recent call last):\n  File "train.py", line 7\nValueError: no such layer\n' >&2
    exit 1 ;;
"small 0.2") echo '{"event": "diverged", "step": 3}' >> "$2" ;;
*) echo '{"event": "finished", "heldout_loss": 1.25}' >> "$2" ;;
esac
"#;

#[test]
fn screens_of_a_sweep_with_trouble() {
    let lab = Lab::without_worker();
    lab.write("trouble.toml", TROUBLE);
    lab.write("train.sh", TRAINER);
    let program = lab.path("train.sh");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its owner");
    check(&lab, "status-after-trouble", &["run", "trouble.toml", "--progress", "none"]);
    check(&lab, "runs-ls", &["runs", "ls", "model=large"]);
    let runs = lab.scalelaw("state", &["runs", "ls", "--json", "state=failed"]).json();
    let failed = runs["runs"][0]["run_id"].as_str().expect("one has failed").to_owned();
    check(&lab, "runs-show", &["runs", "show", &failed]);
    check(&lab, "explain-failed", &["explain", &failed]);
    lab.scalelaw("state", &["runs", "retry", &failed]).check(0, &[]);
    check(&lab, "explain-queued", &["explain", &failed]);
    check(&lab, "runs-prioritise", &["runs", "prioritise", "2", &failed]);
    check(&lab, "pause", &["pause"]);
    check(&lab, "explain-paused", &["explain", &failed]);
    check(&lab, "runs-logs", &["runs", "logs", &failed]);
    check(&lab, "mistakes-selector", &["runs", "cancel", "modle=large"]);
    lab.write(
        "poor.toml",
        &format!("{}\n[budget]\ndevice_hours = 0.0001\n", TROUBLE.replace("trouble", "poor").replace("seeds", "")),
    );
    check(&lab, "budget-too-small", &["plan", "poor.toml"]);
}

#[test]
fn screens_without_runs() {
    let lab = Lab::with_data();
    check(&lab, "help", &["--help"]);
    check(&lab, "plan", &["plan", "tiny.toml"]);
    check(&lab, "data-inspect", &["data", "inspect", "data"]);
    check(&lab, "status-before-anything", &["status"]);
}

#[test]
fn screens_of_mistakes() {
    let lab = Lab::with_data();
    let wrong = tiny("0.1, -4")
        .replace("family = \"nfnet\"", "family = \"nfnet\"\npresets = [\"F9\"]")
        .replace("batch = 16", "bach = 16\nmomentum = \"high\"\nwarmup = 2.5")
        .replace("dataset = \"blobs\"", "dataset = 7");
    lab.write("wrong.toml", &wrong);
    check(&lab, "mistakes-toml", &["plan", "wrong.toml"]);
    lab.write(
        "wrong.yaml",
        "name: x\ndata: {dataset: d, directory: data}\nmodel:\n  family: resnet\ngrid: {epochs: [0], lr: 0.1}\n",
    );
    check(&lab, "mistakes-yaml", &["plan", "wrong.yaml"]);
    lab.write(
        "unbuildable.toml",
        &tiny("0.1").replace("widths = [8, 16], group_width = 4", "widths = [9, 16], group_width = 4"),
    );
    check(&lab, "mistakes-model", &["plan", "unbuildable.toml"]);
}

#[test]
fn screens_of_fits() {
    let lab = Lab::without_worker();
    let rows = (0..24).map(|i| {
        let (model, epochs, lr) = (["a", "b"][i / 12], [1.0, 2.0, 4.0][i / 4 % 3], [0.1, 0.2, 0.4, 0.8][i % 4]);
        let best: f64 = 0.35 * f64::powf(epochs, -0.3);
        let loss = (2.0 - 0.2 * (i / 12) as f64) * epochs.powf(-0.1) * (1.0 + 0.01 * (lr / best).log2().powi(2));
        format!("{model},{epochs},{lr},{},{loss:.5}\n", epochs * [1.0, 3.0][i / 12])
    });
    lab.write("trials.csv", &format!("model,epochs,lr,compute,loss\n{}", rows.collect::<String>()));
    check(&lab, "fit-frontier", &["fit", "frontier", "--points", "trials.csv"]);
    check(&lab, "fit-lr", &["fit", "lr", "--points", "trials.csv"]);
    lab.write("two.csv", "compute,loss\n1,3\n10,2\n");
    check(&lab, "fit-refused", &["fit", "power", "--points", "two.csv"]);
}
