//! What a person sees, word for word. After a wanted change: `SCALELAW_BLESS=1 cargo test --test it screens`, then read the
//! difference.

use std::fs;
use std::path::Path;

use crate::support::{Lab, Said, tiny};

/// Compares with `tests/golden/NAME.txt`; where the laboratory lies is left out.
#[track_caller]
fn check(lab: &Lab, name: &str, arguments: &[&str]) {
    let said = lab.scalelaw("state", arguments);
    let text = screen(lab, arguments, &said);
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
