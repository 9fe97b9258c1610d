//! The NFNet once more, as loops over 64-bit floats: slow, and read off the papers' formulas line by line.

use std::collections::BTreeMap;

use spec::nfnet::{Architecture, Block, Conv, GELU_GAIN};
use train::parameters::Parameters;

use crate::values;

/// A picture: channels, height (= width), numbers.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) channels: usize,
    pub(crate) side: usize,
    pub(crate) numbers: Vec<f64>,
}

impl Picture {
    fn at(&self, channel: usize, y: isize, x: isize) -> f64 {
        let side = self.side as isize;
        let inside = 0 <= y && y < side && 0 <= x && x < side;
        if inside { self.numbers[channel * self.side * self.side + (y * side + x) as usize] } else { 0.0 }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Picture {
        Picture { numbers: self.numbers.iter().map(|value| f(*value)).collect(), ..*self }
    }

    /// Mean over the pixels of each channel.
    fn means(&self) -> Vec<f64> {
        let pixels = self.side * self.side;
        self.numbers.chunks(pixels).map(|plane| plane.iter().sum::<f64>() / pixels as f64).collect()
    }
}

/// The parameters by name.
pub(crate) struct Weights(BTreeMap<String, Vec<f64>>);

impl Weights {
    pub(crate) fn of(parameters: &Parameters) -> Weights {
        let named = parameters.declared().iter().zip(parameters.views());
        Weights(named.map(|(one, view)| (one.name.clone(), values(view))).collect())
    }

    fn get(&self, name: &str) -> &[f64] {
        &self.0[name]
    }
}

/// GELU in its tanh form (jax.nn.gelu's default), times the constant that makes it keep the variance.
fn activation(value: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (value + 0.044_715 * value.powi(3));
    GELU_GAIN * 0.5 * value * (1.0 + inner.tanh())
}

/// gain (W - mean) / sqrt(max(N variance, 1e-4)) over the fan-in of N numbers of each output channel.
pub(crate) fn standardised(weight: &[f64], gain: &[f64]) -> Vec<f64> {
    let fan_in = weight.len() / gain.len();
    let unit = |(rows, gain): (&[f64], &f64)| {
        let mean = rows.iter().sum::<f64>() / fan_in as f64;
        let variance = rows.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / fan_in as f64;
        let scale = gain / (fan_in as f64 * variance).max(1e-4).sqrt();
        rows.iter().map(|w| (w - mean) * scale).collect::<Vec<f64>>()
    };
    weight.chunks(fan_in).zip(gain).flat_map(unit).collect()
}

/// A convolution as TensorFlow's SAME has it: at stride 2 an even picture is padded below and to the right only.
fn convolution(conv: &Conv, weights: &Weights, x: &Picture) -> Picture {
    let get = |part: &str| weights.get(&format!("{}.{part}", conv.name));
    let weight = standardised(get("weight"), get("gain"));
    let (kernel, stride, groups) = (conv.kernel as usize, conv.stride as usize, conv.groups as usize);
    let (input, output) = (conv.input as usize / groups, conv.output as usize);
    let side = x.side.div_ceil(stride);
    let padding = ((side - 1) * stride + kernel).saturating_sub(x.side) / 2;
    let mut numbers = Vec::new();
    for out in 0..output {
        let first = out / (output / groups) * input;
        for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
            let mut sum = get("bias")[out];
            for channel in 0..input {
                for (dy, dx) in (0..kernel).flat_map(|dy| (0..kernel).map(move |dx| (dy, dx))) {
                    let (y, x_) = (row * stride + dy, column * stride + dx);
                    let value = x.at(first + channel, y as isize - padding as isize, x_ as isize - padding as isize);
                    sum += value * weight[((out * input + channel) * kernel + dy) * kernel + dx];
                }
            }
            numbers.push(sum);
        }
    }
    Picture { channels: output, side, numbers }
}

/// Means of 2 x 2 pixels; of those there are at an odd edge.
fn pool(x: &Picture) -> Picture {
    let side = x.side.div_ceil(2);
    let mut numbers = Vec::new();
    for channel in 0..x.channels {
        for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
            let pixels = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| (2 * row + dy, 2 * column + dx));
            let there: Vec<_> = pixels.into_iter().filter(|(y, x_)| *y < x.side && *x_ < x.side).collect();
            let sum: f64 = there.iter().map(|(y, x_)| x.at(channel, *y as isize, *x_ as isize)).sum();
            numbers.push(sum / there.len() as f64);
        }
    }
    Picture { channels: x.channels, side, numbers }
}

fn linear(name: &str, weights: &Weights, x: &[f64]) -> Vec<f64> {
    let (weight, bias) = (weights.get(&format!("{name}.weight")), weights.get(&format!("{name}.bias")));
    let row = |(row, bias): (&[f64], &f64)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
    weight.chunks(x.len()).zip(bias).map(row).collect()
}

fn block(block: &Block, alpha: f64, weights: &Weights, x: &Picture) -> Picture {
    let input = x.map(|value| activation(value) * block.beta);
    let shortcut = match &block.shortcut {
        Some(conv) if block.stride > 1 => convolution(conv, weights, &pool(&input)),
        Some(conv) => convolution(conv, weights, &input),
        None => x.clone(),
    };
    let mut out = convolution(&block.convs[0], weights, &input);
    for conv in &block.convs[1..] {
        out = convolution(conv, weights, &out.map(activation));
    }
    let hidden: Vec<f64> = linear(&format!("{}.attn_last.fc1", block.name), weights, &out.means());
    let hidden: Vec<f64> = hidden.iter().map(|value| value.max(0.0)).collect();
    let excited = linear(&format!("{}.attn_last.fc2", block.name), weights, &hidden);
    let skip_gain = weights.get(&format!("{}.skipinit_gain", block.name))[0];
    let pixels = out.side * out.side;
    let numbers = out.numbers.iter().zip(&shortcut.numbers).enumerate().map(|(index, (out, shortcut))| {
        let squeezed = 2.0 / (1.0 + (-excited[index / pixels]).exp());
        out * squeezed * skip_gain * alpha + shortcut
    });
    Picture { numbers: numbers.collect(), ..out }
}

/// The logits of one picture.
pub(crate) fn logits(layout: &Architecture, weights: &Weights, picture: &Picture) -> Vec<f64> {
    let mut x = picture.clone();
    for (index, conv) in layout.stem.iter().enumerate() {
        let input = if index == 0 { x } else { x.map(activation) };
        x = convolution(conv, weights, &input);
    }
    for one in &layout.blocks {
        x = block(one, layout.alpha, weights, &x);
    }
    let features = convolution(&layout.final_conv, weights, &x).map(activation).means();
    linear("head.fc", weights, &features)
}
