//! The Vision Transformer against its formulas, written out in 64-bit floats.

use std::collections::BTreeMap;

use spec::vit::{Architecture, PRESETS, Pooling, Vit as Model};
use tch::Device;
use train::network::Mode;
use train::parameters::Parameters;
use train::vit::{Vit, declare};

use crate::{check_close, numbers, tensor, values};

fn small(pooling: Pooling) -> Architecture {
    let model = Model { patch: 4, width: 12, depth: 2, mlp: 20, heads: 3, pooling };
    model.layout(2, 12, 5).expect("buildable")
}

/// Every parameter away from its first value, where biases are 0 and scales 1.
fn stirred(layout: &Architecture) -> Parameters {
    let mut parameters = Parameters::new(declare(layout), 3, Device::Cpu).expect("memory");
    let first = values(parameters.flat());
    let noise = numbers(first.len(), 77);
    let stirred: Vec<f64> = first.iter().zip(noise).map(|(value, noise)| value + 0.3 * noise).collect();
    parameters.load(&tensor(&stirred, &[stirred.len() as i64])).expect("the same length");
    parameters
}

type Weights = BTreeMap<String, Vec<f64>>;
/// Tokens, each a row of channels.
type Rows = Vec<Vec<f64>>;

fn linear(weights: &Weights, name: &str, x: &Rows) -> Rows {
    let (weight, bias) = (&weights[&format!("{name}.weight")], &weights[&format!("{name}.bias")]);
    let one = |row: &Vec<f64>| {
        let outputs = weight.chunks(row.len()).zip(bias);
        outputs.map(|(w, b)| w.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + b).collect()
    };
    x.iter().map(one).collect()
}

fn norm(weights: &Weights, name: &str, x: &Rows) -> Rows {
    let (scale, shift) = (&weights[&format!("{name}.weight")], &weights[&format!("{name}.bias")]);
    let one = |row: &Vec<f64>| {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let normal = row.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt());
        normal.zip(scale.iter().zip(shift)).map(|(x, (scale, shift))| x * scale + shift).collect()
    };
    x.iter().map(one).collect()
}

fn gelu(x: &Rows) -> Rows {
    let one = |x: &f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    x.iter().map(|row| row.iter().map(one).collect()).collect()
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn mlp(weights: &Weights, name: &str, x: &Rows) -> Rows {
    linear(weights, &format!("{name}.fc2"), &gelu(&linear(weights, &format!("{name}.fc1"), x)))
}

fn attention(query: &Rows, key: &Rows, value: &Rows, heads: usize) -> Rows {
    let size = query[0].len() / heads;
    let one = |query: &Vec<f64>| {
        (0..heads)
            .flat_map(|head| {
                let part = head * size..(head + 1) * size;
                let score = |key: &Vec<f64>| {
                    let product = query[part.clone()].iter().zip(&key[part.clone()]).map(|(q, k)| q * k).sum::<f64>();
                    (product / (size as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = key.iter().map(score).collect();
                let total: f64 = scores.iter().sum();
                let mixed = |at: usize| scores.iter().zip(value).map(|(score, value)| score / total * value[at]).sum();
                part.clone().map(mixed).collect::<Vec<f64>>()
            })
            .collect()
    };
    query.iter().map(one).collect()
}

/// Columns `part` of `parts` equal ones.
fn chunk(x: &Rows, part: usize, parts: usize) -> Rows {
    let size = x[0].len() / parts;
    x.iter().map(|row| row[part * size..(part + 1) * size].to_vec()).collect()
}

fn plain(layout: &Architecture, weights: &Weights, picture: &[f64]) -> Vec<f64> {
    let (patch, side, channels) = (layout.vit.patch as usize, layout.side as usize, layout.channels as usize);
    let (pixels, heads) = (patch * side, layout.vit.heads as usize);
    let mut patches = Rows::new();
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        let mut inputs = Vec::new();
        for channel in 0..channels {
            for y in row * patch..(row + 1) * patch {
                let from = (channel * pixels + y) * pixels + column * patch;
                inputs.extend_from_slice(&picture[from..from + patch]);
            }
        }
        patches.push(inputs);
    }
    let mut x = linear(weights, "patch_embed.proj", &patches);
    if layout.vit.pooling == Pooling::ClassToken {
        x.insert(0, weights["cls_token"].clone());
    }
    let positions: Rows = weights["pos_embed"].chunks(layout.vit.width as usize).map(<[f64]>::to_vec).collect();
    x = add(&x, &positions);
    for block in 0..layout.vit.depth {
        let name = |part: &str| format!("blocks.{block}.{part}");
        let qkv = linear(weights, &name("attn.qkv"), &norm(weights, &name("norm1"), &x));
        let mixed = attention(&chunk(&qkv, 0, 3), &chunk(&qkv, 1, 3), &chunk(&qkv, 2, 3), heads);
        x = add(&x, &linear(weights, &name("attn.proj"), &mixed));
        x = add(&x, &mlp(weights, &name("mlp"), &norm(weights, &name("norm2"), &x)));
    }
    x = norm(weights, "norm", &x);
    let features = match layout.vit.pooling {
        Pooling::ClassToken => x,
        Pooling::Map => {
            let query = linear(weights, "attn_pool.q", &vec![weights["attn_pool.latent"].clone()]);
            let both = linear(weights, "attn_pool.kv", &x);
            let mixed = attention(&query, &chunk(&both, 0, 2), &chunk(&both, 1, 2), heads);
            let pooled = linear(weights, "attn_pool.proj", &mixed);
            add(&pooled, &mlp(weights, "attn_pool.mlp", &norm(weights, "attn_pool.norm", &pooled)))
        }
    };
    linear(weights, "head", &vec![features[0].clone()]).remove(0)
}

#[test]
fn it_has_exactly_the_parameters_that_were_priced() {
    for name in PRESETS {
        for pooling in [Pooling::Map, Pooling::ClassToken] {
            let model = Model { pooling, ..Model::preset(name).expect("a preset") };
            let layout = model.layout(3, 7 * 32 * 14, 1000).or(model.layout(3, 224, 1000)).expect("buildable");
            let declared: i64 = declare(&layout).iter().map(|one| one.shape.iter().product::<i64>()).sum();
            assert_eq!(declared as u64, layout.parameters(), "{name} {pooling:?}");
        }
    }
}

#[test]
fn it_computes_the_papers_formulas() {
    for pooling in [Pooling::Map, Pooling::ClassToken] {
        let layout = small(pooling);
        let parameters = stirred(&layout);
        let network = Vit::new(&layout, &parameters).expect("declared by the same layout");
        let pictures = numbers(2 * 2 * 12 * 12, 5);
        let found =
            network.forward(&parameters, &tensor(&pictures, &[2, 2, 12, 12]), Mode::Evaluate).expect("the right shape");
        let named = parameters.declared().iter().zip(parameters.views());
        let weights: Weights = named.map(|(one, view)| (one.name.clone(), values(view))).collect();
        let expected: Vec<f64> = pictures.chunks(288).flat_map(|picture| plain(&layout, &weights, picture)).collect();
        check_close(&values(&found), &expected, 2e-5, &format!("{pooling:?}"));
    }
}

#[test]
fn another_resolution_resamples_the_positions() {
    for pooling in [Pooling::Map, Pooling::ClassToken] {
        let layout = small(pooling);
        let mut parameters = stirred(&layout);
        let network = Vit::new(&layout, &parameters).expect("declared by the same layout");
        let large = tensor(&numbers(2 * 20 * 20, 5), &[1, 2, 20, 20]);
        assert_eq!(
            network.forward(&parameters, &large, Mode::Evaluate).expect("a multiple of the patch").size(),
            [1, 5]
        );
        // Where all positions are alike, and all patches too, a larger picture of the same patches looks the same.
        let mut flat = values(parameters.flat());
        let mut at = 0;
        for one in parameters.declared() {
            let count = one.shape.iter().product::<i64>() as usize;
            if one.name == "pos_embed" {
                flat[at..at + count].fill(0.1);
            }
            at += count;
        }
        parameters.load(&tensor(&flat, &[flat.len() as i64])).expect("the same length");
        let of = |side: i64| {
            let picture = tensor(&vec![0.3; (2 * side * side) as usize], &[1, 2, side, side]);
            values(&network.forward(&parameters, &picture, Mode::Evaluate).expect("a multiple of the patch"))
        };
        if pooling == Pooling::Map {
            check_close(&of(20), &of(12), 1e-5, "attention over more of the same");
        }
    }
}
