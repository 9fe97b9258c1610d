//! One batch: the examples of some samples of a run, augmented.
//!
//! Randomness is counter-based: what happens to an example depends on (seed, epoch, example, copy) and on nothing that came
//! before, so a run that was stopped sees the same pictures when it goes on.

use spec::order::{SampleOrder, mix};
use spec::run::{Augment, RunSpec};

use crate::crop::{Zoom, part, shifted};
use crate::dataset::Split;
use crate::mixing;
use crate::rand_augment;
use crate::random::Random;

/// Pictures, classes and ids, in the order of the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Pixels of all pictures.
    pub pixels: Vec<u8>,
    /// The shape of each of them.
    pub shape: Shape,
    /// Classes.
    pub labels: Vec<i64>,
    /// Which examples these are; each stands there as often as the multiplicity of augmentation says.
    pub ids: Vec<u64>,
    /// Classes of the pictures that these are mixed with; empty where nothing is mixed.
    pub partners: Vec<i64>,
    /// Share of the own class in the loss, from 0 to 1; the rest is the partner's. Empty where nothing is mixed.
    pub weights: Vec<f32>,
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
        self.channels * self.plane()
    }

    /// Bytes of one channel of it.
    pub(crate) fn plane(self) -> usize {
        self.side * self.side
    }
}

/// What is done to training pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Augmentation.
    pub augment: Augment,
    /// The seed of the run.
    pub seed: u64,
    /// Height and width that [`Augment::inception_crop`] brings pictures to. Without it they keep the size that they are
    /// stored in.
    pub side: usize,
}

impl Recipe {
    /// That of a run.
    pub fn of(run: &RunSpec) -> Recipe {
        Recipe { augment: run.train.augment, seed: run.seed, side: run.data.resolution as usize }
    }
}

/// The training batch with samples `from..to` of a run, counted over all epochs. `shape` is that of stored pictures.
///
/// With a multiplicity k, sample s is copy s mod k of the example that draw s / k takes from the order. A picture is cropped,
/// mirrored, changed by RandAugment and mixed, in this turn; where there is an inception crop, there is no padding. Mixing
/// takes `from..to` for the whole of a step.
pub fn training(split: &Split, shape: Shape, order: &SampleOrder, recipe: &Recipe, from: u64, to: u64) -> Batch {
    let Recipe { augment, seed, side } = *recipe;
    let copies = u64::from(augment.multiplicity.max(1));
    let side = if augment.inception_crop.is_some() { side.max(1) } else { shape.side };
    let mut batch = empty(Shape { side, ..shape }, to.saturating_sub(from) as usize);
    let (mut zoom, mut scratch) = (Zoom::default(), Vec::new());
    for sample in from..to {
        let (draw, copy) = (sample / copies, sample % copies);
        let epoch = draw / order.examples();
        let id = order.example(draw);
        let at = id as usize;
        let picture = &split.pixels[at * shape.bytes()..(at + 1) * shape.bytes()];
        let random = key(seed, epoch, id, copy);
        let start = batch.pixels.len();
        let flip = augment.flip && mix(random ^ 3) & 1 == 1;
        match augment.inception_crop {
            Some(share) => {
                let part = part(shape.side, share, &mut Random::new(mix(random ^ 4)));
                zoom.append(picture, shape, part, side, flip, &mut batch.pixels);
            }
            None if augment.crop_padding == 0 && !flip => batch.pixels.extend_from_slice(picture),
            None => {
                let places = 2 * u64::from(augment.crop_padding) + 1;
                let shift = |draw: u64| (mix(random ^ draw) % places) as isize - augment.crop_padding as isize;
                shifted(picture, shape, [shift(1), shift(2)], flip, &mut batch.pixels);
            }
        }
        if let Some(how) = augment.rand_augment {
            let mut random = Random::new(mix(random ^ 5));
            rand_augment::apply(&mut batch.pixels[start..], batch.shape, how, &mut random, &mut scratch);
        }
        batch.labels.push(i64::from(split.labels[at]));
        batch.ids.push(id);
    }
    if let Some(how) = augment.mixing {
        mixing::apply(&mut batch, how, seed, from);
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
        ..empty(shape, 0)
    }
}

/// A batch with room for so many pictures.
fn empty(shape: Shape, pictures: usize) -> Batch {
    Batch {
        pixels: Vec::with_capacity(pictures * shape.bytes()),
        shape,
        labels: Vec::with_capacity(pictures),
        ids: Vec::with_capacity(pictures),
        partners: Vec::new(),
        weights: Vec::new(),
    }
}

/// What all randomness of one picture follows from. Copy 0 has what there was before there were copies.
fn key(seed: u64, epoch: u64, id: u64, copy: u64) -> u64 {
    let first = mix(mix(seed ^ 0xa076_1d64_78bd_642f) ^ mix(epoch) ^ id);
    if copy == 0 { first } else { mix(first ^ mix(copy)) }
}

#[cfg(test)]
mod tests;
