//! What an index says of itself: which files it is of, how many examples of which classes they have.
//!
//! Everything is little-endian. Lengths in the file are not trusted: nothing is allocated before that many bytes are there.

use super::ENTRY;

/// Bytes before the first entry.
pub(crate) const PROLOGUE: usize = 72;
const MAGIC: [u8; 8] = *b"SCALELAW";
/// Changes with the layout or the meaning of anything in it; an older index is made anew.
const VERSION: u32 = 1;

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    Tar,
    Parquet,
}

/// What has been passed over, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Links in tar files.
    pub links: u64,
    /// Members of tar files whose name is absolute or has `..`.
    pub outside: u64,
    /// Devices, pipes and the like.
    pub special: u64,
    /// Folders in tar files.
    pub folders: u64,
    /// Samples without a picture.
    pub no_picture: u64,
    /// Files that are neither a picture nor part of a sample.
    pub other: u64,
}

impl Passed {
    pub(crate) fn fields(&mut self) -> [&mut u64; 6] {
        let Passed { links, outside, special, folders, no_picture, other } = self;
        [links, outside, special, folders, no_picture, other]
    }

    pub(crate) fn add(&mut self, mut other: Passed) {
        self.fields().into_iter().zip(other.fields()).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
    }

    /// All of them.
    pub fn total(mut self) -> u64 {
        self.fields().into_iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// For people: `3 passed over: 2 links, 1 absolute name`.
impl std::fmt::Display for Passed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = [
            ["link", "links"],
            ["absolute name or name with ..", "absolute names or names with .."],
            ["device or the like", "devices and the like"],
            ["folder", "folders"],
            ["sample without a picture", "samples without a picture"],
            ["other file", "other files"],
        ];
        write!(formatter, "{} passed over", self.total())?;
        let mut copy = *self;
        let there = copy.fields().into_iter().zip(what).filter(|(count, _)| **count > 0);
        for (at, (count, [one, many])) in there.enumerate() {
            write!(formatter, "{} {count} {}", if at == 0 { ":" } else { "," }, if *count == 1 { one } else { many })?;
        }
        Ok(())
    }
}

/// One file of the data: a tar or Parquet file, or a folder with pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Relative to the folder that the pattern names literally.
    pub(crate) name: String,
    /// Size, and when it was changed in seconds and nanoseconds: what tells whether it is still the same.
    pub(crate) state: [i64; 3],
    pub(crate) passed: Passed,
    /// Number of entries.
    pub(crate) count: u64,
    /// Bytes in the blob.
    pub(crate) blob: u64,
    /// BLAKE3 over the entries and this part of the blob.
    pub(crate) digest: [u8; 32],
    /// The number of the first entry; follows from the files before.
    pub(crate) first: u64,
    /// Where this part of the blob begins; follows from the files before.
    pub(crate) blob_first: u64,
}

/// The header of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Hash of the pattern and of how labels are found.
    pub(crate) key: [u8; 32],
    pub(crate) kind: Kind,
    /// Whether labels stand in the blob.
    pub(crate) many: bool,
    pub(crate) fingerprint: String,
    pub(crate) class_names: Vec<String>,
    pub(crate) per_class: Vec<u64>,
    pub(crate) records: Vec<Record>,
    /// The sum over the records.
    pub(crate) entries: u64,
}

/// The first bytes of an index.
pub(crate) struct Prologue {
    pub(crate) entries: u64,
    pub(crate) blob: u64,
    /// Bytes of the header, which is the end of the file.
    pub(crate) tail: u64,
    /// BLAKE3 over the prologue up to here and the header.
    hash: [u8; 32],
}

impl Prologue {
    /// The length of the whole file, if there can be such a file.
    pub(crate) fn length(&self) -> Option<u64> {
        let entries = self.entries.checked_mul(ENTRY)?;
        entries.checked_add(self.blob)?.checked_add(self.tail)?.checked_add(PROLOGUE as u64)
    }
}

pub(crate) fn prologue(start: &[u8; PROLOGUE]) -> Result<Prologue, String> {
    let mut bytes = Bytes(start);
    if bytes.array()? != MAGIC {
        return Err("not an index: its first bytes are others".to_owned());
    }
    let version = bytes.u32()?;
    if version != VERSION {
        return Err(format!("an index of version {version}, expected {VERSION}"));
    }
    bytes.u32()?;
    Ok(Prologue { entries: bytes.u64()?, blob: bytes.u64()?, tail: bytes.u64()?, hash: bytes.array()? })
}

/// Reads the header of a whole index in memory; entries and blob are not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn parse_index_header(content: &[u8]) -> Result<Header, String> {
    let (start, rest) = content.split_first_chunk::<PROLOGUE>().ok_or("too few bytes for an index")?;
    let prologue = prologue(start)?;
    if prologue.length() != Some(content.len() as u64) {
        return Err(format!("{} bytes are not the length that its beginning announces", content.len()));
    }
    parse(start, &rest[rest.len() - prologue.tail as usize..])
}

/// Reads a header, whose length is that of the prologue.
pub(crate) fn parse(start: &[u8; PROLOGUE], tail: &[u8]) -> Result<Header, String> {
    let prologue = prologue(start)?;
    if hash(&start[..PROLOGUE - 32], tail) != prologue.hash {
        return Err("damaged: the checksum of its header is wrong".to_owned());
    }
    let mut bytes = Bytes(tail);
    let key = bytes.array()?;
    let [kind, many] = bytes.array()?;
    let kind = match kind {
        0 => Kind::Folder,
        1 => Kind::Tar,
        2 => Kind::Parquet,
        _ => return Err(format!("damaged: a kind {kind}")),
    };
    let fingerprint = bytes.text()?;
    let class_names = bytes.list(Bytes::text)?;
    let per_class = bytes.list(Bytes::u64)?;
    let mut records = bytes.list(Bytes::record)?;
    let (mut entries, mut blob) = (0_u64, 0_u64);
    for record in &mut records {
        (record.first, record.blob_first) = (entries, blob);
        let sums = entries.checked_add(record.count).zip(blob.checked_add(record.blob));
        (entries, blob) = sums.ok_or("damaged: too many entries")?;
    }
    if (entries, blob) != (prologue.entries, prologue.blob) || !bytes.0.is_empty() {
        return Err("damaged: its files have not as many entries as it has".to_owned());
    }
    Ok(Header { key, kind, many: many != 0, fingerprint, class_names, per_class, records, entries })
}

/// Prologue and header as they are written.
pub(super) fn serialise(header: &Header) -> ([u8; PROLOGUE], Vec<u8>) {
    let mut tail = header.key.to_vec();
    tail.extend([header.kind as u8, u8::from(header.many)]);
    let text = |tail: &mut Vec<u8>, text: &str| {
        tail.extend((text.len() as u32).to_le_bytes());
        tail.extend(text.as_bytes());
    };
    text(&mut tail, &header.fingerprint);
    tail.extend((header.class_names.len() as u32).to_le_bytes());
    header.class_names.iter().for_each(|name| text(&mut tail, name));
    tail.extend((header.per_class.len() as u32).to_le_bytes());
    header.per_class.iter().for_each(|count| tail.extend(count.to_le_bytes()));
    tail.extend((header.records.len() as u32).to_le_bytes());
    for record in &header.records {
        text(&mut tail, &record.name);
        record.state.iter().for_each(|part| tail.extend(part.to_le_bytes()));
        let mut passed = record.passed;
        passed.fields().into_iter().for_each(|count| tail.extend(count.to_le_bytes()));
        tail.extend(record.count.to_le_bytes());
        tail.extend(record.blob.to_le_bytes());
        tail.extend(record.digest);
    }
    let blob = header.records.iter().map(|record| record.blob).sum::<u64>();
    let mut start = [0; PROLOGUE];
    start[..8].copy_from_slice(&MAGIC);
    start[8..12].copy_from_slice(&VERSION.to_le_bytes());
    for (at, value) in [(16, header.entries), (24, blob), (32, tail.len() as u64)] {
        start[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let checksum = hash(&start[..PROLOGUE - 32], &tail);
    start[PROLOGUE - 32..].copy_from_slice(&checksum);
    (start, tail)
}

fn hash(start: &[u8], tail: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(start).update(tail).finalize().as_bytes()
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("damaged: it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "damaged: a name that is no text".to_owned())
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        (0..self.u32()?).map(|_| item(self)).collect()
    }

    fn record(&mut self) -> Result<Record, String> {
        let mut record = Record { name: self.text()?, ..Record::default() };
        for part in &mut record.state {
            *part = i64::from_le_bytes(self.array()?);
        }
        for count in record.passed.fields() {
            *count = self.u64()?;
        }
        (record.count, record.blob, record.digest) = (self.u64()?, self.u64()?, self.array()?);
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        let record = |name: &str, count, blob, first, blob_first| Record {
            name: name.to_owned(),
            state: [1, -2, 3],
            passed: Passed { links: 2, other: 1, ..Passed::default() },
            count,
            blob,
            digest: [7; 32],
            first,
            blob_first,
        };
        Header {
            key: [9; 32],
            kind: Kind::Tar,
            many: true,
            fingerprint: "0123".to_owned(),
            class_names: vec!["cat".to_owned(), "dög".to_owned()],
            per_class: vec![3, 4],
            records: vec![record("a", 3, 5, 0, 0), record("b", 0, 0, 3, 5), record("c", 4, 1, 3, 5)],
            entries: 7,
        }
    }

    fn file(header: &Header) -> Vec<u8> {
        let (start, tail) = serialise(header);
        [&start[..], &vec![0; 7 * ENTRY as usize + 6], &tail].concat()
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(parse_index_header(&file(&header())), Ok(header()));
    }

    #[test]
    fn what_was_passed_over_is_said() {
        let passed = Passed { links: 2, outside: 1, ..Passed::default() };
        assert_eq!(passed.to_string(), "3 passed over: 2 links, 1 absolute name or name with ..");
        assert_eq!(Passed::default().to_string(), "0 passed over");
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut content = file(&header());
            let whole = content.len();
            // Everything but entries and blob, whose digests are checked apart.
            let open: Vec<usize> = (0..whole).filter(|at| *at < PROLOGUE || *at >= PROLOGUE + 146).collect();
            content[open[at.index(open.len())]] ^= 1_u8 << bit;
            prop_assert!(parse_index_header(&content).is_err());
            prop_assert!(parse_index_header(&content[..at.index(whole)]).is_err());
        }

        #[test]
        fn no_header_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), key in any::<bool>()) {
            // With a right checksum, so that the parser behind it is reached.
            let (mut start, whole) = serialise(&header());
            let tail = if key { [&whole[..34], &tail].concat() } else { tail };
            start[32..40].copy_from_slice(&(tail.len() as u64).to_le_bytes());
            let checksum = hash(&start[..PROLOGUE - 32], &tail);
            start[PROLOGUE - 32..].copy_from_slice(&checksum);
            let _ = parse(&start, &tail);
            let _ = parse_index_header(&tail);
        }
    }
}
