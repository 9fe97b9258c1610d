//! The solver behind L = E + A C^-alpha: no start values, and no local optimum to fall into.
//!
//! For a given alpha the law is linear in (E, A), both of which must not be negative, so that only alpha is searched:
//! over a grid, in residuals relative to y (variable projection; Golub and Pereyra 1973). The valleys of that profile
//! are then polished in all three parameters on the residuals of ln y, and the lowest wins. The edge E = 0 is a power
//! law, whose optimum is known in closed form; it competes too.

use crate::band::Curve;
use crate::power::curve_of;
use crate::solve::least_squares;

/// Grid points of alpha. The profile is smooth in ln alpha; four or five points per doubling find every valley.
const GRID: usize = 48;
/// The search covers alpha times ln(x_max / x_min) from one that cannot be told from a straight line ...
const FLATTEST: f64 = 0.05;
/// ... to one that has levelled off before a tenth of the range (in logarithms) is over.
const STEEPEST: f64 = 80.0;

/// The places of a set of points, ready to be fitted to many sets of values.
pub(crate) struct Places {
    ln_x: Vec<f64>,
    ln_x0: f64,
    /// alpha and (x / x_min)^-alpha at every place.
    grid: Vec<(f64, Vec<f64>)>,
}

/// How hard to polish: the fit itself to the last digit, a resample as far as its percentile shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Polish {
    Exact,
    Resample,
}

impl Places {
    /// Prepares for places in ascending order; `None` when they are all equal.
    pub(crate) fn new(ln_x: Vec<f64>) -> Option<Places> {
        let ln_x0 = *ln_x.first()?;
        let range = ln_x.last()? - ln_x0;
        if range.is_nan() || range <= 1e-9 {
            return None;
        }
        let grid = (0..GRID)
            .map(|i| FLATTEST * (STEEPEST / FLATTEST).powf(i as f64 / (GRID - 1) as f64) / range)
            .map(|alpha| (alpha, ln_x.iter().map(|u| (-alpha * (u - ln_x0)).exp()).collect()))
            .collect();
        Some(Places { ln_x, ln_x0, grid })
    }

    /// The steepest alpha of the search: a fit there is a step, not a law.
    pub(crate) fn steepest(&self) -> f64 {
        self.grid.last().map_or(f64::INFINITY, |(alpha, _)| *alpha)
    }

    /// The best curve through (ln x, ln y), and its sum of squared residuals of ln y. Its alpha is negative only when
    /// the values rise, which the caller refuses or, in a resample, counts.
    pub(crate) fn solve(&self, ln_y: &[f64], polish: Polish) -> Option<(Curve, f64)> {
        let centre = ln_y.iter().sum::<f64>() / ln_y.len() as f64;
        // About their geometric mean the values are near 1, whatever their unit.
        let v: Vec<f64> = ln_y.iter().map(|v| v - centre).collect();
        let pairs: Vec<(f64, f64)> = self.ln_x.iter().copied().zip(v.iter().copied()).collect();
        let line = curve_of(&pairs)?;
        let straight = Curve { ln_b: line.ln_b + line.alpha * (line.ln_x0 - self.ln_x0), ln_x0: self.ln_x0, ..line };
        let mut best = (straight, self.objective(&straight, &v));
        for start in self.valleys(&v) {
            let (curve, objective) = self.polish(start, &v, polish);
            // Equal to rounding, the simpler law wins.
            if objective < best.1 * (1.0 - 1e-9) - 1e-28 * v.len() as f64 {
                best = (curve, objective);
            }
        }
        let (curve, objective) = best;
        let scaled = Curve { floor: curve.floor * centre.exp(), ln_b: curve.ln_b + centre, ..curve };
        (objective.is_finite() && scaled.floor.is_finite()).then_some((scaled, objective))
    }

    /// The up to three lowest local minima of the profile over alpha.
    fn valleys(&self, v: &[f64]) -> Vec<Curve> {
        let inverse: Vec<f64> = v.iter().map(|v| (-v).exp()).collect();
        let profile: Vec<Option<(Curve, f64)>> =
            self.grid.iter().map(|(alpha, powers)| self.project(*alpha, powers, &inverse)).collect();
        let height = |i: usize| profile.get(i).and_then(|p| p.as_ref()).map_or(f64::INFINITY, |p| p.1);
        let mut valleys: Vec<(f64, Curve)> = profile
            .iter()
            .enumerate()
            .filter_map(|(i, p)| p.map(|(curve, h)| (i, curve, h)))
            .filter(|(i, _, h)| *h <= height(i + 1) && (*i == 0 || *h <= height(i - 1)))
            .map(|(_, curve, h)| (h, curve))
            .collect();
        valleys.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.alpha.total_cmp(&b.1.alpha)));
        valleys.truncate(3);
        valleys.into_iter().map(|(_, curve)| curve).collect()
    }

    /// The best E > 0 and B > 0 at this alpha, minimising the sum of (1 - (E + B powers) / y)^2; `None` when either
    /// is driven to 0, since the straight line then does as well.
    fn project(&self, alpha: f64, powers: &[f64], inverse: &[f64]) -> Option<(Curve, f64)> {
        let (mut ee, mut eb, mut bb, mut e1, mut b1) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (p, e) in powers.iter().zip(inverse) {
            let b = p * e;
            ee += e * e;
            eb += e * b;
            bb += b * b;
            e1 += e;
            b1 += b;
        }
        let determinant = ee * bb - eb * eb;
        let floor = (e1 * bb - b1 * eb) / determinant;
        let b = (b1 * ee - e1 * eb) / determinant;
        if !(floor > 0.0 && b > 0.0 && floor.is_finite() && b.is_finite()) {
            return None;
        }
        let height: f64 = powers.iter().zip(inverse).map(|(p, e)| (1.0 - (floor + b * p) * e).powi(2)).sum();
        height.is_finite().then_some((Curve { floor, ln_b: b.ln(), alpha, ln_x0: self.ln_x0 }, height))
    }

    /// Levenberg and Marquardt on the residuals of ln y in (E, ln B, alpha), kept to E >= 0 and alpha in the search.
    fn polish(&self, start: Curve, v: &[f64], polish: Polish) -> (Curve, f64) {
        let (rounds, tolerance) = match polish {
            Polish::Exact => (200, 1e-15),
            Polish::Resample => (25, 1e-6),
        };
        let (mut curve, mut objective) = (start, self.objective(&start, v));
        let mut damping = 1e-3;
        for _ in 0..rounds {
            let Some(step) = self.step(&curve, v, damping) else {
                break;
            };
            let trial = Curve {
                floor: (curve.floor + step[0]).max(0.0),
                ln_b: curve.ln_b + step[1],
                alpha: (curve.alpha + step[2]).clamp(self.grid[0].0 * 0.1, self.steepest()),
                ..curve
            };
            let reached = self.objective(&trial, v);
            if reached <= objective {
                let moved = ((trial.floor - curve.floor) / (curve.floor + 1e-9)).abs()
                    + (trial.ln_b - curve.ln_b).abs()
                    + ((trial.alpha - curve.alpha) / curve.alpha).abs();
                (curve, objective, damping) = (trial, reached, (damping * 0.1).max(1e-14));
                if moved < tolerance {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e8 {
                    break;
                }
            }
        }
        (curve, objective)
    }

    fn step(&self, curve: &Curve, v: &[f64], damping: f64) -> Option<Vec<f64>> {
        let n = v.len();
        let mut columns = vec![vec![0.0; n + 3]; 3];
        let mut rhs = vec![0.0; n + 3];
        for i in 0..n {
            let offset = self.ln_x[i] - self.ln_x0;
            let falling = (curve.ln_b - curve.alpha * offset).exp();
            let model = curve.floor + falling;
            columns[0][i] = 1.0 / model;
            columns[1][i] = falling / model;
            columns[2][i] = -offset * falling / model;
            rhs[i] = v[i] - model.ln();
        }
        for (k, column) in columns.iter_mut().enumerate() {
            let norm: f64 = column.iter().map(|c| c * c).sum::<f64>().sqrt();
            column[n + k] = damping.sqrt() * norm;
        }
        least_squares(&columns, &rhs).map(|solution| solution.coefficients)
    }

    fn objective(&self, curve: &Curve, v: &[f64]) -> f64 {
        let sum: f64 = self.ln_x.iter().zip(v).map(|(u, v)| (v - curve.ln_at(*u)).powi(2)).sum();
        if sum.is_nan() { f64::INFINITY } else { sum }
    }
}
