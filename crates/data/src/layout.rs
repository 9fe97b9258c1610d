//! Which format a folder holds, told by what lies in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::cifar::Cifar;
use crate::dataset::FILES;

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The four files of MNIST and its kin.
    Idx(PathBuf),
    /// The binary files of CIFAR-10 or CIFAR-100.
    Cifar(Cifar),
    /// Encoded pictures, as patterns.
    Encoded { train: String, heldout: String },
}

/// What the held-out part is called, by those who publish data.
const HELD_OUT: [&str; 5] = ["val", "validation", "valid", "heldout", "test"];

/// Says what `folder` holds, by the first of these that is there.
pub(crate) fn of(folder: &Path, remedy: &str) -> Result<Layout, DataError> {
    let there = |name: &str| folder.join(name).exists();
    if FILES.iter().any(|name| there(name) || there(&format!("{name}.gz"))) {
        return Ok(Layout::Idx(folder.to_owned()));
    }
    if let Some(cifar) = Cifar::find(folder) {
        return Ok(Layout::Cifar(cifar));
    }
    let text = |path: &Path| path.display().to_string();
    if there("train") && folder.join("train").is_dir() {
        let found = HELD_OUT.iter().find(|part| folder.join(part).is_dir());
        let heldout = found.ok_or_else(|| no_heldout(folder, "folder", "val"))?;
        return Ok(Layout::Encoded { train: text(&folder.join("train")), heldout: text(&folder.join(heldout)) });
    }
    for (below, extension) in [("data", "parquet"), ("", "parquet"), ("", "tar")] {
        let place = if below.is_empty() { folder.to_owned() } else { folder.join(below) };
        let names = file_names(&place, extension);
        let begins = |part: &str| names.iter().any(|name| name.starts_with(part));
        if !begins("train") {
            continue;
        }
        let pattern = |part: &str| text(&place.join(format!("{part}*.{extension}")));
        let found = HELD_OUT.iter().find(|part| begins(part));
        let heldout = found.ok_or_else(|| no_heldout(&place, "file", &format!("val-0000.{extension}")))?;
        return Ok(Layout::Encoded { train: pattern("train"), heldout: pattern(heldout) });
    }
    if folder.exists() {
        let problem = format!(
            "holds no data set: neither {} and its kin, nor CIFAR's data_batch_1.bin or train.bin, nor folders train and val, nor files train*.parquet or train*.tar; {remedy}",
            FILES[0]
        );
        return Err(DataError::Malformed { path: folder.to_owned(), problem });
    }
    Err(DataError::Missing { path: folder.to_owned(), remedy: remedy.to_owned() })
}

fn no_heldout(folder: &Path, what: &str, example: &str) -> DataError {
    let names = HELD_OUT.join(", ");
    DataError::Malformed {
        path: folder.to_owned(),
        problem: format!(
            "there is something to train on, but no {what} whose name begins with one of {names}; add one, such as {example}"
        ),
    }
}

fn file_names(folder: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| Path::new(name).extension().is_some_and(|found| found == extension)).collect()
}
