//! A run: every number the worker uses, fixed before it starts, and an identity that follows from them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de::Error as _};

mod augment;
mod channels;
mod train;

pub use augment::{Augment, Mixing, RandAugment};
pub use channels::PerChannel;
pub use train::{Agc, Arithmetic, DeviceKind, MemoryFormat, OptimizerSpec, Precision, Regularisation, Sam, TrainSpec};

use crate::network::ModelSpec;
use crate::order::{Blocks, SampleOrder, mix};
use crate::schedule::Schedule;
use crate::trainer::Trainer;

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
    /// What trains it; the built-in trainer where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<Trainer>,
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
    pub mean: PerChannel,
    /// Standard deviation of the pixels; divided by.
    pub std: PerChannel,
    /// An example has any number of classes, and the loss is the sum over the classes of the sigmoid cross-entropy.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multi_label: bool,
    /// Of pictures that differ in size, the share of the shorter side that the centred square has which is evaluated, and trained
    /// on where there is no inception crop. `None`: all pictures are stored as squares of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre_crop: Option<f64>,
    /// The examples are drawn in blocks of neighbours, for disks that read forward; from all of the set where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
    /// The share of the training set that may be damaged and is left out; with none, a damaged example ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_damaged: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
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

    /// The loss of a network that knows nothing: ln(classes), or with any number of classes ln 2 for each of them.
    pub fn loss_of_guessing(&self) -> f64 {
        let classes = f64::from(self.data.classes);
        if self.data.multi_label { classes * std::f64::consts::LN_2 } else { classes.ln() }
    }

    /// Damaged examples that an epoch may leave out.
    pub fn skippable(&self) -> u64 {
        self.data.skip_damaged.map_or(0, |share| (share * self.data.train_examples as f64).floor() as u64)
    }

    /// The order of the examples; `None` for an empty training set.
    pub fn order(&self) -> Option<SampleOrder> {
        let (seed, examples) = (mix(self.seed), self.data.train_examples);
        match self.data.blocks {
            Some(blocks) => SampleOrder::in_blocks(seed, examples, blocks),
            None => SampleOrder::new(seed, examples),
        }
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

    /// The same, where the identity of its cell is known: with a seed of 0 they are one number.
    pub(crate) fn id_in(&self, cell: CellKey) -> RunId {
        if self.seed == 0 { RunId(cell.0) } else { self.id() }
    }

    /// The identity of its cell: the run without its seed. Fine-tuning starts from one run, so seeds of pre-training make cells of
    /// their own there.
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
