//! The training room against formulas written out plainly in 64-bit floats, and against the numbers of the papers.

mod arithmetic;
mod checkpoints;
mod exchange;
mod network;
mod parity;
mod plain;
mod steps;
mod support;
mod vits;
mod weights;

use support::{numbers, small_model, tensor, values};

#[track_caller]
fn check_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-30_f64, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(error <= tolerance, "{what}, number {index}: {found} is not {expected}");
    }
}
