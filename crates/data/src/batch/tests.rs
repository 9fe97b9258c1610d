use super::*;
use proptest::prelude::*;
use spec::run::{Mixing, RandAugment};

use crate::split::Raw;

const SHAPE: Shape = Shape { channels: 1, side: 3 };
const STILL: Augment = Augment::NONE;
const SHIFTS: Augment = Augment { crop_padding: 1, flip: true, ..STILL };

fn split() -> Split {
    raw((0..45).collect(), (0..5).collect(), SHAPE)
}

fn raw(pixels: Vec<u8>, labels: Vec<u8>, shape: Shape) -> Split {
    Split::raw(Raw { pixels, labels, shape })
}

/// A batch of pictures in memory, on as many threads as the first sample says.
fn made(split: &Split, order: &SampleOrder, augment: Augment, [seed, side]: [u64; 2], samples: Range<u64>) -> Batch {
    let crew = if samples.start % 2 == 1 { Crew::of(3).expect("threads") } else { Crew::ALONE };
    let recipe = Recipe { augment, seed, side: side as usize, centre_crop: 1.0 };
    training(split, order, &recipe, samples, &crew).expect("in memory")
}

fn order() -> SampleOrder {
    SampleOrder::new(3, 5).expect("not empty")
}

fn batch(augment: Augment, seed: u64, from: u64, to: u64) -> Batch {
    made(&split(), &order(), augment, [seed, 4], from..to)
}

fn augments() -> impl Strategy<Value = Augment> {
    let mixing = prop_oneof![
        Just(None),
        Just(Some(Mixing::Mixup { alpha: 0.2 })),
        Just(Some(Mixing::Cutmix { alpha: 1.0 })),
        Just(Some(Mixing::Both { mixup: 0.2, cutmix: 1.0 })),
    ];
    let rand_augment = proptest::option::of((1_u32..4, 0.0_f64..30.0))
        .prop_map(|drawn| drawn.map(|(layers, magnitude)| RandAugment { layers, magnitude }));
    let crop = (0_u32..3, proptest::option::of(0.08_f64..1.0));
    (crop, any::<bool>(), rand_augment, mixing, 1_u32..5).prop_map(
        |((crop_padding, inception_crop), flip, rand_augment, mixing, multiplicity)| Augment {
            crop_padding,
            flip,
            inception_crop,
            rand_augment,
            mixing,
            multiplicity,
        },
    )
}

#[test]
fn a_batch_crosses_the_end_of_an_epoch() {
    let batch = batch(STILL, 0, 3, 8);
    let expected: Vec<u64> =
        [(0, 3), (0, 4), (1, 0), (1, 1), (1, 2)].iter().map(|(epoch, at)| order().in_epoch(*epoch, *at)).collect();
    assert_eq!(batch.ids, expected);
    let labels: Vec<Label> = expected.iter().map(|id| Label::One(*id as u32)).collect();
    assert_eq!(batch.labels, labels);
    assert_eq!(batch.pixels[0] as u64, 9 * expected[0]);
    assert_eq!((batch.shape, batch.partners.len(), batch.weights.len()), (SHAPE, 0, 0));
}

#[test]
fn shifts_and_mirrors_are_part_of_the_format() {
    let pixels = batch(SHIFTS, 9, 0, 10).pixels;
    assert_eq!(pixels[..45], FROZEN, "changing them breaks every unfinished run");
    assert_ne!(pixels, batch(STILL, 9, 0, 10).pixels);
}

const FROZEN: [u8; 45] = [
    40, 41, 0, 43, 44, 0, 0, 0, 0, 29, 28, 27, 32, 31, 30, 35, 34, 33, 0, 0, 0, 0, 0, 1, 0, 3, 4, 0, 0, 0, 10, 9, 0,
    13, 12, 0, 0, 20, 19, 0, 23, 22, 0, 26, 25,
];

#[test]
fn a_crop_moves_and_a_flip_mirrors() {
    let split = raw((1..10).collect(), vec![0], SHAPE);
    let order = SampleOrder::new(0, 1).expect("not empty");
    let batch = made(&split, &order, SHIFTS, [0, 3], 0..400);
    let seen: std::collections::HashSet<&[u8]> = batch.pixels.chunks_exact(9).collect();
    assert_eq!(seen.len(), 18, "9 places, mirrored or not");
    assert!(seen.contains(&[3, 2, 1, 6, 5, 4, 9, 8, 7][..]));
    assert!(seen.contains(&[0, 0, 0, 0, 1, 2, 0, 4, 5][..]));
}

#[test]
fn an_inception_crop_has_the_size_of_training() {
    let augment = Augment { inception_crop: Some(0.08), ..STILL };
    let batch = batch(augment, 0, 0, 7);
    assert_eq!(batch.shape, Shape { channels: 1, side: 4 });
    assert_eq!(batch.pixels.len(), 7 * 16);
}

proptest! {
    #[test]
    fn what_a_picture_becomes_does_not_depend_on_how_samples_are_batched(
        augment in augments(), seed: u64, cut in 0_u64..20,
    ) {
        let augment = Augment { mixing: None, ..augment };
        let whole = batch(augment, seed, 0, 20);
        let (first, second) = (batch(augment, seed, 0, cut), batch(augment, seed, cut, 20));
        prop_assert_eq!(&whole.pixels, &[first.pixels, second.pixels].concat());
        prop_assert_eq!(&whole.ids, &[first.ids, second.ids].concat());
        prop_assert_eq!(&whole.labels, &[first.labels, second.labels].concat());
    }

    #[test]
    fn a_step_is_the_same_again(augment in augments(), seed: u64, from in 0_u64..20, length in 0_u64..9) {
        let found = batch(augment, seed, from, from + length);
        prop_assert_eq!(&found, &batch(augment, seed, from, from + length));
        let pictures = length as usize;
        prop_assert_eq!(found.pixels.len(), pictures * found.shape.bytes());
        let mixed = if augment.mixing.is_some() { pictures } else { 0 };
        prop_assert_eq!([found.labels.len(), found.ids.len()], [pictures; 2]);
        prop_assert_eq!([found.partners.len(), found.weights.len()], [mixed; 2]);
    }

    #[test]
    fn the_first_of_the_copies_is_what_there_is_without_any(augment in augments(), seed: u64, copies in 1_u32..6) {
        let augment = Augment { mixing: None, ..augment };
        let once = batch(Augment { multiplicity: 1, ..augment }, seed, 0, 12);
        let often = batch(Augment { multiplicity: copies, ..augment }, seed, 0, 12 * u64::from(copies));
        let copies = copies as usize;
        let bytes = once.shape.bytes();
        for (draw, picture) in once.pixels.chunks_exact(bytes).enumerate() {
            prop_assert_eq!(picture, &often.pixels[draw * copies * bytes..][..bytes]);
            let samples = draw * copies..(draw + 1) * copies;
            prop_assert_eq!(&often.ids[samples.clone()], &vec![once.ids[draw]; copies][..]);
            prop_assert_eq!(&often.labels[samples], &vec![once.labels[draw].clone(); copies][..]);
        }
    }

    #[test]
    fn the_smallest_pictures_can_be_augmented(augment in augments(), seed: u64, channels in prop_oneof![Just(1), Just(3)]) {
        let shape = Shape { channels, side: 1 };
        let split = raw(vec![7; 2 * channels], vec![0, 1], shape);
        let order = SampleOrder::new(seed, 2).expect("not empty");
        for side in [0, 1, 5] {
            let batch = made(&split, &order, augment, [seed, side], 0..9);
            prop_assert_eq!(batch.pixels.len(), 9 * batch.shape.bytes());
        }
    }
}

#[test]
fn copies_and_epochs_differ() {
    let split = raw((0..=255).collect(), vec![0], Shape { channels: 1, side: 16 });
    let order = SampleOrder::new(0, 1).expect("not empty");
    let augment = Augment { inception_crop: Some(0.08), flip: true, multiplicity: 8, ..STILL };
    let batch = made(&split, &order, augment, [0, 16], 0..32);
    let seen: std::collections::HashSet<&[u8]> = batch.pixels.chunks_exact(256).collect();
    assert_eq!(seen.len(), 32);
}
