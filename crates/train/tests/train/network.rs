//! What the network computes.

use spec::nfnet::{Architecture, Bottleneck, Nfnet as Model, PRESETS, StemConv};
use spec::run::MemoryFormat;
use tch::{Device, Kind, Tensor, no_grad};
use train::network::Mode;
use train::nfnet::{Nfnet, declare, standardise};
use train::parameters::Parameters;

use crate::plain::{self, Picture, Weights};
use crate::{check_close, numbers, small_model, tensor, values};

fn build(layout: &Architecture, seed: u64) -> (Parameters, Nfnet) {
    let parameters = Parameters::new(declare(layout), seed, Device::Cpu).expect("memory");
    let network = Nfnet::new(layout, &parameters, MemoryFormat::ChannelsLast).expect("declared by the same layout");
    (parameters, network)
}

/// Gives every parameter another value than its first one, where gains are 1 and biases 0.
fn stir(parameters: &mut Parameters) {
    let values = values(parameters.flat());
    let stirred: Vec<f64> =
        values.iter().zip(numbers(values.len(), 77)).map(|(value, noise)| value + 0.1 * noise).collect();
    parameters.load(&tensor(&stirred, &[values.len() as i64])).expect("the same length");
}

#[test]
fn it_has_exactly_the_parameters_that_were_priced() {
    for name in PRESETS {
        for bottleneck in [Bottleneck::Kept, Bottleneck::Floored] {
            let model = Model { bottleneck, ..Model::preset(name).expect("a preset") };
            let layout = model.layout(3, 224, 1000).expect("buildable");
            let declared: i64 = declare(&layout).iter().map(|one| one.shape.iter().product::<i64>()).sum();
            assert_eq!(declared as u64, layout.parameters(), "{name} {bottleneck:?}");
        }
    }
}

#[test]
fn it_computes_the_papers_formulas() {
    // Odd and even heights at both strides of 2, grey and colour.
    for (channels, side) in [(1, 9), (3, 12), (3, 14)] {
        let layout = small_model(0.7).layout(channels, side, 5).expect("buildable");
        let (mut parameters, network) = build(&layout, 3);
        stir(&mut parameters);
        let (channels, side) = (channels as usize, side as usize);
        let pixels = numbers(2 * channels * side * side, 5);
        let pictures = tensor(&pixels, &[2, channels as i64, side as i64, side as i64]);
        let found = network.forward(&parameters, &pictures, Mode::Evaluate).expect("the right shape");
        let weights = Weights::of(&parameters);
        let expected: Vec<f64> = pixels
            .chunks(channels * side * side)
            .flat_map(|numbers| {
                plain::logits(&layout, &weights, &Picture { channels, side, numbers: numbers.to_vec() })
            })
            .collect();
        check_close(&values(&found), &expected, 2e-5, &format!("{channels} x {side} x {side}"));
    }
}

#[test]
fn weights_are_standardised_by_the_formula() {
    let (output, fan_in) = (6, 3 * 3 * 3);
    let mut weight = numbers(output * fan_in, 1);
    // One channel below the floor of fan-in times variance, one constant.
    weight[fan_in..2 * fan_in].iter_mut().for_each(|w| *w *= 1e-4);
    weight[2 * fan_in..3 * fan_in].fill(0.25);
    let gain = numbers(output, 2);
    let found = standardise(&tensor(&weight, &[6, 3, 3, 3]), &tensor(&gain, &[6]), 1.5);
    let expected: Vec<f64> = plain::standardised(&weight, &gain).iter().map(|w| 1.5 * w).collect();
    check_close(&values(&found.expect("shapes fit")), &expected, 1e-6, "standardised weights");
}

#[test]
fn a_skip_gain_of_zero_leaves_the_shortcuts() {
    let run = |gain: f64, seed_of_branches: Option<u64>| {
        let layout = small_model(gain).layout(1, 12, 5).expect("buildable");
        let (mut parameters, network) = build(&layout, 3);
        if let Some(seed) = seed_of_branches {
            let other = build(&layout, seed).0;
            let mixed: Vec<f64> = parameters
                .declared()
                .iter()
                .zip(parameters.views().iter().zip(other.views()))
                .flat_map(|(one, (view, other))| {
                    let branch = ["conv1", "conv2", "conv2b", "conv3", "attn_last"];
                    let of_branch = one.name.starts_with("stages") && branch.iter().any(|part| one.name.contains(part));
                    values(if of_branch { other } else { view })
                })
                .collect();
            parameters.load(&tensor(&mixed, &[mixed.len() as i64])).expect("the same length");
        }
        let pictures = tensor(&numbers(144, 5), &[1, 1, 12, 12]);
        values(&network.forward(&parameters, &pictures, Mode::Evaluate).expect("the right shape"))
    };
    assert_eq!(run(0.0, None), run(0.0, Some(9)), "the branches must not count");
    assert_ne!(run(1.0, None), run(1.0, Some(9)), "the branches must count");
}

/// With all gains 1 the variance of a stage begins at 1 + alpha^2 and grows by alpha^2 with every block, and the mean
/// stays near 0 (arXiv 2101.08692, section 3; 2102.06171, section 3).
#[test]
fn the_variance_grows_by_alpha_squared_and_starts_again_at_a_transition() {
    let alpha = 0.5;
    let model = Model {
        depths: vec![4, 4],
        widths: vec![256, 384],
        // Without pooling, which takes variance out of noise that no picture has.
        strides: vec![1, 1],
        stem: vec![StemConv { channels: 128, stride: 1 }],
        group_width: 64,
        bottleneck: Bottleneck::Kept,
        alpha,
        initial_skip_gain: 1.0,
        dropout: 0.0,
    };
    let layout = model.layout(3, 24, 10).expect("buildable");
    let (mut stage_growth, mut first, mut means) = (Vec::new(), Vec::new(), Vec::new());
    let draws = 3;
    for seed in 0..draws {
        let (parameters, network) = build(&layout, seed);
        tch::manual_seed(seed as i64);
        let pictures = Tensor::randn([8, 3, 24, 24], (Kind::Float, Device::Cpu));
        let mut variances = Vec::new();
        let mut watch = |x: &Tensor| {
            // Averages over channels of mean and variance over examples and pixels.
            let mean = x.mean_dim([0_i64, 2, 3].as_slice(), false, Kind::Float);
            let variance = x.var_dim([0_i64, 2, 3].as_slice(), false, false).mean(Kind::Float).double_value(&[]);
            means.push(mean.square().mean(Kind::Float).double_value(&[]) / variance);
            variances.push(variance);
        };
        let run = || network.forward_watched(&parameters, &pictures, Mode::Evaluate, &mut watch);
        let _logits = no_grad(run).expect("fits");
        assert_eq!(variances.len(), 9, "the stem and eight blocks");
        for stage in [&variances[1..5], &variances[5..9]] {
            first.push(stage[0]);
            stage_growth.push((stage[3] - stage[0]) / 3.0);
        }
    }
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (first, growth) = (mean(&first), mean(&stage_growth));
    assert!((first / (1.0 + alpha * alpha) - 1.0).abs() < 0.15, "a stage begins at {first}");
    assert!((growth / (alpha * alpha) - 1.0).abs() < 0.2, "a block adds {growth}");
    assert!(mean(&means) < 0.2, "squared means are {:.3} of the variance", mean(&means));
}

#[test]
fn initial_weights_depend_on_the_seed_and_nothing_else() {
    let layout = small_model(1.0).layout(1, 12, 5).expect("buildable");
    let draw = |seed| values(build(&layout, seed).0.flat());
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    // Standard deviation 1 / sqrt(fan-in) of the widest layer.
    let parameters = build(&layout, 1).0;
    let widest = parameters.index("final_conv.weight").expect("there");
    let spread = parameters.views()[widest].std(true).double_value(&[]) * 16_f64.sqrt();
    assert!((spread - 1.0).abs() < 0.1, "{spread}");
}
