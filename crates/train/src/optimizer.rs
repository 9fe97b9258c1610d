//! The two optimisers, each over all parameters at once.
//!
//! The parameters, gradients and states are flat vectors, so that a step is a handful of passes over memory, which is what
//! it costs.

use spec::run::{Agc, OptimizerSpec};
use tch::{TchError, Tensor, no_grad};

use crate::agc;
use crate::parameters::Parameters;

/// What an optimiser remembers between steps.
pub struct Optimizer {
    spec: OptimizerSpec,
    /// One vector over all parameters for each name.
    states: Vec<(&'static str, Tensor)>,
    average: Option<Average>,
}

/// The moving average of the weights, with a warm-up of its decay (arXiv 2102.06171, appendix A.1; released code).
struct Average {
    decay: f64,
    /// Shares its memory with the state of this name.
    weights: Parameters,
}

/// Name of the state that holds the average.
const AVERAGE: &str = "ema";

impl Optimizer {
    /// An optimiser that has seen nothing yet; with `ema` it also keeps a moving average of the weights with that decay.
    pub fn new(spec: OptimizerSpec, ema: Option<f64>, parameters: &Parameters) -> Result<Optimizer, TchError> {
        let names: &[&str] = match spec {
            OptimizerSpec::Sgd { .. } => &["momentum"],
            OptimizerSpec::Adamw { .. } => &["mean", "square"],
        };
        let states = names.iter().map(|name| Ok((*name, no_grad(|| parameters.flat().f_zeros_like())?)));
        let mut states: Vec<_> = states.collect::<Result<_, TchError>>()?;
        let average = match ema {
            Some(decay) => Some(Average { decay, weights: parameters.copied()? }),
            None => None,
        };
        states.extend(average.iter().map(|average| (AVERAGE, average.weights.flat().shallow_clone())));
        Ok(Optimizer { spec, states, average })
    }

    /// The weights that are evaluated: the average where one is kept, otherwise `parameters`.
    pub fn evaluated<'a>(&'a self, parameters: &'a Parameters) -> &'a Parameters {
        self.average.as_ref().map_or(parameters, |average| &average.weights)
    }

    /// What it remembers: a name and a vector over all parameters, in this order.
    pub fn states(&self) -> &[(&'static str, Tensor)] {
        &self.states
    }

    /// Overwrites what it remembers; `values` in the order of [`Optimizer::states`].
    pub fn load(&mut self, values: &[Tensor]) -> Result<(), TchError> {
        for ((_, state), values) in self.states.iter_mut().zip(values) {
            no_grad(|| state.f_copy_(values))?;
        }
        Ok(())
    }

    /// One step along `gradients`, one per parameter, at learning rate `rate`; `step` counts from 0.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: Vec<Tensor>,
        rate: f64,
        step: u64,
    ) -> Result<(), TchError> {
        no_grad(|| {
            match (self.spec, &mut self.states[..]) {
                (OptimizerSpec::Sgd { momentum, weight_decay, agc }, [(_, velocity), ..]) => {
                    sgd(parameters, &flatten(&gradients)?, velocity, rate, momentum, weight_decay, agc)?;
                }
                (OptimizerSpec::Adamw { beta1, beta2, eps, weight_decay, clip_norm }, [(_, mean), (_, square), ..]) => {
                    let gradient = clipped(flatten(&gradients)?, clip_norm)?;
                    let _ = mean.f_lerp_(&gradient, 1.0 - beta1)?;
                    let _ = square.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
                    // Both begin at 0; this takes out what that does to them.
                    let seen = (step + 1) as f64;
                    let (bias1, bias2) = (1.0 - beta1.powf(seen), 1.0 - beta2.powf(seen));
                    let spread = square.f_div_scalar(bias2)?.f_sqrt()?.f_add_scalar(eps)?;
                    let update = mean.f_div(&spread)?.f_mul_scalar(-rate / bias1)?;
                    if weight_decay > 0.0 {
                        let mut weights = parameters.flat().f_narrow(0, 0, parameters.decayed())?;
                        let _ = weights.f_mul_scalar_(1.0 - rate * weight_decay)?;
                    }
                    let _ = parameters.flat().shallow_clone().f_add_(&update)?;
                }
                _ => return Err(TchError::Kind("an optimiser without its states".to_owned())),
            }
            if let Some(average) = &self.average {
                let decay = average.decay.min((1.0 + step as f64) / (10.0 + step as f64));
                let _ = average.weights.flat().shallow_clone().f_lerp_(parameters.flat(), 1.0 - decay)?;
            }
            Ok(())
        })
    }
}

/// Order of one step, as in the released NFNet code: clip, add weight decay, velocity <- momentum velocity + gradient,
/// step along gradient + momentum velocity. No dampening.
fn sgd(
    parameters: &Parameters,
    gradient: &Tensor,
    velocity: &mut Tensor,
    rate: f64,
    momentum: f64,
    weight_decay: f64,
    clipping: Agc,
) -> Result<(), TchError> {
    agc::clip(parameters, gradient, clipping)?;
    // `addcmul` with a single number as one factor: each line is one pass over memory.
    let number = |value: f64| Tensor::f_from_slice(&[value as f32])?.f_to_device(gradient.device());
    if weight_decay > 0.0 {
        let weights = parameters.flat().f_narrow(0, 0, parameters.decayed())?;
        let _ = gradient.f_narrow(0, 0, parameters.decayed())?.f_addcmul_(&weights, &number(weight_decay)?)?;
    }
    *velocity = gradient.f_addcmul(velocity, &number(momentum)?)?;
    let mut weights = parameters.flat().shallow_clone();
    let _ = weights.f_addcmul_(gradient, &number(-rate)?)?.f_addcmul_(velocity, &number(-rate * momentum)?)?;
    Ok(())
}

fn flatten(gradients: &[Tensor]) -> Result<Tensor, TchError> {
    let flat: Vec<Tensor> = gradients.iter().map(|one| one.f_reshape([-1])).collect::<Result<_, _>>()?;
    Tensor::f_cat(&flat, 0)
}

/// The gradient, shortened to `largest` where it is longer.
fn clipped(mut gradient: Tensor, largest: f64) -> Result<Tensor, TchError> {
    gradient.f_mul_(&inverse_norm(&gradient)?.f_mul_scalar(largest)?.f_clamp_max(1.0)?)
}

/// One over the norm of the whole gradient; finite where there is none.
fn inverse_norm(gradient: &Tensor) -> Result<Tensor, TchError> {
    gradient.f_norm()?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_reciprocal()
}

/// The gradients of `loss`, one per parameter.
pub fn gradients(parameters: &Parameters, loss: &Tensor) -> Result<Vec<Tensor>, TchError> {
    Tensor::f_run_backward(&[loss], parameters.views(), false, false)
}

/// Moves the weights by `rho` along the whole gradient, uphill (arXiv 2010.01412, equation 2), and returns where they were.
pub fn ascend(parameters: &Parameters, gradients: &[Tensor], rho: f64) -> Result<Tensor, TchError> {
    no_grad(|| {
        let before = parameters.flat().f_detach_copy()?;
        let gradient = flatten(gradients)?;
        let uphill = gradient.f_mul(&inverse_norm(&gradient)?.f_mul_scalar(rho)?)?;
        let _ = parameters.flat().shallow_clone().f_add_(&uphill)?;
        Ok(before)
    })
}
