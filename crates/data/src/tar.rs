//! The members of a tar file, by reading headers only.
//!
//! Understood are ustar with its prefix, GNU's long names and large sizes, and PAX headers. Whatever two readers could
//! understand differently is an error: two sizes for one member, a size on a link, records for all members to come.

use std::io;

use numbers::{checksum, number};

mod numbers;
mod pax;

/// Everything in a tar file stands at a multiple of this.
const BLOCK: u64 = 512;
/// The longest name.
const LONGEST_NAME: u64 = 4096;
/// The largest PAX header.
const LARGEST_PAX: u64 = 1 << 20;
/// The largest number of members.
const MOST_MEMBERS: u64 = 100_000_000;
/// Zeros are looked for so far behind the end mark; archives are padded to 10 KB, rarely to more.
const PADDING: u64 = 1 << 20;
/// Bytes read at once: few where a picture follows, more as long as small members follow each other.
const WINDOWS: [usize; 2] = [4 << 10, 256 << 10];

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, without a leading `./`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where its content begins.
    pub offset: u64,
    /// Bytes of its content.
    pub length: u64,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// A file whose name would leave the folder that it is unpacked in: absolute, or with `..`.
    Outside,
    /// A hard or symbolic link.
    Link,
    /// A folder.
    Folder,
    /// A device, a pipe or what only one program knows.
    Special,
}

/// Why a tar file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The system would not read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The content is not that of a tar file.
    #[error("{0}")]
    Malformed(String),
}

fn malformed(problem: impl Into<String>) -> TarError {
    TarError::Malformed(problem.into())
}

/// Walks through the members of a tar file of known length; `read` fills a buffer from an offset, as
/// [`read_exact_at`](std::os::unix::fs::FileExt::read_exact_at) does.
pub struct Members<R> {
    read: R,
    length: u64,
    /// Where the next header is.
    next: u64,
    count: u64,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
}

impl<R: Fn(u64, &mut [u8]) -> io::Result<()>> Members<R> {
    /// Begins with the first member.
    pub fn new(length: u64, read: R) -> Members<R> {
        Members { read, length, next: 0, count: 0, window: Vec::new(), start: 0 }
    }

    /// The next member, or none at the end of the archive.
    ///
    /// # Errors
    /// If the archive is malformed, truncated, or not one that every program reads alike.
    pub fn step(&mut self) -> Result<Option<Member>, TarError> {
        let mut long_name: Option<Vec<u8>> = None;
        let mut pax = pax::Records::default();
        loop {
            let at = self.next;
            let Some(header) = self.header(at)? else {
                let pending = long_name.is_some() || pax != pax::Records::default();
                return if pending { Err(malformed("ends after a header that speaks of a member")) } else { Ok(None) };
            };
            let flag = header[156];
            let name = own_name(&header);
            let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            let size = number(&header[124..136]).map_err(|why| malformed(format!("{}: size: {why}", shown(&name))))?;
            match flag {
                b'L' | b'K' => {
                    let mut text = self.body(at, size, LONGEST_NAME + 1, "a long name")?.to_vec();
                    if let Some(end) = text.iter().position(|byte| *byte == 0) {
                        text.truncate(end);
                    }
                    if flag == b'L' && long_name.replace(text).is_some() {
                        return Err(malformed(format!("two long names for one member at byte {at}")));
                    }
                }
                b'x' | b'X' => {
                    let found = pax::parse(self.body(at, size, LARGEST_PAX, "a PAX header")?).map_err(malformed)?;
                    if pax != pax::Records::default() {
                        return Err(malformed(format!("two PAX headers for one member at byte {at}")));
                    }
                    pax = found;
                }
                b'g' => {
                    let found = pax::parse(self.body(at, size, LARGEST_PAX, "a PAX header")?).map_err(malformed)?;
                    if found.path.is_some() || found.size.is_some() || found.sparse {
                        return Err(malformed("a global PAX header sets the path or size of all members"));
                    }
                }
                _ => {
                    if long_name.is_some() && pax.path.is_some() {
                        return Err(malformed(format!("two long names for one member at byte {at}")));
                    }
                    let name = pax.path.take().or(long_name).unwrap_or(name);
                    return self.member(name, flag, size, &pax, at).map(Some);
                }
            }
        }
    }

    /// `length` bytes from `at`, which are known to be in the file.
    pub(crate) fn content(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let end = at + length as u64;
        if at < self.start || end > self.start + self.window.len() as u64 {
            // Adjacent to what was read: small members follow each other, so more is read.
            let adjacent = at.abs_diff(self.start + self.window.len() as u64) <= WINDOWS[0] as u64;
            let wanted = if adjacent { (self.window.len() * 2).min(WINDOWS[1]) } else { WINDOWS[0] };
            let wanted = wanted.max(WINDOWS[0]).max(length) as u64;
            let there = self.length.saturating_sub(at).min(wanted).max(length as u64);
            self.window.resize(there as usize, 0);
            self.start = at;
            if let Err(error) = (self.read)(at, &mut self.window) {
                self.window.clear();
                return Err(error);
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.window[from..from + length])
    }

    /// The header at `at`; none if the archive ends there.
    fn header(&mut self, at: u64) -> Result<Option<[u8; BLOCK as usize]>, TarError> {
        let unmarked = || {
            let length = self.length;
            malformed(format!(
                "no end mark: it was cut short at byte {length}, or written by a program that does not close archives"
            ))
        };
        if at >= self.length {
            return Err(unmarked());
        }
        if self.length - at < BLOCK {
            let there = self.length - at;
            return Err(malformed(format!("truncated: a header at byte {at} needs {BLOCK} bytes, {there} are there")));
        }
        let mut block = [0; BLOCK as usize];
        block.copy_from_slice(self.content(at, BLOCK as usize)?);
        if block.iter().all(|byte| *byte == 0) {
            self.nothing_behind(at + BLOCK)?;
            return Ok(None);
        }
        let stated = number(&block[148..156]).map_err(|why| malformed(format!("no tar header at byte {at}: {why}")))?;
        if !checksum(&block).contains(&stated) {
            return Err(malformed(format!("the header at byte {at} is damaged: its checksum is wrong")));
        }
        Ok(Some(block))
    }

    /// Archives that were written one behind the other are refused: their second half would silently be missing.
    fn nothing_behind(&mut self, from: u64) -> Result<(), TarError> {
        let end = self.length.min(from.saturating_add(PADDING));
        let mut at = from;
        while at < end {
            let length = (end - at).min(16 * BLOCK) as usize;
            if self.content(at, length)?.iter().any(|byte| *byte != 0) {
                return Err(malformed(format!(
                    "there is more behind the end of the archive at byte {from}; unpack archives that were \
                     concatenated and pack them anew"
                )));
            }
            at += length as u64;
        }
        Ok(())
    }

    /// The content of a header that speaks of the next member.
    fn body(&mut self, header: u64, size: u64, limit: u64, what: &str) -> Result<&[u8], TarError> {
        if size > limit {
            return Err(malformed(format!("{what} of {size} bytes at byte {header}; at most {limit} are read")));
        }
        self.advance(header, size, what)?;
        Ok(self.content(header + BLOCK, size as usize)?)
    }

    /// Goes to the header behind a content of so many bytes.
    fn advance(&mut self, header: u64, size: u64, what: &str) -> Result<(), TarError> {
        self.count += 1;
        if self.count > MOST_MEMBERS {
            return Err(malformed(format!("more than {MOST_MEMBERS} members")));
        }
        let offset = header + BLOCK;
        let there = self.length - offset;
        if size > there {
            return Err(malformed(format!("truncated: {what} needs {size} bytes at byte {offset}, {there} are there")));
        }
        // The padding behind the last content may be missing; the missing end mark is noticed then.
        self.next = offset + size.div_ceil(BLOCK) * BLOCK;
        Ok(())
    }

    fn member(&mut self, name: Vec<u8>, flag: u8, size: u64, pax: &pax::Records, at: u64) -> Result<Member, TarError> {
        let shown = String::from_utf8_lossy(&name).into_owned();
        if name.len() as u64 > LONGEST_NAME {
            return Err(malformed(format!("a name of {} bytes; at most {LONGEST_NAME} are read", name.len())));
        }
        if name.contains(&0) {
            return Err(malformed(format!("{shown:?}: a null byte in the name")));
        }
        if flag == b'S' || pax.sparse {
            return Err(malformed(format!("{shown}: a sparse member; pack it without --sparse")));
        }
        if flag == b'M' {
            return Err(malformed(format!("{shown}: continues in another volume; write one archive")));
        }
        let length = match pax.size {
            Some(stated) if size != 0 && size != stated => {
                return Err(malformed(format!("{shown}: two sizes, {size} in its header and {stated} before it")));
            }
            stated => stated.unwrap_or(size),
        };
        let kind = match flag {
            // Tar files from before ustar mark a folder by its name only.
            0 if name.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' if is_outside(&name) => Kind::Outside,
            0 | b'0' | b'7' => Kind::File,
            b'1' | b'2' => Kind::Link,
            b'5' | b'D' => Kind::Folder,
            _ => Kind::Special,
        };
        if length != 0 && matches!(flag, b'1'..=b'6') {
            // Some programs would look for its content behind it, and others would not.
            return Err(malformed(format!("{shown}: {length} bytes for a member that can have no content")));
        }
        self.advance(at, length, &shown)?;
        let mut plain = &name[..];
        while let Some(rest) = plain.strip_prefix(b"./") {
            plain = rest;
        }
        Ok(Member { kind, offset: at + BLOCK, length, name: plain.to_vec() })
    }
}

/// All members of a tar file in memory.
///
/// # Errors
/// As [`Members::step`].
pub fn parse_tar(content: &[u8]) -> Result<Vec<Member>, TarError> {
    let read = |at: u64, buffer: &mut [u8]| {
        let from = usize::try_from(at).ok().and_then(|at| content.get(at..)?.get(..buffer.len()));
        from.map(|from| buffer.copy_from_slice(from)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let mut members = Members::new(content.len() as u64, read);
    std::iter::from_fn(|| members.step().transpose()).collect()
}

/// The name in the header itself.
fn own_name(header: &[u8; BLOCK as usize]) -> Vec<u8> {
    let text = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    // GNU's own format keeps times where ustar has the prefix.
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() { [&prefix[..], b"/", &name].concat() } else { name }
}

fn is_outside(name: &[u8]) -> bool {
    name.first() == Some(&b'/') || name.split(|byte| *byte == b'/').any(|part| part == b"..")
}

#[cfg(test)]
pub(crate) mod tests;
