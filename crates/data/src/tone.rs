//! Changes of grey levels and colours. A picture is one or three planes, red, green and blue.

/// A new level for each of the 256.
type Table = [u8; 256];

fn table(level: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|old| level(old as u8))
}

fn replace(pixels: &mut [u8], table: &Table) {
    pixels.iter_mut().for_each(|pixel| *pixel = table[usize::from(*pixel)]);
}

/// The levels of each plane are stretched to 0..255: 255 (v - lowest) / (highest - lowest). An even plane stays.
pub(crate) fn autocontrast(planes: &mut [u8], plane: usize) {
    for pixels in planes.chunks_exact_mut(plane) {
        let lowest = u32::from(pixels.iter().min().copied().unwrap_or(0));
        let highest = u32::from(pixels.iter().max().copied().unwrap_or(0));
        let range = highest - lowest;
        if range > 0 {
            let stretch = |old: u8| (510 * u32::from(old).saturating_sub(lowest) + range) / (2 * range);
            replace(pixels, &table(|old| stretch(old).min(255) as u8));
        }
    }
}

/// The levels of each plane become about equally frequent, as the Python Imaging Library does it: with a step of (pixels -
/// pixels of the highest level) / 255, level v becomes (step / 2 + pixels below v) / step, at most 255, all rounded down.
/// A plane whose step is 0 stays.
pub(crate) fn equalize(planes: &mut [u8], plane: usize) {
    for pixels in planes.chunks_exact_mut(plane) {
        let mut counts = [0_usize; 256];
        pixels.iter().for_each(|pixel| counts[usize::from(*pixel)] += 1);
        let of_highest = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
        let step = (pixels.len() - of_highest) / 255;
        if step > 0 {
            let mut below = step / 2;
            let levels = counts.map(|count| {
                let level = (below / step).min(255) as u8;
                below += count;
                level
            });
            replace(pixels, &levels);
        }
    }
}

/// Levels from `threshold` on are inverted: 255 - v.
pub(crate) fn solarize(pixels: &mut [u8], threshold: u32) {
    replace(pixels, &table(|old| if u32::from(old) < threshold { old } else { 255 - old }));
}

/// Only the highest `bits` of each level stay.
pub(crate) fn posterize(pixels: &mut [u8], bits: u32) {
    let mask = 255_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    pixels.iter_mut().for_each(|pixel| *pixel &= mask);
}

/// base + factor (v - base), to the nearest level from 0 to 255: what all enhancements below are.
fn enhanced(base: u8, factor: f32, level: u8) -> u8 {
    let (base, level) = (f32::from(base), f32::from(level));
    // The cast cuts off what is behind the point and keeps to the range.
    (base + factor * (level - base) + 0.5) as u8
}

/// Away from black.
pub(crate) fn brightness(pixels: &mut [u8], factor: f32) {
    replace(pixels, &table(|old| enhanced(0, factor, old)));
}

/// Away from the mean grey of the whole picture, to the nearest level.
pub(crate) fn contrast(planes: &mut [u8], plane: usize, factor: f32) {
    let greys: u64 = if planes.len() == 3 * plane {
        let pixels = colours(planes, plane).into_iter().flatten();
        pixels.map(|[red, green, blue]| u64::from(grey(*red, *green, *blue))).sum()
    } else {
        planes.iter().map(|pixel| u64::from(*pixel)).sum()
    };
    let pixels = plane.min(planes.len()).max(1) as u64;
    let mean = ((2 * greys + pixels) / (2 * pixels)).min(255) as u8;
    replace(planes, &table(|old| enhanced(mean, factor, old)));
}

/// Away from the grey picture; grey pictures stay.
pub(crate) fn colour(planes: &mut [u8], plane: usize, factor: f32) {
    let Some(pixels) = colours(planes, plane) else { return };
    for [red, green, blue] in pixels {
        let grey = grey(*red, *green, *blue);
        [*red, *green, *blue] = [*red, *green, *blue].map(|level| enhanced(grey, factor, level));
    }
}

/// Away from the smoothed picture, whose pixels are (4 v + the sum of the nine around and at v) / 13; those at the edge stay.
/// `scratch` is for a copy.
pub(crate) fn sharpness(planes: &mut [u8], side: usize, factor: f32, scratch: &mut Vec<u8>) {
    if side < 3 {
        return;
    }
    for pixels in planes.chunks_exact_mut(side * side) {
        scratch.clear();
        scratch.extend_from_slice(pixels);
        for row in 1..side - 1 {
            let [above, at, below] = [row - 1, row, row + 1].map(|row| &scratch[row * side..(row + 1) * side]);
            for column in 1..side - 1 {
                let three = |row: &[u8]| row[column - 1..column + 2].iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
                let sum = three(above) + three(at) + three(below) + 4 * u32::from(at[column]);
                pixels[row * side + column] = enhanced(((2 * sum + 13) / 26) as u8, factor, at[column]);
            }
        }
    }
}

/// Red, green and blue of each pixel; `None` for a grey picture.
fn colours(planes: &mut [u8], plane: usize) -> Option<impl Iterator<Item = [&mut u8; 3]>> {
    if planes.len() != 3 * plane {
        return None;
    }
    let (red, rest) = planes.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    Some(red.iter_mut().zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue]))
}

/// 0.299 red + 0.587 green + 0.114 blue, to the nearest level (ITU-R BT.601).
fn grey(red: u8, green: u8, blue: u8) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(pixels: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut pixels = pixels.to_vec();
        change(&mut pixels);
        pixels
    }

    #[test]
    fn autocontrast_stretches_each_plane() {
        // 255 * 50 / 100 = 127.5 and 255 * 33 / 100 = 84.15; the second plane is even.
        let pixels = [100, 150, 200, 133, 7, 7, 7, 7];
        assert_eq!(after(&pixels, |pixels| autocontrast(pixels, 4)), [0, 128, 255, 84, 7, 7, 7, 7]);
    }

    #[test]
    fn equalize_by_hand() {
        // 1024 pixels: 510 of level 10, 255 of level 20, 259 of level 200. The step is (1024 - 259) / 255 = 3, its half 1:
        // level 10 becomes 1 / 3 = 0, level 20 (1 + 510) / 3 = 170, level 200 (1 + 765) / 3 = 255.
        let pixels: Vec<u8> = [(10, 510), (20, 255), (200, 259)].into_iter().flat_map(|(v, n)| vec![v; n]).collect();
        let expected: Vec<u8> = [(0, 510), (170, 255), (255, 259)].into_iter().flat_map(|(v, n)| vec![v; n]).collect();
        assert_eq!(after(&pixels, |pixels| equalize(pixels, 1024)), expected);
        let few = [3, 1, 4, 1];
        assert_eq!(after(&few, |pixels| equalize(pixels, 4)), few, "the step is 0");
    }

    #[test]
    fn solarize_and_posterize_by_hand() {
        let pixels = [0, 127, 128, 200, 255];
        assert_eq!(after(&pixels, |pixels| solarize(pixels, 128)), [0, 127, 127, 55, 0]);
        assert_eq!(after(&pixels, |pixels| solarize(pixels, 0)), [255, 128, 127, 55, 0]);
        assert_eq!(after(&pixels, |pixels| solarize(pixels, 256)), pixels);
        assert_eq!(after(&pixels, |pixels| posterize(pixels, 2)), [0, 64, 128, 192, 192]);
        assert_eq!(after(&pixels, |pixels| posterize(pixels, 0)), [0; 5]);
        assert_eq!(after(&pixels, |pixels| posterize(pixels, 9)), pixels);
    }

    #[test]
    fn enhancements_by_hand() {
        assert_eq!(after(&[0, 10, 100, 200], |pixels| brightness(pixels, 1.5)), [0, 15, 150, 255]);
        // The mean is 50.
        assert_eq!(after(&[0, 40, 60, 100], |pixels| contrast(pixels, 4, 0.5)), [25, 45, 55, 75]);
        assert_eq!(after(&[0, 40, 60, 100], |pixels| contrast(pixels, 4, 2.0)), [0, 30, 70, 150]);
        // Grey is 0.299 * 100 + 0.587 * 50 + 0.114 * 200 = 82.05.
        assert_eq!(after(&[100, 50, 200], |pixels| colour(pixels, 1, 0.0)), [82, 82, 82]);
        assert_eq!(after(&[100, 50, 200], |pixels| colour(pixels, 1, 2.0)), [118, 18, 255]);
        assert_eq!(after(&[100, 50, 200, 0], |pixels| colour(pixels, 4, 2.0)), [100, 50, 200, 0]);
        // The smoothed middle is (5 * 130 + 0) / 13 = 50.
        let dot = [0, 0, 0, 0, 130, 0, 0, 0, 0];
        assert_eq!(after(&dot, |pixels| sharpness(pixels, 3, 0.0, &mut Vec::new()))[4], 50);
        assert_eq!(after(&dot, |pixels| sharpness(pixels, 3, 1.5, &mut Vec::new()))[4], 170);
    }

    proptest! {
        #[test]
        fn a_factor_of_one_changes_nothing(pixels in proptest::collection::vec(0_u8.., 75)) {
            prop_assert_eq!(&after(&pixels, |pixels| brightness(pixels, 1.0)), &pixels);
            prop_assert_eq!(&after(&pixels, |pixels| contrast(pixels, 25, 1.0)), &pixels);
            prop_assert_eq!(&after(&pixels, |pixels| colour(pixels, 25, 1.0)), &pixels);
            prop_assert_eq!(&after(&pixels, |pixels| sharpness(pixels, 5, 1.0, &mut Vec::new())), &pixels);
        }

        #[test]
        fn autocontrast_uses_all_levels_and_keeps_their_order(pixels in proptest::collection::vec(0_u8.., 2..50)) {
            prop_assume!(pixels.iter().any(|pixel| *pixel != pixels[0]));
            let found = after(&pixels, |found| autocontrast(found, found.len()));
            prop_assert_eq!((found.iter().min(), found.iter().max()), (Some(&0), Some(&255)));
            for (old, new) in pixels.iter().zip(&found) {
                prop_assert!(pixels.iter().zip(&found).all(|(other, moved)| other < old || moved >= new));
            }
        }
    }
}
