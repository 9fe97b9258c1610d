//! Symmetric matrices of a handful of rows.

/// A square matrix by rows.
pub(crate) type Square<const K: usize> = [[f64; K]; K];

/// Solves m x = rhs for a positive definite m by Cholesky, or `None` when it is not so.
pub(crate) fn solve<const K: usize>(m: &Square<K>, rhs: &[f64; K]) -> Option<[f64; K]> {
    let l = cholesky(m)?;
    let mut x = *rhs;
    for i in 0..K {
        let known: f64 = (0..i).map(|j| l[i][j] * x[j]).sum();
        x[i] = (x[i] - known) / l[i][i];
    }
    for i in (0..K).rev() {
        let known: f64 = (i + 1..K).map(|j| l[j][i] * x[j]).sum();
        x[i] = (x[i] - known) / l[i][i];
    }
    x.iter().all(|value| value.is_finite()).then_some(x)
}

/// The inverse of a positive definite matrix. Scaled to a unit diagonal first, so that units leave no trace.
pub(crate) fn inverse<const K: usize>(m: &Square<K>) -> Option<Square<K>> {
    let scale = scales(m);
    let scaled = scaled(m, &scale);
    let mut answer = [[0.0; K]; K];
    for (j, column) in scale.iter().enumerate() {
        let mut unit = [0.0; K];
        unit[j] = 1.0;
        let x = solve(&scaled, &unit)?;
        for i in 0..K {
            answer[i][j] = x[i] / (scale[i] * column);
        }
    }
    Some(answer)
}

/// The condition number of the matrix of derivatives behind J'J, its columns brought to length one: how many times a
/// relative error of the data may be enlarged. Infinite when the columns are dependent.
pub(crate) fn condition<const K: usize>(gram: &Square<K>) -> f64 {
    let values = eigenvalues(scaled(gram, &scales(gram)));
    let (low, high) = values.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
    // Below the rounding of J'J nothing can be said.
    if low > 1e-15 * high { (high / low).sqrt() } else { f64::INFINITY }
}

/// ln det of a positive definite matrix; -infinity otherwise.
pub(crate) fn ln_det<const K: usize>(m: &Square<K>) -> f64 {
    cholesky(m).map_or(f64::NEG_INFINITY, |l| (0..K).map(|i| 2.0 * l[i][i].ln()).sum())
}

/// x' m y
pub(crate) fn form<const K: usize>(x: &[f64; K], m: &Square<K>, y: &[f64; K]) -> f64 {
    (0..K).map(|i| x[i] * (0..K).map(|j| m[i][j] * y[j]).sum::<f64>()).sum()
}

fn scales<const K: usize>(m: &Square<K>) -> [f64; K] {
    std::array::from_fn(|i| if m[i][i] > 0.0 { m[i][i].sqrt() } else { 1.0 })
}

fn scaled<const K: usize>(m: &Square<K>, scale: &[f64; K]) -> Square<K> {
    std::array::from_fn(|i| std::array::from_fn(|j| m[i][j] / (scale[i] * scale[j])))
}

fn cholesky<const K: usize>(m: &Square<K>) -> Option<Square<K>> {
    let mut l = [[0.0; K]; K];
    for i in 0..K {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = m[i][j] - known;
            if i == j {
                // Rounding of the diagonal, not only its sign: a nearly singular matrix gives wild steps.
                if rest.is_nan() || rest <= 1e-15 * m[i][i].abs() || !rest.is_finite() {
                    return None;
                }
                l[i][i] = rest.sqrt();
            } else {
                l[i][j] = rest / l[j][j];
            }
        }
    }
    Some(l)
}

/// The eigenvalues of a symmetric matrix by Jacobi's rotations (Golub and Van Loan, section 8.5).
fn eigenvalues<const K: usize>(mut m: Square<K>) -> [f64; K] {
    for _ in 0..30 {
        let off: f64 = (0..K).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| m[i][j].powi(2)).sum();
        if off.is_nan() || off < 1e-36 {
            break;
        }
        for p in 0..K {
            for q in p + 1..K {
                if m[p][q] == 0.0 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for row in m.iter_mut() {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (above, below) = (m[p], m[q]);
                m[p] = std::array::from_fn(|k| c * above[k] - s * below[k]);
                m[q] = std::array::from_fn(|k| s * above[k] + c * below[k]);
            }
        }
    }
    std::array::from_fn(|i| m[i][i])
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: Square<3> = [[4.0, 2.0, 0.4], [2.0, 3.0, 0.5], [0.4, 0.5, 2.0]];

    #[test]
    fn a_system_is_solved_and_inverted() {
        let x = solve(&M, &[1.0, 2.0, 3.0]).unwrap();
        let inverse = inverse(&M).unwrap();
        for i in 0..3 {
            let back: f64 = (0..3).map(|j| M[i][j] * x[j]).sum();
            assert!((back - [1.0, 2.0, 3.0][i]).abs() < 1e-12);
            let along: f64 = (0..3).map(|j| inverse[i][j] * [1.0, 2.0, 3.0][j]).sum();
            assert!((along - x[i]).abs() < 1e-12);
        }
        assert!((ln_det(&M) - 15.32_f64.ln()).abs() < 1e-12, "{}", ln_det(&M).exp());
        assert_eq!(solve(&[[1.0, 2.0], [2.0, 1.0]], &[1.0, 1.0]), None);
    }

    #[test]
    fn the_condition_does_not_depend_on_units() {
        // Correlation .6: eigenvalues 1.6 and .4.
        let found = condition(&[[1.0, 0.6e3], [0.6e3, 1e6]]);
        assert!((found - 2.0).abs() < 1e-12, "{found}");
        assert_eq!(condition(&[[1.0, 1.0], [1.0, 1.0]]), f64::INFINITY);
    }
}
