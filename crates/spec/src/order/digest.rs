//! What an epoch consisted of, in 16 bytes.

use super::{SampleOrder, mix};

/// A fingerprint of a multiset of example ids: the sum of a 128-bit hash of each, modulo 2^128. Order does not matter,
/// how often an id occurs does, and it can be carried along in 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Counts `id` once more.
    pub fn add(&mut self, id: u64) {
        self.0 = self.0.wrapping_add(hash(id));
    }

    /// Counts `id` once less: it is an example that was skipped.
    pub fn remove(&mut self, id: u64) {
        self.0 = self.0.wrapping_sub(hash(id));
    }

    /// The digest of the first `positions` of an epoch, each seen once: what an honest run must arrive at.
    pub fn expected(order: &SampleOrder, epoch: u64, positions: u64) -> Digest {
        let mut digest = Digest::default();
        if positions == order.examples() {
            (0..positions).for_each(|id| digest.add(id));
        } else {
            (0..positions).for_each(|position| digest.add(order.in_epoch(epoch, position)));
        }
        digest
    }
}

fn hash(id: u64) -> u128 {
    let high = mix(id ^ 0x243f_6a88_85a3_08d3);
    let low = mix(high ^ id.rotate_left(32));
    u128::from(high) << 64 | u128::from(low)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
        fn removing_undoes_adding(kept: Vec<u64>, id: u64) {
            let mut digest = Digest::default();
            kept.iter().for_each(|id| digest.add(*id));
            let before = digest;
            digest.add(id);
            prop_assert_ne!(digest, before);
            digest.remove(id);
            prop_assert_eq!(digest, before);
        }
    }
}
