//! Starts for L = E + A N^-alpha + B D^-beta: variable projection over a grid of both exponents.
//!
//! For given exponents the law is linear in (E, A, B), none of which may be negative (Golub and Pereyra 1973). So a
//! grid of two dimensions sees the whole of five, and the starts do not depend on anyone's guess.

use crate::dense::solve;

/// Grid points of each exponent.
const GRID: usize = 32;
/// The search covers exponent times ln(largest / smallest) from one that cannot be told from a straight line ...
const FLATTEST: f64 = 0.05;
/// ... to one that has levelled off after a small part of the range.
const STEEPEST: f64 = 40.0;
/// How many valleys of the grid are polished.
const VALLEYS: usize = 4;

/// E, ln A, ln B, alpha and beta about the centre of the data.
pub(crate) type Theta = [f64; 5];

/// The range of an exponent over places that span `range` in logarithms.
pub(crate) fn exponent_bounds(range: f64) -> (f64, f64) {
    (0.1 * FLATTEST / range, STEEPEST / range)
}

/// The lowest valleys, best first: (sum of squared relative residuals, parameters). `n`, `d` and `v` are ln N, ln D and
/// ln y about centres. Empty when the best E, A or B of every pair of exponents is negative where it must not be.
pub(crate) fn valleys(n: &[f64], d: &[f64], v: &[f64]) -> Vec<(f64, Theta)> {
    let inverse: Vec<f64> = v.iter().map(|v| (-v).exp()).collect();
    let (alphas, p) = basis(n, &inverse);
    let (betas, q) = basis(d, &inverse);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let sums = |basis: &[Vec<f64>]| -> Vec<[f64; 3]> {
        basis.iter().map(|b| [dot(b, b), dot(b, &inverse), b.iter().sum()]).collect()
    };
    let (of_p, of_q) = (sums(&p), sums(&q));
    let (ee, e1, ones) = (dot(&inverse, &inverse), inverse.iter().sum::<f64>(), v.len() as f64);
    let mut cells: Vec<Option<(f64, Theta)>> = Vec::with_capacity(GRID * GRID);
    for i in 0..GRID {
        for j in 0..GRID {
            let pq = dot(&p[i], &q[j]);
            let [pp, pe, p1] = of_p[i];
            let [qq, qe, q1] = of_q[j];
            let full = solve(&[[ee, pe, qe], [pe, pp, pq], [qe, pq, qq]], &[e1, p1, q1]);
            let linear = match full {
                Some([e, _, _]) if e < 0.0 => solve(&[[pp, pq], [pq, qq]], &[p1, q1]).map(|[a, b]| [0.0, a, b]),
                other => other,
            };
            cells.push(linear.filter(|[_, a, b]| *a > 0.0 && *b > 0.0).map(|[e, a, b]| {
                let height = ones - (e * e1 + a * p1 + b * q1);
                (height, [e, a.ln(), b.ln(), alphas[i], betas[j]])
            }));
        }
    }
    lowest(&cells)
}

/// The local minima of the grid, lowest first.
fn lowest(cells: &[Option<(f64, Theta)>]) -> Vec<(f64, Theta)> {
    let height = |i: usize, j: usize| match cells.get(i * GRID + j) {
        Some(Some((height, _))) if j < GRID => *height,
        _ => f64::INFINITY,
    };
    let mut found: Vec<(f64, Theta)> = Vec::new();
    for i in 0..GRID {
        for j in 0..GRID {
            let Some(cell) = cells[i * GRID + j] else { continue };
            let around = (-1..=1isize).flat_map(|a| (-1..=1isize).map(move |b| (a, b)));
            let lower = around.filter(|&shift| shift != (0, 0)).all(|(a, b)| {
                let (i, j) = (i.wrapping_add_signed(a), j.wrapping_add_signed(b));
                i >= GRID || j >= GRID || cell.0 <= height(i, j)
            });
            if lower {
                found.push(cell);
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1[3].total_cmp(&b.1[3])).then(a.1[4].total_cmp(&b.1[4])));
    found.truncate(VALLEYS);
    found
}

/// The exponents of the grid, and for each the term x^-exponent / y at every place.
fn basis(u: &[f64], inverse: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (low, high) = u.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), u| (l.min(*u), h.max(*u)));
    let exponents: Vec<f64> =
        (0..GRID).map(|k| FLATTEST * (STEEPEST / FLATTEST).powf(k as f64 / (GRID - 1) as f64) / (high - low)).collect();
    let terms = exponents.iter().map(|e| u.iter().zip(inverse).map(|(u, y)| (-e * u).exp() * y).collect()).collect();
    (exponents, terms)
}
