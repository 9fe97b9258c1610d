//! Layers that both families have.

use tch::{TchError, Tensor};

use crate::parameters::Parameters;

/// Added to the variance in a norm, as Vision Transformers have it.
const NORM_EPS: f64 = 1e-6;

/// A weight with its bias; also the scale and shift of a norm.
pub(crate) struct Linear {
    pub(crate) weight: usize,
    pub(crate) bias: usize,
}

impl Linear {
    pub(crate) fn new(name: &str, parameters: &Parameters) -> Option<Linear> {
        let find = |part: &str| parameters.index(&format!("{name}.{part}"));
        Some(Linear { weight: find("weight")?, bias: find("bias")? })
    }

    pub(crate) fn forward(&self, parameters: &Parameters, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&parameters.views()[self.weight], Some(&parameters.views()[self.bias]))
    }

    pub(crate) fn normalise(&self, parameters: &Parameters, x: &Tensor) -> Result<Tensor, TchError> {
        let width = x.size().last().copied().unwrap_or(0);
        let (scale, shift) = (&parameters.views()[self.weight], &parameters.views()[self.bias]);
        x.f_layer_norm([width], Some(scale), Some(shift), NORM_EPS, false)
    }
}
