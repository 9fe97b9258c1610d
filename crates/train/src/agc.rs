//! Adaptive gradient clipping (arXiv 2102.06171, section 4.1; order of operations as in the released code).
//!
//! For every output unit with weight W and gradient G: where |G| exceeds lambda max(|W|, eps), G is scaled down to it.
//! Vectors (gains, biases, skip gains) count as one unit; the classifier's weight is left alone.

use spec::run::Agc;
use tch::{Kind, TchError, Tensor};

use crate::parameters::{Parameters, Role};

/// Norm below which a gradient counts as having this norm, so that nothing is divided by zero.
const SMALLEST_GRADIENT: f64 = 1e-6;

/// Clips `gradient`, one vector over all parameters, in place.
pub fn clip(parameters: &Parameters, gradient: &Tensor, agc: Agc) -> Result<(), TchError> {
    let (mut rows, mut from) = (Vec::new(), 0);
    // Weights come first.
    for one in parameters.declared().iter().filter(|one| one.role != Role::Vector) {
        let length = one.shape.iter().product::<i64>();
        if one.role == Role::Weight {
            rows.push((from, length, one.shape[0]));
        }
        from += length;
    }
    let (vectors, vector_of) = (from, parameters.vector_of());
    let norms = |all: &Tensor| {
        let norm = |&(from, length, rows): &(i64, i64, i64)| {
            all.f_narrow(0, from, length)?.f_view([rows, -1])?.f_norm_scalaropt_dim(2, [1], false)
        };
        let mut norms = rows.iter().map(norm).collect::<Result<Vec<_>, _>>()?;
        let squares = all.f_narrow(0, vectors, vector_of.size()[0])?.f_square()?;
        let sums = Tensor::f_zeros([parameters.vectors()], (Kind::Float, all.device()))?;
        norms.push(sums.f_index_add(0, vector_of, &squares)?.f_sqrt()?);
        // The norms of all units of all parameters at once: a dozen operations instead of a dozen per parameter.
        Tensor::f_cat(&norms, 0)
    };
    let gradient_norms = norms(gradient)?;
    let largest = norms(parameters.flat())?.f_clamp_min(agc.eps)?.f_mul_scalar(agc.lambda)?;
    let shrink = largest.f_div(&gradient_norms.f_clamp_min(SMALLEST_GRADIENT)?)?;
    let too_large = gradient_norms.f_gt_tensor(&largest)?;
    let scales = shrink.f_where_self(&too_large, &shrink.f_ones_like()?)?;
    let mut at = 0;
    for (from, length, rows) in rows {
        let scale = scales.f_narrow(0, at, rows)?.f_view([rows, 1])?;
        let _ = gradient.f_narrow(0, from, length)?.f_view([rows, -1])?.f_mul_(&scale)?;
        at += rows;
    }
    let scales = scales.f_narrow(0, at, parameters.vectors())?.f_index_select(0, vector_of)?;
    let _ = gradient.f_narrow(0, vectors, vector_of.size()[0])?.f_mul_(&scales)?;
    Ok(())
}
