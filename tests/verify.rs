//! `scalelaw verify samples` on what workers have left behind, some of it wrong on purpose.

use std::fs;

use spec::order::Digest;
use spec::run::SpecFile;

use crate::scripted::{HEAD, lab};
use crate::support::{Lab, TRAIN};

/// Trains the one run of the sweep with a worker that leaves these lines between its first and its last.
fn left_behind(lines: &[String]) -> (Lab, String) {
    let (lab, worker) = lab("finish", 0);
    let lines: Vec<String> = lines.iter().map(|line| format!("line 2 '{line}'\n")).collect();
    lab.write("worker", &format!("{HEAD}{}finish", lines.concat()));
    let sweep = fs::read_to_string(lab.path("one.toml")).expect("just written");
    // Two of 480.
    lab.write("one.toml", &sweep.replace("directory = \"data\"", "directory = \"data\"\nskip_damaged = 0.0045"));
    lab.scalelaw("state", &["run", "one.toml", "--worker", &worker]).check(0, &["held-out loss 0.5000"]);
    let run = lab.runs("state").remove(0)["run_id"].clone();
    (lab, run)
}

fn epoch(digest: Digest, samples: usize) -> String {
    format!("\"event\":\"epoch\",\"epoch\":0,\"samples\":{samples},\"digest\":\"{digest}\"")
}

fn skipped(example: u64) -> String {
    format!("\"event\":\"skipped\",\"step\":3,\"epoch\":0,\"example\":{example},\"reason\":\"no JPEG\"")
}

/// The digest of the whole training set without some examples.
fn without(examples: &[u64]) -> Digest {
    let mut digest = Digest::default();
    (0..TRAIN as u64).for_each(|id| digest.add(id));
    examples.iter().for_each(|id| digest.remove(*id));
    digest
}

#[test]
fn a_run_is_chosen_by_its_identity_and_the_first_wrong_epoch_is_named() {
    let (lab, run) = left_behind(&[]);
    for arguments in [vec!["verify", "samples"], vec!["verify", "samples", &run], vec!["verify", "samples", "tiny"]] {
        let said = lab.scalelaw("state", &arguments);
        said.check(1, &[]);
        assert!(said.out.contains(&format!("(run {run}): epoch 0 left no digest")), "{}", said.out);
    }
    let json = lab.scalelaw("state", &["verify", "samples", &run, "--json"]).json();
    assert_eq!(json["first_wrong_epochs"][0]["run_id"], run.as_str());
    assert_eq!(json["first_wrong_epochs"][0]["difference"], "left no digest");
    let spec = fs::read_to_string(lab.path("state/runs").join(&run).join("spec.json")).expect("readable");
    let spec: SpecFile = serde_json::from_str(&spec).expect("its own form");
    assert_eq!(spec.run.draws(), TRAIN as u64);
    let (lost, _) = left_behind(&[epoch(without(&[5]), TRAIN)]);
    let said = lost.scalelaw("state", &["verify", "samples"]);
    said.check(1, &[]);
    assert!(said.out.contains("epoch 0 did not see each of its 480 examples exactly once"), "{}", said.out);
    lost.scalelaw("state", &["verify", "samples", "00000000000000ff"]).check(2, &["no run or sweep 00000000000000ff"]);
    lost.scalelaw("state", &["verify", "samples", "nonesuch"]).check(2, &["no sweep \"nonesuch\"", "there: tiny"]);
}

#[test]
fn skipped_examples_are_told_and_listed() {
    let (lab, run) = left_behind(&[skipped(5), skipped(7), epoch(without(&[5, 7]), TRAIN)]);
    let said = lab.scalelaw("state", &["verify", "samples", &run]);
    said.check(0, &[]);
    assert!(said.out.contains("exactly once in every epoch but for those skipped (1 epoch, 1 run)"), "{}", said.out);
    assert!(said.out.contains("2 examples were skipped as damaged, listed by --json"), "{}", said.out);
    let json = lab.scalelaw("state", &["verify", "samples", "--json"]).json();
    assert_eq!(json["skipped"][1], serde_json::json!({"run_id": run, "epoch": 0, "example": 7, "reason": "no JPEG"}));
    let (lab, _) = left_behind(&[skipped(5), skipped(7), skipped(9), epoch(without(&[5, 7, 9]), TRAIN)]);
    let said = lab.scalelaw("state", &["verify", "samples"]);
    said.check(1, &[]);
    assert!(said.out.contains("epoch 0 skipped 3 examples, and 2 may be"), "{}", said.out);
    let (lab, _) = left_behind(&[skipped(480), epoch(without(&[480]), TRAIN)]);
    let said = lab.scalelaw("state", &["verify", "samples"]);
    said.check(1, &[]);
    assert!(said.out.contains("epoch 0 lists example 480 among those skipped, which it does not have"), "{}", said.out);
}

#[test]
fn a_figure_marks_what_is_not_proven() {
    let (lab, _) = left_behind(&[]);
    lab.scalelaw("state", &["plot", "scaling", "--out", "figures"]).check(0, &[]);
    let csv = fs::read_to_string(lab.path("figures/scaling.csv")).expect("drawn");
    assert!(csv.contains(",unverified"), "{csv}");
    let svg = fs::read_to_string(lab.path("figures/scaling.svg")).expect("drawn");
    assert!(svg.contains("1 run without a valid digest of the samples, crossed where drawn."), "{svg}");
    let (lab, _) = left_behind(&[epoch(without(&[]), TRAIN)]);
    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "scaling", "--out", "figures"]).check(0, &[]);
    let csv = fs::read_to_string(lab.path("figures/scaling.csv")).expect("drawn");
    assert!(csv.contains(",finished") && !csv.contains("unverified"), "{csv}");
}
