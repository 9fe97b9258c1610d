//! Crops: a shifted picture of the same size, or a part of random size and shape brought to the size of training.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::batch::Shape;
use crate::decode::Decoded;
use crate::random::Random;

/// Writes `picture` to `pixels`, moved by `down` rows and `right` columns of a picture that has zeros around it, then mirrored.
pub(crate) fn shifted(picture: &[u8], shape: Shape, [down, right]: [isize; 2], flip: bool, pixels: &mut [u8]) {
    let side = shape.side as isize;
    // Columns of the result that come from the picture.
    let first = (-right).clamp(0, side) as usize;
    let last = (side - right).clamp(0, side) as usize;
    let from = right.clamp(0, side) as usize;
    let planes = picture.chunks_exact(shape.plane()).zip(pixels.chunks_exact_mut(shape.plane()));
    for (plane, target) in planes {
        for (row, line) in (0..).zip(target.chunks_exact_mut(shape.side)) {
            line.fill(0);
            let y = row + down;
            if (0..side).contains(&y) && first < last {
                let source = y as usize * shape.side + from;
                line[first..last].copy_from_slice(&plane[source..source + last - first]);
            }
            if flip {
                line.reverse();
            }
        }
    }
}

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Rows above it.
    pub(crate) top: usize,
    /// Columns left of it.
    pub(crate) left: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
}

impl Part {
    /// What of it lies within a picture; at least one pixel.
    pub(crate) fn within(self, width: usize, height: usize) -> Part {
        let (top, left) = (self.top.min(height.saturating_sub(1)), self.left.min(width.saturating_sub(1)));
        Part {
            top,
            left,
            height: self.height.clamp(1, (height - top).max(1)),
            width: self.width.clamp(1, (width - left).max(1)),
        }
    }

    /// The same part of a picture at so many eighths of its scale.
    pub(crate) fn scaled(self, eighths: usize) -> Window {
        let scale = |length: usize| length as f64 * eighths as f64 / 8.0;
        Window { top: scale(self.top), left: scale(self.left), height: scale(self.height), width: scale(self.width) }
    }
}

/// A part of a decoded picture, which need not begin or end with a whole pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// Rows above it.
    pub(crate) top: f64,
    /// Columns left of it.
    pub(crate) left: f64,
    /// Rows.
    pub(crate) height: f64,
    /// Columns.
    pub(crate) width: f64,
}

/// Tries to find a part that fits.
const TRIES: usize = 10;

/// Draws the part of a picture that is trained on (arXiv 1409.4842, section 6): its area is uniform in `share`..1 of the
/// picture, its aspect ratio exp(uniform(ln 3/4, ln 4/3)), its place uniform among those where it fits.
///
/// Where ten parts in a row did not fit, it is the largest centred one with such a ratio: of a square picture, all of it.
pub(crate) fn part(across: usize, down: usize, share: f64, random: &mut Random) -> Part {
    // A share that is not a number fits nowhere, which gives the whole picture.
    let share = share.clamp(0.0, 1.0);
    let widest = (4.0_f64 / 3.0).ln();
    for _ in 0..TRIES {
        let area = random.between(share, 1.0) * (across * down) as f64;
        let ratio = random.between(-widest, widest).exp();
        let [width, height] = [area * ratio, area / ratio].map(|square| square.sqrt().round() as usize);
        if (1..=across).contains(&width) && (1..=down).contains(&height) {
            let mut place = |room: usize, length: usize| random.below((room - length + 1) as u64) as usize;
            return Part { top: place(down, height), left: place(across, width), height, width };
        }
    }
    let limited = |length: usize, other: usize| length.min((other as f64 * 4.0 / 3.0).round() as usize).max(1);
    centred(across, down, limited(across, down), limited(down, across))
}

/// The centred square whose side is `share` of the picture's shorter one.
pub(crate) fn centre(across: usize, down: usize, share: f64) -> Part {
    let shorter = across.min(down);
    let side = ((shorter as f64 * share).round() as usize).clamp(1, shorter.max(1));
    centred(across, down, side, side)
}

fn centred(across: usize, down: usize, width: usize, height: usize) -> Part {
    Part { top: down.saturating_sub(height) / 2, left: across.saturating_sub(width) / 2, height, width }
}

/// Brings parts of pictures to another size: bicubic (Catmull and Rom, a = -1/2), with a kernel as wide as the step between
/// pixels where the picture shrinks. Nothing around the part leaks into it.
#[derive(Debug, Default)]
pub(crate) struct Zoom {
    // Both keep their buffers from picture to picture.
    resizer: Resizer,
    beside: Vec<u8>,
}

impl Zoom {
    /// Writes a part of a stored `picture`, channel by channel, to `pixels`: `side` pixels high and wide, then mirrored.
    pub(crate) fn stored(
        &mut self,
        picture: &[u8],
        shape: Shape,
        part: Part,
        side: usize,
        flip: bool,
        pixels: &mut [u8],
    ) {
        let planes = picture.chunks_exact(shape.plane()).zip(pixels.chunks_exact_mut(side * side));
        for (plane, pixels) in planes {
            let zoomed = self.zoom::<U8>(plane, [shape.side; 2], part, side, pixels);
            debug_assert!(zoomed.is_some(), "{part:?} lies within {shape:?}");
            if flip {
                pixels.chunks_exact_mut(side).for_each(<[u8]>::reverse);
            }
        }
    }

    /// The same of a decoded picture, whose channels lie beside each other; the kernel sees what is around the window.
    pub(crate) fn decoded(&mut self, picture: &Decoded, window: Window, side: usize, flip: bool, pixels: &mut [u8]) {
        let zoomed = if picture.channels == 1 {
            self.cut::<U8>(picture, window, side, pixels)
        } else {
            let mut beside = std::mem::take(&mut self.beside);
            beside.resize(3 * side * side, 0);
            let zoomed = self.cut::<U8x3>(picture, window, side, &mut beside);
            apart(&beside, pixels);
            self.beside = beside;
            zoomed
        };
        debug_assert!(zoomed.is_some(), "{window:?} lies within {} x {}", picture.width, picture.height);
        if flip {
            pixels.chunks_exact_mut(side).for_each(<[u8]>::reverse);
        }
    }

    /// `None` if the window does not lie within the picture.
    fn cut<P: InnerPixel + fast_image_resize::PixelTrait>(
        &mut self,
        picture: &Decoded,
        window: Window,
        side: usize,
        pixels: &mut [u8],
    ) -> Option<()> {
        let (across, down) = (picture.width as u32, picture.height as u32);
        let source = TypedImageRef::<P>::from_buffer(across, down, &picture.pixels).ok()?;
        let mut target = TypedImage::<P>::from_buffer(side as u32, side as u32, pixels).ok()?;
        let Window { top, left, height, width } = window;
        let (width, height) = (width.min(f64::from(across) - left), height.min(f64::from(down) - top));
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .crop(left, top, width, height);
        self.resizer.resize_typed(&source, &mut target, &options).ok()
    }

    /// `None` if the part does not lie within the picture.
    fn zoom<P: InnerPixel + fast_image_resize::PixelTrait>(
        &mut self,
        picture: &[u8],
        [across, down]: [usize; 2],
        part: Part,
        side: usize,
        pixels: &mut [u8],
    ) -> Option<()> {
        let Part { top, left, height, width } = part;
        let whole = TypedImageRef::<P>::from_buffer(across as u32, down as u32, picture).ok()?;
        let source = TypedCroppedImage::from_ref(&whole, left as u32, top as u32, width as u32, height as u32).ok()?;
        let mut target = TypedImage::<P>::from_buffer(side as u32, side as u32, pixels).ok()?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        self.resizer.resize_typed(&source, &mut target, &options).ok()
    }
}

/// From channels beside each other to one plane for each.
fn apart(beside: &[u8], planes: &mut [u8]) {
    let plane = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for (((pixel, red), green), blue) in beside.chunks_exact(3).zip(red).zip(green).zip(blue) {
        (*red, *green, *blue) = (pixel[0], pixel[1], pixel[2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spec::order::mix;

    /// Pixel by pixel, as it is defined.
    fn shifted_slowly(picture: &[u8], side: isize, [down, right]: [isize; 2], flip: bool) -> Vec<u8> {
        let mut pixels = Vec::new();
        for plane in picture.chunks_exact((side * side) as usize) {
            for row in 0..side {
                for column in 0..side {
                    let column = if flip { side - 1 - column } else { column };
                    let (y, x) = (row + down, column + right);
                    let inside = 0 <= y && y < side && 0 <= x && x < side;
                    pixels.push(if inside { plane[(y * side + x) as usize] } else { 0 });
                }
            }
        }
        pixels
    }

    fn zoomed(picture: &[u8], shape: Shape, part: Part, side: usize, flip: bool) -> Vec<u8> {
        let mut pixels = vec![0; shape.channels * side * side];
        Zoom::default().stored(picture, shape, part, side, flip, &mut pixels);
        pixels
    }

    proptest! {
        #[test]
        fn a_shift_is_what_it_is_defined_to_be(
            side in 1_usize..9, channels in 1_usize..4, down in -12_isize..12, right in -12_isize..12, flip: bool,
        ) {
            let picture: Vec<u8> = (1..=channels * side * side).map(|pixel| pixel as u8).collect();
            let mut pixels = vec![7; picture.len()];
            shifted(&picture, Shape { channels, side }, [down, right], flip, &mut pixels);
            prop_assert_eq!(pixels, shifted_slowly(&picture, side as isize, [down, right], flip));
        }

        #[test]
        fn a_part_lies_within_the_picture(side in 1_usize..300, other in 1_usize..300, share: f64, key: u64) {
            for share in [share, share.abs().fract(), f64::NAN, f64::INFINITY] {
                for (across, down) in [(side, side), (side, other), (other, side)] {
                    let Part { top, left, height, width } = part(across, down, share, &mut Random::new(mix(key)));
                    prop_assert!(height >= 1 && width >= 1 && top + height <= down && left + width <= across);
                    let Part { top, left, height, width } = centre(across, down, share);
                    prop_assert!(height >= 1 && width == height && top + height <= down && left + width <= across);
                }
            }
        }

        #[test]
        fn a_part_has_the_area_and_the_ratio_asked_for(share in 0.05_f64..1.0, key: u64) {
            let found = part(10_000, 10_000, share, &mut Random::new(mix(key)));
            let (height, width) = (found.height as f64, found.width as f64);
            prop_assert!(height * width >= (share - 1e-3) * 1e8);
            prop_assert!((0.749..1.335).contains(&(width / height)));
        }

        #[test]
        fn every_part_can_be_zoomed(side in 1_usize..40, to in 1_usize..40, grey: u8, key: u64, flip: bool) {
            let shape = Shape { channels: 3, side };
            let part = part(side, side, 0.05, &mut Random::new(mix(key)));
            let pixels = zoomed(&vec![grey; shape.bytes()], shape, part, to, flip);
            prop_assert_eq!(pixels, vec![grey; 3 * to * to], "an even picture stays even");
        }
    }

    #[test]
    fn areas_are_uniform() {
        let mut random = Random::new(mix(4));
        let areas: Vec<f64> = (0..20_000)
            .map(|_| part(1000, 1000, 0.08, &mut random))
            .map(|part| (part.height * part.width) as f64 / 1e6)
            .filter(|area| *area < 0.7)
            .collect();
        // Below 3/4 every ratio fits, so nothing is turned down and the area is uniform.
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        assert!((mean - 0.39).abs() < 0.01, "{mean}");
    }

    #[test]
    fn the_whole_picture_in_its_own_size_stays_as_it_is() {
        let shape = Shape { channels: 1, side: 3 };
        let picture = [9, 8, 7, 1, 2, 3, 200, 100, 0];
        let whole = Part { top: 0, left: 0, height: 3, width: 3 };
        assert_eq!(zoomed(&picture, shape, whole, 3, false), picture);
        assert_eq!(zoomed(&picture, shape, whole, 3, true), [7, 8, 9, 3, 2, 1, 0, 100, 200]);
        let corner = Part { top: 1, left: 1, height: 2, width: 2 };
        assert_eq!(zoomed(&picture, shape, corner, 2, false), [2, 3, 100, 0]);
    }

    #[test]
    fn nothing_outside_of_a_part_is_seen() {
        let shape = Shape { channels: 1, side: 8 };
        let mut picture = vec![255; 64];
        for row in 2..6 {
            picture[row * 8 + 2..row * 8 + 6].fill(10);
        }
        let middle = Part { top: 2, left: 2, height: 4, width: 4 };
        assert_eq!(zoomed(&picture, shape, middle, 11, false), [10; 121]);
    }

    #[test]
    fn shrinking_takes_the_mean() {
        // A chequerboard has no detail that a quarter of its pixels could show.
        let shape = Shape { channels: 1, side: 16 };
        let picture: Vec<u8> = (0..256).map(|pixel| if (pixel / 16 + pixel % 16) % 2 == 0 { 0 } else { 200 }).collect();
        let whole = Part { top: 0, left: 0, height: 16, width: 16 };
        let pixels = zoomed(&picture, shape, whole, 4, false);
        assert!(pixels.iter().all(|pixel| pixel.abs_diff(100) <= 1), "{pixels:?}");
    }
}
