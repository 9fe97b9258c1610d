//! What the tests of this room share.

use spec::nfnet::{Bottleneck, Nfnet, StemConv};
use spec::order::mix;
use tch::{Kind, Tensor};

/// A small network with everything in it: two stem convolutions, a transition with and without stride, grouped
/// convolutions, blocks behind transitions.
pub(crate) fn small_model(initial_skip_gain: f64) -> Nfnet {
    Nfnet {
        depths: vec![2, 2],
        widths: vec![8, 16],
        strides: vec![1, 2],
        stem: vec![StemConv { channels: 4, stride: 2 }, StemConv { channels: 6, stride: 1 }],
        group_width: 2,
        bottleneck: Bottleneck::Kept,
        alpha: 0.2,
        initial_skip_gain,
        dropout: 0.0,
    }
}

/// Numbers from -1 to 1 that are the same in every run.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64).map(|i| (mix(seed ^ mix(i)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0).collect()
}

pub(crate) fn tensor(values: &[f64], shape: &[i64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float).reshape(shape)
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).expect("a vector of numbers")
}
