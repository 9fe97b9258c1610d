//! A trainer that only pretends: losses follow a planted law, so that a sweep file, a scheduler and a fit can be tried anywhere.

use serde::{Deserialize, Serialize};

use crate::order::mix;
use crate::run::RunSpec;

/// The planted law: L = E + A N^-alpha + B D^-beta + c (log2 lr - log2 lr*)^2 and the noise of seeds, with N parameters, D samples and
/// the optimal learning rate lr* = center (N / 1e5)^-slope (D / 1e5)^-slope. The first three terms are the parametric form of
/// Hoffmann et al., arXiv 2203.15556, section 3.3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// E: loss that nothing lowers, in nats.
    pub floor: f64,
    /// A.
    pub a: f64,
    /// alpha.
    pub alpha: f64,
    /// B.
    pub b: f64,
    /// beta.
    pub beta: f64,
    /// c: nats per squared octave of the learning rate.
    pub curvature: f64,
    /// Optimal learning rate at 1e5 parameters and 1e5 samples.
    pub center: f64,
    /// How fast it falls with size and samples.
    pub slope: f64,
    /// Standard deviation between seeds, in nats.
    pub noise: f64,
    /// A learning rate so many octaves above the optimum diverges.
    pub diverges: f64,
}

impl Simulation {
    /// A law whose optimal learning rates lie around `center`.
    pub fn around(center: f64) -> Simulation {
        Simulation {
            floor: 0.0,
            a: 8.0,
            alpha: 0.34,
            b: 6.0,
            beta: 0.28,
            curvature: 0.02,
            center,
            slope: 0.1,
            noise: 0.003,
            diverges: 3.5,
        }
    }

    /// Changes one number by its name; false if there is none of this name.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        let place = match name {
            "floor" => &mut self.floor,
            "a" => &mut self.a,
            "alpha" => &mut self.alpha,
            "b" => &mut self.b,
            "beta" => &mut self.beta,
            "curvature" => &mut self.curvature,
            "center" => &mut self.center,
            "slope" => &mut self.slope,
            "noise" => &mut self.noise,
            "diverges" => &mut self.diverges,
            _ => return false,
        };
        *place = value;
        true
    }

    /// Names that [`Simulation::set`] knows.
    pub const NAMES: [&str; 10] =
        ["floor", "a", "alpha", "b", "beta", "curvature", "center", "slope", "noise", "diverges"];

    /// Held-out loss of a run with so many parameters after `samples`; `None`: it diverges.
    pub fn loss(&self, run: &RunSpec, parameters: u64, samples: u64) -> Option<f64> {
        let (n, d) = (parameters.max(1) as f64, samples.max(1) as f64);
        let whole = run.samples().max(1) as f64;
        let best = self.center * ((n / 1e5) * (whole / 1e5)).powf(-self.slope);
        let octaves = (run.train.lr / best).log2();
        if octaves > self.diverges {
            return None;
        }
        let noise =
            self.noise * normal(mix(run.seed ^ mix(run.train.lr.to_bits() ^ mix(parameters ^ mix(run.samples())))));
        let law = self.floor + self.a * n.powf(-self.alpha) + self.b * d.powf(-self.beta);
        Some((law + self.curvature * octaves * octaves + noise).max(1e-6))
    }
}

/// A standard normal number from 64 random bits (Box and Muller, 1958).
fn normal(bits: u64) -> f64 {
    let uniform = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let (radius, angle) = (1.0 - uniform(bits), uniform(mix(bits)));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// What can go wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Killed in the middle.
    Crash,
    /// Memory runs out, until the batch is computed in two parts.
    Oom,
    /// No step goes on, but the heart beats, and it does not stop when told to.
    Hang,
    /// It gives no sign any more.
    Silent,
    /// Told to stop by the machine.
    Preempt,
    /// Killed while the line with the result is written.
    Torn,
    /// Five times as slow.
    Slow,
    /// The disk is full.
    DiskFull,
}

/// Each kind of fault with its name.
pub const FAULTS: [(&str, Fault); 8] = [
    ("crash", Fault::Crash),
    ("oom", Fault::Oom),
    ("hang", Fault::Hang),
    ("silent", Fault::Silent),
    ("preempt", Fault::Preempt),
    ("torn", Fault::Torn),
    ("slow", Fault::Slow),
    ("diskfull", Fault::DiskFull),
];

/// A list such as `crash=0.1,oom=0.02` that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// Its form.
    #[error("{0:?}: expected NAME=NUMBER with one of {1}")]
    Item(String, String),
    /// A chance that is none.
    #[error("{0}: a chance lies between 0 and 1")]
    Chance(String),
}

/// Reads `name=number,...`; names are among `known`.
pub fn read_list(text: &str, known: &[&str]) -> Result<Vec<(String, f64)>, NotAList> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let read = |item: &str| {
        let (name, value) = item.split_once('=')?;
        let value: f64 = value.trim().parse().ok().filter(|value: &f64| value.is_finite())?;
        known.contains(&name.trim()).then(|| (name.trim().to_owned(), value))
    };
    items.map(|item| read(item).ok_or_else(|| NotAList::Item(item.to_owned(), known.join(", ")))).collect()
}

/// Faults and how likely each is in one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    chances: Vec<(Fault, f64)>,
    seed: u64,
}

impl Faults {
    /// Reads `crash=0.1,oom=0.02`; what happens follows from `seed`, the run and the attempt.
    pub fn read(text: &str, seed: u64) -> Result<Faults, NotAList> {
        let list = read_list(text, &FAULTS.map(|(name, _)| name))?;
        if let Some((name, chance)) = list.iter().find(|(_, chance)| !(0.0..=1.0).contains(chance)) {
            return Err(NotAList::Chance(format!("{name}={chance}")));
        }
        let fault = |name: &str| FAULTS.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        Ok(Faults { chances: list.iter().filter_map(|(name, chance)| Some((fault(name)?, *chance))).collect(), seed })
    }

    /// What goes wrong in an attempt, and after which share of its steps.
    pub fn strike(&self, run: &str, attempt: u32) -> Option<(Fault, f64)> {
        let of_run = run.bytes().fold(self.seed, |sum, byte| mix(sum ^ u64::from(byte)));
        let uniform =
            |what: u64| (mix(of_run ^ mix(u64::from(attempt) ^ mix(what))) >> 11) as f64 / (1_u64 << 53) as f64;
        let struck = self.chances.iter().zip(1..).find(|((_, chance), which)| uniform(*which) < *chance);
        struck.map(|((fault, _), _)| (*fault, uniform(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_strike_as_often_as_asked_and_the_same_every_time() {
        let faults = Faults::read("crash=0.25, slow=0.5", 7).expect("a good list");
        let struck =
            (0..4000).filter(|run| faults.strike(&run.to_string(), 1).is_some_and(|(fault, _)| fault == Fault::Crash));
        assert!((900..1100).contains(&struck.count()));
        assert_eq!(faults.strike("a", 3), faults.strike("a", 3));
        assert!(Faults::read("crash", 0).is_err() && Faults::read("melt=1", 0).is_err());
    }

    #[test]
    fn noise_is_normal() {
        let draws: Vec<f64> = (0..20_000).map(|bits| normal(mix(bits))).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    proptest! {
        #[test]
        fn no_list_makes_the_reader_panic(text in "[a-z=,.0-9 -]{0,30}") {
            let _ = Faults::read(&text, 0);
        }
    }
}
