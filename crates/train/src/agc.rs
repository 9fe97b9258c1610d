//! Adaptive gradient clipping (arXiv 2102.06171, section 4.1; order of operations as in the released code).
//!
//! For every output unit with weight W and gradient G: where |G| exceeds lambda max(|W|, eps), G is scaled down to it.
//! Vectors (gains, biases, skip gains) count as one unit; the classifier's weight is left alone.

use spec::run::Agc;
use tch::{TchError, Tensor};

use crate::parameters::{Parameters, Role};

/// Norm below which a gradient counts as having this norm, so that nothing is divided by zero.
const SMALLEST_GRADIENT: f64 = 1e-6;

/// Clips `gradients`, one per parameter and in their order, in place.
pub fn clip(parameters: &Parameters, gradients: &mut [Tensor], agc: Agc) -> Result<(), TchError> {
    let mut units = Vec::new();
    let mut weight_norms = Vec::new();
    let mut gradient_norms = Vec::new();
    for ((one, weight), gradient) in parameters.declared().iter().zip(parameters.views()).zip(gradients.iter()) {
        let rows = match one.role {
            Role::Classifier => 0,
            Role::Vector => 1,
            Role::Weight => one.shape[0],
        };
        units.push(rows);
        if rows > 0 {
            weight_norms.push(norms(weight, rows)?);
            gradient_norms.push(norms(gradient, rows)?);
        }
    }
    // The norms of all units of all parameters at once: a dozen operations instead of a dozen per parameter.
    let weight_norms = Tensor::f_cat(&weight_norms, 0)?;
    let gradient_norms = Tensor::f_cat(&gradient_norms, 0)?;
    let largest = weight_norms.f_clamp_min(agc.eps)?.f_mul_scalar(agc.lambda)?;
    let shrink = largest.f_div(&gradient_norms.f_clamp_min(SMALLEST_GRADIENT)?)?;
    let too_large = gradient_norms.f_gt_tensor(&largest)?;
    let scales = shrink.f_where_self(&too_large, &shrink.f_ones_like()?)?;
    let mut at = 0;
    for (rows, gradient) in units.into_iter().zip(gradients) {
        if rows == 0 {
            continue;
        }
        let scale = scales.f_narrow(0, at, rows)?;
        let mut shape = vec![1; gradient.dim()];
        if rows > 1 {
            shape[0] = rows;
        }
        let _ = gradient.f_mul_(&scale.f_view(shape.as_slice())?)?;
        at += rows;
    }
    Ok(())
}

fn norms(tensor: &Tensor, rows: i64) -> Result<Tensor, TchError> {
    tensor.f_reshape([rows, -1])?.f_norm_scalaropt_dim(2, [1], false)
}
