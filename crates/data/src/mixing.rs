//! MixUp and CutMix: a picture and its label are mixed with those of another one of the batch.
//!
//! What is drawn depends on the seed, the first sample of the step and the place in the batch, so a run that was stopped
//! mixes the same pictures when it goes on.

use spec::order::mix;
use spec::run::Mixing;

use crate::batch::Batch;
use crate::random::Random;

/// How one part of the batch is mixed.
#[derive(Clone, Copy)]
enum Kind {
    Mixup,
    Cutmix,
}

/// Mixes the pictures of a batch whose first sample is `from`, and writes down the partners and the weights.
///
/// The partner of picture i among n is picture n - 1 - i as it was; with both kinds on, the first half of the batch (rounded
/// down) is mixed by MixUp, the rest by CutMix, each among itself (arXiv 2102.06171, appendix A.1). The loss of picture i is
/// weights\[i\] loss(labels\[i\]) + (1 - weights\[i\]) loss(labels\[partners\[i\]\]).
pub(crate) fn apply(batch: &mut Batch, mixing: Mixing, seed: u64, from: u64) {
    let key = mix(mix(seed ^ 0xe703_7ed1_a0b4_28db) ^ mix(from));
    let pictures = batch.labels.len();
    batch.partners = (0..pictures).collect();
    batch.weights = vec![1.0; pictures];
    let (mixup, cutmix, middle) = match mixing {
        Mixing::Mixup { alpha } => (alpha, alpha, pictures),
        Mixing::Cutmix { alpha } => (alpha, alpha, 0),
        Mixing::Both { mixup, cutmix } => (mixup, cutmix, pictures / 2),
    };
    for (kind, alpha, start, end) in [(Kind::Mixup, mixup, 0, middle), (Kind::Cutmix, cutmix, middle, pictures)] {
        // Two partners at a time, since each needs the other as it was; the one in the middle is its own partner.
        for first in start..start + (end - start).div_ceil(2) {
            let second = start + end - 1 - first;
            pair(batch, kind, alpha, key, [first, second]);
        }
    }
}

fn pair(batch: &mut Batch, kind: Kind, alpha: f64, key: u64, [first, second]: [usize; 2]) {
    // The one in the middle stays, whatever its weight would be.
    if first == second {
        return;
    }
    (batch.partners[first], batch.partners[second]) = (second, first);
    let random = |place: usize| Random::new(mix(key ^ place as u64));
    let bytes = batch.shape.bytes();
    let (before, after) = batch.pixels.split_at_mut(second * bytes);
    let (one, other) = (&mut before[first * bytes..][..bytes], &mut after[..bytes]);
    let side = batch.shape.side;
    let weights = match kind {
        Kind::Mixup => {
            let weights = [first, second].map(|place| random(place).beta(alpha, alpha) as f32);
            blend(one, other, weights);
            weights
        }
        Kind::Cutmix => {
            let windows = [first, second].map(|place| Window::draw(side, alpha, &mut random(place)));
            paste(one, other, side, windows);
            windows.map(|window| window.kept(side))
        }
    };
    [batch.weights[first], batch.weights[second]] = weights;
}

/// MixUp (arXiv 1710.09412): x = l x + (1 - l) x' with l from Beta(alpha, alpha), to the nearest grey level.
fn blend(one: &mut [u8], other: &mut [u8], weights: [f32; 2]) {
    for (one, other) in one.iter_mut().zip(other) {
        let (x, y) = (f32::from(*one), f32::from(*other));
        // Adding a half and cutting off rounds what is never negative.
        *one = (y + weights[0] * (x - y) + 0.5) as u8;
        *other = (x + weights[1] * (y - x) + 0.5) as u8;
    }
}

/// Rows and columns that CutMix takes from the partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Window {
    /// CutMix (arXiv 1905.04899): height and width are sqrt(1 - l) of the picture's, l from Beta(alpha, alpha), the centre is
    /// uniform, and what lies beyond the picture is cut off.
    fn draw(side: usize, alpha: f64, random: &mut Random) -> Window {
        let half = (1.0 - random.beta(alpha, alpha)).sqrt() * side as f64 / 2.0;
        let mut span = || {
            let centre = random.between(0.0, side as f64);
            // Negative numbers become 0.
            [centre - half, centre + half].map(|edge| (edge.round() as usize).min(side))
        };
        Window { rows: span(), columns: span() }
    }

    /// Share of the picture that stays its own.
    fn kept(self, side: usize) -> f32 {
        let taken = (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0]);
        let all = (side * side).max(1);
        (all - taken) as f32 / all as f32
    }

    fn holds(self, row: usize, column: usize) -> bool {
        (self.rows[0]..self.rows[1]).contains(&row) && (self.columns[0]..self.columns[1]).contains(&column)
    }
}

/// Puts the window of each into the other.
fn paste(one: &mut [u8], other: &mut [u8], side: usize, windows: [Window; 2]) {
    for (at, (one, other)) in one.iter_mut().zip(other).enumerate() {
        let (row, column) = (at / side % side, at % side);
        let (x, y) = (*one, *other);
        if windows[0].holds(row, column) {
            *one = y;
        }
        if windows[1].holds(row, column) {
            *other = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;
    use crate::batch::Shape;
    use proptest::prelude::*;

    /// Picture i is all of grey level i, its label 100 + i.
    fn even(pictures: usize, shape: Shape) -> Batch {
        Batch {
            pixels: (0..pictures).flat_map(|picture| vec![picture as u8; shape.bytes()]).collect(),
            shape,
            labels: (0..pictures as u32).map(|label| Label::One(100 + label)).collect(),
            ids: (0..pictures as u64).collect(),
            partners: Vec::new(),
            weights: Vec::new(),
            skipped: Vec::new(),
        }
    }

    fn mixed(pictures: usize, shape: Shape, mixing: Mixing, seed: u64) -> Batch {
        let mut batch = even(pictures, shape);
        apply(&mut batch, mixing, seed, 128);
        batch
    }

    /// Which pictures each place's partner may be.
    fn partner(place: usize, pictures: usize, mixing: Mixing) -> usize {
        let half = pictures / 2;
        match mixing {
            Mixing::Both { .. } if place < half => half - 1 - place,
            Mixing::Both { .. } => half + pictures - 1 - place,
            _ => pictures - 1 - place,
        }
    }

    fn kinds(alpha: f64) -> [Mixing; 3] {
        [Mixing::Mixup { alpha }, Mixing::Cutmix { alpha }, Mixing::Both { mixup: alpha, cutmix: alpha }]
    }

    proptest! {
        #[test]
        fn cutmix_weights_are_the_pixels_left(
            pictures in 0_usize..9, side in 1_usize..12, channels in 1_usize..4, alpha in 0.05_f64..5.0, seed: u64,
        ) {
            let shape = Shape { channels, side };
            let batch = mixed(pictures, shape, Mixing::Cutmix { alpha }, seed);
            for (place, pixels) in batch.pixels.chunks_exact(shape.bytes()).enumerate() {
                let other = pictures - 1 - place;
                prop_assert!(pixels.iter().all(|pixel| [place, other].contains(&usize::from(*pixel))));
                let own = pixels.iter().filter(|pixel| usize::from(**pixel) == place).count();
                prop_assert_eq!(batch.weights[place], own as f32 / shape.bytes() as f32);
                prop_assert_eq!(batch.partners[place], other);
            }
        }

        #[test]
        fn mixup_is_the_weighted_mean(pictures in 0_usize..9, alpha in 0.05_f64..5.0, seed: u64) {
            let shape = Shape { channels: 1, side: 2 };
            let batch = mixed(pictures, shape, Mixing::Mixup { alpha }, seed);
            for (place, pixels) in batch.pixels.chunks_exact(shape.bytes()).enumerate() {
                let other = (pictures - 1 - place) as f32;
                let mean = batch.weights[place] * place as f32 + (1.0 - batch.weights[place]) * other;
                prop_assert!(pixels.iter().all(|pixel| (f32::from(*pixel) - mean).abs() < 0.501));
                prop_assert_eq!(batch.partners[place], other as usize);
            }
        }

        #[test]
        fn no_batch_and_no_alpha_is_too_odd(pictures in 0_usize..6, side in 1_usize..4, alpha: f64, seed: u64) {
            for mixing in kinds(alpha) {
                let batch = mixed(pictures, Shape { channels: 1, side }, mixing, seed);
                prop_assert_eq!(batch.weights.len(), pictures);
                prop_assert!(batch.weights.iter().all(|weight| (0.0..=1.0).contains(weight)));
                let partners: Vec<usize> = (0..pictures).map(|place| partner(place, pictures, mixing)).collect();
                prop_assert_eq!(batch.partners, partners);
            }
        }
    }

    #[test]
    fn both_are_one_in_each_half() {
        let shape = Shape { channels: 1, side: 28 };
        let batch = mixed(64, shape, Mixing::Both { mixup: 1.0, cutmix: 1.0 }, 5);
        let levels = |place: usize| {
            let mut pixels = batch.pixels[place * 784..(place + 1) * 784].to_vec();
            pixels.sort_unstable();
            pixels.dedup();
            pixels.len()
        };
        assert!((0..32).all(|place| levels(place) == 1), "MixUp leaves an even picture even");
        assert!((32..64).filter(|place| levels(*place) == 2).count() > 20, "CutMix leaves an edge");
    }

    #[test]
    fn weights_differ_from_picture_to_picture_and_from_step_to_step() {
        let shape = Shape { channels: 1, side: 28 };
        for mixing in kinds(1.0) {
            let mut batch = even(64, shape);
            apply(&mut batch, mixing, 7, 0);
            let mut next = even(64, shape);
            apply(&mut next, mixing, 7, 64);
            let mut again = even(64, shape);
            apply(&mut again, mixing, 7, 0);
            assert_eq!(batch, again);
            assert_ne!(batch.weights, next.weights);
            let mut weights = batch.weights.clone();
            weights.sort_by(f32::total_cmp);
            weights.dedup();
            assert!(weights.len() > 40, "{weights:?}");
        }
    }

    #[test]
    fn blending_rounds_to_the_nearest_level() {
        let (mut one, mut other) = ([0, 255, 10, 3], [255, 0, 20, 3]);
        blend(&mut one, &mut other, [0.25, 0.96]);
        assert_eq!(one, [191, 64, 18, 3]);
        assert_eq!(other, [245, 10, 20, 3]);
        blend(&mut one, &mut other, [1.0, 0.0]);
        assert_eq!(one, other, "one all its own, the other all its partner");
    }
}
