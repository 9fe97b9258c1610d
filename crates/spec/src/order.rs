//! In which order a run sees its examples, and the proof that it saw each of them once.
//!
//! The order is a pure function of (seed, epoch, position): a keyed permutation, evaluated where it is needed. There is
//! no shuffle buffer and no iterator, so the only state a checkpoint has to keep is one position, and a run that was
//! killed continues with exactly the example that comes next.

/// The order of one run over a training set of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleOrder {
    seed: u64,
    examples: u64,
    left_bits: u32,
    right_bits: u32,
}

/// STUB
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// a
    pub examples: u64,
    /// b
    pub open: u64,
}

/// Rounds of the Feistel network; with six, neighbouring positions are uncorrelated for all sizes tested.
const ROUNDS: u64 = 6;

impl SampleOrder {
    /// The order for `examples` examples; `None` where there are none.
    pub fn new(seed: u64, examples: u64) -> Option<SampleOrder> {
        if examples == 0 {
            return None;
        }
        // The smallest power of two that holds all ids, split into two halves that may differ by one bit, so that fewer
        // than half of the walks below have to go on.
        let bits = (u64::BITS - (examples - 1).leading_zeros()).max(2);
        Some(SampleOrder { seed, examples, left_bits: bits / 2, right_bits: bits - bits / 2 })
    }

    /// STUB
    pub fn in_blocks(seed: u64, examples: u64, _blocks: Blocks) -> Option<SampleOrder> {
        SampleOrder::new(seed, examples)
    }

    /// Examples in an epoch.
    pub fn examples(&self) -> u64 {
        self.examples
    }

    /// The example at `sample`, counted from the first step of the run on, over all epochs.
    pub fn example(&self, sample: u64) -> u64 {
        self.in_epoch(sample / self.examples, sample % self.examples)
    }

    /// The example at `position` of `epoch`.
    ///
    /// A Feistel network permutes all numbers of so many bits; walking along its cycle until an id of the training set
    /// comes up makes it a permutation of the ids (Black and Rogaway 2002, cycle walking).
    pub fn in_epoch(&self, epoch: u64, position: u64) -> u64 {
        let key = mix(mix(self.seed) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut id = position;
        loop {
            id = self.permute(key, id);
            if id < self.examples {
                return id;
            }
        }
    }

    fn permute(&self, key: u64, value: u64) -> u64 {
        let (mut left_bits, mut right_bits) = (self.left_bits, self.right_bits);
        let mut left = value >> right_bits;
        let mut right = value & mask(right_bits);
        for round in 0..ROUNDS {
            let hashed = mix(key ^ right ^ (round << 56)) & mask(left_bits);
            (left, right) = (right, left ^ hashed);
            (left_bits, right_bits) = (right_bits, left_bits);
        }
        (left << right_bits) | right
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit.
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A fingerprint of a multiset of example ids: the sum of a 128-bit hash of each, modulo 2^128. Order does not matter,
/// how often an id occurs does, and it can be carried along in 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Counts `id` once more.
    pub fn add(&mut self, id: u64) {
        let high = mix(id ^ 0x243f_6a88_85a3_08d3);
        let low = mix(high ^ id.rotate_left(32));
        self.0 = self.0.wrapping_add(u128::from(high) << 64 | u128::from(low));
    }

    /// The digest of the first `positions` of an epoch, each seen once: what an honest run must arrive at.
    pub fn expected(order: &SampleOrder, epoch: u64, positions: u64) -> Digest {
        let mut digest = Digest::default();
        if positions == order.examples {
            (0..positions).for_each(|id| digest.add(id));
        } else {
            (0..positions).for_each(|position| digest.add(order.in_epoch(epoch, position)));
        }
        digest
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Digest)
    }
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
        fn the_digest_of_a_full_epoch_does_not_depend_on_the_order(examples in 1_u64..500, seed: u64, epoch in 0_u64..9) {
            let order = SampleOrder::new(seed, examples).expect("not empty");
            let mut walked = Digest::default();
            (0..examples).for_each(|position| walked.add(order.in_epoch(epoch, position)));
            prop_assert_eq!(walked, Digest::expected(&order, epoch, examples));
        }

        #[test]
        fn the_digest_notices_a_lost_and_a_repeated_example(examples in 2_u64..500, lost in 0_u64..500, twice in 0_u64..500) {
            let (lost, twice) = (lost % examples, twice % examples);
            prop_assume!(lost != twice);
            let order = SampleOrder::new(1, examples).expect("not empty");
            let mut digest = Digest::default();
            (0..examples).for_each(|id| digest.add(if id == lost { twice } else { id }));
            prop_assert_ne!(digest, Digest::expected(&order, 0, examples));
        }

        #[test]
        fn epochs_cover_the_samples(total in 0_u64..5000, examples in 1_u64..700) {
            let covered: u64 = epochs(total, examples).map(|(_, positions)| positions).sum();
            prop_assert_eq!(covered, total);
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
    }

    #[test]
    fn the_order_is_part_of_the_format() {
        let order = SampleOrder::new(0, 10).expect("not empty");
        let epoch: Vec<u64> = (0..10).map(|position| order.in_epoch(0, position)).collect();
        assert_eq!(epoch, FROZEN, "changing the order breaks every unfinished run");
    }

    const FROZEN: [u64; 10] = [9, 5, 7, 1, 6, 4, 8, 3, 2, 0];
}
