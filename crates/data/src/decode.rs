//! JPEG, PNG and WebP become pixels, within limits that a hostile file cannot pass.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::crop::{Part, Window};

mod webp;

/// Most pixels of a picture: a photograph of 25 million takes 75 MB, and a decoder up to three times that while it works.
pub const MOST_PIXELS: u64 = 25_000_000;

/// Most bytes that a decoder may take. What it takes for each pixel depends on how the file is made: a progressive JPEG of four
/// components keeps 8 bytes of coefficients, an animated WebP a canvas beside its frame.
const MOST_BYTES: u64 = 240_000_000;

/// Longest side.
pub const LONGEST_SIDE: u32 = 16_384;

/// Most bytes of pixels for each byte of a file that has more than [`RATIO_FROM`] of them. Real pictures stay below 100; a
/// white page comes to some hundreds.
pub const MOST_RATIO: u64 = 1000;

/// From how many bytes of pixels on the ratio counts.
const RATIO_FROM: u64 = 16 << 20;

/// Bytes of a PNG file that are kept beside its pixels: a row, a palette, and chunks that nobody looks at.
const PNG_BESIDE: usize = 8 << 20;

/// Pictures with more pixels than this are decoded one at a time, so that threads do not add up to more memory than promised.
const LARGE: u64 = 4_000_000;

static ONE_LARGE: Mutex<()> = Mutex::new(());

/// A version of what turns bytes into pixels; part of the fingerprint of encoded data, because another decoder makes other
/// pixels of the same bytes.
pub const DECODER: &str = "mozjpeg 0.10, png 0.18, image-webp 0.2";

/// Why a file gives no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Neither JPEG nor PNG nor WebP.
    #[error("neither JPEG nor PNG nor WebP")]
    Format,
    /// The file ends before the picture does.
    #[error("the file ends before the picture does")]
    Truncated,
    /// The content makes no sense.
    #[error("{0}")]
    Corrupt(String),
    /// More pixels than are decoded.
    #[error("{width} x {height} pixels; at most {most} of such a file are decoded, and {LONGEST_SIDE} on a side")]
    TooLarge {
        /// Columns.
        width: u64,
        /// Rows.
        height: u64,
        /// Pixels of the largest picture in a file like this.
        most: u64,
    },
    /// So few bytes for so many pixels that the file is taken for a bomb.
    #[error("{bytes} bytes for {pixels} pixels: taken for a decompression bomb")]
    Bomb {
        /// Of the file.
        bytes: u64,
        /// Of the picture.
        pixels: u64,
    },
    /// The example has no picture at all.
    #[error("no picture")]
    Nothing,
}

/// A decoded picture: rows from the top, channels of a pixel beside each other.
#[derive(Debug, Default)]
pub struct Decoded {
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
}

/// What is wanted of a picture.
pub(crate) struct Wanted<'a> {
    /// The part, by the picture's columns and rows.
    pub(crate) part: &'a dyn Fn(usize, usize) -> Part,
    /// The height and width that the part is brought to.
    pub(crate) side: usize,
}

impl Wanted<'_> {
    fn part(&self, width: usize, height: usize) -> Part {
        (self.part)(width, height).within(width, height)
    }
}

/// Decodes a whole `file` into `picture`, whose memory is used again. Grey pictures become colour and colour pictures grey as
/// `channels` (1 or 3) says; transparency is dropped, and of an animation the first picture is taken. The orientation that
/// cameras note is not applied, as in the data loaders that people compare with.
pub fn decode(file: &[u8], channels: usize, picture: &mut Decoded) -> Result<(), Damage> {
    let whole = |width, height| Part { top: 0, left: 0, height, width };
    decode_part(file, channels, &Wanted { part: &whole, side: LONGEST_SIDE as usize }, picture).map(|_| ())
}

/// The same of what is wanted of a picture, perhaps at a smaller scale and with less around it; which part of `picture` that is.
pub(crate) fn decode_part(
    file: &[u8],
    channels: usize,
    wanted: &Wanted<'_>,
    picture: &mut Decoded,
) -> Result<Window, Damage> {
    // The decoder of JPEG reports errors by unwinding; should another one panic on bytes that nobody has thought of, that costs
    // one example.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        match format(file)? {
            Format::Jpeg => return jpeg(file, channels, wanted, picture),
            Format::Png => png(file, channels, picture)?,
            Format::Webp => webp(file, channels, picture)?,
        }
        Ok(wanted.part(picture.width, picture.height).scaled(8))
    }));
    decoded.unwrap_or_else(|panic| {
        *picture = Decoded::default();
        let message = panic.downcast_ref::<String>().map_or("the decoder has failed", String::as_str);
        Err(Damage::Corrupt(message.trim_start_matches("libjpeg fatal error: ").chars().take(200).collect()))
    })
}

#[derive(Clone, Copy)]
enum Format {
    Jpeg,
    Png,
    Webp,
}

fn format(file: &[u8]) -> Result<Format, Damage> {
    match file {
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Ok(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::Webp),
        [] => Err(Damage::Nothing),
        _ => Err(Damage::Format),
    }
}

/// Refuses what is too large before anything is allocated for it, and waits where another large picture is being decoded. The
/// decoder takes `each` bytes for a pixel at worst.
fn admit(
    file: &[u8],
    width: u64,
    height: u64,
    each: u64,
) -> Result<Option<std::sync::MutexGuard<'static, ()>>, Damage> {
    let pixels = width.saturating_mul(height);
    if pixels == 0 {
        return Err(Damage::Corrupt(format!("{width} x {height} pixels")));
    }
    let most = MOST_PIXELS.min(MOST_BYTES / each);
    if pixels > most || width.max(height) > u64::from(LONGEST_SIDE) {
        return Err(Damage::TooLarge { width, height, most });
    }
    let bytes = file.len() as u64;
    if pixels * 3 > RATIO_FROM && pixels * 3 > bytes.saturating_mul(MOST_RATIO) {
        return Err(Damage::Bomb { bytes, pixels });
    }
    Ok((pixels > LARGE).then(|| ONE_LARGE.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Decodes the rows that are wanted, at the smallest scale that still has as many pixels as they are brought to. What lies below
/// is not even read: entropy decoding is most of the work.
fn jpeg(file: &[u8], channels: usize, wanted: &Wanted<'_>, picture: &mut Decoded) -> Result<Window, Damage> {
    let four_channels = survey(file)?;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Damage::Truncated,
        _ => Damage::Corrupt(error.to_string()),
    };
    let mut decoder = mozjpeg::Decompress::new_mem(file).map_err(failed)?;
    let (width, height) = decoder.size();
    // Two bytes for each coefficient of a progressive file, half as many again where subsampled rows are padded to one grey
    // channel, and pixels.
    let _alone = admit(file, width as u64, height as u64, if four_channels { 12 } else { 9 })?;
    let part = wanted.part(width, height);
    let eighths = [1, 2, 4].into_iter().find(|eighths| part.width.min(part.height) * eighths >= 8 * wanted.side);
    let eighths = eighths.unwrap_or(8);
    decoder.scale(eighths as u8);
    let (mut started, given) = match (four_channels, channels) {
        (true, _) => (decoder.to_colorspace(mozjpeg::ColorSpace::JCS_CMYK), 4),
        (false, 1) => (decoder.grayscale(), 1),
        (false, _) => (decoder.rgb(), 3),
    };
    let started = started.as_mut().map_err(|error| Damage::Corrupt(error.to_string()))?;
    let window = part.scaled(eighths);
    let above = window.top.floor() as usize;
    let rows = ((window.top + window.height).ceil() as usize).min(started.height()).saturating_sub(above).max(1);
    let row = started.width() * given;
    picture.pixels.resize(rows * row, 0);
    for _ in 0..above {
        started.read_scanlines_into(&mut picture.pixels[..row]).map_err(failed)?;
    }
    started.read_scanlines_into(&mut picture.pixels).map_err(failed)?;
    (picture.width, picture.height, picture.channels) = (started.width(), rows, channels);
    let given = if given == 4 { ink_to_light(&mut picture.pixels) } else { given };
    convert(&mut picture.pixels, given, channels)?;
    Ok(Window { top: window.top - above as f64, ..window })
}

/// Most scans of a JPEG. Each may go through the whole picture, and real files have about ten.
const MOST_SCANS: usize = 300;

/// Looks through the segments before the first scan: whether the picture has four channels. Refuses a file without an
/// end-of-image marker behind the scan (a thumbnail has one too, but before it), and one with absurdly many scans.
fn survey(file: &[u8]) -> Result<bool, Damage> {
    let mut at = 2;
    let mut four_channels = false;
    loop {
        match file.get(at..at + 4) {
            Some([0xff, 0xda, ..]) => break,
            Some([0xff, 0xff | 0x01 | 0xd0..=0xd8, ..]) => at += 1,
            Some([0xff, marker, high, low]) => {
                if matches!(marker, 0xc0..=0xc2) {
                    four_channels = file.get(at + 9) == Some(&4);
                }
                at += 2 + (usize::from(*high) << 8 | usize::from(*low));
            }
            // A stray byte between segments.
            Some(_) => at += 1,
            None => return Err(Damage::Truncated),
        }
    }
    let scans = &file[at..];
    let count = |marker: u8| scans.windows(2).filter(|pair| *pair == [0xff, marker]).count();
    if count(0xda) > MOST_SCANS {
        return Err(Damage::Corrupt(format!("more than {MOST_SCANS} scans")));
    }
    match scans.windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        true => Ok(four_channels),
        false => Err(Damage::Truncated),
    }
}

/// Cyan, magenta, yellow and black, which Adobe's programs store inverted and nobody else stores, to red, green and blue.
fn ink_to_light(pixels: &mut Vec<u8>) -> usize {
    let count = pixels.len() / 4;
    for at in 0..count {
        let black = u32::from(pixels[4 * at + 3]);
        for channel in 0..3 {
            pixels[3 * at + channel] = (u32::from(pixels[4 * at + channel]) * black / 255) as u8;
        }
    }
    pixels.truncate(3 * count);
    3
}

fn png(file: &[u8], channels: usize, picture: &mut Decoded) -> Result<(), Damage> {
    let truncated = |error: png::DecodingError| match &error {
        png::DecodingError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Damage::Truncated,
        _ => Damage::Corrupt(error.to_string()),
    };
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_limits(png::Limits { bytes: PNG_BESIDE });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.ignore_checksums(false);
    let mut reader = decoder.read_info().map_err(truncated)?;
    let (width, height) = (reader.info().width, reader.info().height);
    let _alone = admit(file, u64::from(width), u64::from(height), 8)?;
    let size = reader.output_buffer_size().ok_or(Damage::Nothing)?;
    picture.pixels.resize(size, 0);
    let frame = reader.next_frame(&mut picture.pixels).map_err(truncated)?;
    let given = frame.color_type.samples();
    picture.pixels.truncate(frame.width as usize * frame.height as usize * given);
    (picture.width, picture.height, picture.channels) = (frame.width as usize, frame.height as usize, channels);
    convert(&mut picture.pixels, given, channels)
}

fn webp(file: &[u8], channels: usize, picture: &mut Decoded) -> Result<(), Damage> {
    let refused = |error: image_webp::DecodingError| match &error {
        image_webp::DecodingError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Damage::Truncated,
        _ => Damage::Corrupt(error.to_string()),
    };
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let each = webp_bytes(file);
    let _alone = admit(file, u64::from(width), u64::from(height), each)?;
    if oversized_frame(file, width, height) {
        return Err(Damage::Corrupt("a frame that is larger than the picture".to_owned()));
    }
    let left = MOST_BYTES - u64::from(width) * u64::from(height) * each;
    let codes = webp::code_bytes(file, width, height, left)?;
    if codes > left {
        return Err(Damage::Corrupt(format!("its Huffman codes take {codes} bytes or more")));
    }
    let size = decoder.output_buffer_size().ok_or(Damage::Nothing)?;
    picture.pixels.resize(size, 0);
    decoder.read_image(&mut picture.pixels).map_err(refused)?;
    (picture.width, picture.height, picture.channels) = (width as usize, height as usize, channels);
    convert(&mut picture.pixels, if decoder.has_alpha() { 4 } else { 3 }, channels)
}

/// Bytes that the decoder takes for a pixel: those it gives back, those it decodes to, planes of alpha, a canvas.
fn webp_bytes(file: &[u8]) -> u64 {
    match (file.get(12..16), file.get(20)) {
        (Some(b"VP8X"), Some(flags)) if flags & 0x02 != 0 => 16,
        (Some(b"VP8X"), Some(flags)) if flags & 0x10 != 0 => 12,
        // Room for the codes of the largest picture.
        _ => 8,
    }
}

/// Whether a lossy frame anywhere in the file says that it is larger than the picture: the decoder makes room for it and decodes
/// it before it compares.
fn oversized_frame(file: &[u8], width: u32, height: u32) -> bool {
    file.windows(18).filter(|frame| frame.starts_with(b"VP8 ") && frame[11..14] == [0x9d, 0x01, 0x2a]).any(|frame| {
        let side = |at: usize| u32::from(u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3fff);
        side(14) > width || side(16) > height
    })
}

/// Brings pixels of `given` channels (grey, grey and alpha, colour, colour and alpha) to 1 or 3.
fn convert(pixels: &mut Vec<u8>, given: usize, channels: usize) -> Result<(), Damage> {
    match (given, channels) {
        (1, 1) | (3, 3) => {}
        (1 | 2, 3) => {
            let grey: Vec<u8> = pixels.iter().step_by(given).copied().collect();
            pixels.clear();
            pixels.extend(grey.into_iter().flat_map(|level| [level; 3]));
        }
        (2 | 4, _) if given == channels + 1 => {
            let count = pixels.len() / given;
            for at in 0..count {
                pixels.copy_within(at * given..at * given + channels, at * channels);
            }
            pixels.truncate(count * channels);
        }
        (3 | 4, 1) => {
            let count = pixels.len() / given;
            for at in 0..count {
                let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixels[at * given + channel]));
                // ITU-R BT.601, in 16 bits.
                pixels[at] = ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8;
            }
            pixels.truncate(count);
        }
        _ => return Err(Damage::Corrupt(format!("{given} channels"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
