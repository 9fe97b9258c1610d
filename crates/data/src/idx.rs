//! The IDX format: a big-endian header (two zeros, type, number of dimensions, sizes) and the bytes.
//! Described at the public home of MNIST, section "File formats".

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// An array of bytes with its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Size of each dimension; the first counts the examples.
    pub shape: Vec<usize>,
    /// The bytes, last dimension fastest.
    pub bytes: Vec<u8>,
}

/// More than any data set that is held in memory should have.
const LIMIT: u64 = 16 << 30;

/// Reads `path`, or `path` with `.gz` behind it.
pub fn read(path: &Path, remedy: &str) -> Result<Idx, DataError> {
    let zipped = with_gz(path);
    let (path, content) = if path.exists() {
        (path.to_owned(), read_all(path, |file| Box::new(file)))
    } else if zipped.exists() {
        (zipped.clone(), read_all(&zipped, |file| Box::new(MultiGzDecoder::new(file))))
    } else {
        return Err(DataError::Missing { path: path.to_owned(), remedy: remedy.to_owned() });
    };
    let content = content.map_err(|source| DataError::Io { path: path.clone(), source })?;
    parse(&content).map_err(|problem| DataError::Malformed { path, problem })
}

fn with_gz(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

fn read_all(path: &Path, reader: impl Fn(File) -> Box<dyn Read>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader(File::open(path)?).take(LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

/// Reads an IDX file of unsigned bytes from memory.
pub fn parse(content: &[u8]) -> Result<Idx, String> {
    let Some(([zero, also_zero, kind, dimensions], mut rest)) =
        content.split_first_chunk::<4>().map(|(head, rest)| (*head, rest))
    else {
        return Err(format!("{} bytes are too few for an IDX header", content.len()));
    };
    if zero != 0 || also_zero != 0 {
        return Err(format!("not an IDX file: begins with {zero:02x} {also_zero:02x}, expected 00 00"));
    }
    if kind != 8 {
        return Err(format!("IDX type {kind:#04x}, expected 0x08 (unsigned bytes)"));
    }
    if dimensions == 0 {
        return Err("IDX file without dimensions".to_owned());
    }
    let mut shape = Vec::new();
    let mut expected = 1_u64;
    for _ in 0..dimensions {
        let Some((size, after)) = rest.split_first_chunk::<4>() else {
            return Err("truncated inside the IDX header".to_owned());
        };
        rest = after;
        let size = u32::from_be_bytes(*size);
        expected = expected
            .checked_mul(u64::from(size))
            .ok_or("truncated: the header announces more bytes than a file can have")?;
        shape.push(size as usize);
    }
    if rest.len() as u64 != expected {
        let found = rest.len();
        let what = if (found as u64) < expected { "truncated" } else { "too long" };
        return Err(format!("{what}: {expected} bytes announced by the header, {found} found"));
    }
    Ok(Idx { shape, bytes: rest.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(content: &[u8], expected: Result<(&[usize], &[u8]), &str>) {
        let found = parse(content);
        match (&found, expected) {
            (Ok(idx), Ok((shape, bytes))) => assert_eq!((&idx.shape[..], &idx.bytes[..]), (shape, bytes)),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn well_formed() {
        check(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9], Ok((&[2], &[7, 9])));
        check(&[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9], Ok((&[1, 2], &[7, 9])));
    }

    #[test]
    fn malformed() {
        check(&[0, 0, 8], Err("too few"));
        check(b"\x1f\x8b\x08\x00", Err("not an IDX file"));
        check(&[0, 0, 13, 1, 0, 0, 0, 0], Err("IDX type 0x0d"));
        check(&[0, 0, 8, 2, 0, 0, 0, 1], Err("truncated inside"));
        check(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 9], Err("truncated: 3 bytes"));
        check(&[0, 0, 8, 1, 0, 0, 0, 1, 7, 9], Err("too long: 1 bytes"));
        // Even if the last dimension has nothing.
        check(
            &[0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0],
            Ok((&[0xffff_ffff, 0xffff_ffff, 0], &[])),
        );
        check(&[0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], Err("truncated"));
        check(&[0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], Err("truncated"));
    }

    proptest! {
        #[test]
        fn no_content_makes_the_parser_panic(content in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&content);
        }
    }
}
