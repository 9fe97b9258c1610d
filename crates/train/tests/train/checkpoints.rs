//! Checkpoints: old or new, never broken.

use std::fs;

use spec::run::{Agc, OptimizerSpec, RunId};
use tch::Device;
use train::checkpoint::{Checkpoints, Progress, state_hash};
use train::nfnet::declare;
use train::optimizer::Optimizer;
use train::parameters::Parameters;

use crate::{numbers, small_model, tensor};

fn run_id(text: &str) -> RunId {
    text.parse().expect("16 digits")
}

fn state(seed: u64) -> (Parameters, Optimizer) {
    let layout = small_model(1.0).layout(1, 12, 5).expect("buildable");
    let parameters = Parameters::new(declare(&layout), seed, Device::Cpu).expect("memory");
    let agc = Agc { lambda: 0.1, eps: 1e-3 };
    let sgd = OptimizerSpec::Sgd { momentum: 0.9, weight_decay: 0.0, agc };
    let mut optimizer = Optimizer::new(sgd, None, &parameters).expect("memory");
    let count = parameters.len();
    optimizer.load(&[tensor(&numbers(count as usize, seed), &[count])]).expect("the same length");
    (parameters, optimizer)
}

fn at_step(step: u64) -> Progress {
    Progress { step, digest: format!("{step:032x}"), skipped: 1, loss_sum_bits: 7, losses: 3, step_seconds: 0.5 }
}

#[test]
fn what_is_restored_is_what_was_saved_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::of(folder.path(), run_id("00000000000000aa"));
    let (parameters, optimizer) = state(1);
    checkpoints.save(&parameters, &optimizer, &at_step(5)).expect("writable");
    let (mut fresh, mut empty) = state(2);
    let (progress, notes) = checkpoints.restore(&mut fresh, &mut empty).expect("shapes fit");
    assert_eq!(progress, Some(at_step(5)));
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(state_hash(&fresh, &empty).expect("readable"), state_hash(&parameters, &optimizer).expect("readable"));
}

#[test]
fn the_last_two_are_kept_and_a_damaged_one_is_passed_over_aloud() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::of(folder.path(), run_id("00000000000000aa"));
    for step in 1..=4 {
        let (parameters, optimizer) = state(step);
        checkpoints.save(&parameters, &optimizer, &at_step(step)).expect("writable");
    }
    let mut left: Vec<String> = fs::read_dir(folder.path().join("checkpoints"))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["0000000003", "0000000004"]);

    let newest = folder.path().join("checkpoints/0000000004/state.safetensors");
    let mut content = fs::read(&newest).expect("readable");
    *content.last_mut().expect("not empty") ^= 1;
    fs::write(&newest, content).expect("writable");
    let (mut parameters, mut optimizer) = state(9);
    let (progress, notes) = checkpoints.restore(&mut parameters, &mut optimizer).expect("shapes fit");
    assert_eq!(progress, Some(at_step(3)));
    assert!(notes.len() == 1 && notes[0].contains("0000000004") && notes[0].contains("hash"), "{notes:?}");
    // The damaged one is out of the way: the next one of this step is saved, and the older good one stays until then.
    let (parameters, optimizer) = state(4);
    checkpoints.save(&parameters, &optimizer, &at_step(4)).expect("writable");
    let (mut parameters, mut optimizer) = state(9);
    assert_eq!(checkpoints.restore(&mut parameters, &mut optimizer).expect("fits"), (Some(at_step(4)), Vec::new()));
    assert!(folder.path().join("checkpoints/damaged-0000000004").is_dir());
    let (expected, momentum) = state(4);
    assert_eq!(
        state_hash(&parameters, &optimizer).expect("readable"),
        state_hash(&expected, &momentum).expect("readable")
    );
}

#[test]
fn the_checkpoint_of_another_run_is_not_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut parameters, mut optimizer) = state(1);
    let of = |id| Checkpoints::of(folder.path(), run_id(id));
    of("00000000000000aa").save(&parameters, &optimizer, &at_step(5)).expect("writable");
    let (progress, notes) = of("00000000000000bb").restore(&mut parameters, &mut optimizer).expect("shapes fit");
    assert_eq!(progress, None);
    assert!(notes[0].contains("00000000000000aa"), "{notes:?}");
}
