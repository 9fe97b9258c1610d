//! The index: one file that says where every picture is and which label it has.
//!
//! A prologue of fixed size, the entries, the blob, the header. All entries have the same size and are read from the file
//! one by one, so memory does not grow with their number. What has no fixed size stands in the blob: names of the
//! pictures in folders, and labels where an example may have several. Entries and blob are laid out file by file, and what
//! belongs to one file depends on nothing but that file, so an index that is out of date gives its unchanged parts to the next.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use build::Progress;
pub(crate) use header::Kind;
pub use header::{Header, Passed, parse_index_header};
pub(crate) use header::{PROLOGUE, Record, parse, prologue};

use crate::DataError;

pub(crate) mod build;
mod header;
pub(crate) mod part;

/// Bytes of an entry: offset, length and label.
pub(crate) const ENTRY: u64 = 20;

/// One picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Tar: where the picture begins. Parquet: the row. Folder: where its name is, in the part of the blob of its folder.
    pub(crate) offset: u64,
    /// Bytes of the picture; 0 for Parquet, which says it only with the picture.
    pub(crate) length: u64,
    /// The label; with several per example, where they are in the part of the blob, counted in words of four bytes.
    pub(crate) label: u32,
}

impl Entry {
    pub(crate) fn to_bytes(self) -> [u8; ENTRY as usize] {
        let mut bytes = [0; ENTRY as usize];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.label.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; ENTRY as usize]) -> Entry {
        let word = |at: usize| u64::from(u32::from_le_bytes(bytes.as_chunks().0[at]));
        Entry { offset: word(0) | word(1) << 32, length: word(2) | word(3) << 32, label: word(4) as u32 }
    }
}

/// An index on disk.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) path: PathBuf,
    file: File,
    pub(crate) header: Header,
}

impl Index {
    /// Opens an index file and reads its header; says why if it is damaged. The entries are not looked at.
    pub(crate) fn open(path: &Path) -> Result<Index, String> {
        Index::of(path, File::open(path).map_err(|error| error.to_string())?)
    }

    fn of(path: &Path, file: File) -> Result<Index, String> {
        let shown = |error: io::Error| error.to_string();
        let length = file.metadata().map_err(shown)?.len();
        let mut start = [0; PROLOGUE];
        file.read_exact_at(&mut start, 0).map_err(shown)?;
        let prologue = prologue(&start)?;
        if prologue.length() != Some(length) {
            return Err(format!("{length} bytes are not the length that its beginning announces"));
        }
        let mut tail = vec![0; prologue.tail as usize];
        file.read_exact_at(&mut tail, length - prologue.tail).map_err(shown)?;
        Ok(Index { path: path.to_owned(), file, header: parse(&start, &tail)? })
    }

    pub(crate) fn len(&self) -> u64 {
        self.header.entries
    }

    /// The file that has entry `index`, by its number.
    pub(crate) fn file_of(&self, index: u64) -> Option<usize> {
        if index >= self.header.entries {
            return None;
        }
        // Files without entries begin where the next one begins, and the last of them is meant.
        Some(self.header.records.partition_point(|record| record.first <= index).saturating_sub(1))
    }

    pub(crate) fn entry(&self, index: u64) -> Result<Entry, DataError> {
        let mut bytes = [0; ENTRY as usize];
        self.read(PROLOGUE as u64 + index * ENTRY, &mut bytes)?;
        Ok(Entry::from_bytes(&bytes))
    }

    /// Some entries that follow each other, of which there are few enough for memory.
    pub(crate) fn entries(&self, range: std::ops::Range<u64>) -> Result<Vec<Entry>, DataError> {
        let mut bytes = vec![0; (range.end.saturating_sub(range.start) * ENTRY) as usize];
        self.read(PROLOGUE as u64 + range.start * ENTRY, &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(Entry::from_bytes).collect())
    }

    /// The labels of an entry whose examples may have several.
    pub(crate) fn labels(&self, record: &Record, entry: Entry) -> Result<Vec<u32>, DataError> {
        let at = u64::from(entry.label) * 4;
        let mut count = [0; 4];
        self.blob(record, at, &mut count)?;
        let count = u32::from_le_bytes(count);
        if u64::from(count) > record.blob / 4 {
            return Err(self.damaged("a list of labels that is longer than all"));
        }
        let mut labels = vec![0; count as usize * 4];
        self.blob(record, at + 4, &mut labels)?;
        Ok(labels.as_chunks().0.iter().map(|label| u32::from_le_bytes(*label)).collect())
    }

    /// The name of a picture in a folder.
    pub(crate) fn file_name(&self, record: &Record, entry: Entry) -> Result<Vec<u8>, DataError> {
        let mut length = [0; 2];
        self.blob(record, entry.offset, &mut length)?;
        let mut name = vec![0; usize::from(u16::from_le_bytes(length))];
        self.blob(record, entry.offset.saturating_add(2), &mut name)?;
        Ok(name)
    }

    /// Bytes of the blob of one file.
    fn blob(&self, record: &Record, at: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > record.blob) {
            return Err(self.damaged("an entry that points outside"));
        }
        self.read(PROLOGUE as u64 + self.header.entries * ENTRY + record.blob_first + at, bytes)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        self.file.read_exact_at(bytes, at).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => DataError::Changed {
                path: self.path.clone(),
                problem: "this index was cut short while in use".to_owned(),
            },
            _ => DataError::Io { path: self.path.clone(), source },
        })
    }

    pub(crate) fn damaged(&self, what: &str) -> DataError {
        DataError::Malformed { path: self.path.clone(), problem: format!("{what}; delete this index, it is made anew") }
    }

    /// Whether all entries and the blob are what they were when they were written. Reads the whole file once.
    pub(crate) fn is_whole(&self) -> bool {
        self.header.records.iter().all(|record| part::Part::copy(self, record, None).is_ok())
    }
}
