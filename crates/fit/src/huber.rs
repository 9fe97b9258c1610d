//! Huber's loss: squares for small residuals, absolute values for large ones (Huber 1964).

/// Of the standard deviation: at this delta the estimate keeps 95 % of the efficiency of least squares under normal
/// noise (Holland and Welsch 1977).
pub(crate) const EFFICIENT: f64 = 1.345;

/// Residuals below this are rounding or figures of a table, never outliers.
pub(crate) const SMALLEST_DELTA: f64 = 1e-6;

/// Half the square up to `delta`, a straight line beyond; its derivative; and its second derivative.
pub(crate) fn huber(residual: f64, delta: f64) -> (f64, f64, f64) {
    let size = residual.abs();
    if size <= delta {
        (0.5 * residual * residual, residual, 1.0)
    } else {
        (delta * (size - 0.5 * delta), delta.copysign(residual), 0.0)
    }
}

/// The standard deviation of normal noise from the median absolute residual. A robust fit brings about as many residuals
/// to zero as it has parameters; these smallest ones are left out.
pub(crate) fn robust_scale(residuals: impl Iterator<Item = f64>, parameters: usize) -> f64 {
    let mut sizes: Vec<f64> = residuals.map(f64::abs).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.drain(..parameters.min(sizes.len().saturating_sub(1)));
    let n = sizes.len();
    if n == 0 {
        return 0.0;
    }
    let median = 0.5 * (sizes[(n - 1) / 2] + sizes[n / 2]);
    // 1.4826 makes the median of |normal| its standard deviation.
    1.4826 * median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_join_at_delta() {
        for r in [-3.0, -0.5, 0.2, 0.999, 1.001, 7.0] {
            let h = 1e-6;
            let slope = (huber(r + h, 1.0).0 - huber(r - h, 1.0).0) / (2.0 * h);
            assert!((slope - huber(r, 1.0).1).abs() < 1e-6);
        }
        assert_eq!(huber(2.0, f64::INFINITY).0, 2.0);
    }

    #[test]
    fn an_outlier_does_not_move_the_scale() {
        let clean = robust_scale([1.0, -2.0, 3.0, -4.0, 5.0].into_iter(), 0);
        assert_eq!(clean, 1.4826 * 3.0);
        assert_eq!(clean, robust_scale([1.0, -2.0, 3.0, -4.0, 5e9].into_iter(), 0));
        assert_eq!(robust_scale(std::iter::empty(), 2), 0.0);
    }
}
