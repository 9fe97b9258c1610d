//! The order for data on slow disks: consecutive ids are read together, and only a window of them is mixed at a time.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::mix;
use super::permutation::Permutation;

/// How ids are cut into blocks that are read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Examples of a block, whose ids are consecutive; only the last block may have fewer.
    pub examples: u64,
    /// Blocks that are mixed with each other at a time.
    pub open: u64,
}

/// The blocks of a training set, and their order in each epoch.
///
/// An epoch is a row of slots, one per block. The last block, which may be a partial one, has a slot that is drawn; the others
/// are permuted around it, so where a slot begins is a formula. So many neighbouring slots make a window, and the positions of a
/// window are permuted among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockOrder {
    examples: u64,
    /// Examples of a whole block.
    block: u64,
    open: u64,
    slots: u64,
    /// Of the blocks before the last one; `None` where there are none.
    order: Option<Permutation>,
}

/// One epoch's slots.
struct Slots {
    blocks: BlockOrder,
    key: u64,
    /// Slot of the last block.
    last: u64,
    /// Examples of the last block.
    rest: u64,
}

impl BlockOrder {
    /// `None` where something is 0.
    pub(super) fn new(examples: u64, Blocks { examples: block, open }: Blocks) -> Option<BlockOrder> {
        let before = examples.checked_sub(1)?.checked_div(block)?;
        let order = Permutation::of(before);
        (open > 0).then_some(BlockOrder { examples, block, open, slots: before + 1, order })
    }

    pub(super) fn examples(&self) -> u64 {
        self.examples
    }

    /// The example at `position` of the epoch with this key.
    pub(super) fn at(&self, key: u64, position: u64) -> u64 {
        let slots = self.slots(key);
        let position = position.min(self.examples - 1);
        let window = slots.window(position);
        let Range { start, end } = slots.positions(window);
        let mixed = match Permutation::of(end - start) {
            Some(permutation) => start + permutation.apply(mix(key ^ mix(window) ^ MIXED), position - start),
            None => position,
        };
        let slot = slots.of(mixed);
        slots.ids(slot).start + (mixed - slots.start(slot))
    }

    /// The positions of the window that `position` lies in.
    pub(super) fn positions(&self, key: u64, position: u64) -> Range<u64> {
        let slots = self.slots(key);
        slots.positions(slots.window(position.min(self.examples - 1)))
    }

    /// The ids of the blocks of the window that `position` lies in.
    pub(super) fn ids(&self, key: u64, position: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let slots = self.slots(key);
        let (from, to) = slots.bounds(slots.window(position.min(self.examples - 1)));
        (from..to).map(move |slot| slots.ids(slot))
    }

    fn slots(&self, key: u64) -> Slots {
        let rest = self.examples - (self.slots - 1) * self.block;
        Slots { blocks: *self, key, last: mix(key ^ LAST) % self.slots, rest }
    }
}

/// What keys are for, so that the permutations of an epoch have nothing to do with each other.
const MIXED: u64 = 0xa409_3822_299f_31d0;
const LAST: u64 = 0x082e_fa98_ec4e_6c89;
const ORDER: u64 = 0x4528_21e6_38d0_1377;

impl Slots {
    /// The first position of a slot; of the slot after the last one, the number of examples.
    fn start(&self, slot: u64) -> u64 {
        if slot <= self.last { slot * self.blocks.block } else { (slot - 1) * self.blocks.block + self.rest }
    }

    /// The slot that a position lies in.
    fn of(&self, position: u64) -> u64 {
        let last = self.start(self.last);
        if position < last {
            position / self.blocks.block
        } else if position - last < self.rest {
            self.last
        } else {
            (position - self.rest) / self.blocks.block + 1
        }
    }

    fn window(&self, position: u64) -> u64 {
        self.of(position) / self.blocks.open
    }

    /// The slots of a window, from and up to but without.
    fn bounds(&self, window: u64) -> (u64, u64) {
        let from = window * self.blocks.open;
        (from, from.saturating_add(self.blocks.open).min(self.blocks.slots))
    }

    fn positions(&self, window: u64) -> Range<u64> {
        let (from, to) = self.bounds(window);
        self.start(from)..self.start(to)
    }

    /// The ids of the block in a slot.
    fn ids(&self, slot: u64) -> Range<u64> {
        let Some(order) = self.blocks.order.filter(|_| slot != self.last) else {
            return self.blocks.examples - self.rest..self.blocks.examples;
        };
        let index = if slot < self.last { slot } else { slot - 1 };
        let from = order.apply(mix(self.key ^ ORDER), index) * self.blocks.block;
        from..from + self.blocks.block
    }
}

#[cfg(test)]
mod tests {
    use super::super::SampleOrder;
    use super::*;
    use proptest::prelude::*;

    fn order(seed: u64, examples: u64, block: u64, open: u64) -> SampleOrder {
        SampleOrder::in_blocks(seed, examples, Blocks { examples: block, open }).expect("not empty")
    }

    proptest! {
        #[test]
        fn every_epoch_is_a_permutation(
            examples in 1_u64..3000, block in 1_u64..400, open in 1_u64..40, seed: u64, epoch in 0_u64..50
        ) {
            let order = order(seed, examples, block, open);
            let mut seen = vec![false; examples as usize];
            for position in 0..examples {
                let id = order.in_epoch(epoch, position) as usize;
                prop_assert!(!seen[id], "{id} twice");
                seen[id] = true;
            }
        }

        #[test]
        fn blocks_are_read_whole_before_the_next_window_begins(
            examples in 1_u64..2000, block in 1_u64..200, open in 1_u64..12, seed: u64, epoch in 0_u64..50
        ) {
            let order = order(seed, examples, block, open);
            let (mut position, mut blocks) = (0, 0);
            while position < examples {
                let window = order.window_positions(epoch, position).expect("in blocks");
                prop_assert_eq!(window.start, position);
                let named: Vec<Range<u64>> = order.window(epoch, position).expect("in blocks").collect();
                prop_assert!(named.len() as u64 <= open);
                prop_assert!(named.iter().all(|ids| ids.start % block == 0 && ids.end == (ids.start + block).min(examples)));
                let mut named_ids: Vec<u64> = named.iter().cloned().flatten().collect();
                let mut found: Vec<u64> = window.clone().map(|position| order.in_epoch(epoch, position)).collect();
                named_ids.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(&found, &named_ids);
                for position in window.clone() {
                    let again: Vec<Range<u64>> = order.window(epoch, position).expect("in blocks").collect();
                    prop_assert_eq!(&again, &named);
                }
                blocks += named.len() as u64;
                position = window.end;
            }
            prop_assert_eq!(blocks, examples.div_ceil(block));
        }

        #[test]
        fn the_arithmetic_holds_up_to_the_last_number(
            examples in u64::MAX - 9..=u64::MAX, block in 1_u64..=u64::MAX, open in 1_u64..=u64::MAX, seed: u64, position: u64
        ) {
            for (block, open) in [(block, open), (block % 1000 + 1, open), (block, open % 9 + 1), (block % 1000 + 1, open % 9 + 1)] {
                let order = order(seed, examples, block, open);
                for position in [0, 1, position % examples, examples - 2, examples - 1] {
                    let id = order.in_epoch(3, position);
                    let window = order.window_positions(3, position).expect("in blocks");
                    prop_assert!(id < examples && window.contains(&position));
                    let mut named = order.window(3, position).expect("in blocks").take(10_000);
                    prop_assert!(open > 9 || named.any(|ids| ids.contains(&id)));
                }
            }
        }
    }

    #[test]
    fn epochs_and_seeds_differ_in_blocks_and_inside_them() {
        let (first, other) = (order(0, 60_000, 100, 8), order(1, 60_000, 100, 8));
        let same = |a: &dyn Fn(u64) -> u64, b: &dyn Fn(u64) -> u64| (0..60_000).filter(|at| a(*at) == b(*at)).count();
        assert!(same(&|at| first.in_epoch(0, at), &|at| first.in_epoch(1, at)) < 12);
        assert!(same(&|at| first.in_epoch(0, at), &|at| other.in_epoch(0, at)) < 12);
        let windows = |epoch| -> Vec<Range<u64>> { first.window(epoch, 0).expect("in blocks").collect() };
        assert_ne!(windows(0), windows(1));
    }

    #[test]
    fn the_partial_block_goes_everywhere() {
        let mut slots = [0; 4];
        for epoch in 0..400 {
            let windows = (0..4).filter(|slot| {
                let mut blocks = order(5, 31, 10, 1).window(epoch, 10 * slot).into_iter().flatten();
                blocks.any(|ids| ids == (30..31))
            });
            windows.for_each(|slot| slots[slot as usize] += 1);
        }
        assert!(slots.iter().all(|count| *count > 50), "{slots:?}");
    }

    #[test]
    fn four_billion_examples_need_no_memory() {
        let examples = 4_000_000_000;
        let order = order(7, examples, 3000, 32);
        let ids: std::collections::HashSet<u64> = (0..10_000).map(|at| order.in_epoch(3, at * 399_999)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| *id < examples));
        for position in [0, 1_999_999_999, examples - 1] {
            let window = order.window_positions(3, position).expect("in blocks");
            let mut found: Vec<u64> = window.map(|position| order.in_epoch(3, position)).collect();
            let mut named: Vec<u64> = order.window(3, position).expect("in blocks").flatten().collect();
            found.sort_unstable();
            named.sort_unstable();
            assert_eq!(found, named);
        }
    }

    #[test]
    fn nothing_is_no_order() {
        for (examples, block, open) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            assert_eq!(SampleOrder::in_blocks(0, examples, Blocks { examples: block, open }), None);
        }
    }

    #[test]
    fn the_order_is_part_of_the_format() {
        let order = order(0, 14, 3, 2);
        let epoch: Vec<u64> = (0..14).map(|position| order.in_epoch(0, position)).collect();
        assert_eq!(epoch, FROZEN, "changing the order breaks every unfinished run");
    }

    const FROZEN: [u64; 14] = [13, 12, 9, 10, 11, 0, 5, 2, 4, 3, 1, 6, 8, 7];
}
