//! Quantiles, and the straight line that every power law is in logarithms.

/// The 97.5 % quantile of the normal distribution.
pub(crate) const Z975: f64 = 1.959_963_984_540_054;

/// The 97.5 % quantile of Student's t with `df` degrees of freedom, right to 1e-4.
pub(crate) fn t975(df: usize) -> f64 {
    // Exact up to 10; then Fisher and Cornish's expansion in 1/df (Abramowitz and Stegun 26.7.5).
    const TABLE: [f64; 10] = [
        12.706_204_7,
        4.302_652_7,
        3.182_446_3,
        2.776_445_1,
        2.570_581_8,
        2.446_911_9,
        2.364_624_3,
        2.306_004_1,
        2.262_157_2,
        2.228_138_9,
    ];
    match df {
        0 => f64::INFINITY,
        1..=10 => TABLE[df - 1],
        _ => {
            let (v, z) = (df as f64, Z975);
            let g1 = (z.powi(3) + z) / 4.0;
            let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            let g4 =
                (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z) / 92_160.0;
            z + g1 / v + g2 / v.powi(2) + g3 / v.powi(3) + g4 / v.powi(4)
        }
    }
}

/// The 2.5 % and 97.5 % quantiles of a sample (linear between order statistics), or `None` when it is empty.
pub(crate) fn central_95(mut sample: Vec<f64>) -> Option<(f64, f64)> {
    sample.sort_by(f64::total_cmp);
    let last = sample.len().checked_sub(1)?;
    let at = |q: f64| {
        let position = q * last as f64;
        let below = position.floor() as usize;
        let above = (below + 1).min(last);
        // Equal neighbours first: infinity minus infinity is no number.
        if sample[below] == sample[above] {
            sample[below]
        } else {
            sample[below] + (position - below as f64) * (sample[above] - sample[below])
        }
    };
    Some((at(0.025), at(0.975)))
}

/// The least-squares line v = mean_v + slope (u - mean_u), with what its intervals need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) mean_u: f64,
    pub(crate) mean_v: f64,
    pub(crate) slope: f64,
    /// Sum of squares of u about its mean.
    pub(crate) spread: f64,
    /// Sum of squared residuals.
    pub(crate) residual: f64,
}

/// The line through the pairs (u, v), or `None` when all u are equal.
pub(crate) fn line(pairs: &[(f64, f64)]) -> Option<Line> {
    let n = pairs.len() as f64;
    let mean_u = pairs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_v = pairs.iter().map(|p| p.1).sum::<f64>() / n;
    // Centred sums: about the origin the digits of the slope would cancel.
    let spread: f64 = pairs.iter().map(|p| (p.0 - mean_u).powi(2)).sum();
    if pairs.is_empty() || spread <= 0.0 || !spread.is_finite() {
        return None;
    }
    let slope = pairs.iter().map(|p| (p.0 - mean_u) * (p.1 - mean_v)).sum::<f64>() / spread;
    let residual = pairs.iter().map(|p| (p.1 - mean_v - slope * (p.0 - mean_u)).powi(2)).sum();
    Some(Line { mean_u, mean_v, slope, spread, residual })
}

/// How many of the ascending logarithms differ by more than rounding.
pub(crate) fn distinct(ascending_logs: impl Iterator<Item = f64>) -> usize {
    let mut count = 0;
    let mut last = f64::NEG_INFINITY;
    for value in ascending_logs {
        if value - last > 1e-9 {
            count += 1;
            last = value;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_of_the_tables() {
        for (df, expected) in [(1, 12.7062), (5, 2.5706), (11, 2.2010), (30, 2.0423), (120, 1.9799)] {
            assert!((t975(df) - expected).abs() < 1e-4, "df {df}: {}", t975(df));
        }
    }

    #[test]
    fn quantiles_interpolate() {
        let (low, high) = central_95((0..=100).map(f64::from).collect()).unwrap();
        assert!((low - 2.5).abs() < 1e-12 && (high - 97.5).abs() < 1e-12);
        assert_eq!(central_95(vec![]), None);
    }
}
