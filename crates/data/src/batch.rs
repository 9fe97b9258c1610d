//! One batch: the examples of some samples of a run, augmented.
//!
//! Randomness is counter-based: what happens to an example depends on (seed, epoch, example, copy) and on nothing that came
//! before, so a run that was stopped sees the same pictures when it goes on. Nor does it depend on the threads that make it.

use std::cell::RefCell;
use std::ops::Range;

use spec::order::{SampleOrder, mix};
use spec::run::{Augment, RunSpec};

use crate::crew::Crew;
use crate::crop::{Part, Zoom, centre, part, shifted};
use crate::decode::{Damage, Wanted};
use crate::mixing;
use crate::rand_augment;
use crate::random::Random;
use crate::split::{Memory, Picture, Split};
use crate::{DataError, Label};

/// Pictures, classes and ids, in the order of the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Pixels of all pictures.
    pub pixels: Vec<u8>,
    /// The shape of each of them.
    pub shape: Shape,
    /// Classes of each.
    pub labels: Vec<Label>,
    /// Which examples these are; each stands there as often as the multiplicity of augmentation says.
    pub ids: Vec<u64>,
    /// Which picture of the batch each is mixed with; empty where nothing is mixed.
    pub partners: Vec<usize>,
    /// Share of the own classes in the loss, from 0 to 1; the rest is the partner's. Empty where nothing is mixed.
    pub weights: Vec<f32>,
    /// Samples that are missing here because their examples are damaged, in their order.
    pub skipped: Vec<Skipped>,
}

/// A sample without a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The sample, counted over all epochs.
    pub sample: u64,
    /// Its example.
    pub id: u64,
    /// What is wrong with it.
    pub damage: Damage,
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
    /// Height and width that [`Augment::inception_crop`] brings pictures to, and encoded pictures in any case. Others keep the
    /// size that they are stored in.
    pub side: usize,
    /// Of encoded pictures, the share of the shorter side that the centred square has which is taken where there is no
    /// inception crop.
    pub centre_crop: f64,
}

impl Recipe {
    /// That of a run.
    pub fn of(run: &RunSpec) -> Recipe {
        Recipe {
            augment: run.train.augment,
            seed: run.seed,
            side: run.data.resolution as usize,
            centre_crop: run.data.centre_crop.unwrap_or(1.0),
        }
    }

    /// The part of an encoded picture that is trained on.
    fn part(&self, random: u64, across: usize, down: usize) -> Part {
        match self.augment.inception_crop {
            Some(share) => inception(random, across, down, share),
            None => centre(across, down, self.centre_crop),
        }
    }

    /// The shape that pictures come out in.
    fn shape(&self, split: &Split) -> Shape {
        let side = match split.side() {
            Some(stored) if self.augment.inception_crop.is_none() => stored,
            _ => self.side.max(1),
        };
        Shape { channels: split.channels(), side }
    }
}

/// The training batch with some samples of a run, counted over all epochs.
///
/// With a multiplicity k, sample s is copy s mod k of the example that draw s / k takes from the order. A picture is cropped,
/// mirrored, changed by RandAugment and mixed, in this turn; where there is an inception crop, there is no padding. Mixing
/// takes `samples` for the whole of a step. Damaged examples are left out and listed.
///
/// # Errors
/// If the files are not what they were when they were indexed, or the system does not read them.
pub fn training(
    split: &Split,
    order: &SampleOrder,
    recipe: &Recipe,
    samples: Range<u64>,
    crew: &Crew,
) -> Result<Batch, DataError> {
    let augment = &recipe.augment;
    let copies = u64::from(augment.multiplicity.max(1));
    let drawn = samples.clone().map(|sample| (sample, order.example(sample / copies))).collect();
    let random = |(sample, id)| key(recipe.seed, sample / copies / order.examples(), id, sample % copies);
    let mut batch = augmented(split, recipe, drawn, crew, random)?;
    if let Some(how) = augment.mixing {
        mixing::apply(&mut batch, how, recipe.seed, samples.start);
    }
    Ok(batch)
}

/// What examples look like to an evaluation at `side` pixels, in the order of their ids. Pictures of one size keep theirs.
///
/// # Errors
/// As in [`training`].
pub fn evaluation(
    split: &Split,
    side: usize,
    centre_crop: f64,
    ids: Range<u64>,
    crew: &Crew,
) -> Result<Batch, DataError> {
    let shape = Shape { channels: split.channels(), side: split.side().unwrap_or(side.max(1)) };
    let drawn = ids.map(|id| (id, id)).collect();
    assemble(
        split,
        shape,
        drawn,
        crew,
        |_, across, down| centre(across, down, centre_crop),
        |_, picture, slot, work| match picture {
            Picture::Raw(pixels, _) => slot.copy_from_slice(pixels),
            Picture::Decoded(decoded, window) => work.zoom.decoded(decoded, window, shape.side, false, slot),
        },
    )
}

/// Some examples as a run sees them in `epoch`: augmented, but not mixed.
///
/// # Errors
/// As in [`training`].
pub fn versions(split: &Split, recipe: &Recipe, ids: &[u64], epoch: u64, crew: &Crew) -> Result<Batch, DataError> {
    let drawn = ids.iter().map(|id| (0, *id)).collect();
    augmented(split, recipe, drawn, crew, |(_, id)| key(recipe.seed, epoch, id, 0))
}

/// Some samples and their examples, augmented by what `random` gives for each.
fn augmented(
    split: &Split,
    recipe: &Recipe,
    drawn: Vec<(u64, u64)>,
    crew: &Crew,
    random: impl Fn((u64, u64)) -> u64 + Sync,
) -> Result<Batch, DataError> {
    let shape = recipe.shape(split);
    assemble(
        split,
        shape,
        drawn,
        crew,
        |drawn, across, down| recipe.part(random(drawn), across, down),
        |drawn, picture, slot, work| train(picture, shape, recipe, random(drawn), slot, work),
    )
}

/// What is wrong with the picture of an example.
pub(crate) fn look(split: &Split, id: u64) -> Result<Option<Damage>, DataError> {
    let whole = |width, height| Part { top: 0, left: 0, height, width };
    let wanted = Wanted { part: &whole, side: usize::MAX / 8 };
    WORK.with_borrow_mut(|(memory, _)| {
        let damage = split.picture(id, &wanted, memory)?.err();
        memory.forget_large();
        Ok(damage)
    })
}

/// What a thread works with, from picture to picture.
#[derive(Default)]
struct Work {
    zoom: Zoom,
    scratch: Vec<u8>,
}

thread_local! {
    static WORK: RefCell<(Memory, Work)> = RefCell::default();
}

/// Makes every picture in its place of the batch. `drawn` are samples and their examples; `part` says what is wanted of an
/// encoded picture, by its columns and rows.
fn assemble(
    split: &Split,
    shape: Shape,
    drawn: Vec<(u64, u64)>,
    crew: &Crew,
    part: impl Fn((u64, u64), usize, usize) -> Part + Sync,
    make: impl Fn((u64, u64), Picture<'_>, &mut [u8], &mut Work) + Sync,
) -> Result<Batch, DataError> {
    let bytes = shape.bytes();
    let mut pixels = vec![0; drawn.len() * bytes];
    let made = crew.fill(&mut pixels, bytes, |at, slot| {
        WORK.with_borrow_mut(|(memory, work)| {
            let (sample, id) = drawn[at];
            let label = split.label(id)?;
            let part = |across, down| part((sample, id), across, down);
            let wanted = Wanted { part: &part, side: shape.side };
            let made = split.picture(id, &wanted, memory)?.map(|picture| {
                make((sample, id), picture, slot, work);
                label
            });
            memory.forget_large();
            Ok(made)
        })
    });
    let mut batch = Batch {
        pixels,
        shape,
        labels: Vec::with_capacity(drawn.len()),
        ids: Vec::with_capacity(drawn.len()),
        partners: Vec::new(),
        weights: Vec::new(),
        skipped: Vec::new(),
    };
    for (at, (made, (sample, id))) in made.into_iter().zip(drawn).enumerate() {
        match made? {
            Ok(label) => {
                let kept = batch.ids.len();
                if kept < at {
                    batch.pixels.copy_within(at * bytes..(at + 1) * bytes, kept * bytes);
                }
                batch.labels.push(label);
                batch.ids.push(id);
            }
            Err(damage) => batch.skipped.push(Skipped { sample, id, damage }),
        }
    }
    batch.pixels.truncate(batch.ids.len() * bytes);
    Ok(batch)
}

/// One picture as it is trained on.
fn train(picture: Picture<'_>, shape: Shape, recipe: &Recipe, random: u64, slot: &mut [u8], work: &mut Work) {
    let augment = &recipe.augment;
    let flip = augment.flip && mix(random ^ 3) & 1 == 1;
    let places = 2 * u64::from(augment.crop_padding) + 1;
    let shift = |draw: u64| (mix(random ^ draw) % places) as isize - augment.crop_padding as isize;
    match (picture, augment.inception_crop) {
        (Picture::Raw(pixels, stored), Some(share)) => {
            let part = inception(random, stored.side, stored.side, share);
            work.zoom.stored(pixels, stored, part, shape.side, flip, slot);
        }
        (Picture::Raw(pixels, _), None) if augment.crop_padding == 0 && !flip => slot.copy_from_slice(pixels),
        (Picture::Raw(pixels, stored), None) => shifted(pixels, stored, [shift(1), shift(2)], flip, slot),
        (Picture::Decoded(decoded, window), None) if augment.crop_padding > 0 => {
            work.scratch.resize(shape.bytes(), 0);
            work.zoom.decoded(decoded, window, shape.side, false, &mut work.scratch);
            shifted(&work.scratch, shape, [shift(1), shift(2)], flip, slot);
        }
        (Picture::Decoded(decoded, window), _) => work.zoom.decoded(decoded, window, shape.side, flip, slot),
    }
    if let Some(how) = augment.rand_augment {
        rand_augment::apply(slot, shape, how, &mut Random::new(mix(random ^ 5)), &mut work.scratch);
    }
}

fn inception(random: u64, across: usize, down: usize, share: f64) -> Part {
    part(across, down, share, &mut Random::new(mix(random ^ 4)))
}

/// What all randomness of one picture follows from. Copy 0 has what there was before there were copies.
fn key(seed: u64, epoch: u64, id: u64, copy: u64) -> u64 {
    let first = mix(mix(seed ^ 0xa076_1d64_78bd_642f) ^ mix(epoch) ^ id);
    if copy == 0 { first } else { mix(first ^ mix(copy)) }
}

#[cfg(test)]
mod tests;
