//! GELU in its tanh form, x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), faster than libtorch's.
//!
//! libtorch computes a slow tanh on the way forward and again on the way back. One sigmoid and a handful of products give both
//! the value and the derivative, in about half the time for activations of up to some megabytes; for larger ones memory decides.

use std::f64::consts::FRAC_2_PI;

use tch::{Device, Kind, TchError, Tensor, no_grad};

/// GELU of every number of `x`.
pub fn gelu(x: &Tensor) -> Result<Tensor, TchError> {
    if x.f_kind()? != Kind::Float || x.device() != Device::Cpu {
        // In few bits each pass would round; elsewhere one fused kernel is the fastest.
        return x.f_gelu("tanh");
    }
    let slope = 2.0 * FRAC_2_PI.sqrt();
    let (share, derivative) = no_grad(|| {
        // `addcmul` and `lerp` from a single number: each line is one pass over memory.
        let linear = Tensor::f_from_slice(&[slope as f32])?;
        // What the sigmoid is taken of is x times this; its derivative is `linear` plus three times what the cube adds.
        let mut chord = linear.f_addcmul(&x.f_mul_scalar(0.044_715 * slope)?, x)?;
        let share = chord.f_mul(x)?.f_sigmoid_()?;
        if !x.requires_grad() {
            return Ok((share, None));
        }
        let derivative = share.f_addcmul(&Tensor::f_sigmoid_backward(x, &share)?, &chord.f_lerp_(&linear, -2.0)?)?;
        Ok::<_, TchError>((share, Some(derivative)))
    })?;
    let Some(derivative) = derivative else { return x.f_mul(&share) };
    // The graph keeps a product with the derivative, which is the gradient to pass back; the value is put in afterwards.
    let value = x.f_mul(&derivative)?;
    let _ = no_grad(|| x.f_mul_out(&value.f_detach()?, &share))?;
    Ok(value)
}
