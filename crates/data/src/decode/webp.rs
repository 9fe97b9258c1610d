//! What the Huffman codes of a losslessly compressed WebP take in memory.
//!
//! A picture may have 65,536 groups of five codes, and the decoder makes tables of all of them before it decodes a pixel: more than
//! a gigabyte for a file of four megabytes. So a file is read up to its last code, as the decoder would, and only sums are kept.

use super::Damage;

/// Symbols of the five codes of a group without a cache of colours: green and lengths, red, blue, alpha, distances.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// Order in which the lengths of the codes for lengths stand.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// Of the table that looks symbols up.
const TABLE_BITS: u8 = 10;
/// Bytes of a group without its tables, in a list that doubles when it is full.
const GROUP: u64 = 1000;

/// Bytes that the codes of a file take, at least as far as they are not more than `most`.
pub(super) fn code_bytes(file: &[u8], width: u32, height: u32, most: u64) -> Result<u64, Damage> {
    let mut bytes = 0;
    chunks(file, 12, &mut |kind, content| {
        bytes = bytes.max(frame_bytes(kind, content, [width, height], most)?);
        if kind == b"ANMF" {
            let side = |at: usize| {
                content.get(at..at + 3).map_or(0, |side| u32::from_le_bytes([side[0], side[1], side[2], 0]))
            };
            let sides = [side(6) + 1, side(9) + 1];
            chunks(content, 16, &mut |kind, content| {
                bytes = bytes.max(frame_bytes(kind, content, sides, most)?);
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(bytes)
}

type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), Damage>;

/// Gives all chunks from `at` on, the last one as far as it is there.
fn chunks(file: &[u8], mut at: usize, each: Each<'_>) -> Result<(), Damage> {
    while let Some((head, rest)) = file.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        each(&head[..4], &rest[..size.min(rest.len())])?;
        at += 8 + size.next_multiple_of(2);
    }
    Ok(())
}

fn frame_bytes(kind: &[u8], content: &[u8], sides: [u32; 2], most: u64) -> Result<u64, Damage> {
    let mut bits = Bits { bytes: content, at: 0, ended: false };
    let sides = match kind {
        b"VP8L" => bits.header(),
        // The way of compression stands in the lowest bits.
        b"ALPH" if content.first().is_some_and(|way| way & 3 == 1) => bits.get(8).map(|_| sides),
        _ => return Ok(0),
    };
    let bytes = sides.and_then(|[width, height]| bits.codes(width, height, most));
    bytes.ok_or_else(|| match bits.ended {
        true => Damage::Truncated,
        false => Damage::Corrupt("the codes of its symbols make no sense".to_owned()),
    })
}

/// What stands in a code.
enum Code {
    One(u16),
    Two([u16; 2]),
    /// For each symbol how long its code is; 0 for symbols that have none.
    Lengths(Vec<u8>),
}

impl Code {
    /// What the decoder keeps of it, with what an allocation costs.
    fn bytes(&self) -> u64 {
        let Code::Lengths(lengths) = self else { return 200 };
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let long = lengths.iter().filter(|length| **length > TABLE_BITS).count() as u64;
        (4 << longest.min(TABLE_BITS)) + 32 * long + 100
    }

    /// For the next bits, of which the first is the lowest, a symbol and how many of them it has.
    fn table(&self) -> Option<Vec<(u16, u8)>> {
        let lengths = match self {
            Code::One(symbol) => return Some(vec![(*symbol, 0)]),
            Code::Two([zero, one]) => return Some(vec![(*zero, 1), (*one, 1)]),
            Code::Lengths(lengths) => lengths,
        };
        let mut used = lengths.iter().zip(0_u16..).filter(|(length, _)| **length > 0);
        if let (Some((_, symbol)), None) = (used.next(), used.next()) {
            return Some(vec![(symbol, 0)]);
        }
        let longest = lengths.iter().copied().max().filter(|longest| (1..=15).contains(longest))?;
        let mut table = vec![(0, 0); 1 << longest];
        let mut next = 0_usize;
        for length in 1..=longest {
            for (_, symbol) in lengths.iter().zip(0_u16..).filter(|(own, _)| **own == length) {
                let first = next.reverse_bits() >> (usize::BITS - u32::from(length));
                table.get_mut(first..)?.iter_mut().step_by(1 << length).for_each(|entry| *entry = (symbol, length));
                next += 1;
                if next > 1 << length {
                    return None;
                }
            }
            next <<= 1;
        }
        // Every sequence of bits is to be a symbol.
        (next == 2 << longest).then_some(table)
    }
}

/// Bits from the lowest of each byte on; every method says none where they make no sense or end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    ended: bool,
}

impl Bits<'_> {
    /// The next 24 bits; zeros behind the end.
    fn peek(&self) -> u32 {
        let byte = |at: usize| self.bytes.get(self.at / 8 + at).copied().unwrap_or_default();
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]) >> (self.at % 8) & 0xff_ffff
    }

    fn get(&mut self, count: u8) -> Option<u32> {
        let bits = self.peek() & ((1 << count) - 1);
        self.at += usize::from(count);
        self.ended = self.at > 8 * self.bytes.len();
        if self.ended { None } else { Some(bits) }
    }

    fn symbol(&mut self, table: &[(u16, u8)]) -> Option<usize> {
        let (symbol, length) = table[self.peek() as usize & (table.len() - 1)];
        self.get(length)?;
        Some(usize::from(symbol))
    }

    fn header(&mut self) -> Option<[u32; 2]> {
        let signature = self.get(8)?;
        let sides = [self.get(14)? + 1, self.get(14)? + 1];
        (signature == 0x2f && self.get(4)? >> 1 == 0).then_some(sides)
    }

    /// Reads up to the last code of the picture.
    fn codes(&mut self, width: u32, height: u32, most: u64) -> Option<u64> {
        let mut columns = width;
        let mut seen = [false; 4];
        while self.get(1)? == 1 {
            let kind = self.get(2)? as usize;
            if std::mem::replace(&mut seen[kind], true) {
                return None;
            }
            match kind {
                0 | 1 => {
                    let block = self.get(3)? + 2;
                    self.image(parts(columns, block), parts(height, block))?;
                }
                3 => {
                    let colours = self.get(8)? + 1;
                    self.image(colours, 1)?;
                    let together = [(2, 3), (4, 2), (16, 1)].iter().find(|(most, _)| colours <= *most);
                    columns = parts(columns, together.map_or(0, |(_, bits)| *bits));
                }
                _ => {}
            }
        }
        let cache = self.cache()?;
        let mut groups = 1;
        if self.get(1)? == 1 {
            let block = self.get(3)? + 2;
            groups = self.image(parts(columns, block), parts(height, block))? + 1;
        }
        let mut bytes = 0;
        for _ in 0..groups {
            bytes += GROUP;
            for alphabet in alphabets(cache) {
                bytes += self.code(alphabet)?.bytes();
            }
            if bytes > most {
                break;
            }
        }
        Some(bytes)
    }

    /// Symbols that the cache of colours adds.
    fn cache(&mut self) -> Option<usize> {
        if self.get(1)? == 0 {
            return Some(0);
        }
        let bits = self.get(4)?;
        (1..=11).contains(&bits).then_some(1 << bits)
    }

    /// Reads an image that speaks of the picture; gives the highest number that red and green make. Colours from the cache and
    /// copies have been there before.
    fn image(&mut self, width: u32, height: u32) -> Option<u32> {
        let cache = self.cache()?;
        let mut tables = Vec::new();
        for alphabet in alphabets(cache) {
            tables.push(self.code(alphabet)?.table()?);
        }
        let mut left = u64::from(width) * u64::from(height);
        let mut highest = 0;
        while left > 0 {
            let green = self.symbol(&tables[0])?;
            let mut count = 1;
            if green < 256 {
                let red = self.symbol(&tables[1])?;
                self.symbol(&tables[2])?;
                self.symbol(&tables[3])?;
                highest = highest.max((red as u32 & 0xff) << 8 | green as u32);
            } else if green < ALPHABETS[0] {
                count = self.distance(green - 256)?;
                let symbol = self.symbol(&tables[4])?;
                self.distance(symbol)?;
            }
            left = left.checked_sub(count)?;
        }
        Some(highest)
    }

    fn distance(&mut self, symbol: usize) -> Option<u64> {
        if symbol < 4 {
            return Some(symbol as u64 + 1);
        }
        let more = u8::try_from((symbol - 2) / 2).ok().filter(|more| *more <= 24)?;
        let bits = self.get(more)?;
        Some(((2 + (symbol as u64 & 1)) << more) + u64::from(bits) + 1)
    }

    fn code(&mut self, alphabet: usize) -> Option<Code> {
        if self.get(1)? == 1 {
            let two = self.get(1)? == 1;
            let wide = self.get(1)? == 1;
            let zero = self.get(if wide { 8 } else { 1 })? as u16;
            let one = if two { self.get(8)? as u16 } else { 0 };
            if usize::from(zero.max(one)) >= alphabet {
                return None;
            }
            return Some(if two { Code::Two([zero, one]) } else { Code::One(zero) });
        }
        let count = 4 + self.get(4)? as usize;
        let mut lengths = vec![0; ORDER.len()];
        for at in &ORDER[..count] {
            lengths[*at] = self.get(3)? as u8;
        }
        let table = Code::Lengths(lengths).table()?;
        let mut left = alphabet;
        if self.get(1)? == 1 {
            let bits = 2 + 2 * self.get(3)? as u8;
            left = 2 + self.get(bits)? as usize;
            if left > alphabet {
                return None;
            }
        }
        let mut lengths = Vec::with_capacity(alphabet);
        let mut last = 8;
        while lengths.len() < alphabet && left > 0 {
            left -= 1;
            let (length, times) = match self.symbol(&table)? {
                16 => (last, 3 + self.get(2)?),
                17 => (0, 3 + self.get(3)?),
                18 => (0, 11 + self.get(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                last = length;
            }
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        (lengths.len() <= alphabet && lengths.iter().any(|length| *length > 0)).then_some(Code::Lengths(lengths))
    }
}

fn alphabets(cache: usize) -> [usize; 5] {
    let [green, rest @ ..] = ALPHABETS;
    let [red, blue, alpha, distance] = rest;
    [green + cache, red, blue, alpha, distance]
}

/// Blocks of so many bits of side in a picture of so many pixels.
fn parts(pixels: u32, bits: u32) -> u32 {
    pixels.div_ceil(1 << bits)
}
