//! From a pattern to its index: what the files are, which classes they have, where the index is.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index::build::Wanted;
use crate::index::part::Part;
use crate::index::{Index, Kind, Progress, Record};
use crate::labels::{Classes, Labelling};
use crate::parquet::{At, Opened};
use crate::pattern::{self, Named};
use crate::{DataError, folder, webdataset};

/// Opens the index of a pattern, and makes it where it is missing or out of date.
pub(super) fn open(
    pattern: &str,
    labelling: &Labelling,
    cache: Option<&Path>,
    again: bool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(Index, Named), DataError> {
    let named = pattern::files(pattern)?;
    let wrong = |problem: String| DataError::Pattern { pattern: pattern.to_owned(), problem };
    let (kind, records) = match &named.names[..] {
        [name] if named.path(name).is_dir() => (Kind::Folder, folder::walk(&named.path(name))?),
        names => (kind(names).map_err(wrong)?, states(&named).map_err(wrong)?),
    };
    let root = named.names.first().map(|name| named.path(name)).unwrap_or_default();
    let classes = Classes::new(labelling);
    let classes = match kind {
        Kind::Folder => folder::classes(&root, classes, &records)?,
        Kind::Tar => classes,
        Kind::Parquet => names_in_footer(&root, classes)?,
    };
    let from_file = labelling.class_names.is_some();
    let read = |record: &Record| match kind {
        Kind::Folder => folder::read(&root, record, &classes),
        Kind::Tar => webdataset::read(&named.path(&record.name), record.state[0] as u64, &classes),
        Kind::Parquet => read_parquet(&named.path(&record.name), record.state[0] as u64, &classes, from_file),
    };
    let (base, rest) = match kind {
        // Its parent: a file in the folder of classes would make that folder newer than its index.
        Kind::Folder => parent(&root)?,
        Kind::Tar | Kind::Parquet => (named.base.clone(), named.rest.clone()),
    };
    let key = key(&rest, labelling, &classes);
    let places = places(&base, &key, cache);
    let wanted = Wanted { key, kind, classes: &classes, records, read: &read, progress };
    let found: Vec<Index> = match again {
        true => Vec::new(),
        false => places.iter().filter_map(|place| Index::open(place).ok()).collect(),
    };
    // Where both places have one, the first that is right is taken; one that is out of date still has its unchanged parts.
    let right = found.iter().position(|index| wanted.is_met_by(index) && index.is_whole());
    let index = match right {
        Some(at) => found.into_iter().nth(at),
        None => {
            let old = found.iter().find(|index| wanted.can_take_from(index));
            Some(wanted.build(&places, old)?)
        }
    };
    let index = index.filter(|index| index.len() > 0).ok_or_else(|| wrong("no pictures".to_owned()))?;
    Ok((index, named))
}

/// What shards are, by their endings.
fn kind(names: &[String]) -> Result<Kind, String> {
    let ending = |name: &String| {
        let lower = name.to_ascii_lowercase();
        let packed =
            [".tgz", ".tar.gz", ".tar.zst", ".tar.bz2", ".tar.xz"].iter().any(|ending| lower.ends_with(ending));
        match lower.rsplit('.').next() {
            _ if packed => Err(format!(
                "{name} is compressed, and pictures are read from the middle of it; unpack it once to a plain .tar, which is as small: \
                 pictures are compressed already"
            )),
            Some("tar") => Ok(Kind::Tar),
            Some("parquet") => Ok(Kind::Parquet),
            _ => Err(format!("{name} is no folder and ends neither in .tar nor in .parquet")),
        }
    };
    let kinds = names.iter().map(ending).collect::<Result<Vec<_>, _>>()?;
    match kinds[..] {
        [first, ..] if kinds.iter().all(|kind| *kind == first) => Ok(first),
        _ => Err("tar and Parquet files together".to_owned()),
    }
}

/// Names, sizes and times of all shards.
fn states(named: &Named) -> Result<Vec<Record>, String> {
    let mut records = Vec::with_capacity(named.names.len());
    let mut missing = Vec::new();
    for name in &named.names {
        match std::fs::metadata(named.path(name)) {
            Ok(metadata) if metadata.is_file() => {
                records.push(Record { name: name.clone(), state: folder::state(&metadata), ..Record::default() });
            }
            Ok(_) => return Err(format!("{name} is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name),
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
    match missing.len() {
        0 => Ok(records),
        1 => Err(format!("{} is not there", missing[0])),
        count => Err(format!("{count} of {} files are not there, the first is {}", named.names.len(), missing[0])),
    }
}

/// The class names of the first file's footer, unless others are given.
fn names_in_footer(path: &Path, classes: Classes) -> Result<Classes, DataError> {
    if !classes.names.is_empty() {
        return Ok(classes);
    }
    let opened = open_parquet(path, None)?;
    let names = opened.class_names(classes.field.as_deref());
    Ok(classes.named(names))
}

fn open_parquet(path: &Path, length: Option<u64>) -> Result<Opened<At>, DataError> {
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let length = length.map_or_else(|| file.metadata().map(|metadata| metadata.len()), Ok).map_err(io)?;
    let at = At { file: Arc::new(file), length };
    Opened::new(at, false).map_err(|problem| DataError::Malformed { path: path.to_owned(), problem })
}

/// The rows of one Parquet file.
fn read_parquet(path: &Path, length: u64, classes: &Classes, from_file: bool) -> Result<Part, DataError> {
    let malformed = |problem: String| DataError::Malformed { path: path.to_owned(), problem };
    let opened = open_parquet(path, Some(length))?;
    if !from_file {
        let own = opened.class_names(classes.field.as_deref());
        if own != classes.names {
            return Err(malformed("its class names are not those of the first file; give them in a file".to_owned()));
        }
    }
    let mut part = Part::new(classes.many);
    let added = opened.labels(classes, |row, labels| part.push(row, 0, &labels).map_err(|error| error.to_string()));
    match added {
        Ok(()) => Ok(part),
        Err((None, problem)) => Err(malformed(problem)),
        Err((Some(row), problem)) => {
            Err(DataError::Label { example: format!("{} row {row}", path.display()), problem })
        }
    }
}

/// The folder that a folder is in, and its name there, whatever way it was named.
fn parent(root: &Path) -> Result<(PathBuf, String), DataError> {
    let real = root.canonicalize().map_err(|source| DataError::Io { path: root.to_owned(), source })?;
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((real.parent().unwrap_or(&real).to_owned(), name))
}

/// What tells one index of a folder from another: pattern and labelling.
fn key(rest: &str, labelling: &Labelling, classes: &Classes) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(rest);
    text(labelling.label_field.as_deref().map_or("", |field| field));
    text(if labelling.multi_label { "many" } else { "one" });
    if labelling.class_names.is_some() {
        classes.names.iter().for_each(|name| text(name));
    }
    *hasher.finalize().as_bytes()
}

/// Where the index may be: beside the data, then in the cache.
fn places(base: &Path, key: &[u8; 32], cache: Option<&Path>) -> Vec<PathBuf> {
    let hex = |bytes: &[u8]| bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    let absolute = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let folder = hex(blake3::hash(absolute.as_os_str().as_bytes()).as_bytes());
    let beside = base.join(format!(".scalelaw-{}.index", hex(key)));
    let cached = cache.map(|cache| cache.join("index").join(format!("{folder}-{}.index", hex(key))));
    std::iter::once(beside).chain(cached).collect()
}
