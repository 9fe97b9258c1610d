//! What to do with a fitted surface: the best use of compute, and the runs that would tell more.

use serde::{Deserialize, Serialize};

use crate::design::{Goal, PossibleRun, Suggestion, Target, suggest};
use crate::grid::Theta;
use crate::interval::Scale;
use crate::parametric::{Centre, Place, Surface};
use crate::regression::{Jet, Model};
use crate::repeated::{self, Decaying};
use crate::{Estimate, RepeatedFit, SurfaceFit};

/// The best use of some compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// C, in operations.
    pub compute: f64,
    /// N*, in the unit of the sizes.
    pub size: Estimate,
    /// D*, in samples.
    pub samples: Estimate,
    /// The surface at (N*, D*), in nats.
    pub loss: Estimate,
    /// Where the loss of one run there is expected: the surface's interval and the noise between runs, in nats.
    pub run: Estimate,
}

impl SurfaceFit {
    /// The size and the samples that make the most of `compute` = k N D operations (Hoffmann et al. 2022, equation 4), with
    /// the loss they reach. `seed_noise` as in [`predict_run`](SurfaceFit::predict_run).
    pub fn allocate(&self, compute: f64, seed_noise: Option<f64>) -> Allocation {
        let products = (compute / self.flops_per).ln();
        let best = |theta: &Theta| best_use(theta, &self.centre, products);
        let at_best = |theta: &Theta| self.ln_best_loss(theta, compute).exp();
        Allocation {
            compute,
            size: self.fitted.estimate(Scale::Logarithm, 0.0, |theta| best(theta).0.exp()),
            samples: self.fitted.estimate(Scale::Logarithm, 0.0, |theta| best(theta).1.exp()),
            loss: self.fitted.estimate(Scale::Logarithm, 0.0, at_best),
            run: self.fitted.estimate(Scale::Logarithm, self.fitted.run_noise(seed_noise), at_best),
        }
    }

    /// Which of the possible runs narrow the goal most within `budget`, in the unit of their cost; `None` when the fit has no
    /// finite errors. `seed_noise` as in [`predict_run`](SurfaceFit::predict_run).
    pub fn suggest(
        &self,
        goal: Goal,
        runs: &[PossibleRun],
        budget: f64,
        seed_noise: Option<f64>,
    ) -> Option<Suggestion> {
        let target = match goal {
            Goal::Exponent => Target::of(&self.fitted, |theta| theta[4] / (theta[3] + theta[4])),
            Goal::Loss { compute, .. } => Target::of(&self.fitted, |theta| self.ln_best_loss(theta, compute)),
            Goal::Parameters => Target::Everything,
        };
        let jet =
            |run: &PossibleRun| (*run, Surface.jet(&self.fitted.theta, &self.centre.place(run.size, run.samples)));
        let runs: Vec<(PossibleRun, Jet<5>)> = runs.iter().map(jet).collect();
        suggest(&self.fitted, &target, &runs, self.fitted.run_noise(seed_noise), budget)
    }

    /// ln of the loss at the best use of the compute.
    fn ln_best_loss(&self, theta: &Theta, compute: f64) -> f64 {
        let (n, d) = best_use(theta, &self.centre, (compute / self.flops_per).ln());
        let place = Place { n: n - self.centre.size, d: d - self.centre.samples };
        Surface.jet(theta, &place).value.ln() + self.centre.loss
    }
}

/// The best use of some compute with a limited amount of data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochAllocation {
    /// C, in operations.
    pub compute: f64,
    /// Unique samples there are.
    pub unique: f64,
    /// The best size.
    pub size: Estimate,
    /// Samples seen, repeats counted.
    pub samples: Estimate,
    /// Epochs: samples seen over unique ones. Below 1, a part of the data is enough.
    pub epochs: Estimate,
    /// The loss there, in nats.
    pub loss: Estimate,
    /// Where the loss of one run there is expected, in nats.
    pub run: Estimate,
}

impl RepeatedFit {
    /// The size and the epochs that make the most of `compute` = k N D operations with `unique` samples. There is no closed
    /// form: where one more parameter and one more sample are worth the same is found by bisection, for every set of
    /// parameters anew.
    pub fn allocate(&self, compute: f64, unique: f64, seed_noise: Option<f64>) -> EpochAllocation {
        let products = (compute / self.flops_per).ln();
        let size = |theta: &[f64; 6]| self.best_size(theta, products, unique).exp();
        let at_best = |theta: &[f64; 6]| self.ln_best_loss(theta, products, unique).exp();
        let estimate = |noise, read: &dyn Fn(&[f64; 6]) -> f64| self.fitted.estimate(Scale::Logarithm, noise, read);
        EpochAllocation {
            compute,
            unique,
            size: estimate(0.0, &size),
            samples: estimate(0.0, &|theta| products.exp() / size(theta)),
            epochs: estimate(0.0, &|theta| products.exp() / size(theta) / unique),
            loss: estimate(0.0, &at_best),
            run: estimate(self.fitted.run_noise(seed_noise), &at_best),
        }
    }

    /// Which of the possible runs narrow the goal most, as [`SurfaceFit::suggest`].
    pub fn suggest(
        &self,
        goal: Goal,
        runs: &[PossibleRun],
        budget: f64,
        seed_noise: Option<f64>,
    ) -> Option<Suggestion> {
        let target = match goal {
            Goal::Exponent => Target::of(&self.fitted, |theta| theta[4] / (theta[3] + theta[4])),
            Goal::Loss { compute, unique } => {
                let products = (compute / self.flops_per).ln();
                let unique = unique.unwrap_or(f64::MAX);
                Target::of(&self.fitted, |theta| self.ln_best_loss(theta, products, unique))
            }
            Goal::Parameters => Target::Everything,
        };
        let jet = |run: &PossibleRun| {
            let place = repeated::place(&self.centre, run.size, run.samples, run.epochs);
            (*run, Decaying.jet(&self.fitted.theta, &place))
        };
        let runs: Vec<(PossibleRun, Jet<6>)> = runs.iter().map(jet).collect();
        suggest(&self.fitted, &target, &runs, self.fitted.run_noise(seed_noise), budget)
    }

    fn ln_best_loss(&self, theta: &[f64; 6], products: f64, unique: f64) -> f64 {
        let size = self.best_size(theta, products, unique).exp();
        let samples = products.exp() / size;
        let place = repeated::place(&self.centre, size, samples, samples / unique);
        Decaying.jet(theta, &place).value.ln() + self.centre.loss
    }

    /// ln of the best size at ln(C / k): the slope of the loss along the line of equal compute rises with the size.
    fn best_size(&self, theta: &[f64; 6], products: f64, unique: f64) -> f64 {
        let slope = |ln_size: f64| {
            let samples = (products - ln_size).exp();
            let epochs = (samples / unique).max(1.0);
            let place = repeated::place(&self.centre, ln_size.exp(), samples, epochs);
            let jet = Decaying.jet(theta, &place);
            let (alpha, beta) = (theta[3], theta[4]);
            -alpha * jet.gradient[1] + beta * jet.gradient[2] * repeated::worth_of_more(theta[5], epochs)
        };
        let (mut low, mut high) = (self.centre.size - 60.0, self.centre.size + 60.0);
        for _ in 0..90 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

/// (ln N*, ln D*) at ln(C / k).
pub(crate) fn best_use(theta: &Theta, centre: &Centre, products: f64) -> (f64, f64) {
    let [_, a, b, alpha, beta] = *theta;
    let (ln_a, ln_b) = (a + alpha * centre.size, b + beta * centre.samples);
    let ln_g = (alpha.ln() + ln_a - beta.ln() - ln_b) / (alpha + beta);
    let n = ln_g + beta / (alpha + beta) * products;
    (n, products - n)
}
