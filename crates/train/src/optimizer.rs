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
            let mut gradient = Tensor::f_cat(&flat, 0)?;
            if train.weight_decay > 0.0 {
                let weights = parameters.flat().f_narrow(0, 0, parameters.decayed())?;
                let _ = gradient
                    .f_narrow(0, 0, parameters.decayed())?
                    .f_add_(&weights.f_mul_scalar(train.weight_decay)?)?;
            }
            let _ = self.momentum.f_mul_scalar_(train.momentum)?.f_add_(&gradient)?;
            let _ = gradient.f_add_(&self.momentum.f_mul_scalar(train.momentum)?)?.f_mul_scalar_(-rate)?;
            let _ = parameters.flat().shallow_clone().f_add_(&gradient)?;
            Ok(())
        })
    }
}
