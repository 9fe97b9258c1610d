//! A keyed permutation of the numbers below a size, evaluated where it is needed.

use super::mix;

/// Rounds of the Feistel network; with six, neighbouring positions are uncorrelated for all sizes tested.
const ROUNDS: u64 = 6;

/// The shape of the permutations of `0..size`; each key gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Permutation {
    size: u64,
    left_bits: u32,
    right_bits: u32,
}

impl Permutation {
    /// `None` where there is nothing to permute.
    pub(super) fn of(size: u64) -> Option<Permutation> {
        // The smallest power of two that holds all numbers, split into two halves that may differ by one bit, so that fewer
        // than half of the walks below have to go on.
        let bits = (u64::BITS - size.checked_sub(1)?.leading_zeros()).max(2);
        Some(Permutation { size, left_bits: bits / 2, right_bits: bits - bits / 2 })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Where `value`, which is below the size, goes under this key.
    ///
    /// A Feistel network permutes all numbers of so many bits; walking along its cycle until a number below the size
    /// comes up makes it a permutation of those (Black and Rogaway 2002, cycle walking).
    pub(super) fn apply(&self, key: u64, mut value: u64) -> u64 {
        loop {
            value = self.network(key, value);
            if value < self.size {
                return value;
            }
        }
    }

    fn network(&self, key: u64, value: u64) -> u64 {
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
