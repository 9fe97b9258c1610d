//! Making an index: files are read by several threads and written in their order.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tempfile::{NamedTempFile, SpooledTempFile};

use super::Index;
use super::header::{Header, Kind, PROLOGUE, Record, serialise};
use super::part::Part;
use crate::DataError;
use crate::labels::Classes;

/// What the names of unfinished indexes begin and end with.
const PREFIX: &str = ".scalelaw-";
const SUFFIX: &str = ".tmp";

/// How far an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Files that are done; folders, where pictures are in folders.
    pub files: u64,
    /// Of so many.
    pub of: u64,
    /// Examples found in them.
    pub examples: u64,
}

/// What an index is to be made of.
pub(crate) struct Wanted<'a> {
    pub(crate) key: [u8; 32],
    pub(crate) kind: Kind,
    pub(crate) classes: &'a Classes,
    /// Names and states.
    pub(crate) records: Vec<Record>,
    /// Reads one file.
    pub(crate) read: &'a (dyn Fn(&Record) -> Result<Part, DataError> + Sync),
    pub(crate) progress: &'a (dyn Fn(Progress) + Sync),
}

impl Wanted<'_> {
    /// Whether `index` is of these files as they are now. Its entries are not looked at.
    pub(crate) fn is_met_by(&self, index: &Index) -> bool {
        let header = &index.header;
        let same = |(ours, theirs): (&Record, &Record)| (&ours.name, ours.state) == (&theirs.name, theirs.state);
        self.can_take_from(index)
            && self.records.len() == header.records.len()
            && self.records.iter().zip(&header.records).all(same)
    }

    /// Whether what `index` says of an unchanged file is still true.
    pub(crate) fn can_take_from(&self, index: &Index) -> bool {
        let header = &index.header;
        let key = (self.key, self.kind, self.classes.many);
        key == (header.key, header.kind, header.many) && self.classes.names == header.class_names
    }

    /// Makes the index in the first of some places where that is possible; unchanged files are copied
    /// from an older one that they can be taken from.
    pub(crate) fn build(self, places: &[PathBuf], old: Option<&Index>) -> Result<Index, DataError> {
        let (mut file, place) = create(places)?;
        let kept = old.map(|old| old.header.records.iter().map(|record| (record.name.as_str(), record)).collect());
        let kept: std::collections::HashMap<&str, &Record> = kept.unwrap_or_default();
        let one = |record: &Record| {
            let same = kept.get(record.name.as_str()).filter(|same| same.state == record.state);
            let copied = old.zip(same).map(|(old, same)| Part::copy(old, same, Some(self.classes.many)));
            // A damaged part is read anew like one that is not there.
            copied.and_then(Result::ok).map_or_else(|| (self.read)(record), Ok)
        };
        let io = |source| DataError::Io { path: place.to_owned(), source };
        let mut header = Header {
            key: self.key,
            kind: self.kind,
            many: self.classes.many,
            fingerprint: String::new(),
            class_names: self.classes.names.clone(),
            per_class: vec![0; self.classes.names.len()],
            records: Vec::with_capacity(self.records.len()),
            entries: 0,
        };
        let mut blob = SpooledTempFile::new(1 << 20);
        let mut blob_length = 0;
        file.seek(io::SeekFrom::Start(PROLOGUE as u64)).map_err(io)?;
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
        in_order(&self.records, one, |record, mut part| {
            append(&mut part.entries, &mut writer).map_err(io)?;
            append(&mut part.blob, &mut blob).map_err(io)?;
            for (class, count) in &part.per_class {
                let least = *class as usize + 1;
                if header.per_class.len() < least {
                    header.per_class.resize(least, 0);
                }
                header.per_class[*class as usize] += count;
            }
            header.records.push(Record {
                passed: part.passed,
                count: part.count,
                blob: part.blob_length,
                digest: part.digest(),
                first: header.entries,
                blob_first: blob_length,
                ..record.clone()
            });
            header.entries += part.count;
            blob_length += part.blob_length;
            let files = header.records.len() as u64;
            (self.progress)(Progress { files, of: self.records.len() as u64, examples: header.entries });
            Ok(())
        })?;
        append(&mut blob, &mut writer).map_err(io)?;
        header.fingerprint = fingerprint(&header);
        let (start, tail) = serialise(&header);
        writer.write_all(&tail).and_then(|()| writer.flush()).map_err(io)?;
        drop(writer);
        file.as_file().write_all_at(&start, 0).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        // What is renamed over by somebody else meanwhile stays whole: it is read through its own handle.
        let kept = file.persist(place).map_err(|error| io(error.error))?;
        if let Some(folder) = place.parent() {
            // Without it a power cut may bring back the old index, which is noticed; so it may fail.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(Index { path: place.to_owned(), file: kept, header })
    }
}

/// Removes what a killed process has left behind a day ago or longer: nobody takes so long, and it may be large.
fn remove_left_over(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_ours && age().is_some_and(|age| age.as_secs() > 24 * 3600) {
            // It may not be ours to remove.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A temporary file beside the first place that can be written.
fn create(places: &[PathBuf]) -> Result<(NamedTempFile, &Path), DataError> {
    let mut last = None;
    for place in places {
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = match place.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            // The user's cache may not be there yet; where the data are is there.
            false => std::fs::create_dir_all(folder).and_then(|()| {
                remove_left_over(folder);
                // Others may read what is beside the data.
                let all = Permissions::from_mode(0o644);
                tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).permissions(all).tempfile_in(folder)
            }),
        };
        match made {
            Ok(made) => return Ok((made, place)),
            Err(source) => last = Some(DataError::Io { path: place.clone(), source }),
        }
    }
    let nowhere = || DataError::Io { path: PathBuf::from("index"), source: io::ErrorKind::NotFound.into() };
    Err(last.unwrap_or_else(nowhere))
}

fn append(from: &mut SpooledTempFile, to: &mut impl Write) -> io::Result<u64> {
    from.rewind()?;
    io::copy(from, to)
}

/// Names of the files, where their pictures are, lengths, labels and class names; neither pixels, nor times, nor the folder.
fn fingerprint(header: &Header) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"scalelaw examples 1");
    hasher.update(&[header.kind as u8, u8::from(header.many)]);
    let text = |hasher: &mut blake3::Hasher, text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    hasher.update(&(header.class_names.len() as u64).to_le_bytes());
    header.class_names.iter().for_each(|name| text(&mut hasher, name));
    // A file without pictures is as good as none.
    for record in header.records.iter().filter(|record| record.count > 0) {
        text(&mut hasher, &record.name);
        hasher.update(&record.count.to_le_bytes());
        if header.kind == Kind::Parquet {
            // Its entries are rows, which do not say how long the pictures are.
            hasher.update(&record.state[0].to_le_bytes());
        }
        hasher.update(&record.digest);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Makes a part of each record by several threads; takes the parts in the order of the records. Each thread is at most two
/// parts ahead. Ends with the first error in that order.
fn in_order(
    records: &[Record],
    make: impl Fn(&Record) -> Result<Part, DataError> + Sync,
    mut take: impl FnMut(&Record, Part) -> Result<(), DataError>,
) -> Result<(), DataError> {
    // More than cores: they wait for disks.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(4, 16).min(records.len());
    std::thread::scope(|scope| {
        let make = &make;
        let receivers: Vec<Receiver<_>> = (0..threads)
            .map(|thread| {
                let (sender, receiver): (SyncSender<_>, _) = sync_channel(1);
                let own = records.iter().skip(thread).step_by(threads);
                scope.spawn(move || {
                    for record in own {
                        let made = make(record);
                        let stop = made.is_err();
                        if sender.send(made).is_err() || stop {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        for (record, at) in records.iter().zip(0..) {
            // A thread that has ended has ended with an error that was taken, or by a panic, which the scope passes on.
            let Ok(part) = receivers[at % threads].recv() else { return Ok(()) };
            take(record, part?)?;
        }
        Ok(())
    })
}
