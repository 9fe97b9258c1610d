//! Layers that both families have.

use tch::{Kind, TchError, Tensor};

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
        let (views, kind) = (parameters.views(), x.f_kind()?);
        x.f_linear(&views[self.weight].f_to_kind(kind)?, Some(&views[self.bias].f_to_kind(kind)?))
    }

    pub(crate) fn normalise(&self, parameters: &Parameters, x: &Tensor) -> Result<Tensor, TchError> {
        let width = x.size().last().copied().unwrap_or(0);
        let (scale, shift) = (&parameters.views()[self.weight], &parameters.views()[self.bias]);
        let wide = x.f_to_kind(Kind::Float)?;
        wide.f_layer_norm([width], Some(scale), Some(shift), NORM_EPS, false)?.f_to_kind(x.f_kind()?)
    }
}
