//! The check that a run has seen each of its examples exactly once in every epoch, from what it left behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::order::{Digest, SampleOrder, epochs};
use crate::run::RunSpec;

/// An epoch as a run has recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEpoch {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Positions seen, from 0 up to here; those whose examples were skipped among them.
    pub samples: u64,
    /// Digest of the examples that entered the weights.
    pub digest: String,
}

/// An example that was damaged and did not enter the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Epoch in which it was skipped.
    pub epoch: u64,
    /// Its id.
    pub example: u64,
    /// What was wrong with it.
    pub reason: String,
}

/// What a run is held against.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The order of its examples.
    pub order: SampleOrder,
    /// Draws of its whole budget.
    pub draws: u64,
    /// Damaged examples that an epoch may leave out.
    pub skippable: u64,
    /// Whether it ended before its budget did: then epochs from some point on have no record.
    pub ended_early: bool,
}

impl Promise {
    /// What a run promises; `None` without a training set.
    pub fn of(run: &RunSpec, ended_early: bool) -> Option<Promise> {
        Some(Promise { order: run.order()?, draws: run.draws(), skippable: run.skippable(), ended_early })
    }
}

/// The first epoch that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} {what}")]
pub struct Wrong {
    /// The epoch, from 0.
    pub epoch: u64,
    /// What is wrong with it.
    pub what: Difference,
}

/// How an epoch differs from what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Nothing was recorded.
    #[error("left no digest")]
    NoDigest,
    /// The run was over before it.
    #[error("comes after the end of the run")]
    AfterTheEnd,
    /// Another part of the epoch was seen.
    #[error("saw {found} samples instead of {expected}")]
    Samples {
        /// As recorded.
        found: u64,
        /// As planned.
        expected: u64,
    },
    /// The examples were others, or some were seen more than once.
    #[error("did not see each of its {samples} examples exactly once")]
    Digest {
        /// Examples that had to be seen: those that were skipped are not among them.
        samples: u64,
    },
    /// An example is listed more than once among those skipped.
    #[error("lists example {0} twice among those skipped")]
    SkippedTwice(u64),
    /// More examples were skipped than the sweep allows.
    #[error("skipped {found} examples, and {most} may be")]
    SkippedTooMany {
        /// As listed.
        found: u64,
        /// As allowed.
        most: u64,
    },
    /// An example is listed among those skipped although it has no place in that part of the epoch.
    #[error("lists example {0} among those skipped, which it does not have")]
    SkippedElsewhere(u64),
}

/// Digests that were computed before: of a whole epoch it is the same in every order, and of the part that a budget ends in it
/// is the same for all runs of a seed.
#[derive(Clone, Debug, Default)]
pub struct Known {
    digests: BTreeMap<(Option<(SampleOrder, u64)>, u64), Digest>,
}

impl Known {
    fn digest(&mut self, order: &SampleOrder, epoch: u64, positions: u64) -> Digest {
        let whole = positions == order.examples();
        let key = (Some((*order, epoch)).filter(|_| !whole), positions);
        *self.digests.entry(key).or_insert_with(|| Digest::expected(order, epoch, positions))
    }
}

/// Holds what a run has recorded against what it must have seen: every position of every epoch of its budget once, but for the
/// examples that it lists as skipped.
///
/// # Errors
/// Names the first epoch that differs.
pub fn check(promise: &Promise, seen: &[SeenEpoch], skipped: &[Skipped], known: &mut Known) -> Result<(), Wrong> {
    let mut listed: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    skipped.iter().for_each(|one| listed.entry(one.epoch).or_default().push(one.example));
    let mut recorded: BTreeMap<u64, Vec<&SeenEpoch>> = BTreeMap::new();
    seen.iter().for_each(|one| recorded.entry(one.epoch).or_default().push(one));
    for (epoch, positions) in epochs(promise.draws, promise.order.examples()) {
        let wrong = |what| Wrong { epoch, what };
        let own = recorded.remove(&epoch).unwrap_or_default();
        // An epoch that a divergence cut off has no digest, so neither have those after it.
        if own.is_empty() && promise.ended_early && recorded.is_empty() {
            listed.remove(&epoch);
            break;
        }
        let lost = listed.remove(&epoch).unwrap_or_default();
        if lost.len() as u64 > promise.skippable {
            let (found, most) = (lost.len() as u64, promise.skippable);
            return Err(wrong(Difference::SkippedTooMany { found, most }));
        }
        let expected = expected(&promise.order, epoch, positions, &lost, known).map_err(wrong)?;
        if own.is_empty() {
            return Err(wrong(Difference::NoDigest));
        }
        for one in own {
            if one.samples != positions {
                return Err(wrong(Difference::Samples { found: one.samples, expected: positions }));
            }
            if one.digest != expected.to_string() {
                return Err(wrong(Difference::Digest { samples: positions - lost.len() as u64 }));
            }
        }
    }
    let left = recorded.into_keys().chain(listed.into_keys()).min();
    left.map_or(Ok(()), |epoch| Err(Wrong { epoch, what: Difference::AfterTheEnd }))
}

/// The digest of an epoch's first positions without the examples that were skipped.
fn expected(
    order: &SampleOrder,
    epoch: u64,
    positions: u64,
    skipped: &[u64],
    known: &mut Known,
) -> Result<Digest, Difference> {
    let mut digest = known.digest(order, epoch, positions);
    let mut elsewhere = BTreeSet::new();
    for id in skipped {
        if !elsewhere.insert(*id) {
            return Err(Difference::SkippedTwice(*id));
        }
        digest.remove(*id);
    }
    if positions == order.examples() {
        elsewhere = elsewhere.split_off(&order.examples());
    } else if !elsewhere.is_empty() {
        (0..positions).for_each(|position| {
            elsewhere.remove(&order.in_epoch(epoch, position));
        });
    }
    elsewhere.first().map_or(Ok(digest), |id| Err(Difference::SkippedElsewhere(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two and a half epochs of ten examples, as an honest run records them.
    fn honest() -> (Promise, Vec<SeenEpoch>) {
        let order = SampleOrder::new(3, 10).expect("not empty");
        let seen = epochs(25, 10).map(|(epoch, samples)| {
            let digest = Digest::expected(&order, epoch, samples).to_string();
            SeenEpoch { epoch, samples, digest }
        });
        (Promise { order, draws: 25, skippable: 3, ended_early: false }, seen.collect())
    }

    fn skipped(epoch: u64, example: u64) -> Skipped {
        Skipped { epoch, example, reason: "no JPEG".to_owned() }
    }

    fn checked(promise: &Promise, seen: &[SeenEpoch], skipped: &[Skipped]) -> Result<(), String> {
        check(promise, seen, skipped, &mut Known::default()).map_err(|wrong| wrong.to_string())
    }

    /// Takes an example out of the digest of an epoch.
    fn without(seen: &mut SeenEpoch, example: u64) {
        let mut digest: Digest = seen.digest.parse().expect("its own text");
        digest.remove(example);
        seen.digest = digest.to_string();
    }

    #[test]
    fn an_honest_run_passes_and_the_first_wrong_epoch_is_named() {
        let (promise, seen) = honest();
        assert_eq!(checked(&promise, &seen, &[]), Ok(()));
        let wrong = |change: &dyn Fn(&mut Vec<SeenEpoch>)| {
            let mut seen = seen.clone();
            change(&mut seen);
            checked(&promise, &seen, &[]).expect_err("changed")
        };
        assert_eq!(wrong(&|seen| seen.truncate(1)), "epoch 1 left no digest");
        assert_eq!(wrong(&|seen| seen[2].samples = 4), "epoch 2 saw 4 samples instead of 5");
        assert_eq!(
            wrong(&|seen| seen.iter_mut().for_each(|one| one.digest.clear())),
            "epoch 0 did not see each of its 10 examples exactly once"
        );
        assert_eq!(
            wrong(&|seen| seen.push(SeenEpoch { epoch: 3, ..seen[0].clone() })),
            "epoch 3 comes after the end of the run"
        );
        assert_eq!(
            wrong(&|seen| seen.push(SeenEpoch { samples: 9, ..seen[1].clone() })),
            "epoch 1 saw 9 samples instead of 10"
        );
    }

    #[test]
    fn what_is_listed_as_skipped_is_missing_once() {
        let (promise, mut seen) = honest();
        let open: Vec<u64> = (0..5).map(|position| promise.order.in_epoch(2, position)).collect();
        without(&mut seen[0], 7);
        without(&mut seen[2], open[1]);
        let listed = [skipped(0, 7), skipped(2, open[1])];
        assert_eq!(checked(&promise, &seen, &listed), Ok(()));
        let wrong = |listed: &[Skipped]| checked(&promise, &seen, listed).expect_err("changed");
        assert_eq!(wrong(&listed[..1]), "epoch 2 did not see each of its 5 examples exactly once");
        assert_eq!(wrong(&listed[1..]), "epoch 0 did not see each of its 10 examples exactly once");
        let with = |one: Skipped| wrong(&[listed[0].clone(), listed[1].clone(), one]);
        assert_eq!(with(skipped(0, 7)), "epoch 0 lists example 7 twice among those skipped");
        assert_eq!(with(skipped(0, 10)), "epoch 0 lists example 10 among those skipped, which it does not have");
        assert_eq!(with(skipped(1, 3)), "epoch 1 did not see each of its 9 examples exactly once");
        assert_eq!(with(skipped(3, 3)), "epoch 3 comes after the end of the run");
        let closed = promise.order.in_epoch(2, 7);
        assert_eq!(
            with(skipped(2, closed)),
            format!("epoch 2 lists example {closed} among those skipped, which it does not have")
        );
    }

    #[test]
    fn a_run_that_ended_early_has_the_epochs_before() {
        let (mut promise, seen) = honest();
        promise.ended_early = true;
        assert_eq!(checked(&promise, &seen, &[]), Ok(()));
        assert_eq!(checked(&promise, &seen[..1], &[skipped(1, 2)]), Ok(()));
        assert_eq!(checked(&promise, &[], &[]), Ok(()));
        assert_eq!(checked(&promise, &seen[1..], &[]), Err("epoch 0 left no digest".to_owned()));
        assert_eq!(
            checked(&promise, &seen[..1], &[skipped(2, 2)]),
            Err("epoch 2 comes after the end of the run".to_owned())
        );
    }
}
