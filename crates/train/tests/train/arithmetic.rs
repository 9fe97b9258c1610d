//! Other precisions, orders in memory and parts of a batch compute the same function.

use spec::network::ModelSpec;
use spec::run::{Agc, Arithmetic, Augment, MemoryFormat, OptimizerSpec, Regularisation, Sam, TrainSpec};
use spec::schedule::Decay;
use spec::vit::{Pooling, Vit};
use tch::{Device, Kind, Tensor};
use train::gradient::{Examples, loss_and_gradient, mixed_target};
use train::network::{Network, declare};
use train::parameters::Parameters;

use crate::{check_close, numbers, small_model, tensor, values};

fn settings() -> TrainSpec {
    TrainSpec {
        epochs: 1.0,
        batch: 7,
        lr: 0.1,
        warmup_steps: 0,
        decay: Decay::Cosine,
        optimizer: OptimizerSpec::Sgd { momentum: 0.9, weight_decay: 0.0, agc: Agc { lambda: 0.1, eps: 1e-3 } },
        label_smoothing: 0.1,
        regularisation: Regularisation::default(),
        augment: Augment::NONE,
        evaluations: 0,
        divergence: 3.0,
        threads: 1,
        arithmetic: Arithmetic::default(),
    }
}

fn models() -> [ModelSpec; 3] {
    let vit = |pooling| ModelSpec::Vit(Vit { patch: 4, width: 16, depth: 2, mlp: 32, heads: 2, pooling });
    [ModelSpec::Nfnet(small_model(1.0)), vit(Pooling::Map), vit(Pooling::ClassToken)]
}

fn target() -> Tensor {
    Tensor::from_slice(&[0_i64, 2, 1, 4, 3, 0, 1])
}

/// Loss and gradient of seven pictures of twelve pixels.
fn found(model: &ModelSpec, train: &TrainSpec, kind: Kind, target: Tensor) -> (f64, Vec<f64>) {
    let layout = model.layout(1, 12, 5).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), 3, Device::Cpu).expect("memory");
    let all: Tensor = parameters.flat() + 0.05 * tensor(&numbers(parameters.len() as usize, 5), &[parameters.len()]);
    parameters.load(&all.detach()).expect("as many numbers");
    let network = Network::new(&layout, &parameters, train.arithmetic.memory_format).expect("declared");
    let pictures = tensor(&numbers(7 * 144, 11), &[7, 1, 12, 12]).to_kind(kind);
    let batch = Examples { pictures, target };
    let before = parameters.flat().copy();
    let (loss, gradient) = loss_and_gradient(&network, &mut parameters, &batch, train).expect("shapes fit");
    assert_eq!(values(parameters.flat()), values(&before), "the weights stay");
    assert!(gradient.iter().all(|one| one.kind() == Kind::Float), "gradients have 32 bits");
    (loss.double_value(&[]), gradient.iter().flat_map(values).collect())
}

#[test]
fn the_order_in_memory_and_the_parts_of_a_batch_change_roundings_only() {
    for model in models() {
        let sam = Regularisation { sam: Some(Sam { rho: 0.1, batch_share: 0.6 }), ..Regularisation::default() };
        for regularisation in [Regularisation::default(), sam] {
            let with = |arithmetic| {
                found(&model, &TrainSpec { regularisation, arithmetic, ..settings() }, Kind::Float, target())
            };
            let (loss, gradient) = with(Arithmetic::default());
            // Of 7 examples: 4 + 3, 3 + 3 + 1, and one by one.
            for accumulate in [2, 3, 7] {
                let (parts_loss, parts) = with(Arithmetic { accumulate, ..Arithmetic::default() });
                check_close(&[parts_loss], &[loss], 1e-5, "loss in parts");
                check_close(&parts, &gradient, 2e-5, "gradient in parts");
            }
            let (other_loss, other) =
                with(Arithmetic { memory_format: MemoryFormat::Contiguous, ..Arithmetic::default() });
            check_close(&[other_loss], &[loss], 1e-5, "loss in another order");
            check_close(&other, &gradient, 2e-5, "gradient in another order");
        }
    }
}

#[test]
fn sixteen_bits_are_close_to_thirty_two() {
    for model in models() {
        let (loss, gradient) = found(&model, &settings(), Kind::Float, target());
        let (rough_loss, rough) = found(&model, &settings(), Kind::BFloat16, target());
        assert_ne!(loss, rough_loss, "nothing was rounded");
        check_close(&[rough_loss], &[loss], 1e-2, "loss");
        // The direction is what a step takes from it.
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(&rough, &gradient) / (dot(&rough, &rough) * dot(&gradient, &gradient)).sqrt();
        assert!(cosine > 0.999, "cosine {cosine}");
    }
}

#[test]
fn a_mixed_target_is_the_mean_of_two_losses() {
    let [model, ..] = models();
    let own = [0_i64, 2, 1, 4, 3, 0, 1];
    let partners: Vec<i64> = own.iter().rev().copied().collect();
    let shares = [0.25_f32; 7];
    let mixed = |shares: &[f32]| mixed_target(&own, &partners, shares, 5).expect("seven of each");
    let (whole, _) = found(&model, &settings(), Kind::Float, target());
    let (alone, _) = found(&model, &settings(), Kind::Float, mixed(&[1.0; 7]));
    check_close(&[alone], &[whole], 1e-6, "nothing of the partner");
    let (partner, _) = found(&model, &settings(), Kind::Float, Tensor::from_slice(&partners));
    let (both, _) = found(&model, &settings(), Kind::Float, mixed(&shares));
    check_close(&[both], &[0.25 * whole + 0.75 * partner], 1e-6, "a quarter of its own");
}
