//! Linear least squares for a handful of unknowns.

/// The answer of a least-squares problem.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    pub(crate) coefficients: Vec<f64>,
    /// R^-1 of X = QR, by rows.
    inverse: Vec<Vec<f64>>,
}

impl Solution {
    /// The variance of `at` . coefficients, in units of the residual variance: at' (X'X)^-1 at.
    pub(crate) fn variance(&self, at: &[f64]) -> f64 {
        let k = self.inverse.len();
        (0..k).map(|j| (0..k).map(|i| at[i] * self.inverse[i][j]).sum::<f64>().powi(2)).sum()
    }

    /// `at` . coefficients
    pub(crate) fn predict(&self, at: &[f64]) -> f64 {
        dot(&self.coefficients, at)
    }
}

/// Minimises |rhs - sum_k c_k column_k|, or `None` when the columns are dependent to ten digits.
///
/// Modified Gram-Schmidt on the columns and the right-hand side together, which is as stable as Householder's QR
/// (Björck 1967); the normal equations would square the condition number.
pub(crate) fn least_squares(columns: &[Vec<f64>], rhs: &[f64]) -> Option<Solution> {
    let k = columns.len();
    let mut q: Vec<Vec<f64>> = columns.to_vec();
    let mut target = rhs.to_vec();
    let mut r = vec![vec![0.0; k]; k];
    let mut projected = vec![0.0; k];
    for i in 0..k {
        let norm = dot(&q[i], &q[i]).sqrt();
        let scale = dot(&columns[i], &columns[i]).sqrt();
        if norm.is_nan() || norm <= 1e-10 * scale || !scale.is_finite() || scale == 0.0 {
            return None;
        }
        r[i][i] = norm;
        q[i].iter_mut().for_each(|value| *value /= norm);
        let basis = q[i].clone();
        for j in i + 1..k {
            r[i][j] = dot(&basis, &q[j]);
            subtract(&mut q[j], &basis, r[i][j]);
        }
        projected[i] = dot(&basis, &target);
        subtract(&mut target, &basis, projected[i]);
    }
    let coefficients = back_substitute(&r, &projected);
    let mut inverse = vec![vec![0.0; k]; k];
    for j in 0..k {
        let unit: Vec<f64> = (0..k).map(|i| f64::from(u8::from(i == j))).collect();
        for (row, entry) in inverse.iter_mut().zip(back_substitute(&r, &unit)) {
            row[j] = entry;
        }
    }
    coefficients.iter().all(|c| c.is_finite()).then_some(Solution { coefficients, inverse })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn subtract(from: &mut [f64], basis: &[f64], amount: f64) {
    from.iter_mut().zip(basis).for_each(|(value, b)| *value -= amount * b);
}

fn back_substitute(r: &[Vec<f64>], rhs: &[f64]) -> Vec<f64> {
    let k = rhs.len();
    let mut answer = vec![0.0; k];
    for i in (0..k).rev() {
        let known: f64 = (i + 1..k).map(|j| r[i][j] * answer[j]).sum();
        answer[i] = (rhs[i] - known) / r[i][i];
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found_with_its_variances() {
        let columns = vec![vec![1.0; 4], vec![-1.0, -1.0, 1.0, 1.0], vec![-1.0, 1.0, -1.0, 1.0]];
        let rhs: Vec<f64> = (0..4).map(|i| 2.0 + 3.0 * columns[1][i] - 5.0 * columns[2][i]).collect();
        let solution = least_squares(&columns, &rhs).unwrap();
        for (found, expected) in solution.coefficients.iter().zip([2.0, 3.0, -5.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!((solution.variance(&[0.0, 1.0, 0.0]) - 0.25).abs() < 1e-12);
        assert!((solution.variance(&[1.0, 1.0, 1.0]) - 0.75).abs() < 1e-12);
    }

    #[test]
    fn dependent_columns_are_refused() {
        assert!(least_squares(&[vec![1.0, 2.0, 3.0], vec![2.0, 4.0, 6.0]], &[1.0, 2.0, 3.0]).is_none());
    }
}
