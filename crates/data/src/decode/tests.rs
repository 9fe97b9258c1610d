use super::*;
use mozjpeg::ColorSpaceExt as _;
use proptest::prelude::*;
use spec::order::mix;

use crate::crop::Zoom;

/// A smooth picture with some detail, channels beside each other.
fn pixels(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let value = |y: usize, x: usize, channel: usize| {
        let wave = ((x * (channel + 2)) as f64 / 17.0).sin() + ((y * 3) as f64 / 23.0).cos();
        (128.0 + 55.0 * wave + (mix((y * width + x) as u64) % 9) as f64) as u8
    };
    (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |channel| value(y, x, channel))))
        .collect()
}

fn jpeg(width: usize, height: usize, space: mozjpeg::ColorSpace, progressive: bool) -> Vec<u8> {
    let channels = space.num_components();
    let mut encoder = mozjpeg::Compress::new(space);
    // Or it would be progressive.
    encoder.set_fastest_defaults();
    encoder.set_size(width, height);
    encoder.set_quality(95.0);
    if progressive {
        encoder.set_progressive_mode();
    }
    let mut started = encoder.start_compress(Vec::new()).expect("a small picture");
    started.write_scanlines(&pixels(width, height, channels)).expect("a small picture");
    started.finish().expect("a small picture")
}

fn decoded(file: &[u8], channels: usize) -> Result<Decoded, Damage> {
    let mut picture = Decoded::default();
    decode(file, channels, &mut picture)?;
    assert_eq!(picture.pixels.len(), picture.width * picture.height * channels);
    Ok(picture)
}

/// The part as it is brought to `side`, and whether it was decoded at a smaller scale.
fn zoomed(file: &[u8], part: Part, side: usize, all: bool) -> Vec<u8> {
    let mut picture = Decoded::default();
    let wanted = Wanted { part: &|_, _| part, side: if all { LONGEST_SIDE as usize } else { side } };
    let part = decode_part(file, 3, &wanted, &mut picture).expect("whole");
    let mut pixels = vec![0; 3 * side * side];
    Zoom::default().decoded(&picture, part, side, false, &mut pixels);
    pixels
}

fn distance(one: &[u8], other: &[u8]) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.len() as f64
}

#[test]
fn what_was_encoded_comes_out_again() {
    for progressive in [false, true] {
        let colour = jpeg(70, 50, mozjpeg::ColorSpace::JCS_RGB, progressive);
        let found = decoded(&colour, 3).expect("whole");
        assert_eq!((found.width, found.height), (70, 50));
        assert!(distance(&found.pixels, &pixels(70, 50, 3)) < 6.0);
        let grey = decoded(&jpeg(70, 50, mozjpeg::ColorSpace::JCS_GRAYSCALE, progressive), 3).expect("whole");
        assert!(grey.pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        assert_eq!(decoded(&colour, 1).expect("whole").pixels.len(), 70 * 50);
    }
    // Inverted inks, as Adobe's programs write them: light times black.
    let ink = decoded(&jpeg(64, 64, mozjpeg::ColorSpace::JCS_CMYK, false), 3).expect("whole");
    let stored = pixels(64, 64, 4);
    let light: Vec<u8> = stored
        .chunks_exact(4)
        .flat_map(|ink| [0, 1, 2].map(|channel| (u32::from(ink[channel]) * u32::from(ink[3]) / 255) as u8))
        .collect();
    assert!(distance(&ink.pixels, &light) < 8.0);
}

#[test]
fn a_large_part_is_decoded_at_a_smaller_scale() {
    let file = jpeg(640, 480, mozjpeg::ColorSpace::JCS_RGB, false);
    for (part, side, scale) in [
        (Part { top: 0, left: 0, height: 480, width: 640 }, 60, 8),
        (Part { top: 13, left: 101, height: 440, width: 450 }, 110, 4),
        (Part { top: 100, left: 7, height: 300, width: 401 }, 150, 2),
        (Part { top: 300, left: 500, height: 150, width: 130 }, 100, 1),
    ] {
        let mut picture = Decoded::default();
        let found = decode_part(&file, 3, &Wanted { part: &|_, _| part, side }, &mut picture).expect("whole");
        assert_eq!(picture.width, 640 / scale);
        assert!(picture.height as f64 <= found.height + 2.0, "no rows but those of the part");
        assert!(found.width.min(found.height) >= side as f64, "enough pixels");
        let off = distance(&zoomed(&file, part, side, false), &zoomed(&file, part, side, true));
        assert!(off < if scale == 1 { 0.001 } else { 2.5 }, "{part:?}: {off}");
    }
}

#[test]
fn files_that_end_early_or_ask_for_too_much_are_refused() {
    let file = jpeg(70, 50, mozjpeg::ColorSpace::JCS_RGB, false);
    for length in [0, 1, 2, 3, 4, 20, file.len() / 2, file.len() - 1] {
        assert!(decoded(&file[..length], 3).is_err(), "{length} of {} bytes", file.len());
    }
    assert_eq!(decoded(&file[..file.len() - 3], 3).map(|_| ()), Err(Damage::Truncated));
    assert_eq!(decoded(b"", 3).map(|_| ()), Err(Damage::Nothing));
    assert_eq!(decoded(b"GIF89a", 3).map(|_| ()), Err(Damage::Format));
    // Height and width stand behind the start of frame.
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline file");
    let mut bomb = file.clone();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
    assert!(matches!(decoded(&bomb, 3), Err(Damage::TooLarge { width: 16_384, height: 16_384, .. })));
    bomb[frame + 5..frame + 9].copy_from_slice(&[0x10, 0, 0x17, 0]);
    assert!(matches!(decoded(&bomb, 3), Err(Damage::Bomb { .. })));
    let mut scans = jpeg(70, 50, mozjpeg::ColorSpace::JCS_RGB, true);
    let end = scans.split_off(scans.len() - 2);
    (0..400).for_each(|_| scans.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0]));
    scans.extend(end);
    assert!(decoded(&scans, 3).expect_err("absurd").to_string().contains("scans"));
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(at in 0_usize..4000, with: u8, progressive: bool) {
        let mut file = jpeg(70, 50, mozjpeg::ColorSpace::JCS_RGB, progressive);
        let at = at % file.len();
        file[at] = with;
        let _ = decoded(&file, 3);
        let _ = decoded(&file, 1);
    }
}
