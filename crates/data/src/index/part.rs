//! What an index has of one file, while it is made: entries and their part of the blob, spilled to disk if they are many.

use std::collections::HashMap;
use std::io::{self, Write};

use tempfile::SpooledTempFile;

use super::{ENTRY, Entry, Index, Passed, Record};
use crate::DataError;

/// Bytes of each part that are held in memory.
const IN_MEMORY: usize = 4 << 20;
/// Entries that are read at once.
const STRIDE: u64 = 4096;

/// The index of one file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: SpooledTempFile,
    pub(crate) blob: SpooledTempFile,
    pub(crate) count: u64,
    pub(crate) blob_length: u64,
    pub(crate) per_class: HashMap<u32, u64>,
    pub(crate) passed: Passed,
    /// Over entries and blob.
    hashers: [blake3::Hasher; 2],
    /// Whether labels stand in the blob.
    many: bool,
}

impl Part {
    pub(crate) fn new(many: bool) -> Part {
        Part {
            entries: SpooledTempFile::new(IN_MEMORY),
            blob: SpooledTempFile::new(IN_MEMORY),
            count: 0,
            blob_length: 0,
            per_class: HashMap::new(),
            passed: Passed::default(),
            hashers: [blake3::Hasher::new(), blake3::Hasher::new()],
            many,
        }
    }

    /// Adds a picture of a tar or Parquet file.
    pub(crate) fn push(&mut self, offset: u64, length: u64, labels: &[u32]) -> io::Result<()> {
        let label = if self.many {
            let at =
                u32::try_from(self.blob_length / 4).map_err(|_| io::Error::other("too many labels in one file"))?;
            self.extend(&(labels.len() as u32).to_le_bytes())?;
            labels.iter().try_for_each(|label| self.extend(&label.to_le_bytes()))?;
            at
        } else {
            labels.first().copied().unwrap_or_default()
        };
        labels.iter().for_each(|label| *self.per_class.entry(*label).or_default() += 1);
        self.entry(Entry { offset, length, label })
    }

    /// Adds a picture of a folder.
    pub(crate) fn push_named(&mut self, name: &[u8], length: u64, label: u32) -> io::Result<()> {
        let offset = self.blob_length;
        let bytes = u16::try_from(name.len()).map_err(|_| io::Error::other("a name that is too long"))?;
        self.extend(&bytes.to_le_bytes())?;
        self.extend(name)?;
        *self.per_class.entry(label).or_default() += 1;
        self.entry(Entry { offset, length, label })
    }

    fn entry(&mut self, entry: Entry) -> io::Result<()> {
        self.count += 1;
        let bytes = entry.to_bytes();
        self.hashers[0].update(&bytes);
        self.entries.write_all(&bytes)
    }

    fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.blob_length += bytes.len() as u64;
        self.hashers[1].update(bytes);
        self.blob.write_all(bytes)
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut all = blake3::Hasher::new();
        self.hashers.iter().for_each(|hasher| {
            all.update(hasher.finalize().as_bytes());
        });
        *all.finalize().as_bytes()
    }

    /// What an index has of one file; an error if it is not what was written. With `keep` it becomes a new part,
    /// otherwise it is only checked.
    pub(crate) fn copy(index: &Index, record: &Record, keep: Option<bool>) -> Result<Part, DataError> {
        let mut part = Part::new(keep.unwrap_or_default());
        let io = |source| DataError::Io { path: index.path.clone(), source };
        let mut at = 0;
        while at < record.count {
            let stride = STRIDE.min(record.count - at);
            let entries = index.entries(record.first + at..record.first + at + stride)?;
            for entry in entries {
                match keep {
                    None => {
                        part.hashers[0].update(&entry.to_bytes());
                    }
                    Some(many) => {
                        let labels = if many { index.labels(record, entry)? } else { vec![entry.label] };
                        labels.iter().for_each(|label| *part.per_class.entry(*label).or_default() += 1);
                        part.entry(entry).map_err(io)?;
                    }
                }
            }
            at += stride;
        }
        let mut at = 0;
        let mut bytes = vec![0; (STRIDE * ENTRY).min(record.blob) as usize];
        while at < record.blob {
            let stride = (record.blob - at).min(bytes.len() as u64) as usize;
            index.blob(record, at, &mut bytes[..stride])?;
            match keep {
                None => {
                    part.hashers[1].update(&bytes[..stride]);
                }
                Some(_) => part.extend(&bytes[..stride]).map_err(io)?,
            }
            at += stride as u64;
        }
        part.passed = record.passed;
        if part.digest() == record.digest { Ok(part) } else { Err(index.damaged("its entries are damaged")) }
    }
}
