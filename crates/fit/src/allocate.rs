//! What to do with a fitted surface: the best use of compute, and the runs that would tell more.

use serde::{Deserialize, Serialize};

use crate::design::{Goal, PossibleRun, Suggestion, Target, suggest};
use crate::grid::Theta;
use crate::interval::Scale;
use crate::parametric::{Centre, Place, Surface};
use crate::regression::{Jet, Model};
use crate::{Estimate, SurfaceFit};

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
            Goal::Loss { compute } => Target::of(&self.fitted, |theta| self.ln_best_loss(theta, compute)),
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

/// (ln N*, ln D*) at ln(C / k).
pub(crate) fn best_use(theta: &Theta, centre: &Centre, products: f64) -> (f64, f64) {
    let [_, a, b, alpha, beta] = *theta;
    let (ln_a, ln_b) = (a + alpha * centre.size, b + beta * centre.samples);
    let ln_g = (alpha.ln() + ln_a - beta.ln() - ln_b) / (alpha + beta);
    let n = ln_g + beta / (alpha + beta) * products;
    (n, products - n)
}
