//! A run: every number the worker uses, fixed before it starts, and an identity that follows from them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de::Error as _};

use crate::network::ModelSpec;
use crate::order::{SampleOrder, mix};
use crate::schedule::{Decay, Schedule};

/// What a run trains, on what, and how. Complete and immutable: nothing is decided while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The network.
    pub model: ModelSpec,
    /// The training set and the held-out set.
    pub data: DataSpec,
    /// Optimiser, budget and evaluation.
    pub train: TrainSpec,
    /// Decides the initial weights and the order of the examples.
    pub seed: u64,
    /// The run whose final weights it starts from, but for a new classifier: then this is fine-tuning. That run's identity
    /// stands for its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<RunId>,
}

/// A data set as an experiment knows it; where its files lie is not part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Name, as in the sweep file.
    pub dataset: String,
    /// Fingerprint of the files, so that other data make another run.
    pub fingerprint: String,
    /// Examples trained on in one epoch: the first so many of the training set.
    pub train_examples: u64,
    /// Examples of the held-out set: the first so many.
    pub heldout_examples: u64,
    /// 1 for grey pictures, 3 for colour.
    pub channels: u32,
    /// Height and width, in pixels, that pictures are brought to for training.
    pub resolution: u32,
    /// Height and width that pictures are brought to for evaluation.
    pub heldout_resolution: u32,
    /// Number of classes.
    pub classes: u32,
    /// Classes of the files that are used, numbered anew in this order; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_classes: Option<Vec<u32>>,
    /// Mean of the pixels, each from 0 to 1; subtracted.
    pub mean: f64,
    /// Standard deviation of the pixels; divided by.
    pub std: f64,
}

/// How a run trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Passes over the training set; may be a fraction.
    pub epochs: f64,
    /// Examples per step; the last step takes what is left.
    pub batch: u64,
    /// Peak of the learning rate.
    pub lr: f64,
    /// Steps over which the learning rate rises to its peak.
    pub warmup_steps: u64,
    /// What it does then. The paper's cosine is not written down, so that runs from before there was a choice keep their
    /// identity.
    #[serde(default, skip_serializing_if = "Decay::is_cosine")]
    pub decay: Decay,
    /// What turns gradients into steps.
    pub optimizer: OptimizerSpec,
    /// Share of the label spread over all classes.
    pub label_smoothing: f64,
    /// What keeps the network from fitting few examples too closely; nothing in large-scale pre-training.
    #[serde(default, skip_serializing_if = "Regularisation::is_none")]
    pub regularisation: Regularisation,
    /// What happens to a picture before it is trained on.
    pub augment: Augment,
    /// Evaluations on the held-out set before the one at the end, evenly spread.
    pub evaluations: u32,
    /// A training loss above so many times ln(classes), that of guessing, is a divergence.
    pub divergence: f64,
    /// Threads of one run. Part of its identity, because sums depend on how they are split.
    pub threads: u32,
    /// How the arithmetic is done.
    #[serde(default, skip_serializing_if = "Arithmetic::is_usual")]
    pub arithmetic: Arithmetic,
}

/// In which numbers and in which order a step is computed. The same function in every case, to other roundings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arithmetic {
    /// Of activations and their gradients. Parameters, momentum, the standardisation of weights, norms, the classifier and the
    /// loss are in 32 bits always (arXiv 2102.06171, appendix A.1).
    pub precision: Precision,
    /// In which order the activations of convolutions lie in memory.
    pub memory_format: MemoryFormat,
    /// Parts that a batch is computed in, one after the other, for less memory; their gradients are added.
    pub accumulate: u32,
}

/// Width of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 16-bit floats with the exponent of 32-bit ones.
    Bf16,
}

/// Order in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryFormat {
    /// All channels of a pixel side by side.
    #[default]
    ChannelsLast,
    /// All pixels of a channel side by side.
    Contiguous,
}

impl Default for Arithmetic {
    fn default() -> Arithmetic {
        Arithmetic { precision: Precision::Fp32, memory_format: MemoryFormat::ChannelsLast, accumulate: 1 }
    }
}

impl Arithmetic {
    fn is_usual(&self) -> bool {
        *self == Arithmetic::default()
    }
}

/// The optimiser: what each family is trained with in the papers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// SGD with Nesterov momentum, for NFNets.
    Sgd {
        /// Nesterov momentum.
        momentum: f64,
        /// Coupled weight decay of weights; gains, biases and skip gains have none.
        weight_decay: f64,
        /// Adaptive gradient clipping.
        agc: Agc,
    },
    /// Adam with decoupled weight decay (arXiv 1711.05101), for Vision Transformers.
    Adamw {
        /// Decay of the mean of gradients.
        beta1: f64,
        /// Decay of the mean of squared gradients.
        beta2: f64,
        /// Added to the root of the mean of squares.
        eps: f64,
        /// Decoupled weight decay of weights, times the learning rate; biases, norms, tokens and positions have none.
        weight_decay: f64,
        /// Largest norm of the gradient of all parameters together.
        clip_norm: f64,
    },
}

/// What is switched on for small data and for fine-tuning (arXiv 2102.06171, appendix A.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regularisation {
    /// Rate at which the residual branch of the deepest block is left out for an example (arXiv 1603.09382); it grows with
    /// the depth of the block.
    pub stochastic_depth: f64,
    /// Decay of the moving average of the weights, which is then what is evaluated.
    pub ema: Option<f64>,
    /// Sharpness-aware minimisation.
    pub sam: Option<Sam>,
    /// Rate at which features are left out before the classifier; the model's own where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

impl Regularisation {
    fn is_none(&self) -> bool {
        *self == Regularisation::default()
    }
}

/// Sharpness-aware minimisation (arXiv 2010.01412): every step is taken with the gradient found at weights that were moved by
/// `rho` along the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sam {
    /// Length of the move, over all parameters.
    pub rho: f64,
    /// Share of the batch, its first examples, that finds the direction (arXiv 2102.06171, appendix A.4: 0.2 is as good as
    /// all of it).
    pub batch_share: f64,
}

impl Sam {
    /// Examples of a batch of `batch` that find the direction, at least one.
    pub fn examples(&self, batch: u64) -> u64 {
        ((self.batch_share * batch as f64).ceil() as u64).clamp(1, batch.max(1))
    }
}

/// Adaptive gradient clipping (arXiv 2102.06171, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agc {
    /// Largest ratio of gradient norm to weight norm; 0.01 in the paper.
    pub lambda: f64,
    /// Norm below which a weight counts as having this norm; 1e-3 in the paper.
    pub eps: f64,
}

/// Augmentation of training pictures. What is drawn depends on the seed, the epoch and the example alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Zero pixels added on each side before a random crop of the original size.
    pub crop_padding: u32,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
    /// Crops of random size and shape, brought to the resolution of training (arXiv 1409.4842): at least this share of the
    /// picture's area, 0.08 in the papers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_crop: Option<f64>,
    /// Random operations on every picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Pictures mixed with others of the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
    /// How often each example of a batch stands in it, each time augmented anew (arXiv 2105.13343). The number of pictures
    /// trained on stays, so an epoch budget of 8 with a multiplicity of 4 goes through the data twice.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub multiplicity: u32,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_once(multiplicity: &u32) -> bool {
    *multiplicity == 1
}

impl Augment {
    /// Pictures as they are.
    pub const NONE: Augment = Augment {
        crop_padding: 0,
        flip: false,
        inception_crop: None,
        rand_augment: None,
        mixing: None,
        multiplicity: 1,
    };
}

/// RandAugment (arXiv 1909.13719): so many operations, drawn from a list, on every picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Operations per picture.
    pub layers: u32,
    /// How strong they are, from 0 to 30; 10 is the middle of what the papers use.
    pub magnitude: f64,
}

/// MixUp (arXiv 1710.09412) and CutMix (arXiv 1905.04899): a picture and its label are mixed with those of another of the
/// batch. Where both are on, each has a half of the batch (arXiv 2102.06171, appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mixing {
    /// The weighted mean of two pictures; the weight is drawn from Beta(alpha, alpha).
    Mixup {
        /// Both parameters of the Beta distribution.
        alpha: f64,
    },
    /// A rectangle of another picture; its share of the area is drawn from Beta(alpha, alpha).
    Cutmix {
        /// Both parameters of the Beta distribution.
        alpha: f64,
    },
    /// MixUp for the first half of the batch, CutMix for the second.
    Both {
        /// Of MixUp.
        mixup: f64,
        /// Of CutMix.
        cutmix: f64,
    },
}

impl RunSpec {
    /// Samples that enter the weights: epochs times examples, to the nearest whole sample, at least one of each draw.
    pub fn samples(&self) -> u64 {
        self.draws() * self.multiplicity()
    }

    /// Draws from the training set: each gives as many samples as the multiplicity of augmentation says.
    pub fn draws(&self) -> u64 {
        let samples = self.train.epochs * self.data.train_examples as f64;
        ((samples / self.multiplicity() as f64).round() as u64).max(1)
    }

    /// Samples of each draw, at least 1.
    pub fn multiplicity(&self) -> u64 {
        u64::from(self.train.augment.multiplicity.max(1))
    }

    /// Examples that go forward and backward: the samples, and once more those that find the direction of SAM.
    pub fn examples_computed(&self) -> u64 {
        let (samples, batch) = (self.samples(), self.train.batch);
        let Some(sam) = self.train.regularisation.sam else { return samples };
        let (whole, rest) = (samples / batch, samples % batch);
        let last = if rest > 0 { sam.examples(rest) } else { 0 };
        samples + whole * sam.examples(batch) + last
    }

    /// Optimiser steps. The last one may be smaller, so that a whole number of epochs ends with every example seen.
    pub fn steps(&self) -> u64 {
        self.samples().div_ceil(self.train.batch)
    }

    /// The learning rate of every step.
    pub fn schedule(&self) -> Schedule {
        let train = &self.train;
        Schedule { peak: train.lr, warmup_steps: train.warmup_steps, steps: self.steps(), decay: train.decay }
    }

    /// The order of the examples; `None` for an empty training set.
    pub fn order(&self) -> Option<SampleOrder> {
        SampleOrder::new(mix(self.seed), self.data.train_examples)
    }

    /// Steps after which the held-out set is evaluated, the last one included.
    pub fn evaluation_steps(&self) -> Vec<u64> {
        let (steps, parts) = (self.steps(), u64::from(self.train.evaluations) + 1);
        let share = |part: u64| (u128::from(steps) * u128::from(part) / u128::from(parts)) as u64;
        let mut at: Vec<u64> = (1..=parts).map(share).filter(|step| *step > 0).collect();
        at.dedup();
        at
    }

    /// The identity of the run: a hash of everything above.
    pub fn id(&self) -> RunId {
        RunId(hash(self))
    }

    /// The identity of its cell: the run without its seed.
    pub fn cell(&self) -> CellKey {
        CellKey(hash(&RunSpec { seed: 0, ..self.clone() }))
    }
}

/// The first 64 bits of BLAKE3 over the JSON, whose field order is fixed by the types.
fn hash(spec: &RunSpec) -> u64 {
    let json = serde_json::to_vec(spec).unwrap_or_default();
    let bytes = blake3::hash(&json);
    u64::from_be_bytes(bytes.as_bytes()[..8].try_into().unwrap_or_default())
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let value = u64::from_str_radix(text, 16).ok().filter(|_| hex);
                value.map($name).ok_or_else(|| NotAnId(text.to_owned()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

hex_id! {
    /// Names a run: 16 hexadecimal digits.
    RunId
}
hex_id! {
    /// Names a cell: 16 hexadecimal digits.
    CellKey
}

/// Text that is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 16 hexadecimal digits")]
pub struct NotAnId(String);

/// What `spec.json` in a run directory holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecFile {
    /// Version of this file's form; [`SPEC_SCHEMA`].
    pub schema: u32,
    /// The identity of the run.
    pub run_id: RunId,
    /// What to train.
    pub run: RunSpec,
}

/// The form of `spec.json` that this version reads and writes.
pub const SPEC_SCHEMA: u32 = 1;

/// A learning rate, budget or factor as a person would write it: up to four significant digits.
pub fn short(value: f64) -> String {
    let text = format!("{:.3e}", value);
    let rounded: f64 = text.parse().unwrap_or(value);
    if rounded != 0.0 && (rounded.abs() < 1e-4 || rounded.abs() >= 1e6) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_read_well() {
        let texts: Vec<String> =
            [0.125, 1.6, 0.00002, 0.2 * 2.0_f64.sqrt(), 4e9, 0.1 + 0.2].iter().map(|x| short(*x)).collect();
        assert_eq!(texts, ["0.125", "1.6", "2e-5", "0.2828", "4e9", "0.3"]);
    }

    #[test]
    fn ids_survive_text() {
        let id = RunId(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "00abcdef01234567");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("00ABCDEF01234567".parse::<RunId>().is_err());
        assert!("+0abcdef01234567".parse::<RunId>().is_err());
    }
}
