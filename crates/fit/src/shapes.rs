//! The curves in one variable, S(u) = E + exp(z(u)) with u = ln x, and where their searches start.

use crate::dense::Square;
use crate::regression::{Jet, Model};

/// z(u) with its derivatives by the parameters after E; of the second ones the lower triangle.
pub(crate) struct Exponent<const K: usize> {
    value: f64,
    gradient: [f64; K],
    hessian: Square<K>,
}

/// S = E + e^z; the derivatives of z have nothing in the place of E.
fn jet<const K: usize>(floor: f64, by_floor: f64, z: &Exponent<K>) -> Jet<K> {
    let term = z.value.exp();
    let mut gradient = z.gradient.map(|slope| slope * term);
    let mut hessian = z.hessian;
    for (i, row) in hessian.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().enumerate().take(i + 1) {
            *entry = term * (*entry + z.gradient[i] * z.gradient[j]);
        }
    }
    gradient[0] += by_floor;
    Jet { value: floor + term, gradient, hessian }
}

/// A x^-alpha, of (ln A, alpha).
pub(crate) struct Straight;

impl Model<2> for Straight {
    type Place = f64;

    fn jet(&self, theta: &[f64; 2], u: &f64) -> Jet<2> {
        jet(0.0, 0.0, &Exponent { value: theta[0] - theta[1] * u, gradient: [1.0, -u], hessian: [[0.0; 2]; 2] })
    }
}

/// E + A x^-alpha, of (E, ln A, alpha).
pub(crate) struct Floored;

impl Model<3> for Floored {
    type Place = f64;

    fn jet(&self, theta: &[f64; 3], u: &f64) -> Jet<3> {
        let z = Exponent { value: theta[1] - theta[2] * u, gradient: [0.0, 1.0, -u], hessian: [[0.0; 3]; 3] };
        jet(theta[0], 1.0, &z)
    }
}

/// E + A (x + x0)^-alpha, of (E, ln A, alpha, ln x0): level at both ends.
pub(crate) struct Shifted;

impl Model<4> for Shifted {
    type Place = f64;

    fn jet(&self, theta: &[f64; 4], u: &f64) -> Jet<4> {
        let [floor, ln_a, alpha, ln_x0] = *theta;
        let sum = u.max(ln_x0) + (-(u - ln_x0).abs()).exp().ln_1p();
        let share = (ln_x0 - sum).exp();
        let mut hessian = [[0.0; 4]; 4];
        hessian[3][2] = -share;
        hessian[3][3] = -alpha * share * (1.0 - share);
        let z = Exponent { value: ln_a - alpha * sum, gradient: [0.0, 1.0, -sum, -alpha * share], hessian };
        jet(floor, 1.0, &z)
    }
}

/// E + A x^-c0 (1 + (x / x1)^(1 / f))^(-c1 f), of (E, ln A, c0, c1, ln x1, ln f): the broken neural scaling law with one
/// break (Caballero et al. 2023, equation 1), falling with c0 before it and with c0 + c1 after it.
pub(crate) struct Broken;

impl Model<6> for Broken {
    type Place = f64;

    fn jet(&self, theta: &[f64; 6], u: &f64) -> Jet<6> {
        let [floor, ln_a, c0, c1, ln_x1, ln_f] = *theta;
        let f = ln_f.exp();
        let w = (u - ln_x1) / f;
        let soft = w.max(0.0) + (-w.abs()).exp().ln_1p();
        let share = 1.0 / (1.0 + (-w).exp());
        let (bend, width) = (share * (1.0 - share), soft - share * w);
        let mut hessian = [[0.0; 6]; 6];
        hessian[4][3] = share;
        hessian[5][3] = -f * width;
        hessian[4][4] = -c1 * bend / f;
        hessian[5][4] = -c1 * bend * w;
        hessian[5][5] = -c1 * f * (width + bend * w * w);
        let gradient = [0.0, 1.0, -u, -f * soft, c1 * share, -c1 * f * width];
        jet(floor, 1.0, &Exponent { value: ln_a - c0 * u - c1 * f * soft, gradient, hessian })
    }
}

/// The best E >= 0 and A > 0 for a curve h, in squared relative residuals: (height, E, ln A).
pub(crate) fn project(h: &[f64], v: &[f64]) -> Option<(f64, f64, f64)> {
    let (mut ee, mut eh, mut hh, mut e1, mut h1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (h, v) in h.iter().zip(v) {
        let inverse = (-v).exp();
        let b = h * inverse;
        (ee, eh, hh) = (ee + inverse * inverse, eh + inverse * b, hh + b * b);
        (e1, h1) = (e1 + inverse, h1 + b);
    }
    let determinant = ee * hh - eh * eh;
    let (mut floor, mut a) = ((e1 * hh - h1 * eh) / determinant, (h1 * ee - e1 * eh) / determinant);
    if floor.is_nan() || floor < 0.0 {
        (floor, a) = (0.0, h1 / hh);
    }
    let height = v.len() as f64 - floor * e1 - a * h1;
    (a > 0.0 && a.is_finite() && height.is_finite()).then_some((height, floor, a.ln()))
}

/// The lowest `keep` of a list of starts.
pub(crate) fn lowest<const K: usize>(mut starts: Vec<(f64, [f64; K])>, keep: usize) -> Vec<[f64; K]> {
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    starts.truncate(keep);
    starts.into_iter().map(|(_, theta)| theta).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::check_derivatives;

    #[test]
    fn derivatives_of_every_curve() {
        for u in [-3.0, 0.1, 4.0] {
            check_derivatives(&Straight, [0.3, 0.4], u);
            check_derivatives(&Floored, [0.5, 0.3, 0.4], u);
            check_derivatives(&Shifted, [0.5, 0.3, 0.4, -0.7], u);
            check_derivatives(&Broken, [0.5, 0.3, 0.1, 0.4, 0.6, -0.9], u);
        }
    }
}
