//! RandAugment (arXiv 1909.13719): some operations, drawn evenly and with replacement, one after the other, all of the same
//! magnitude.

use spec::run::RandAugment;

use crate::batch::Shape;
use crate::random::Random;
use crate::tone;
use crate::warp::{Affine, warp};

/// An operation. The strength s is magnitude / 10, the sign is drawn. Formulas are those of AutoAugment's reference code, by
/// which the magnitudes of arXiv 2102.06171 are meant: solarizing and posterizing grow weaker as it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Nothing.
    Identity,
    /// Levels are stretched to the whole range.
    Autocontrast,
    /// Levels become equally frequent.
    Equalize,
    /// A turn by +-30 s degrees about the middle.
    Rotate,
    /// Levels from min(256, floor(256 s)) on are inverted.
    Solarize,
    /// Enhanced by 0.1 + 1.8 s from the grey picture; grey pictures stay.
    Color,
    /// The highest floor(4 s) bits stay; at least 1, so that no picture goes black, and at most 8.
    Posterize,
    /// Enhanced by 0.1 + 1.8 s from the mean grey.
    Contrast,
    /// Enhanced by 0.1 + 1.8 s from black.
    Brightness,
    /// Enhanced by 0.1 + 1.8 s from the smoothed picture.
    Sharpness,
    /// Rows are moved by +-0.3 s of their distance from the first.
    ShearX,
    /// Columns are moved by +-0.3 s of their distance from the first.
    ShearY,
    /// A move by +-0.45 s of the width: 100 of the 224 pixels of an ImageNet picture, for s = 1.
    TranslateX,
    /// A move by +-0.45 s of the height.
    TranslateY,
}

/// All of them, as in arXiv 1909.13719, figure 2.
const OPERATIONS: [Operation; 14] = [
    Operation::Identity,
    Operation::Autocontrast,
    Operation::Equalize,
    Operation::Rotate,
    Operation::Solarize,
    Operation::Color,
    Operation::Posterize,
    Operation::Contrast,
    Operation::Brightness,
    Operation::Sharpness,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
];

/// Changes a picture. `scratch` is for copies.
pub(crate) fn apply(picture: &mut [u8], shape: Shape, how: RandAugment, random: &mut Random, scratch: &mut Vec<u8>) {
    // The limit is far above what is in use and keeps positions within their range.
    let strength = how.magnitude.clamp(0.0, 100.0) / 10.0;
    for _ in 0..how.layers {
        let operation = OPERATIONS[random.below(OPERATIONS.len() as u64) as usize];
        let sign = if random.coin() { 1.0 } else { -1.0 };
        operation.apply(picture, shape, strength, sign, scratch);
    }
}

impl Operation {
    fn apply(self, picture: &mut [u8], shape: Shape, strength: f64, sign: f64, scratch: &mut Vec<u8>) {
        let (plane, side) = (shape.plane(), shape.side);
        let factor = (0.1 + 1.8 * strength) as f32;
        let slope = sign * 0.3 * strength;
        let distance = sign * 0.45 * strength * side as f64;
        match self {
            Operation::Identity => {}
            Operation::Autocontrast => tone::autocontrast(picture, plane),
            Operation::Equalize => tone::equalize(picture, plane),
            Operation::Solarize => tone::solarize(picture, (256.0 * strength) as u32),
            Operation::Color => tone::colour(picture, plane, factor),
            Operation::Posterize => tone::posterize(picture, ((4.0 * strength) as u32).clamp(1, 8)),
            Operation::Contrast => tone::contrast(picture, plane, factor),
            Operation::Brightness => tone::brightness(picture, factor),
            Operation::Sharpness => tone::sharpness(picture, side, factor, scratch),
            Operation::Rotate => moved(picture, shape, Affine::rotation(sign * 30.0 * strength, side), scratch),
            Operation::ShearX => moved(picture, shape, Affine::shear_x(slope), scratch),
            Operation::ShearY => moved(picture, shape, Affine::shear_y(slope), scratch),
            Operation::TranslateX => moved(picture, shape, Affine::translation(distance, 0.0), scratch),
            Operation::TranslateY => moved(picture, shape, Affine::translation(0.0, distance), scratch),
        }
    }
}

fn moved(picture: &mut [u8], shape: Shape, map: Affine, scratch: &mut Vec<u8>) {
    for plane in picture.chunks_exact_mut(shape.plane()) {
        scratch.clear();
        scratch.extend_from_slice(plane);
        warp(scratch, shape.side, map, plane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spec::order::mix;

    const SHAPE: Shape = Shape { channels: 3, side: 12 };

    fn picture(shape: Shape) -> Vec<u8> {
        (0..shape.bytes() as u64).map(|at| mix(at) as u8).collect()
    }

    fn after(operation: Operation, shape: Shape, magnitude: f64, sign: f64) -> Vec<u8> {
        let mut changed = picture(shape);
        operation.apply(&mut changed, shape, magnitude / 10.0, sign, &mut Vec::new());
        changed
    }

    proptest! {
        #[test]
        fn no_picture_and_no_magnitude_is_too_odd(
            side in 1_usize..10, colour: bool, layers in 0_u32..5, magnitude: f64, key: u64,
        ) {
            let shape = Shape { channels: if colour { 3 } else { 1 }, side };
            for magnitude in [magnitude, magnitude.abs() % 30.0, f64::NAN, f64::INFINITY] {
                let mut changed = picture(shape);
                let how = RandAugment { layers, magnitude };
                apply(&mut changed, shape, how, &mut Random::new(key), &mut Vec::new());
                let mut again = picture(shape);
                apply(&mut again, shape, how, &mut Random::new(key), &mut vec![1; 7]);
                prop_assert_eq!(changed, again);
            }
        }
    }

    #[test]
    fn every_operation_does_something_but_the_identity() {
        for operation in OPERATIONS {
            // At 10 solarizing has its threshold above all levels, and 144 pixels are too few to equalize.
            let still = matches!(operation, Operation::Identity | Operation::Solarize | Operation::Equalize);
            let changed = after(operation, SHAPE, 10.0, 1.0);
            let stretched = operation == Operation::Autocontrast;
            assert_eq!(changed == picture(SHAPE), still || stretched && full(&picture(SHAPE)), "{operation:?}");
        }
        assert_ne!(after(Operation::Solarize, SHAPE, 5.0, 1.0), picture(SHAPE));
        let larger = Shape { channels: 1, side: 28 };
        assert_ne!(after(Operation::Equalize, larger, 10.0, 1.0), picture(larger));
        let grey = Shape { channels: 1, side: 12 };
        assert_eq!(after(Operation::Color, grey, 10.0, 1.0), picture(grey), "there is no colour in grey");
    }

    /// Whether every plane has black and white in it.
    fn full(picture: &[u8]) -> bool {
        picture.chunks_exact(SHAPE.plane()).all(|plane| plane.contains(&0) && plane.contains(&255))
    }

    #[test]
    fn magnitudes_mean_what_is_written() {
        let solarized = |magnitude: f64| after(Operation::Solarize, SHAPE, magnitude, 1.0);
        let expected: Vec<u8> =
            picture(SHAPE).into_iter().map(|level| if level < 128 { level } else { 255 - level }).collect();
        assert_eq!(solarized(5.0), expected);
        let posterized = |magnitude: f64| after(Operation::Posterize, SHAPE, magnitude, 1.0);
        assert!(
            posterized(15.0).iter().all(|level| level % 4 == 0) && posterized(15.0).iter().any(|level| level % 8 != 0)
        );
        assert!(posterized(0.0).iter().all(|level| level % 128 == 0) && posterized(0.0).contains(&128));
        assert_eq!(posterized(30.0), picture(SHAPE));
        // 0.45 of 20 pixels is 9.
        let shape = Shape { channels: 1, side: 20 };
        let right = after(Operation::TranslateX, shape, 10.0, -1.0);
        assert_eq!(right[..9], [crate::warp::FILL; 9]);
        assert_eq!(right[9..20], picture(shape)[..11]);
    }

    #[test]
    fn signs_and_operations_are_drawn_evenly() {
        let shape = Shape { channels: 1, side: 28 };
        let mut seen = std::collections::HashMap::new();
        for key in 0..2800 {
            let mut changed = picture(shape);
            let how = RandAugment { layers: 1, magnitude: 7.0 };
            apply(&mut changed, shape, how, &mut Random::new(mix(key)), &mut Vec::new());
            *seen.entry(changed).or_insert(0) += 1;
        }
        // Five operations have two directions; colour is the identity, as may be stretching.
        let (rare, all) = (seen.values().filter(|times| **times < 140).count(), seen.len());
        assert_eq!(rare, 10, "{all}");
        assert!((17..=18).contains(&all), "{all}");
    }
}
