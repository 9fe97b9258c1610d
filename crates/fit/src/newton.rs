//! Damped Newton for a handful of parameters within bounds, on exact second derivatives.

#![allow(clippy::needless_range_loop, reason = "matrices share their indices")]

use crate::dense::{Square, form, solve};

/// A function at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local<const K: usize> {
    pub(crate) value: f64,
    pub(crate) gradient: [f64; K],
    pub(crate) hessian: Square<K>,
    /// Curvature by which steps are damped at least, where the Hessian may have none.
    pub(crate) damping: [f64; K],
}

/// Bounds and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<const K: usize> {
    pub(crate) low: [f64; K],
    pub(crate) high: [f64; K],
    /// Stop when no parameter moves by more. The parameters are expected near 1.
    pub(crate) tolerance: f64,
    /// Differences of the value below this are rounding.
    pub(crate) rounding: f64,
    pub(crate) steps: usize,
}

/// Where the search ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minimum<const K: usize> {
    pub(crate) at: [f64; K],
    pub(crate) value: f64,
    /// What a further Newton step promises to gain, relative to the value: the gradient in the metric of the Hessian.
    pub(crate) decrement: f64,
    pub(crate) converged: bool,
}

/// Minimises `function` from `start`. The damping is Marquardt's, on the diagonal; a parameter at a bound stays there
/// while the function pushes it outwards.
pub(crate) fn minimise<const K: usize>(
    start: [f64; K],
    search: &Search<K>,
    mut function: impl FnMut(&[f64; K]) -> Local<K>,
) -> Minimum<K> {
    let mut at: [f64; K] = std::array::from_fn(|i| start[i].clamp(search.low[i], search.high[i]));
    let mut here = function(&at);
    let mut damping = 1e-3;
    let mut converged = false;
    for _ in 0..search.steps {
        let free = free(&at, &here, search);
        let Some(step) = direction(&here, &free, damping) else {
            damping = damping.max(1e-10) * 10.0;
            if damping > 1e12 {
                break;
            }
            continue;
        };
        let trial: [f64; K] = std::array::from_fn(|i| (at[i] + step[i]).clamp(search.low[i], search.high[i]));
        let moved = (0..K).map(|i| (trial[i] - at[i]).abs()).fold(0.0, f64::max);
        let there = function(&trial);
        if there.value <= here.value {
            (at, here) = (trial, there);
            damping = if damping < 1e-9 { 0.0 } else { damping * 0.03 };
            if moved < search.tolerance {
                converged = true;
                break;
            }
        } else {
            // Within rounding of the value no step can be seen to help.
            if moved < search.tolerance * 1e3 && there.value - here.value <= 1e-13 * here.value.abs() + search.rounding
            {
                converged = true;
                break;
            }
            damping = damping.max(1e-6) * 10.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    let free = free(&at, &here, search);
    let decrement =
        direction(&here, &free, 0.0).or_else(|| direction(&here, &free, 1e-3)).map_or(f64::INFINITY, |step| {
            let gain = 0.5 * form(&step, &here.hessian, &step);
            gain.abs() / here.value.abs().max(1e6 * search.rounding).max(f64::MIN_POSITIVE)
        });
    Minimum { at, value: here.value, decrement, converged }
}

fn free<const K: usize>(at: &[f64; K], here: &Local<K>, search: &Search<K>) -> [bool; K] {
    std::array::from_fn(|i| {
        !(at[i] <= search.low[i] && here.gradient[i] > 0.0 || at[i] >= search.high[i] && here.gradient[i] < 0.0)
    })
}

fn direction<const K: usize>(here: &Local<K>, free: &[bool; K], damping: f64) -> Option<[f64; K]> {
    let mut m = here.hessian;
    let mut rhs = [0.0; K];
    for i in 0..K {
        if free[i] {
            rhs[i] = -here.gradient[i];
            m[i][i] += damping * here.hessian[i][i].abs().max(here.damping[i]);
        } else {
            for j in 0..K {
                (m[i][j], m[j][i]) = (0.0, 0.0);
            }
            m[i][i] = 1.0;
        }
    }
    solve(&m, &rhs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley.
    fn valley(x: &[f64; 2]) -> Local<2> {
        let [a, b] = *x;
        Local {
            value: (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2),
            gradient: [-2.0 * (1.0 - a) - 400.0 * a * (b - a * a), 200.0 * (b - a * a)],
            hessian: [[2.0 - 400.0 * (b - 3.0 * a * a), -400.0 * a], [-400.0 * a, 200.0]],
            damping: [0.0; 2],
        }
    }

    #[test]
    fn a_bent_valley_is_followed_to_its_end() {
        let search = Search { low: [-9.0; 2], high: [9.0; 2], tolerance: 1e-12, rounding: 0.0, steps: 100 };
        let found = minimise([-1.2, 1.0], &search, valley);
        assert!(found.converged && (found.at[0] - 1.0).abs() < 1e-10 && (found.at[1] - 1.0).abs() < 1e-10, "{found:?}");
    }

    #[test]
    fn a_bound_holds() {
        let search = Search { low: [-9.0; 2], high: [0.5, 9.0], tolerance: 1e-12, rounding: 0.0, steps: 100 };
        let found = minimise([-1.2, 1.0], &search, valley);
        assert!(found.converged && found.at[0] == 0.5 && (found.at[1] - 0.25).abs() < 1e-10, "{found:?}");
    }
}
