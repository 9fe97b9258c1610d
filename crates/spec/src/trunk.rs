//! Budgets that share their beginning.
//!
//! With a schedule whose rate does not depend on the budget until its cooldown, the run of a longer budget begins with the very
//! steps of a shorter one: same order of the examples, same randomness, same rates. Whoever goes on from the shorter one's state at
//! the end of these steps comes to the same bits as if all of it had been trained for the longer budget, so sharing is not a
//! part of a run's identity; it only saves time (arXiv 2106.04560, section 3.5; 2404.06395, section 4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::run::{RunId, RunSpec};
use crate::schedule::Decay;

/// Where a run can branch off another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// The run whose first steps are also this one's.
    pub run: RunId,
    /// How many they are.
    pub step: u64,
}

impl RunSpec {
    /// The first steps, which would be the same with a longer budget: all before the cooldown, of whole batches.
    pub fn trunk_steps(&self) -> u64 {
        let cooldown = match self.train.decay {
            Decay::Cosine => return 0,
            Decay::Constant => 0,
            Decay::Rsqrt { cooldown_steps, .. } | Decay::Wsd { cooldown_steps } => cooldown_steps,
        };
        self.steps().saturating_sub(cooldown).min(self.samples() / self.train.batch)
    }

    /// The run with everything that a longer budget changes left out: equal for runs that share their first steps.
    fn without_budget(&self) -> RunSpec {
        let mut run = self.clone();
        run.train.epochs = 0.0;
        match &mut run.train.decay {
            Decay::Rsqrt { cooldown_steps, .. } | Decay::Wsd { cooldown_steps } => *cooldown_steps = 0,
            Decay::Cosine | Decay::Constant => {}
        }
        run
    }
}

/// Which run each of `runs` branches off: that of the next shorter budget with the same beginning.
pub fn trunks<'a>(runs: impl IntoIterator<Item = &'a RunSpec>) -> BTreeMap<RunId, Trunk> {
    let mut families: BTreeMap<RunId, Vec<&RunSpec>> = BTreeMap::new();
    for run in runs.into_iter().filter(|run| run.trunk_steps() > 0) {
        families.entry(run.without_budget().id()).or_default().push(run);
    }
    let mut trunks = BTreeMap::new();
    for family in families.values_mut() {
        family.sort_by_key(|run| run.trunk_steps());
        for pair in family.windows(2) {
            let [shorter, longer] = pair else { continue };
            if shorter.id() != longer.id() {
                trunks.insert(longer.id(), Trunk { run: shorter.id(), step: shorter.trunk_steps() });
            }
        }
    }
    trunks
}
