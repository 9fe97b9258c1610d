//! Files of pictures that are cut short, damaged or made to do harm: an error that says what is wrong, in bounded memory.
//!
//! What tar files, Parquet files, labels and changing files can have wrong is tested beside their readers.

use std::io::Write;
use std::process::Command;

use data::decode::{Damage, Decoded, LONGEST_SIDE, MOST_PIXELS, decode};

/// Above the file itself.
const MOST_MEMORY: u64 = 256 << 20;

fn decoded(file: &[u8], channels: usize) -> Result<Decoded, Damage> {
    let mut picture = Decoded::default();
    decode(file, channels, &mut picture)?;
    assert_eq!((picture.channels, picture.pixels.len()), (channels, picture.width * picture.height * channels));
    Ok(picture)
}

/// Whole pictures of 24 x 17 pixels, each with its name.
fn whole() -> Vec<(&'static str, Vec<u8>)> {
    let mut level = 0_u8;
    let pixels: Vec<u8> = std::iter::repeat_with(|| {
        level = level.wrapping_mul(13).wrapping_add(7);
        level
    })
    .take(24 * 17 * 3)
    .collect();
    vec![
        ("baseline.jpg", include_bytes!("fixtures/baseline.jpg").to_vec()),
        ("progressive.jpg", include_bytes!("fixtures/progressive.jpg").to_vec()),
        ("lossy.webp", include_bytes!("fixtures/lossy.webp").to_vec()),
        ("lossless.webp", include_bytes!("fixtures/lossless.webp").to_vec()),
        ("lossyalpha.webp", include_bytes!("fixtures/lossyalpha.webp").to_vec()),
        ("animated.webp", include_bytes!("fixtures/animated.webp").to_vec()),
        ("colour.png", png(24, 17, png::ColorType::Rgb, &pixels)),
    ]
}

fn png(width: u32, height: u32, colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels).expect("pixels");
    writer.finish().expect("an end");
    file
}

#[test]
fn a_picture_that_is_cut_short_is_none() {
    for (name, file) in whole() {
        for channels in [1, 3] {
            let picture = decoded(&file, channels).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((picture.width, picture.height), (24, 17), "{name}");
            // An animation is its first picture, which is whole before its file is.
            let tenths = if name == "animated.webp" { 0..5 } else { 0..10 };
            for tenth in tenths {
                let cut = &file[..file.len() * tenth / 10];
                assert!(decoded(cut, channels).is_err(), "{name} of {tenth} tenths is a picture");
            }
        }
    }
    assert_eq!(decoded(b"", 3).err(), Some(Damage::Nothing));
    assert_eq!(decoded(b"GIF89a", 3).err(), Some(Damage::Format));
}

#[test]
fn changed_bytes_are_a_picture_or_an_error() {
    for (_, file) in whole() {
        for at in 0..file.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= change;
                let _ = decoded(&changed, 3);
            }
        }
    }
}

#[test]
fn what_would_take_too_much_is_refused() {
    let too_large = |file: &[u8]| matches!(decoded(file, 3), Err(Damage::TooLarge { .. }));
    let bomb = |file: &[u8]| matches!(decoded(file, 3), Err(Damage::Bomb { .. }));
    let zeros = |side: u32| png(side, side, png::ColorType::Grayscale, &vec![0; (side * side) as usize]);
    assert!(too_large(&zeros(16_384)));
    assert!(bomb(&zeros(4000)), "48 MB of pixels in {} bytes", zeros(4000).len());
    assert!(too_large(&jpeg(65_500, 65_500, 3, false, 0)));
    assert!(too_large(&jpeg(20_000, 10, 3, false, 0)));
    assert!(bomb(&jpeg(4000, 4000, 3, false, 0)));
    // Four times two bytes for the coefficients of each pixel.
    assert!(too_large(&jpeg(5000, 5000, 4, true, 0)));
    assert!(too_large(&lossless(16_383, 16_383, false, 0)));
    assert!(bomb(&lossless(4000, 4000, false, 0)));
    assert!(too_large(&with_alpha(5000)));
    assert!(too_large(&animated(4000)));
    let Err(Damage::Corrupt(why)) = decoded(&many_codes(), 3) else { panic!("a picture of many codes") };
    assert!(why.contains("its Huffman codes take"), "{why}");
    let hidden = extended(16, 16, 0, &chunk(b"VP8 ", &lossy(16_383, 16_383)));
    assert_eq!(decoded(&hidden, 3).err(), Some(Damage::Corrupt("a frame that is larger than the picture".to_owned())));
}

/// Each of these files in a process of its own, whose peak is measured; the largest pictures that are decoded among them.
#[test]
fn memory_is_bounded() {
    if !std::path::Path::new("/proc/self/clear_refs").exists() {
        return;
    }
    if let Ok(name) = std::env::var("SCALELAW_BAD_DATA") {
        let (_, make, succeeds) = hostile().into_iter().find(|(known, ..)| *known == name).expect("a name");
        let file = make();
        // Making the file took memory too; the peak begins anew.
        std::fs::write("/proc/self/clear_refs", "5").expect("a peak that begins anew");
        let before = peak();
        for channels in [3, 1] {
            let result = decoded(&file, channels).map(|picture| (picture.width, picture.height));
            assert_eq!(result.is_ok(), succeeds, "{name}: {result:?}");
        }
        writeln!(std::io::stderr(), "GREW {}", peak() - before).expect("written");
        return;
    }
    let own = std::env::current_exe().expect("this program");
    for (name, ..) in hostile() {
        let child = Command::new(&own)
            .args(["--exact", "memory_is_bounded", "--nocapture"])
            .env("SCALELAW_BAD_DATA", name)
            .output()
            .expect("this program again");
        let said = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(child.status.success(), "{name}: {said}");
        let grew = said.lines().find_map(|line| line.strip_prefix("GREW ")).expect("a number");
        let grew: u64 = grew.parse().expect("a number");
        assert!(grew < MOST_MEMORY, "{name}: {} MB", grew >> 20);
    }
}

/// The most memory that this process has had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// A name, how the file is made, and whether it is a picture.
type Hostile = (&'static str, fn() -> Vec<u8>, bool);

fn hostile() -> Vec<Hostile> {
    // So large that the file is not taken for a bomb.
    const PAD: usize = 100_000;
    vec![
        ("png of zeros", || png(16_384, 16_384, png::ColorType::Grayscale, &vec![0; 1 << 28]), false),
        ("png of a metre of text", || text(&png(24, 17, png::ColorType::Grayscale, &[0; 24 * 17])), true),
        ("largest png", || png(5000, 5000, png::ColorType::Rgba, &noise(100_000_000)), true),
        ("jpeg that claims much", || jpeg(65_500, 65_500, 3, false, 0), false),
        ("largest jpeg", || jpeg(5000, 5000, 3, false, PAD), true),
        ("largest progressive jpeg", || jpeg(5000, 5000, 3, true, PAD), true),
        ("largest progressive jpeg of four components", || jpeg(4470, 4470, 4, true, PAD), true),
        ("largest lossy webp", || riff(&chunk(b"VP8 ", &lossy(5000, 5000))), true),
        ("largest lossless webp", || lossless(5000, 5000, false, PAD), true),
        ("largest lossless webp with alpha", || lossless(5000, 5000, true, PAD), true),
        ("largest lossy webp with alpha", || with_alpha(4450), true),
        ("largest animated webp with alpha", || animated(3850), true),
        ("webp of many codes", many_codes, false),
    ]
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// With a compressed text and a profile of 300 MB each in front of the pixels.
fn text(file: &[u8]) -> Vec<u8> {
    let mut zipped = Vec::new();
    let mut encoder = flate2::write::ZlibEncoder::new(&mut zipped, flate2::Compression::best());
    (0..300).for_each(|_| encoder.write_all(&[b'a'; 1 << 20]).expect("in memory"));
    encoder.finish().expect("in memory");
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(content);
        [&(content.len() as u32).to_be_bytes()[..], kind, content, &sum.sum().to_be_bytes()].concat()
    };
    let profile = chunk(b"iCCP", &[b"p\0\0", &zipped[..]].concat());
    let text = chunk(b"zTXt", &[b"t\0\0", &zipped[..]].concat());
    // Behind the signature and IHDR.
    [&file[..33], &profile, &text, &file[33..]].concat()
}

/// A JPEG of one colour, whose every block is one or two bits long, with a comment of `pad` bytes.
fn jpeg(width: u16, height: u16, components: u8, progressive: bool, pad: usize) -> Vec<u8> {
    let segment =
        |marker: u8, content: &[u8]| [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat();
    let mut file = vec![0xff, 0xd8];
    file.extend(segment(0xdb, &[&[0][..], &[1; 64]].concat()));
    (0..pad.div_ceil(60_000)).for_each(|_| file.extend(segment(0xfe, &[0; 60_000])));
    let mut frame = [&[8][..], &height.to_be_bytes(), &width.to_be_bytes(), &[components]].concat();
    (1..=components).for_each(|id| frame.extend([id, 0x11, 0]));
    file.extend(segment(if progressive { 0xc2 } else { 0xc0 }, &frame));
    // The only code is one zero; it means a difference of zero, and the end of a block.
    let code = |class: u8| [&[class, 1][..], &[0; 15], &[0]].concat();
    file.extend(segment(0xc4, &code(0x00)));
    file.extend(segment(0xc4, &code(0x10)));
    let mut scan = vec![components];
    (1..=components).for_each(|id| scan.extend([id, 0]));
    scan.extend(if progressive { [0, 0, 0] } else { [0, 63, 0] });
    file.extend(segment(0xda, &scan));
    if u64::from(width) * u64::from(height) <= MOST_PIXELS && width.max(height) as u32 <= LONGEST_SIDE && pad > 0 {
        let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8) * usize::from(components);
        let bits = if progressive { blocks } else { 2 * blocks };
        file.extend(vec![0; bits / 8 + 1]);
    }
    file.extend([0xff, 0xd9]);
    file
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&kind[..], &(content.len() as u32).to_le_bytes(), content, &[0][..content.len() % 2]].concat()
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP", chunks].concat())
}

fn extended(width: u32, height: u32, flags: u8, chunks: &[u8]) -> Vec<u8> {
    let canvas = [&[flags, 0, 0, 0][..], &(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat();
    riff(&[&chunk(b"VP8X", &canvas), chunks].concat())
}

/// A key frame in which every decision is the one that a zero stands for.
fn lossy(width: u16, height: u16) -> Vec<u8> {
    let first = (1_u32 << 19) - 1;
    let tag = 1 << 4 | first << 5;
    let head = [&tag.to_le_bytes()[..3], &[0x9d, 0x01, 0x2a], &width.to_le_bytes(), &height.to_le_bytes()].concat();
    [head, vec![0; first as usize + (3 << 20)]].concat()
}

/// Lossy, with losslessly compressed transparency.
fn with_alpha(side: u16) -> Vec<u8> {
    extended(side.into(), side.into(), 0x10, &frame_with_alpha(side))
}

fn frame_with_alpha(side: u16) -> Vec<u8> {
    let alpha = chunk(b"ALPH", &[&[1], &lossless_stream()[..]].concat());
    [alpha, chunk(b"VP8 ", &lossy(side, side))].concat()
}

/// The same as the only picture of an animation.
fn animated(side: u16) -> Vec<u8> {
    let sides = [&(u32::from(side) - 1).to_le_bytes()[..3]; 2].concat();
    let frame = [&[0; 6][..], &sides, &[1, 0, 0, 0], &frame_with_alpha(side)].concat();
    extended(side.into(), side.into(), 0x12, &[chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)].concat())
}

/// Writes bits from the lowest on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> at & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A code with one symbol, which takes no bits.
    fn one_symbol(&mut self, symbol: u32) {
        self.put(0b101, 3);
        self.put(symbol, 8);
    }
}

/// The stream of a lossless picture of one colour, of any size.
fn lossless_stream() -> Vec<u8> {
    let mut bits = Bits::default();
    // No transform, no cache of colours, one group of codes.
    bits.put(0, 3);
    (0..5).for_each(|_| bits.one_symbol(0));
    bits.put(0, 32);
    bits.bytes
}

fn lossless_header(width: u32, height: u32, alpha: bool) -> Vec<u8> {
    let header = (width - 1) | (height - 1) << 14 | u32::from(alpha) << 28;
    [&[0x2f][..], &header.to_le_bytes()].concat()
}

fn lossless(width: u32, height: u32, alpha: bool, pad: usize) -> Vec<u8> {
    riff(&chunk(b"VP8L", &[lossless_header(width, height, alpha), lossless_stream(), vec![0; pad]].concat()))
}

/// A lossless picture with 65,536 groups of codes, whose tables are as large as they can be for their bytes.
fn many_codes() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0, 2);
    // Groups by an image of which all pixels are (255, 255).
    bits.put(1, 1);
    bits.put(0, 3);
    bits.put(0, 1);
    for symbol in [255, 255, 0, 0, 0] {
        bits.one_symbol(symbol);
    }
    for _ in 0..65_536 * 5 {
        // Codes of lengths 1 to 10, the last twice: first the lengths of the codes for lengths.
        bits.put(0, 1);
        let order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        bits.put(14 - 4, 4);
        for length in &order[..14] {
            // 1 to 6 have codes of three bits, 7 to 10 of four, and the others none.
            bits.put(
                match length {
                    1..=6 => 3,
                    7..=10 => 4,
                    _ => 0,
                },
                3,
            );
        }
        // At most so many symbols.
        bits.put(1, 1);
        bits.put(1, 3);
        bits.put(11 - 2, 4);
        // Canonical codes: 1 to 6 are 000 to 101, 7 to 10 are 1100 to 1111.
        for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
            let (code, count) = if length <= 6 { (length - 1, 3) } else { (12 + length - 7, 4) };
            // The first bit of a code is written first.
            (0..count).for_each(|at| bits.put(code >> (count - 1 - at) & 1, 1));
        }
    }
    bits.put(0, 32);
    riff(&chunk(b"VP8L", &[lossless_header(1400, 1400, false), bits.bytes].concat()))
}
