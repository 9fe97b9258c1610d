//! Other precisions, orders in memory and parts of a batch compute the same function.

use data::Label;
use data::batch::{Batch, Shape};
use spec::network::ModelSpec;
use spec::run::{Agc, Arithmetic, Augment, MemoryFormat, OptimizerSpec, Regularisation, Sam, TrainSpec};
use spec::schedule::Decay;
use spec::vit::{Pooling, Vit};
use tch::{Device, Kind, Tensor};
use train::gradient::{Examples, Target, loss_and_gradient};
use train::input;
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

const OWN: [u32; 7] = [0, 2, 1, 4, 3, 0, 1];

fn target() -> Target {
    targets(OWN.map(Label::One).to_vec(), None, false)
}

/// The target of examples with these labels, each mixed with the one at the other end of the batch where there are shares.
fn targets(labels: Vec<Label>, shares: Option<[f32; 7]>, multi_label: bool) -> Target {
    let count = labels.len();
    let batch = Batch {
        pixels: Vec::new(),
        shape: Shape { channels: 1, side: 12 },
        labels,
        ids: vec![0; count],
        partners: if shares.is_some() { (0..count).rev().collect() } else { Vec::new() },
        weights: shares.map_or(Vec::new(), |shares| shares.to_vec()),
        skipped: Vec::new(),
    };
    input::target(&batch, 5, multi_label).expect("classes below five")
}

/// Loss and gradient of seven pictures of twelve pixels.
fn found(model: &ModelSpec, train: &TrainSpec, kind: Kind, target: Target) -> (f64, Vec<f64>) {
    let layout = model.layout(1, 12, 5).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), 3, Device::Cpu).expect("memory");
    let all: Tensor = parameters.flat() + 0.05 * tensor(&numbers(parameters.len() as usize, 5), &[parameters.len()]);
    parameters.load(&all.detach()).expect("as many numbers");
    let network = Network::new(&layout, &parameters, train.arithmetic.memory_format).expect("declared");
    let pictures = tensor(&numbers(7 * 144, 11), &[7, 1, 12, 12]).to_kind(kind);
    let batch = Examples { pictures, target };
    let before = parameters.flat().copy();
    let (loss, gradient) =
        loss_and_gradient(&network, &mut parameters, &batch, train, train.arithmetic.accumulate).expect("shapes fit");
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
    let own = || OWN.map(Label::One).to_vec();
    let partners = own().into_iter().rev().collect();
    let mixed = |share: f32| targets(own(), Some([share; 7]), false);
    let (whole, _) = found(&model, &settings(), Kind::Float, target());
    let (alone, _) = found(&model, &settings(), Kind::Float, mixed(1.0));
    check_close(&[alone], &[whole], 1e-6, "nothing of the partner");
    let (partner, _) = found(&model, &settings(), Kind::Float, targets(partners, None, false));
    let (both, _) = found(&model, &settings(), Kind::Float, mixed(0.25));
    check_close(&[both], &[0.25 * whole + 0.75 * partner], 1e-6, "a quarter of its own");
}

#[test]
fn several_classes_are_as_many_yes_or_no_questions() {
    let [model, ..] = models();
    let sets = [vec![], vec![0], vec![1, 4], vec![0, 1, 2, 3, 4], vec![2], vec![3, 0], vec![4]];
    let labels: Vec<Label> = sets.iter().cloned().map(Label::Many).collect();
    let (loss, gradient) = found(&model, &settings(), Kind::Float, targets(labels, None, true));
    assert!(gradient.iter().any(|value| *value != 0.0));
    // The same from the logits, question by question.
    let layout = model.layout(1, 12, 5).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), 3, Device::Cpu).expect("memory");
    let all: Tensor = parameters.flat() + 0.05 * tensor(&numbers(parameters.len() as usize, 5), &[parameters.len()]);
    parameters.load(&all.detach()).expect("as many numbers");
    let network = Network::new(&layout, &parameters, MemoryFormat::ChannelsLast).expect("declared");
    let pictures = tensor(&numbers(7 * 144, 11), &[7, 1, 12, 12]);
    let logits =
        tch::no_grad(|| network.forward(&parameters, &pictures, train::network::Mode::Evaluate)).expect("fits");
    let expected: f64 = values(&logits)
        .chunks(5)
        .zip(&sets)
        .flat_map(|(logits, set)| logits.iter().zip(0_u32..).map(move |(logit, class)| (*logit, set.contains(&class))))
        .map(|(logit, yes)| if yes { (1.0 + (-logit).exp()).ln() } else { (1.0 + logit.exp()).ln() })
        .sum();
    check_close(&[loss], &[expected / 7.0], 1e-5, "the sum over the classes, the mean over the examples");
}
