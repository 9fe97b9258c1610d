//! Samples in tar files, as WebDataset has them: members that follow each other and share their path up to the first dot of
//! the file name are one sample.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::DataError;
use crate::index::part::Part;
use crate::labels::Classes;
use crate::tar::{Kind, Member, Members, TarError};

/// The largest member that is read for a label.
const LARGEST_LABEL: u64 = 1 << 20;

/// Whether an ending, without its dot, is that of a picture.
pub(crate) fn is_picture(ending: &[u8]) -> bool {
    [&b"jpg"[..], b"jpeg", b"png", b"webp"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// What the members of one sample have said so far.
#[derive(Default)]
struct Sample {
    key: Vec<u8>,
    picture: Option<(u64, u64)>,
    /// Where `.cls`, `.json` and `.txt` are.
    sources: [Option<(u64, u64)>; 3],
}

/// Reads the samples of one shard, which is `length` bytes long.
pub(crate) fn read(path: &Path, length: u64, classes: &Classes) -> Result<Part, DataError> {
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mut members = Members::new(length, |at, buffer: &mut [u8]| file.read_exact_at(buffer, at));
    let failed = |error| match error {
        TarError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let problem = format!("it had {length} bytes and has fewer now");
            DataError::Changed { path: path.to_owned(), problem }
        }
        TarError::Io(source) => io(source),
        TarError::Malformed(problem) => DataError::Malformed { path: path.to_owned(), problem },
    };
    let mut part = Part::new(classes.many);
    let mut open: Option<Sample> = None;
    while let Some(member) = members.step().map_err(failed)? {
        match member.kind {
            Kind::Link => part.passed.links += 1,
            Kind::Outside => part.passed.outside += 1,
            Kind::Special => part.passed.special += 1,
            Kind::Folder => part.passed.folders += 1,
            Kind::File => {
                let Some((key, ending)) = split(&member.name) else {
                    part.passed.other += 1;
                    continue;
                };
                if open.as_ref().is_none_or(|sample| sample.key != key) {
                    let next = Sample { key: key.to_vec(), ..Sample::default() };
                    if let Some(sample) = open.replace(next) {
                        finish(path, sample, &mut members, classes, &mut part)?;
                    }
                }
                if let Some(sample) = &mut open {
                    sample.take(ending, &member).map_err(|problem| wrong(path, sample, problem))?;
                }
            }
        }
    }
    open.map_or(Ok(()), |sample| finish(path, sample, &mut members, classes, &mut part))?;
    Ok(part)
}

/// The key and the ending of a name; none for hidden files and those without an ending.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let file = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = name[file..].iter().position(|byte| *byte == b'.')?;
    if dot == 0 { None } else { Some((&name[..file + dot], &name[file + dot + 1..])) }
}

impl Sample {
    fn take(&mut self, ending: &[u8], member: &Member) -> Result<(), String> {
        let known = [&b"cls"[..], b"json", b"txt"].iter().position(|known| ending.eq_ignore_ascii_case(known));
        let place = match known {
            Some(at) => &mut self.sources[at],
            None if is_picture(ending) => &mut self.picture,
            None => return Ok(()),
        };
        match place.replace((member.offset, member.length)) {
            None => Ok(()),
            Some(_) if known.is_some() => Err(format!("two .{}", String::from_utf8_lossy(ending))),
            Some(_) => Err("two pictures".to_owned()),
        }
    }
}

fn wrong(path: &Path, sample: &Sample, problem: String) -> DataError {
    let example = format!("{}: {}", path.display(), String::from_utf8_lossy(&sample.key));
    DataError::Label { example, problem }
}

/// Adds a sample of which all members are known.
fn finish<R: Fn(u64, &mut [u8]) -> io::Result<()>>(
    path: &Path,
    sample: Sample,
    members: &mut Members<R>,
    classes: &Classes,
    part: &mut Part,
) -> Result<(), DataError> {
    let Some((offset, length)) = sample.picture else {
        part.passed.no_picture += 1;
        return Ok(());
    };
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let labels = labels(&sample, members, classes).map_err(|why| match why {
        Unlabelled::Io(source) => io(source),
        Unlabelled::Wrong(problem) => wrong(path, &sample, problem),
    })?;
    part.push(offset, length, &labels).map_err(io)
}

/// Why a sample has no label that can be used.
enum Unlabelled {
    Io(io::Error),
    Wrong(String),
}

impl From<String> for Unlabelled {
    fn from(problem: String) -> Unlabelled {
        Unlabelled::Wrong(problem)
    }
}

/// The label from `.cls`, else from `.json`, else from `.txt`; if a field is named, from `.json` only.
fn labels<R: Fn(u64, &mut [u8]) -> io::Result<()>>(
    sample: &Sample,
    members: &mut Members<R>,
    classes: &Classes,
) -> Result<Vec<u32>, Unlabelled> {
    let mut content = |at: usize| match sample.sources[at] {
        Some((_, length)) if length > LARGEST_LABEL => Err(Unlabelled::Wrong(format!(
            "its label is in a member of {length} bytes; at most {LARGEST_LABEL} are read"
        ))),
        Some((offset, length)) => {
            members.content(offset, length as usize).map(|bytes| Some(bytes.to_vec())).map_err(Unlabelled::Io)
        }
        None => Ok(None),
    };
    if classes.field.is_none()
        && let Some(cls) = content(0)?
    {
        return Ok(classes.cls(&cls)?);
    }
    if let Some(json) = content(1)?
        && let Some(labels) = classes.json(&json)?
    {
        return Ok(labels);
    }
    if let Some(field) = &classes.field {
        return Err(format!("no label: no .json with the field {field:?}").into());
    }
    match content(2)? {
        Some(txt) => Ok(classes.txt(&txt)?),
        None => Err("no label: neither .cls, nor .json with a field label or labels, nor .txt".to_owned().into()),
    }
}
