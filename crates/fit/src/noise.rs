//! How much the held-out loss differs between seeds of the same cell: the noise that every interval rests on.

use serde::{Deserialize, Serialize};

use crate::stat::{Z975, t975};

/// The standard deviation of ln loss between seeds that is assumed when nothing better is known: 0.1 %. Published
/// values run from 0.04 % (a 2.8B language model, four seeds) to 0.4 %; small experiments lie higher.
pub const NOISE_FLOOR: f64 = 1e-3;

/// The noise between seeds, pooled over cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedNoise {
    /// Standard deviation of ln loss between seeds of one cell.
    pub sd: f64,
    /// Degrees of freedom: runs minus cells, over the cells that were repeated.
    pub df: usize,
}

impl SeedNoise {
    /// The standard deviation that gives, with the normal quantile, the 95 % interval which Student's t asks for after so
    /// few repeats; never below [`NOISE_FLOOR`].
    pub fn for_intervals(&self) -> f64 {
        (self.sd * t975(self.df) / Z975).max(NOISE_FLOOR)
    }
}

/// Pools the noise of ln loss over cells, each given by the losses of its seeds. `None` when no cell has two positive
/// losses.
pub fn seed_noise<'a>(cells: impl IntoIterator<Item = &'a [f64]>) -> Option<SeedNoise> {
    let (mut squares, mut df) = (0.0, 0);
    for losses in cells {
        let logs: Vec<f64> =
            losses.iter().filter(|loss| loss.is_finite() && **loss > 0.0).map(|loss| loss.ln()).collect();
        if logs.len() < 2 {
            continue;
        }
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        squares += logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
        df += logs.len() - 1;
    }
    (df > 0).then(|| SeedNoise { sd: (squares / df as f64).sqrt(), df })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_pooled_over_repeated_cells() {
        let e = std::f64::consts::E;
        // Logarithms 0, 2 and 1, 1, 4: squares 2 and 6, degrees of freedom 1 and 2.
        let cells: [&[f64]; 4] = [&[1.0, e.powi(2)], &[e, e, e.powi(4)], &[3.0], &[f64::NAN, 2.0]];
        let noise = seed_noise(cells).expect("two repeated cells");
        assert_eq!(noise.df, 3);
        assert!((noise.sd - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{noise:?}");
        assert!((noise.for_intervals() / noise.sd - 3.182_446 / 1.959_964).abs() < 1e-6);
        assert_eq!(seed_noise([&[1.0][..], &[]]), None);
        assert_eq!(SeedNoise { sd: 0.0, df: 1 }.for_intervals(), NOISE_FLOOR);
    }
}
