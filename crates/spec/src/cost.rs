//! What a run costs before it has run: floating-point operations exactly, hours as an estimate.

use crate::run::{DeviceKind, Precision, RunSpec, TrainSpec};
use crate::sweep::Resources;

/// What of a network decides its price, for one example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// All parameters.
    pub parameters: u64,
    /// Parameters without the classifier.
    pub parameters_without_head: u64,
    /// Multiply-accumulates of one forward pass.
    pub macs: u64,
    /// Numbers that the layers put out: what memory traffic is made of.
    pub activations: u64,
    /// Layers that cost time however small they are.
    pub layers: u64,
}

impl Footprint {
    /// Floating-point operations to train on one example: two per multiply-accumulate, and the backward pass counts as
    /// two forward passes.
    pub fn training_flops(&self) -> u64 {
        // An absurd network costs the largest number there is; it must not bring down who only asks for its price.
        self.macs.saturating_mul(6)
    }

    /// Estimated bytes to train: weights, gradients, momentum, what is derived from weights and copies of them, and for every
    /// layer and example that is computed at once its output and what its activation keeps for the backward pass.
    pub fn training_bytes(&self, train: &TrainSpec) -> u64 {
        let copies = u64::from(train.regularisation.ema.is_some()) + u64::from(train.regularisation.sam.is_some());
        let weights = self.parameters.saturating_mul((5 + copies) * 4);
        let examples = train.batch.div_ceil(u64::from(train.arithmetic.accumulate.max(1)));
        let width = match train.arithmetic.precision {
            Precision::Fp32 => 4,
            Precision::Bf16 => 2,
        };
        weights.saturating_add(self.activations.saturating_mul(examples).saturating_mul(4 * width))
    }
}

/// How fast a device works, for estimates of hours. Only the order of runs, progress and `plan` rest on it; the hours
/// of a finished run are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Sustained operations per second in large layers.
    pub flops_per_second: f64,
    /// Seconds per number of a layer's output and example, forward and backward: memory traffic.
    pub seconds_per_activation: f64,
    /// Seconds per layer and step, whatever its size.
    pub seconds_per_layer: f64,
    /// Seconds to start a worker.
    pub seconds_per_run: f64,
}

impl Speed {
    /// One core of a common x86 server; fitted to the step times of the demonstration sweep.
    pub const CPU_CORE: Speed = Speed {
        flops_per_second: 4.2e10,
        seconds_per_activation: 2.0e-9,
        seconds_per_layer: 6.0e-4,
        seconds_per_run: 0.5,
    };

    /// A guess at a data-centre GPU; `device_flops` in `[resources]` replaces it.
    pub const GPU: Speed =
        Speed { flops_per_second: 5e13, seconds_per_activation: 1e-11, seconds_per_layer: 5e-5, seconds_per_run: 10.0 };

    /// That of the devices of a sweep.
    pub fn of(resources: &Resources) -> Speed {
        match (resources.device_flops, resources.device) {
            (Some(flops), _) => Speed::sustained(flops),
            (None, DeviceKind::Cpu) => Speed::CPU_CORE,
            (None, DeviceKind::Cuda) => Speed::GPU,
        }
    }

    /// A device that sustains so many operations per second whatever it does.
    pub fn sustained(flops_per_second: f64) -> Speed {
        Speed { flops_per_second, seconds_per_activation: 0.0, seconds_per_layer: 0.0, seconds_per_run: 0.0 }
    }

    /// Seconds for one training step.
    pub fn step_seconds(&self, network: &Footprint, batch: u64) -> f64 {
        let batch = batch as f64;
        batch * network.training_flops() as f64 / self.flops_per_second
            + batch * network.activations as f64 * self.seconds_per_activation
            + network.layers as f64 * self.seconds_per_layer
    }

    /// Seconds for a whole run, evaluations included; a forward pass counts as a third of a step.
    pub fn run_seconds(&self, network: &Footprint, run: &RunSpec) -> f64 {
        let step = self.step_seconds(network, run.train.batch);
        let evaluated = run.data.heldout_examples as f64 * run.evaluation_steps().len() as f64;
        // Sharpness-aware minimisation goes through a part of the examples twice.
        let again = run.examples_computed() as f64 / run.samples() as f64;
        self.seconds_per_run + step * (run.steps() as f64 * again + evaluated / run.train.batch as f64 / 3.0)
    }
}
