//! Groups of equal compute: a parabola in the logarithm of the size finds the best size of each, and power laws go
//! through the minima (Hoffmann et al. 2022, approach 2).
//!
//! The method is biased where the two sides of the valley fall differently (unequal exponents) or where the sizes are
//! not centred on the minimum. How much, is computed here for the points at hand: the same procedure on the noise-free
//! losses of the surface that fits them best, against that surface's own minimum.

use serde::Serialize;

use crate::allocate::best_use;
use crate::interval::finite;
use crate::noise::NOISE_FLOOR;
use crate::parametric::usable;
use crate::solve::least_squares;
use crate::stat::{Z975, line, t975};
use crate::trend::{Found, Trend, trend};
use crate::{Estimate, Excluded, Intervals, Loss, Refusal, SurfacePoint, SurfaceSettings, parametric};

/// The parabola uses sizes within this factor of the best one tried: wider ones are biased by more (3 % at a factor 8 and
/// 5 % at 16 on the surface of Hoffmann et al., five times that for exponents in the ratio 3).
const WINDOW: f64 = 4.0;

/// A run in a group of equal compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IsoPoint {
    /// The run.
    pub point: SurfacePoint,
    /// Its compute, in any one unit.
    pub compute: f64,
}

/// Settings of the groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IsoSettings {
    /// Runs whose compute differs by no more than this fraction belong to one group.
    pub tolerance: f64,
    /// Standard deviation of ln loss between seeds, where it is known; otherwise it is taken from the residuals of the
    /// parabolas, and never below [`NOISE_FLOOR`].
    pub noise: Option<f64>,
}

impl Default for IsoSettings {
    fn default() -> Self {
        IsoSettings { tolerance: 0.15, noise: None }
    }
}

/// The minimum of one group.
#[derive(Clone, Debug, Serialize)]
pub struct Valley {
    /// Geometric mean of the group's compute.
    pub compute: f64,
    /// The best size.
    pub size: Estimate,
    /// The samples that go with it at this compute.
    pub samples: f64,
    /// The lowest loss, in nats.
    pub loss: Estimate,
    /// The parabola: ln loss = ln(lowest loss) + curvature (ln size - ln(best size))^2.
    pub curvature: f64,
    /// Smallest and largest size that the parabola went through.
    pub window: (f64, f64),
    /// Sizes within the window.
    pub sizes: usize,
    /// Where the best size lies among the sizes tried: 0 at the smallest, 1 at the largest, in logarithms.
    pub position: f64,
    #[serde(skip)]
    ln_size: (f64, f64),
    #[serde(skip)]
    ln_loss: (f64, f64),
    #[serde(skip)]
    ln_centre: f64,
}

/// What the procedure gets wrong by itself on a surface like that of the points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bias {
    /// Error of the exponent of the size.
    pub exponent: f64,
    /// Relative error of the best size at the largest budget: 0.05 is 5 % too large.
    pub size: f64,
}

/// The minima and the laws through them.
#[derive(Clone, Debug, Serialize)]
pub struct Isoflop {
    /// The minima, by compute.
    pub valleys: Vec<Valley>,
    /// The best size as it grows with compute.
    pub size: Trend,
    /// The best number of samples.
    pub samples: Trend,
    /// The lowest loss.
    pub loss: Trend,
    /// Standard deviation of ln loss that the intervals rest on.
    pub noise: f64,
    /// What the method gets wrong by itself here; `None` when no surface fits the points.
    pub bias: Option<Bias>,
    /// Rows that were fitted, ascending.
    pub used: Vec<usize>,
    /// Rows that were not, and why, ascending.
    pub excluded: Vec<Excluded>,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
}

/// ln compute, ln size, ln samples, ln loss, and the row of a run.
type Logs = (f64, f64, f64, f64, usize);

/// One group: ln size, ln samples, ln loss and row of its runs, by size.
struct Group {
    ln_compute: f64,
    runs: Vec<(f64, f64, f64, usize)>,
}

/// Groups runs by compute, finds the minimum of each group, and fits power laws through the minima.
///
/// # Errors
/// [`Refusal::NotIdentified`] when fewer than three groups have a minimum inside their sizes, with what is missing in the
/// first of the others.
pub fn isoflop(points: &[IsoPoint], settings: &IsoSettings) -> Result<Isoflop, Refusal> {
    let (groups, mut excluded) = groups(points, settings.tolerance);
    let shapes: Vec<Result<Shape, String>> = groups.iter().map(shape).collect();
    let noise = noise(&shapes, settings.noise);
    let (mut valleys, mut used) = (Vec::new(), Vec::new());
    for (group, shape) in groups.iter().zip(&shapes) {
        match shape {
            Ok(shape) => {
                valleys.push(shape.valley(group, noise));
                for run in &group.runs {
                    if (shape.window.0..=shape.window.1).contains(&run.0) {
                        used.push(run.3);
                    } else {
                        let reason = format!("its size is not within a factor {WINDOW} of the best of its budget");
                        excluded.push(Excluded { row: run.3, reason });
                    }
                }
            }
            Err(reason) => {
                let reason = format!("the budget of compute {:.3e} is dropped: {reason}", group.ln_compute.exp());
                excluded.extend(group.runs.iter().map(|run| Excluded { row: run.3, reason: reason.clone() }));
            }
        }
    }
    used.sort_unstable();
    excluded.sort_by_key(|e| e.row);
    let found = |read: fn(&Valley) -> (f64, f64)| -> Vec<Found> {
        valleys
            .iter()
            .map(|valley| (valley, read(valley)))
            .map(|(valley, (v, error))| Found { u: valley.compute.ln(), v, error })
            .collect()
    };
    if valleys.len() < 3 {
        let missing = shapes
            .iter()
            .find_map(|shape| shape.as_ref().err())
            .map_or(String::new(), |why| format!("; in the first of the others {why}"));
        return Err(Refusal::NotIdentified {
            what: "the growth of the best size",
            why: format!(
                "{} of {} groups of equal compute have a minimum inside their sizes, and it takes 3{missing}",
                valleys.len(),
                groups.len()
            ),
            mend: "give three budgets of compute five sizes each, a factor 2 apart around the best one",
        });
    }
    const WHAT: &str = "compute";
    let size = trend(&found(|v| v.ln_size), WHAT)?;
    let samples = trend(&found(|v| (v.samples.ln(), v.ln_size.1)), WHAT)?;
    let loss = trend(&found(|v| v.ln_loss), WHAT)?;
    let bias = bias(points, &groups);
    let mut answer = Isoflop { valleys, size, samples, loss, noise, bias, used, excluded, warnings: Vec::new() };
    answer.warnings = answer.judge();
    Ok(answer)
}

fn groups(points: &[IsoPoint], tolerance: f64) -> (Vec<Group>, Vec<Excluded>) {
    let mut excluded = Vec::new();
    let mut runs: Vec<Logs> = Vec::new();
    for IsoPoint { point, compute } in points {
        let (good, mut bad) = usable(std::slice::from_ref(point));
        if let (true, Some(reason)) = (bad.is_empty(), crate::law::not_positive("compute", *compute)) {
            bad.push(Excluded { row: point.row, reason });
        }
        if bad.is_empty() {
            runs.extend(good.iter().map(|p| (compute.ln(), p.size.ln(), p.samples.ln(), p.loss.ln(), p.row)));
        }
        excluded.extend(bad);
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.3.total_cmp(&b.3)).then(a.4.cmp(&b.4)));
    let mut groups: Vec<Vec<Logs>> = Vec::new();
    for run in runs {
        match groups.last_mut() {
            Some(group) if run.0 - group[0].0 <= tolerance.max(0.0).ln_1p() => group.push(run),
            _ => groups.push(vec![run]),
        }
    }
    let group = |runs: Vec<Logs>| {
        let ln_compute = runs.iter().map(|run| run.0).sum::<f64>() / runs.len() as f64;
        let mut runs: Vec<(f64, f64, f64, usize)> = runs.into_iter().map(|(_, n, d, l, row)| (n, d, l, row)).collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3)));
        Group { ln_compute, runs }
    };
    (groups.into_iter().map(group).collect(), excluded)
}

/// The parabola of one group.
struct Shape {
    /// ln size at the bottom, and the derivatives of it by the losses of the window, as one variance factor.
    vertex: f64,
    vertex_factor: f64,
    bottom: f64,
    bottom_factor: f64,
    curvature: f64,
    sizes: usize,
    /// Squared residuals of ln loss and their degrees of freedom.
    residual: f64,
    df: usize,
    range: (f64, f64),
    /// ln of the smallest and the largest size that the parabola went through, seeds of one size included.
    window: (f64, f64),
}

fn shape(group: &Group) -> Result<Shape, String> {
    // Seeds of one size count by their mean, of one weight each.
    let mut sizes: Vec<(f64, f64, f64)> = Vec::new();
    for &(n, _, loss, _) in &group.runs {
        match sizes.last_mut() {
            Some((last, sum, count)) if n - *last < 1e-9 => (*sum, *count) = (*sum + loss, *count + 1.0),
            _ => sizes.push((n, loss, 1.0)),
        }
    }
    sizes.iter_mut().for_each(|(_, sum, count)| *sum /= *count);
    if sizes.len() < 3 {
        return Err(format!("it has {} of the 3 sizes that bracket a minimum", sizes.len()));
    }
    let best = (0..sizes.len()).min_by(|a, b| sizes[*a].1.total_cmp(&sizes[*b].1)).unwrap_or(0);
    if best == 0 || best + 1 == sizes.len() {
        let (end, more) = if best == 0 { ("smallest", "smaller") } else { ("largest", "larger") };
        return Err(format!("its best size is the {end} tried ({:.3e}): add a {more} one", sizes[best].0.exp()));
    }
    let mut centre = sizes[best].0;
    let mut shape = None;
    // The window is centred on the best tried, then on the bottom found.
    for _ in 0..2 {
        let mut within: Vec<&(f64, f64, f64)> =
            sizes.iter().filter(|size| (size.0 - centre).abs() <= WINDOW.ln() + 1e-9).collect();
        if within.len() < 3 {
            within = sizes[best - 1..=best + 1].iter().collect();
        }
        let found = parabola(&within, centre, (sizes[0].0, sizes[sizes.len() - 1].0))
            .ok_or("its losses do not form a valley")?;
        centre = found.vertex;
        shape = Some(found);
    }
    let shape = shape.ok_or("its losses do not form a valley")?;
    if shape.vertex <= shape.range.0 || shape.vertex >= shape.range.1 {
        return Err("the bottom of its parabola lies outside the sizes tried".to_owned());
    }
    Ok(shape)
}

fn parabola(sizes: &[&(f64, f64, f64)], centre: f64, range: (f64, f64)) -> Option<Shape> {
    let weight = |size: &(f64, f64, f64)| size.2.sqrt();
    let powers = |size: &(f64, f64, f64)| [1.0, size.0 - centre, (size.0 - centre).powi(2)];
    let columns: Vec<Vec<f64>> = (0..3).map(|k| sizes.iter().map(|s| powers(s)[k] * weight(s)).collect()).collect();
    let target: Vec<f64> = sizes.iter().map(|s| s.1 * weight(s)).collect();
    let solution = least_squares(&columns, &target)?;
    let [c, p, q] = solution.coefficients[..] else { return None };
    if q <= 0.0 {
        return None;
    }
    let offset = -p / (2.0 * q);
    Some(Shape {
        vertex: centre + offset,
        vertex_factor: solution.variance(&[0.0, -1.0 / (2.0 * q), p / (2.0 * q * q)]),
        bottom: c + p * offset / 2.0,
        bottom_factor: solution.variance(&[1.0, offset, offset * offset]),
        curvature: q,
        sizes: sizes.len(),
        residual: sizes.iter().map(|s| s.2 * (s.1 - solution.predict(&powers(s))).powi(2)).sum(),
        df: sizes.len() - 3,
        range,
        window: (sizes.first()?.0 - 1e-9, sizes.last()?.0 + 1e-8),
    })
}

/// The noise of one run's ln loss as the 95 % intervals need it.
fn noise(shapes: &[Result<Shape, String>], given: Option<f64>) -> f64 {
    if let Some(noise) = given.filter(|noise| noise.is_finite() && *noise >= 0.0) {
        return noise;
    }
    let (residual, df) =
        shapes.iter().flatten().fold((0.0, 0), |(sum, df), shape| (sum + shape.residual, df + shape.df));
    if df == 0 { NOISE_FLOOR } else { ((residual / df as f64).sqrt() * t975(df) / Z975).max(NOISE_FLOOR) }
}

impl Shape {
    fn valley(&self, group: &Group, noise: f64) -> Valley {
        let around = |log: f64, error: f64| finite(log.exp(), (log - Z975 * error).exp(), (log + Z975 * error).exp());
        let error = noise * self.vertex_factor.sqrt();
        // Of one compute, size times samples is nearly constant.
        let count = group.runs.len() as f64;
        let products = group.runs.iter().map(|run| run.0 + run.1).sum::<f64>() / count;
        let bottom_error = noise * self.bottom_factor.sqrt();
        Valley {
            compute: group.ln_compute.exp(),
            size: around(self.vertex, error),
            samples: (products - self.vertex).exp(),
            loss: around(self.bottom, bottom_error),
            curvature: self.curvature,
            window: ((self.window.0 + 1e-9).exp(), (self.window.1 - 1e-8).exp()),
            sizes: self.sizes,
            position: (self.vertex - self.range.0) / (self.range.1 - self.range.0),
            ln_size: (self.vertex, error),
            ln_loss: (self.bottom, bottom_error),
            ln_centre: 0.5 * (self.range.0 + self.range.1),
        }
    }
}

/// The procedure on the noise-free losses of the surface that fits the points best.
fn bias(points: &[IsoPoint], groups: &[Group]) -> Option<Bias> {
    let all: Vec<SurfacePoint> = points.iter().map(|p| p.point).collect();
    let settings =
        SurfaceSettings { resamples: 0, loss: Loss::Robust, intervals: Intervals::Delta, ..SurfaceSettings::default() };
    let surface = parametric(&all, &settings).ok()?;
    let theta = &surface.fitted.theta;
    let mut pairs = Vec::new();
    for group in groups {
        let runs = group.runs.iter();
        let exact = runs.map(|&(n, d, _, row)| (n, d, surface.predict(n.exp(), d.exp()).value.ln(), row)).collect();
        let exact = Group { ln_compute: group.ln_compute, runs: exact };
        let products = exact.runs.iter().map(|run| run.0 + run.1).sum::<f64>() / exact.runs.len() as f64;
        if let (Ok(shape), Ok(_)) = (shape(&exact), self::shape(group)) {
            pairs.push((group.ln_compute, shape.vertex - best_use(theta, &surface.centre, products).0));
        }
    }
    Some(Bias { exponent: line(&pairs)?.slope, size: pairs.last()?.1.exp_m1() })
}

impl Valley {
    /// The parabola at this size, in nats.
    pub fn at(&self, size: f64) -> f64 {
        (self.ln_loss.0 + self.curvature * (size.ln() - self.ln_size.0).powi(2)).exp()
    }
}

impl Isoflop {
    fn judge(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for valley in &self.valleys {
            if !(1.0 / 6.0..=5.0 / 6.0).contains(&valley.position) {
                warnings.push(format!(
                    "at compute {:.3e} the best size lies in the outer third of the sizes tried: add sizes on its far side",
                    valley.compute
                ));
            }
        }
        let centres: Vec<(f64, f64)> =
            self.valleys.iter().map(|v| (v.compute.ln(), v.ln_centre - v.ln_size.0)).collect();
        if let Some(drift) = line(&centres).map(|line| line.slope).filter(|drift| drift.abs() > 0.1) {
            warnings.push(format!(
                "the sizes tried drift away from the best ones (as C^{drift:+.2}): the exponent is biased that way"
            ));
        }
        if let Some(bias) = self.bias {
            let half = 0.5 * (self.size.exponent.high - self.size.exponent.low);
            if bias.size.abs() > 0.02 || bias.exponent.abs() > half.max(0.01) {
                warnings.push(format!(
                    "parabolas are biased here: on a noise-free surface like this one they put the exponent {:+.3} and the best size at the largest budget {:+.0} % off; the parametric law is not",
                    bias.exponent,
                    100.0 * bias.size
                ));
            }
        }
        warnings
    }
}
