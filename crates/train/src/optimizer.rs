//! SGD with Nesterov momentum over all parameters at once.
//!
//! Order of one step, as in the released NFNet code: clip, add weight decay, momentum <- 0.9 momentum + gradient,
//! step along gradient + 0.9 momentum. No dampening.

use spec::run::TrainSpec;
use tch::{TchError, Tensor, no_grad};

use crate::agc;
use crate::parameters::Parameters;

/// The momentum, and the step that uses it.
pub struct Optimizer {
    momentum: Tensor,
}

impl Optimizer {
    /// Momentum of zero.
    pub fn new(parameters: &Parameters) -> Result<Optimizer, TchError> {
        Ok(Optimizer { momentum: no_grad(|| parameters.flat().f_zeros_like())? })
    }

    /// The momentum of all parameters as one vector.
    pub fn momentum(&self) -> &Tensor {
        &self.momentum
    }

    /// Overwrites the momentum.
    pub fn load(&mut self, values: &Tensor) -> Result<(), TchError> {
        no_grad(|| self.momentum.f_copy_(values))
    }

    /// One step with the gradients of `loss` at learning rate `rate`.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        loss: &Tensor,
        train: &TrainSpec,
        rate: f64,
    ) -> Result<(), TchError> {
        let mut gradients = Tensor::f_run_backward(&[loss], parameters.views(), false, false)?;
        no_grad(|| {
            agc::clip(parameters, &mut gradients, train.agc)?;
            let flat: Vec<Tensor> = gradients.iter().map(|one| one.f_reshape([-1])).collect::<Result<_, _>>()?;
            let gradient = Tensor::f_cat(&flat, 0)?;
            // `addcmul` with a single number as one factor: each line is one pass over memory, which is what a step costs.
            let number = |value: f64| Tensor::f_from_slice(&[value as f32])?.f_to_device(gradient.device());
            let (decay, momentum) = (number(train.weight_decay)?, number(train.momentum)?);
            let (along_gradient, along_momentum) = (number(-rate)?, number(-rate * train.momentum)?);
            if train.weight_decay > 0.0 {
                let weights = parameters.flat().f_narrow(0, 0, parameters.decayed())?;
                let _ = gradient.f_narrow(0, 0, parameters.decayed())?.f_addcmul_(&weights, &decay)?;
            }
            self.momentum = gradient.f_addcmul(&self.momentum, &momentum)?;
            let mut weights = parameters.flat().shallow_clone();
            let _ = weights.f_addcmul_(&gradient, &along_gradient)?.f_addcmul_(&self.momentum, &along_momentum)?;
            Ok(())
        })
    }
}
