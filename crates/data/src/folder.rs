//! Pictures in folders, whose first level names the class: `root/class/.../picture.jpg`.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::DataError;
use crate::index::Record;
use crate::index::part::Part;
use crate::labels::{Classes, HIGHEST_LABEL};
use crate::webdataset::is_picture;

/// Folders within folders; more are a link that leads back.
const DEEPEST: usize = 32;

/// Size and time of a file, which tell whether it is still the same.
pub(crate) fn state(metadata: &Metadata) -> [i64; 3] {
    [i64::try_from(metadata.len()).unwrap_or(i64::MAX), metadata.mtime(), metadata.mtime_nsec()]
}

/// All folders below `root`, parents first and sorted by name, and the root itself with an empty name. Folders whose name
/// begins with a dot are none.
pub(crate) fn walk(root: &Path) -> Result<Vec<Record>, DataError> {
    let mut records = Vec::new();
    let mut left = vec![(String::new(), 0)];
    while let Some((name, depth)) = left.pop() {
        let path = root.join(&name);
        let io = |source| DataError::Io { path: path.clone(), source };
        // Before the folder is listed: what is changed meanwhile makes it newer than this.
        let metadata = fs::metadata(&path).map_err(io)?;
        let mut below = Vec::new();
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            if !is_folder(&entry).map_err(|source| DataError::Io { path: entry.path(), source })? {
                continue;
            }
            let Ok(own) = entry.file_name().into_string() else {
                let problem = "the name of this folder is no text".to_owned();
                return Err(DataError::Malformed { path: entry.path(), problem });
            };
            if !own.starts_with('.') {
                below.push((if name.is_empty() { own } else { format!("{name}/{own}") }, depth + 1));
            }
        }
        if depth + 1 > DEEPEST && !below.is_empty() {
            let problem = format!("more than {DEEPEST} folders within each other; is there a link that leads back?");
            return Err(DataError::Malformed { path, problem });
        }
        below.sort_unstable_by(|one, other| other.cmp(one));
        left.append(&mut below);
        // The size of a folder is not the same on every file system, and says nothing that the time does not.
        let [_, seconds, nanoseconds] = state(&metadata);
        records.push(Record { name, state: [0, seconds, nanoseconds], ..Record::default() });
    }
    Ok(records)
}

/// Follows links; a link that leads nowhere is an error.
fn is_folder(entry: &fs::DirEntry) -> std::io::Result<bool> {
    let kind = entry.file_type()?;
    if kind.is_symlink() { Ok(fs::metadata(entry.path())?.is_dir()) } else { Ok(kind.is_dir()) }
}

/// The names of the classes: those of the file, or the names of the folders on the first level.
pub(crate) fn classes(root: &Path, classes: Classes, records: &[Record]) -> Result<Classes, DataError> {
    let malformed = |problem: String| DataError::Malformed { path: root.to_owned(), problem };
    if classes.many {
        return Err(malformed(
            "a folder of pictures has one label per picture, so multi_label cannot be set".to_owned(),
        ));
    }
    if let Some(field) = &classes.field {
        return Err(malformed(format!("the folders name the classes, so label_field cannot be {field:?}")));
    }
    let folders = || records.iter().map(|record| &record.name).filter(|name| !name.is_empty() && !name.contains('/'));
    let count = folders().count();
    if count == 0 {
        let problem = "no folders, whose names would be the classes; for shards name the files, as in shards/*.tar";
        return Err(malformed(problem.to_owned()));
    }
    if count > HIGHEST_LABEL as usize {
        return Err(malformed(format!("{count} classes are too many")));
    }
    if classes.names.is_empty() {
        // Sorted as `walk` has them: bytes, not letters of a language.
        return Ok(classes.named(folders().cloned().collect()));
    }
    match folders().find(|name| classes.name(name).is_err()) {
        Some(name) => {
            Err(malformed(format!("the folder {name:?} is not among the {} class names", classes.names.len())))
        }
        None => Ok(classes),
    }
}

/// The pictures of one folder, without those of folders in it.
pub(crate) fn read(root: &Path, record: &Record, classes: &Classes) -> Result<Part, DataError> {
    let path = root.join(&record.name);
    let io = |path: &Path, source| DataError::Io { path: path.to_owned(), source };
    let class = record.name.split('/').next().and_then(|class| classes.name(class).ok());
    let mut part = Part::new(false);
    let mut pictures = Vec::new();
    for entry in fs::read_dir(&path).map_err(|source| io(&path, source))? {
        let entry = entry.map_err(|source| io(&path, source))?;
        let (name, place) = (entry.file_name(), entry.path());
        let hidden = name.as_bytes().starts_with(b".");
        if entry.file_type().map_err(|source| io(&place, source))?.is_dir() {
            part.passed.folders += u64::from(hidden);
            continue;
        }
        let ending = place.extension().is_some_and(|ending| is_picture(ending.as_bytes()));
        if !ending && is_folder(&entry).map_err(|source| io(&place, source))? {
            continue;
        }
        // Pictures beside the folders of the classes have no class.
        if hidden || !ending || class.is_none() {
            part.passed.other += 1;
            continue;
        }
        let metadata = fs::metadata(&place).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                DataError::Malformed { path: place.clone(), problem: "a link that leads nowhere".to_owned() }
            }
            _ => io(&place, source),
        })?;
        match metadata.is_file() {
            true => pictures.push((name, metadata.len())),
            false => part.passed.other += u64::from(!metadata.is_dir()),
        }
    }
    pictures.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (name, length) in pictures {
        let name: &OsStr = &name;
        part.push_named(name.as_bytes(), length, class.unwrap_or_default()).map_err(|source| io(&path, source))?;
    }
    Ok(part)
}
