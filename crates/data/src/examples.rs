//! The encoded pictures of one split, by index.
//!
//! The index stands beside the data, as a hidden file: in the folder that the pattern names literally, and for a folder of
//! classes beside that folder. Where that cannot be written it stands in the user's cache. It is made when it is missing, and
//! made anew as far as files have changed: a file is taken for unchanged if its size and its time are. A folder is
//! recognised by its time, which changes when pictures come and go and not when one is written over.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use crate::index::{Entry, Index, Kind, Passed, Progress, Record};
use crate::labels::{Label, Labelling};
use crate::parquet::{At, Opened};
use crate::pattern::Named;
use crate::recent::Recent;
use crate::tar::Members;
use crate::{DataError, folder};

mod open;

/// Most bytes of a file that is taken for a picture.
const LARGEST_FILE: u64 = 64 << 20;

/// Shards that are kept open.
const OPEN_FILES: usize = 256;
/// Parquet footers that are kept.
const FOOTERS: usize = 64;
/// Examples that are looked up at once.
const STRIDE: u64 = 1024;

/// The encoded pictures of one split, by index.
pub struct Examples {
    index: Index,
    named: Named,
    files: Recent<usize, File>,
    footers: Recent<usize, Opened<At>>,
}

impl Examples {
    /// Opens the pictures that `pattern` names: one folder of classes, or tar or Parquet files. Their index is made where
    /// it is missing or out of date, or in any case where it is to be made `again`, in `cache` if not beside the data;
    /// `progress` is told how far it is.
    ///
    /// # Errors
    /// If the pattern names no such files, if one of them is malformed or has no or wrong labels, or if the index can be written
    /// nowhere.
    pub fn open(
        pattern: &str,
        labelling: &Labelling,
        cache: Option<&Path>,
        again: bool,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Examples, DataError> {
        let (index, named) = open::open(pattern, labelling, cache, again, progress)?;
        Ok(Examples { index, named, files: Recent::new(OPEN_FILES), footers: Recent::new(FOOTERS) })
    }

    /// Number of examples; at least one.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.index.len()
    }

    /// The label of an example.
    ///
    /// # Errors
    /// If there is no such example, or the index cannot be read.
    pub fn label(&self, index: u64) -> Result<Label, DataError> {
        let (file, entry) = self.find(index)?;
        match self.index.header.many {
            true => self.index.labels(self.record(file), entry).map(Label::Many),
            false => Ok(Label::One(entry.label)),
        }
    }

    /// The encoded picture of an example, into a buffer whose content is replaced.
    ///
    /// # Errors
    /// [`DataError::Changed`] if the file is not what was indexed; [`DataError::Example`] if only this example cannot be read.
    pub fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let (file, entry) = self.find(index)?;
        bytes.clear();
        match self.index.header.kind {
            Kind::Folder => {
                let path = self.picture(file, entry)?;
                let opened = File::open(&path).map_err(|error| gone(&path, error))?;
                let there = opened.metadata().map_err(|source| DataError::Io { path: path.clone(), source })?.len();
                if there != entry.length {
                    let problem = format!("it had {} bytes and has {there} now", entry.length);
                    return Err(DataError::Changed { path, problem });
                }
                fill(&opened, || path, entry, 0, bytes)
            }
            Kind::Tar => {
                // Whoever can write the index could otherwise ask for any amount of memory.
                let there = self.record(file).state[0] as u64;
                if entry.offset.checked_add(entry.length).is_none_or(|end| end > there) {
                    return Err(self.index.damaged("a picture beyond the end of its file"));
                }
                fill(&*self.file(file)?, || self.path(file), entry, entry.offset, bytes)
            }
            Kind::Parquet => {
                let opened = self.footer(file)?;
                // What the system did not read this time it may read the next; what is wrong with the file stays wrong.
                let read = opened.read(entry.offset, bytes).or_else(|_| opened.read(entry.offset, bytes));
                read.map_err(|problem| {
                    let example = format!("{} row {}", self.path(file).display(), entry.offset);
                    self.unchanged(index).err().unwrap_or(DataError::Example { example, problem })
                })
            }
        }
    }

    /// Whether the file that an example is in is still what was indexed.
    ///
    /// # Errors
    /// [`DataError::Changed`] if it is not; then a damaged picture may be a picture of something else.
    pub fn unchanged(&self, index: u64) -> Result<(), DataError> {
        let (file, entry) = self.find(index)?;
        let folder = self.index.header.kind == Kind::Folder;
        let path = if folder { self.picture(file, entry)? } else { self.path(file) };
        let state = folder::state(&std::fs::metadata(&path).map_err(|error| gone(&path, error))?);
        let problem = match folder {
            true if state[0] as u64 != entry.length => {
                format!("it had {} bytes and has {} now", entry.length, state[0])
            }
            false if state != self.record(file).state => "it has been written since".to_owned(),
            _ => return Ok(()),
        };
        Err(DataError::Changed { path, problem })
    }

    /// The name of an example, for people. Walks through a shard to find it, so it is not for every example.
    ///
    /// # Errors
    /// If there is no such example, or the index cannot be read.
    pub fn name(&self, index: u64) -> Result<String, DataError> {
        let (file, entry) = self.find(index)?;
        let shard = &self.record(file).name;
        Ok(match self.index.header.kind {
            Kind::Folder => {
                let name = self.index.file_name(self.record(file), entry)?;
                format!("{shard}/{}", String::from_utf8_lossy(&name))
            }
            Kind::Tar => match self.member(file, entry) {
                Some(name) => format!("{shard}: {}", String::from_utf8_lossy(&name)),
                None => format!("{shard}: picture at byte {}", entry.offset),
            },
            Kind::Parquet => format!("{shard} row {}", entry.offset),
        })
    }

    /// 32 hexadecimal digits of BLAKE3 over what is indexed: names of the files below the folder that the pattern names
    /// literally, where pictures are in them, their lengths, labels and the class names. Not over pixels, times, or where the
    /// data are, so a copy on another machine is the same data.
    pub fn fingerprint(&self) -> &str {
        &self.index.header.fingerprint
    }

    /// Number of classes: the number of their names, or one more than the highest label.
    pub fn classes(&self) -> u32 {
        self.index.header.per_class.len() as u32
    }

    /// Examples with each class.
    pub fn per_class(&self) -> &[u64] {
        &self.index.header.per_class
    }

    /// Whether pictures stand in a folder for each class.
    pub fn is_folder(&self) -> bool {
        self.index.header.kind == Kind::Folder
    }

    /// Names of the classes; empty if they have none.
    pub fn class_names(&self) -> &[String] {
        &self.index.header.class_names
    }

    /// What has been passed over in all files.
    pub fn passed_over(&self) -> Passed {
        let mut passed = Passed::default();
        self.index.header.records.iter().for_each(|record| passed.add(record.passed));
        passed
    }

    /// Where the index is.
    pub fn index_file(&self) -> &Path {
        &self.index.path
    }

    /// Tells the system that these examples will be read soon. Nothing fails where it cannot be told; rows of Parquet files that
    /// have no page index are not announced.
    pub fn advise(&self, range: Range<u64>) {
        let mut from = range.start;
        let end = range.end.min(self.len());
        while from < end {
            let to = end.min(from + STRIDE);
            let Ok(entries) = self.index.entries(from..to) else { return };
            // What stands side by side is announced together.
            let mut last: Option<(usize, u64, u64)> = None;
            for (index, entry) in (from..to).zip(entries) {
                let Some(file) = self.index.file_of(index) else { return };
                let Some((start, length)) = self.region(file, entry) else { continue };
                match &mut last {
                    Some((same, first, until)) if *same == file && start >= *first && start <= *until + 4096 => {
                        *until = (*until).max(start + length);
                    }
                    other => {
                        if let Some(region) = other.replace((file, start, start + length)) {
                            self.announce(region);
                        }
                    }
                }
            }
            if let Some(region) = last {
                self.announce(region);
            }
            from = to;
        }
    }

    fn announce(&self, (file, start, end): (usize, u64, u64)) {
        if let (Ok(opened), Some(length)) = (self.file(file), std::num::NonZeroU64::new(end - start)) {
            let _ = fadvise(&*opened, start, Some(length), Advice::WillNeed);
        }
    }

    /// Where an example is in its shard. Pictures that are files of their own are announced here and now.
    fn region(&self, file: usize, entry: Entry) -> Option<(u64, u64)> {
        match self.index.header.kind {
            Kind::Tar => Some((entry.offset, entry.length)),
            Kind::Parquet => self.footer(file).ok()?.page(entry.offset),
            Kind::Folder => {
                let opened = File::open(self.picture(file, entry).ok()?).ok()?;
                let _ = fadvise(&opened, 0, None, Advice::WillNeed);
                None
            }
        }
    }

    fn find(&self, index: u64) -> Result<(usize, Entry), DataError> {
        let file = self.index.file_of(index).ok_or(DataError::NoExample(index))?;
        Ok((file, self.index.entry(index)?))
    }

    fn record(&self, file: usize) -> &Record {
        &self.index.header.records[file]
    }

    /// Where a shard or a folder of pictures is.
    fn path(&self, file: usize) -> PathBuf {
        let name = &self.record(file).name;
        match self.index.header.kind {
            Kind::Folder => self.named.path(&self.named.names[0]).join(name),
            Kind::Tar | Kind::Parquet => self.named.path(name),
        }
    }

    fn picture(&self, file: usize, entry: Entry) -> Result<PathBuf, DataError> {
        let name = self.index.file_name(self.record(file), entry)?;
        Ok(self.path(file).join(std::ffi::OsStr::from_bytes(&name)))
    }

    /// A shard, which is to be what was indexed.
    fn file(&self, file: usize) -> Result<Arc<File>, DataError> {
        self.files.get(file, || {
            let (path, record) = (self.path(file), self.record(file));
            let opened = File::open(&path).map_err(|error| gone(&path, error))?;
            let metadata = opened.metadata().map_err(|source| DataError::Io { path: path.clone(), source })?;
            let state = folder::state(&metadata);
            if state[0] != record.state[0] {
                let problem = format!("it had {} bytes and has {} now", record.state[0], state[0]);
                return Err(DataError::Changed { path, problem });
            }
            if state != record.state {
                return Err(DataError::Changed {
                    path,
                    problem: "it has been written since it was indexed".to_owned(),
                });
            }
            Ok(opened)
        })
    }

    fn footer(&self, file: usize) -> Result<Arc<Opened<At>>, DataError> {
        self.footers.get(file, || {
            let at = At { file: self.file(file)?, length: self.record(file).state[0] as u64 };
            Opened::new(at, true).map_err(|problem| DataError::Malformed { path: self.path(file), problem })
        })
    }

    fn member(&self, file: usize, entry: Entry) -> Option<Vec<u8>> {
        let opened = self.file(file).ok()?;
        let length = self.record(file).state[0] as u64;
        let mut members = Members::new(length, |at, buffer: &mut [u8]| opened.read_exact_at(buffer, at));
        while let Some(member) = members.step().ok()? {
            if member.offset == entry.offset {
                return Some(member.name);
            }
        }
        None
    }
}

/// Fills the buffer with a picture that begins at `from`.
fn fill(
    file: &File,
    path: impl FnOnce() -> PathBuf,
    entry: Entry,
    from: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), DataError> {
    if entry.length > LARGEST_FILE {
        let problem = format!("{} bytes; at most {LARGEST_FILE} are read as one picture", entry.length);
        return Err(DataError::Example { example: format!("{} at byte {from}", path().display()), problem });
    }
    let wanted = usize::try_from(entry.length).unwrap_or(usize::MAX);
    let read = bytes.try_reserve(wanted).map_err(|_| io::ErrorKind::OutOfMemory.into()).and_then(|()| {
        bytes.resize(wanted, 0);
        file.read_exact_at(bytes, from)
    });
    read.map_err(|source: io::Error| {
        bytes.clear();
        let path = path();
        match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                let problem = format!("{wanted} bytes from byte {from} were there and are gone");
                DataError::Changed { path, problem }
            }
            _ => DataError::Io { path, source },
        }
    })
}

/// Why a file that was indexed cannot be opened.
fn gone(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::Changed { path: path.to_owned(), problem: "it is not there any more".to_owned() }
        }
        _ => DataError::Io { path: path.to_owned(), source: error },
    }
}

#[cfg(test)]
mod tests;
