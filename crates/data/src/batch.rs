//! One batch: the examples of some samples of a run, augmented.
//!
//! Randomness is counter-based: what happens to an example depends on (seed, epoch, example) and on nothing that came
//! before, so a run that was stopped sees the same pictures when it goes on.

use spec::order::{SampleOrder, mix};
use spec::run::Augment;

use crate::dataset::Split;

/// Pictures, classes and ids, in the order of the samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Pixels of all pictures.
    pub pixels: Vec<u8>,
    /// Classes.
    pub labels: Vec<i64>,
    /// Which examples these are.
    pub ids: Vec<u64>,
}

/// The shape of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// 1 or 3.
    pub channels: usize,
    /// Height and width.
    pub side: usize,
}

impl Shape {
    /// Bytes of a picture.
    pub fn bytes(self) -> usize {
        self.channels * self.side * self.side
    }
}

/// The training batch with samples `from..to` of a run, counted over all epochs.
pub fn training(
    split: &Split,
    shape: Shape,
    order: &SampleOrder,
    augment: Augment,
    seed: u64,
    from: u64,
    to: u64,
) -> Batch {
    let mut batch = Batch::default();
    let bytes = shape.bytes();
    for sample in from..to {
        let epoch = sample / order.examples();
        let id = order.example(sample);
        let at = id as usize;
        let picture = &split.pixels[at * bytes..(at + 1) * bytes];
        append(picture, shape, augment, mix(mix(seed ^ 0xa076_1d64_78bd_642f) ^ mix(epoch) ^ id), &mut batch.pixels);
        batch.labels.push(i64::from(split.labels[at]));
        batch.ids.push(id);
    }
    batch
}

/// Examples `from..to` of the held-out set, as they are.
pub fn evaluation(split: &Split, shape: Shape, from: usize, to: usize) -> Batch {
    let bytes = shape.bytes();
    Batch {
        pixels: split.pixels[from * bytes..to * bytes].to_vec(),
        labels: split.labels[from..to].iter().map(|label| i64::from(*label)).collect(),
        ids: (from as u64..to as u64).collect(),
    }
}

fn append(picture: &[u8], shape: Shape, augment: Augment, random: u64, pixels: &mut Vec<u8>) {
    if augment.crop_padding == 0 && !augment.flip {
        return pixels.extend_from_slice(picture);
    }
    let places = 2 * u64::from(augment.crop_padding) + 1;
    let padding = augment.crop_padding as isize;
    let down = (mix(random ^ 1) % places) as isize - padding;
    let right = (mix(random ^ 2) % places) as isize - padding;
    let flip = augment.flip && mix(random ^ 3) & 1 == 1;
    let side = shape.side as isize;
    for plane in picture.chunks_exact(shape.side * shape.side) {
        for row in 0..side {
            for column in 0..side {
                let column = if flip { side - 1 - column } else { column };
                let (y, x) = (row + down, column + right);
                let inside = 0 <= y && y < side && 0 <= x && x < side;
                pixels.push(if inside { plane[(y * side + x) as usize] } else { 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { channels: 1, side: 3 };
    const STILL: Augment = Augment::NONE;

    fn split() -> Split {
        Split { pixels: (0..45).collect(), labels: (0..5).collect() }
    }

    #[test]
    fn a_batch_crosses_the_end_of_an_epoch() {
        let order = SampleOrder::new(3, 5).expect("not empty");
        let batch = training(&split(), SHAPE, &order, STILL, 0, 3, 8);
        let expected: Vec<u64> =
            [(0, 3), (0, 4), (1, 0), (1, 1), (1, 2)].iter().map(|(epoch, at)| order.in_epoch(*epoch, *at)).collect();
        assert_eq!(batch.ids, expected);
        let labels: Vec<u64> = batch.labels.iter().map(|label| *label as u64).collect();
        assert_eq!(labels, expected);
        assert_eq!(batch.pixels[0] as u64, 9 * expected[0]);
    }

    #[test]
    fn augmentation_does_not_depend_on_how_samples_are_batched() {
        let order = SampleOrder::new(3, 5).expect("not empty");
        let augment = Augment { crop_padding: 1, flip: true, ..Augment::NONE };
        let whole = training(&split(), SHAPE, &order, augment, 9, 0, 10);
        let mut parts = training(&split(), SHAPE, &order, augment, 9, 0, 4).pixels;
        parts.extend(training(&split(), SHAPE, &order, augment, 9, 4, 10).pixels);
        assert_eq!(whole.pixels, parts);
        assert_ne!(whole.pixels, training(&split(), SHAPE, &order, STILL, 9, 0, 10).pixels);
    }

    #[test]
    fn a_crop_moves_and_a_flip_mirrors() {
        let picture: Vec<u8> = (1..10).collect();
        let mut seen = std::collections::HashSet::new();
        for random in 0..400 {
            let mut pixels = Vec::new();
            append(&picture, SHAPE, Augment { crop_padding: 1, flip: true, ..Augment::NONE }, mix(random), &mut pixels);
            assert_eq!(pixels.len(), 9);
            seen.insert(pixels);
        }
        assert_eq!(seen.len(), 18, "9 places, mirrored or not");
        assert!(seen.contains(&vec![3, 2, 1, 6, 5, 4, 9, 8, 7]));
        assert!(seen.contains(&vec![0, 0, 0, 0, 1, 2, 0, 4, 5]));
    }
}
