//! How a run trains: optimiser, schedule, regularisation, arithmetic.

use serde::{Deserialize, Serialize};

use super::Augment;
use crate::schedule::Decay;

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
    /// What it is computed on. Part of a run's identity, because roundings differ.
    pub device: DeviceKind,
    /// Whether libtorch must refuse operations that may give other bits from one time to the next. On a CPU none of ours does;
    /// on a GPU some are faster that way.
    pub deterministic: bool,
}

/// Where a run is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Cores of the machine.
    #[default]
    Cpu,
    /// One NVIDIA GPU.
    Cuda,
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
        Arithmetic {
            precision: Precision::Fp32,
            memory_format: MemoryFormat::ChannelsLast,
            accumulate: 1,
            device: DeviceKind::Cpu,
            deterministic: false,
        }
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
