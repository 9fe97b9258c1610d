//! As much of Thrift's compact protocol as it takes to look at numbers before the crate makes room for what they announce.

/// Structures and lists within each other.
const DEEPEST: usize = 32;
/// Kinds of fields.
const I32: u8 = 5;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// What is left to read; every method says none where that is malformed.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Kind and number of the items of a list.
    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
        // Every item has at least a byte.
        (count <= self.0.len() as u64).then_some((head & 15, count))
    }

    /// Gives number and kind of each field of a structure to `each`, which says whether it has read it.
    fn fields(&mut self, depth: usize, mut each: impl FnMut(&mut Self, i64, u8) -> Option<bool>) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = if head >> 4 == 0 { self.signed()? } else { id.checked_add(i64::from(head >> 4))? };
            if !each(self, id, head & 15)? {
                // In a structure the kind of a truth value is the value.
                if !matches!(head & 15, 1 | 2) {
                    self.skip(head & 15, depth)?;
                }
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let below = depth.checked_sub(1)?;
        match kind {
            1..=3 => self.pass(1),
            4..=6 => self.number().map(drop),
            7 => self.pass(8),
            BINARY => self.number().and_then(|length| self.pass(length)),
            LIST | 10 => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip(kind, below))
            }
            11 => {
                let count = self.number()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, below)?;
                    self.skip(kinds & 15, below)
                })
            }
            STRUCT => self.fields(below, |_, _, _| Some(false)),
            13 => self.pass(16),
            _ => None,
        }
    }

    /// For each element of a schema how many children it announces.
    fn schema(&mut self) -> Option<Vec<i64>> {
        let (STRUCT, count) = self.list()? else { return None };
        let mut all = Vec::new();
        for _ in 0..count {
            let mut children = 0;
            self.fields(DEEPEST, |compact, id, kind| match (id, kind) {
                (5, I32) => {
                    children = compact.signed()?;
                    Some(true)
                }
                (1..=3 | 6..=9, I32) | (4, BINARY) | (10, STRUCT) => Some(false),
                // The crate reads these fields without a look at their kind.
                (1..=10, _) => None,
                _ => Some(false),
            })?;
            all.push(children);
        }
        Some(all)
    }
}

/// Looks at the schema in a footer, without the length and the mark behind it: nobody has more children than there are elements,
/// and groups are not too deep within each other.
pub(super) fn check_footer(footer: &[u8]) -> Result<(), String> {
    let kinds = [I32, LIST, 6, LIST, LIST, BINARY, LIST, STRUCT, BINARY];
    let walked = Compact(footer).fields(DEEPEST, |compact, id, kind| {
        let expected = id.checked_sub(1).and_then(|at| kinds.get(usize::try_from(at).ok()?));
        match (id, expected) {
            (_, Some(expected)) if *expected != kind => None,
            (2, _) => fits(&compact.schema()?).then_some(true),
            _ => Some(false),
        }
    });
    walked.ok_or_else(|| "damaged: its footer cannot be".to_owned())
}

fn fits(children: &[i64]) -> bool {
    // How many children the groups around are still to get.
    let mut open: Vec<i64> = Vec::new();
    for count in children {
        while open.pop_if(|left| *left == 0).is_some() {}
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if *count < 0 || *count > children.len() as i64 || open.len() >= DEEPEST {
            return false;
        }
        if *count > 0 {
            open.push(*count);
        }
    }
    true
}

/// Kind of a page (2: dictionary) and its bytes without compression. None if the header is malformed or not all there: the crate
/// passes over as many truth values as a list announces, which takes minutes.
pub(super) fn page(header: &[u8]) -> Option<(i64, i64)> {
    let mut numbers = [0; 2];
    Compact(header).fields(DEEPEST, |compact, id, kind| match (id, kind) {
        (1 | 2, I32) => {
            numbers[id as usize - 1] = compact.signed()?;
            Some(true)
        }
        (3 | 4, I32) | (6, STRUCT) => Some(false),
        (5 | 7 | 8, STRUCT) => compact
            .fields(DEEPEST, |_, field, kind| match (id, field, kind) {
                // The numbers of values and encodings, which the crate reads without a look at their kind.
                (5, 1..=4, I32) | (7, 1..=2, I32) | (8, 1..=6, I32) => Some(false),
                (5, 5, STRUCT) | (7, 3, 1 | 2) | (8, 7, 1 | 2) | (8, 8, STRUCT) => Some(false),
                (_, 1..=8, _) => None,
                _ => Some(false),
            })
            .map(|()| true),
        (1..=8, _) => None,
        _ => Some(false),
    })?;
    Some((numbers[0], numbers[1]))
}

/// Whether what announces something in this structure is followed by as much.
pub(super) fn is_whole(structure: &[u8]) -> bool {
    Compact(structure).fields(DEEPEST, |_, _, _| Some(false)).is_some()
}

/// Integers in DELTA_BINARY_PACKED: the sum of those above 0, and what is behind them. None if they are malformed or more than `most`.
pub(super) fn deltas(bytes: &[u8], most: u64) -> Option<(u64, &[u8])> {
    let mut compact = Compact(bytes);
    let (block, parts, count) = (compact.number()?, compact.number()?, compact.number()?);
    let mut value = compact.signed()?;
    if count > most || parts == 0 || !block.is_multiple_of(128) || !block.is_multiple_of(parts) {
        return None;
    }
    let each = block / parts;
    let mut left = count.saturating_sub(1);
    let mut sum = if count > 0 { u64::try_from(value).unwrap_or(0) } else { 0 };
    while left > 0 {
        let least = compact.signed()?;
        let widths = compact.0.get(..usize::try_from(parts).ok()?)?;
        compact.pass(parts)?;
        for width in widths {
            if left == 0 {
                break;
            }
            let packed = compact.0;
            compact.pass(each.checked_mul(u64::from(*width))? / 8)?;
            let (width, own) = (usize::from(*width), each.min(left));
            if width > 64 {
                return None;
            }
            for at in 0..own as usize {
                let bit = |bit: usize| u64::from(packed[bit / 8] >> (bit % 8) & 1);
                let delta = (0..width).fold(0, |delta, low| delta | bit(at * width + low) << low);
                // The crate has 32 bits and lets them overflow.
                value = i64::from(value.wrapping_add(least).wrapping_add(delta as i64) as i32);
                sum = sum.saturating_add(u64::try_from(value).unwrap_or(0));
            }
            left -= own;
        }
    }
    Some((sum, compact.0))
}
