//! In which order a run sees its examples, and the proof that it saw each of them once.
//!
//! The order is a pure function of (seed, epoch, position): a keyed permutation, evaluated where it is needed. There is
//! no shuffle buffer and no iterator, so the only state a checkpoint has to keep is one position, and a run that was
//! killed continues with exactly the example that comes next.

use std::ops::Range;

mod blocks;
mod digest;
mod permutation;

pub use blocks::Blocks;
pub use digest::Digest;

use blocks::BlockOrder;
use permutation::Permutation;

/// The order of one run over a training set of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleOrder {
    seed: u64,
    form: Form,
}

/// How an epoch is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// All examples among each other.
    Whole(Permutation),
    /// Blocks of consecutive ids among each other, and the examples of a few at a time.
    Blocks(BlockOrder),
}

impl SampleOrder {
    /// The order for `examples` examples, any of which may follow any other; `None` where there are none.
    pub fn new(seed: u64, examples: u64) -> Option<SampleOrder> {
        Some(SampleOrder { seed, form: Form::Whole(Permutation::of(examples)?) })
    }

    /// The order for `examples` examples that are read in blocks; `None` where there are none, or blocks hold none or none
    /// is open.
    pub fn in_blocks(seed: u64, examples: u64, blocks: Blocks) -> Option<SampleOrder> {
        Some(SampleOrder { seed, form: Form::Blocks(BlockOrder::new(examples, blocks)?) })
    }

    /// Examples in an epoch.
    pub fn examples(&self) -> u64 {
        match &self.form {
            Form::Whole(permutation) => permutation.size(),
            Form::Blocks(blocks) => blocks.examples(),
        }
    }

    /// The example at `sample`, counted from the first step of the run on, over all epochs.
    pub fn example(&self, sample: u64) -> u64 {
        self.in_epoch(sample / self.examples(), sample % self.examples())
    }

    /// The example at `position`, which is below [`SampleOrder::examples`], of `epoch`.
    pub fn in_epoch(&self, epoch: u64, position: u64) -> u64 {
        match &self.form {
            Form::Whole(permutation) => permutation.apply(self.key(epoch), position),
            Form::Blocks(blocks) => blocks.at(self.key(epoch), position),
        }
    }

    /// The ids of the blocks that are open at `position` of `epoch`, in the order of their slots: what has to be read for the
    /// window that it lies in. `None` where the order knows no blocks.
    pub fn window(&self, epoch: u64, position: u64) -> Option<impl Iterator<Item = Range<u64>> + use<>> {
        match &self.form {
            Form::Whole(_) => None,
            Form::Blocks(blocks) => Some(blocks.ids(self.key(epoch), position)),
        }
    }

    /// The positions of that window: the next one begins where they end.
    pub fn window_positions(&self, epoch: u64, position: u64) -> Option<Range<u64>> {
        match &self.form {
            Form::Whole(_) => None,
            Form::Blocks(blocks) => Some(blocks.positions(self.key(epoch), position)),
        }
    }

    fn key(&self, epoch: u64) -> u64 {
        mix(mix(self.seed) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// The part of a step's samples that one of several ranks takes: neighbouring ranks take neighbouring parts, whose sizes differ
/// by at most one. What a step consists of does not depend on the number of ranks, which may change at any step.
pub fn share(samples: Range<u64>, rank: u64, ranks: u64) -> Range<u64> {
    let count = samples.end.saturating_sub(samples.start);
    let bound = |rank: u64| match (u128::from(count) * u128::from(rank)).checked_div(u128::from(ranks)) {
        Some(offset) => samples.start + offset.min(u128::from(count)) as u64,
        None => samples.start,
    };
    bound(rank)..bound(rank.saturating_add(1))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit.
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The epochs that samples `0..total` of a run fall into, each with the number of its positions that are seen; only the
/// last one can be open.
pub fn epochs(total: u64, examples: u64) -> impl Iterator<Item = (u64, u64)> {
    let epochs = if examples == 0 { 0 } else { total.div_ceil(examples) };
    (0..epochs).map(move |epoch| (epoch, (total - epoch * examples).min(examples)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_epoch_is_a_permutation(examples in 1_u64..3000, seed: u64, epoch in 0_u64..50) {
            let order = SampleOrder::new(seed, examples).expect("not empty");
            let mut seen = vec![false; examples as usize];
            for position in 0..examples {
                let id = order.in_epoch(epoch, position) as usize;
                prop_assert!(!seen[id], "{id} twice");
                seen[id] = true;
            }
        }

        #[test]
        fn epochs_cover_the_samples(total in 0_u64..5000, examples in 1_u64..700) {
            let covered: u64 = epochs(total, examples).map(|(_, positions)| positions).sum();
            prop_assert_eq!(covered, total);
        }

        #[test]
        fn shares_cover_a_step(from in 0_u64..=u64::MAX / 2, count in 0_u64..5000, ranks in 1_u64..100) {
            let shares: Vec<Range<u64>> = (0..ranks).map(|rank| share(from..from + count, rank, ranks)).collect();
            prop_assert_eq!((shares[0].start, shares[shares.len() - 1].end), (from, from + count));
            prop_assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sizes = || shares.iter().map(|share| share.end - share.start);
            prop_assert!(sizes().max() <= sizes().min().map(|least| least + 1));
            prop_assert!(share(from..from + count, ranks, ranks).is_empty());
            prop_assert!(share(from..from + count, 0, 0).is_empty());
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let first = SampleOrder::new(0, 60_000).expect("not empty");
        let other = SampleOrder::new(1, 60_000).expect("not empty");
        let same = |a: &dyn Fn(u64) -> u64, b: &dyn Fn(u64) -> u64| (0..60_000).filter(|at| a(*at) == b(*at)).count();
        assert!(same(&|at| first.in_epoch(0, at), &|at| first.in_epoch(1, at)) < 12);
        assert!(same(&|at| first.in_epoch(0, at), &|at| other.in_epoch(0, at)) < 12);
    }

    #[test]
    fn four_billion_examples_need_no_memory() {
        let order = SampleOrder::new(7, 4_000_000_000).expect("not empty");
        let ids: std::collections::HashSet<u64> = (0..10_000).map(|at| order.in_epoch(3, at * 399_999)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| *id < 4_000_000_000));
        let ends: Vec<u64> = [0, 3_999_999_999].map(|at| order.in_epoch(3, at)).to_vec();
        assert!(ends[0] != ends[1] && ends.iter().all(|id| *id < 4_000_000_000));
        for examples in [u64::MAX - 1, u64::MAX] {
            let order = SampleOrder::new(7, examples).expect("not empty");
            assert!((examples - 1000..examples).all(|at| order.in_epoch(u64::MAX, at) < examples));
            assert!(order.window(0, 0).is_none() && order.window_positions(0, 0).is_none());
        }
        assert_eq!(share(0..u64::MAX, u64::MAX - 1, u64::MAX), u64::MAX - 1..u64::MAX);
    }

    #[test]
    fn the_order_is_part_of_the_format() {
        let order = SampleOrder::new(0, 10).expect("not empty");
        let epoch: Vec<u64> = (0..10).map(|position| order.in_epoch(0, position)).collect();
        assert_eq!(epoch, FROZEN, "changing the order breaks every unfinished run");
    }

    const FROZEN: [u64; 10] = [9, 5, 7, 1, 6, 4, 8, 3, 2, 0];
}
