//! The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): records of one or two labels and 3,072 pixels, red, green and
//! blue planes of 32 rows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::batch::Shape;
use crate::dataset::RawParts;
use crate::split::Raw;

const SHAPE: Shape = Shape { channels: 3, side: 32 };

/// The files of one of the two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cifar {
    folder: PathBuf,
    /// Ten classes, or a hundred.
    ten: bool,
}

impl Cifar {
    /// Looks in `folder`, and in the folder that the archives unpack to.
    pub(crate) fn find(folder: &Path) -> Option<Cifar> {
        let places = [(true, "", "data_batch_1.bin"), (true, "cifar-10-batches-bin", "data_batch_1.bin")];
        let others = [(false, "", "train.bin"), (false, "cifar-100-binary", "train.bin")];
        let mut all = places.into_iter().chain(others);
        let found = all.find(|(_, below, name)| folder.join(below).join(name).is_file());
        found.map(|(ten, below, _)| Cifar { folder: folder.join(below), ten })
    }

    /// Reads both parts.
    pub(crate) fn read(&self) -> Result<RawParts, DataError> {
        let train: Vec<String> = match self.ten {
            true => (1..=5).map(|batch| format!("data_batch_{batch}.bin")).collect(),
            false => vec!["train.bin".to_owned()],
        };
        let heldout = if self.ten { "test_batch.bin" } else { "test.bin" };
        let names = self.folder.join(if self.ten { "batches.meta.txt" } else { "fine_label_names.txt" });
        let names = fs::read_to_string(names).unwrap_or_default();
        Ok(RawParts {
            train: self.records(&train)?,
            heldout: self.records(&[heldout.to_owned()])?,
            labels: self.folder.join(&train[0]),
            class_names: names.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }

    fn records(&self, names: &[String]) -> Result<Raw, DataError> {
        let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE };
        for name in names {
            let path = self.folder.join(name);
            let bytes = fs::read(&path).map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => DataError::Missing {
                    path: path.clone(),
                    remedy: "the other files of CIFAR are there, so unpack its archive again".to_owned(),
                },
                _ => DataError::Io { path: path.clone(), source },
            })?;
            append(&bytes, self.ten, &mut raw).map_err(|problem| DataError::Malformed { path, problem })?;
        }
        Ok(raw)
    }
}

/// Reads one file from memory: of CIFAR-10, or else of CIFAR-100.
///
/// # Errors
/// What is wrong with it.
pub fn parse(bytes: &[u8], ten: bool) -> Result<Raw, String> {
    let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE };
    append(bytes, ten, &mut raw).map(|()| raw)
}

/// Appends the records of one file.
fn append(bytes: &[u8], ten: bool, raw: &mut Raw) -> Result<(), String> {
    let (labels, classes) = if ten { (1, 10) } else { (2, 100) };
    let record = labels + SHAPE.bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        return Err(format!(
            "{} bytes, which is no whole number of records of {record}; is it cut short?",
            bytes.len()
        ));
    }
    for (at, record) in bytes.chunks_exact(record).enumerate() {
        // Of CIFAR-100's two labels the second is the fine one.
        let label = record[labels - 1];
        if label >= classes {
            return Err(format!("picture {at} has class {label}; there are classes 0 to {}", classes - 1));
        }
        raw.labels.push(label);
        raw.pixels.extend_from_slice(&record[labels..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fine_label_of_a_hundred_is_the_second() {
        let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE };
        let record = [vec![19, 72], vec![7; 3072]].concat();
        append(&record, false, &mut raw).expect("one record");
        assert_eq!((raw.labels.clone(), raw.pixels.len()), (vec![72], 3072));
        let why = append(&record[1..], true, &mut raw).expect_err("class 72 of ten");
        assert_eq!(why, "picture 0 has class 72; there are classes 0 to 9");
        assert!(
            append(&record[..3000], false, &mut raw).expect_err("cut short").contains("no whole number of records")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..7000), ten: bool) {
            let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE };
            if append(&bytes, ten, &mut raw).is_ok() {
                prop_assert_eq!(raw.pixels.len(), raw.labels.len() * SHAPE.bytes());
            }
        }
    }
}
