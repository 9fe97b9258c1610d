//! A data set in memory, checked once when it is opened.

use std::path::Path;

use spec::plan::DatasetFacts;

use crate::DataError;
use crate::idx::{self, Idx};

/// Pictures and their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Pixels, channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// Class of each picture.
    pub labels: Vec<u8>,
}

impl Split {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A training set, a held-out set and what is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Trained on.
    pub train: Split,
    /// Evaluated on, never trained on.
    pub heldout: Split,
    /// Shape, number, mean, spread and fingerprint.
    pub facts: DatasetFacts,
}

/// The names of the four files, as MNIST has them.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

impl Dataset {
    /// Opens the four IDX files in `directory`. `remedy` says what to do where one is missing.
    pub fn open(directory: &Path, remedy: &str) -> Result<Dataset, DataError> {
        let [train_images, train_labels, heldout_images, heldout_labels] = FILES.map(|name| directory.join(name));
        let (train, side) = split(&train_images, &train_labels, remedy)?;
        let (heldout, heldout_side) = split(&heldout_images, &heldout_labels, remedy)?;
        if side != heldout_side {
            let problem = format!("pictures of {heldout_side} pixels, but {side} in {}", train_images.display());
            return Err(DataError::Malformed { path: heldout_images, problem });
        }
        let highest = train.labels.iter().chain(&heldout.labels).max().copied().unwrap_or(0);
        let (mean, std) = moments(&train.pixels);
        let facts = DatasetFacts {
            fingerprint: fingerprint(&train, &heldout, side),
            train_examples: train.len() as u64,
            heldout_examples: heldout.len() as u64,
            channels: 1,
            resolution: side as u32,
            classes: u32::from(highest).max(1) + 1,
            mean,
            std,
            per_class: per_class(&train, &heldout),
        };
        Ok(Dataset { train, heldout, facts })
    }
}

/// Training and held-out examples of each class.
fn per_class(train: &Split, heldout: &Split) -> Vec<[u64; 2]> {
    let mut counts = Vec::new();
    for (part, split) in [train, heldout].into_iter().enumerate() {
        for label in &split.labels {
            let class = usize::from(*label);
            if counts.len() <= class {
                counts.resize(class + 1, [0, 0]);
            }
            counts[class][part] += 1;
        }
    }
    counts
}

fn split(images: &Path, labels: &Path, remedy: &str) -> Result<(Split, usize), DataError> {
    let pictures = idx::read(images, remedy)?;
    let classes = idx::read(labels, remedy)?;
    let malformed = |path: &Path, problem: String| DataError::Malformed { path: path.to_owned(), problem };
    let &[count, height, width] = &pictures.shape[..] else {
        return Err(malformed(
            images,
            format!("{} dimensions, expected 3 (pictures, rows, columns)", pictures.shape.len()),
        ));
    };
    if height != width || height == 0 || count == 0 {
        return Err(malformed(images, format!("{count} pictures of {height} x {width}, expected square ones")));
    }
    let Idx { shape, bytes } = classes;
    if shape != [count] {
        return Err(malformed(labels, format!("{} labels for {count} pictures", bytes.len())));
    }
    Ok((Split { pixels: pictures.bytes, labels: bytes }, height))
}

/// Mean and standard deviation of pixels scaled to 0..1, rounded to four digits as data sheets give them.
fn moments(pixels: &[u8]) -> (f64, f64) {
    let mut counts = [0_u64; 256];
    pixels.iter().for_each(|pixel| counts[usize::from(*pixel)] += 1);
    let total = pixels.len().max(1) as f64;
    let moment = |power: i32| {
        let sum: f64 =
            counts.iter().enumerate().map(|(value, count)| (value as f64 / 255.0).powi(power) * *count as f64).sum();
        sum / total
    };
    let mean = moment(1);
    let std = (moment(2) - mean * mean).max(0.0).sqrt();
    let round = |value: f64| (value * 1e4).round() / 1e4;
    (round(mean), round(std).max(1e-4))
}

/// BLAKE3 over everything that training can see.
fn fingerprint(train: &Split, heldout: &Split, side: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(side as u64).to_le_bytes());
    for split in [train, heldout] {
        hasher.update(&(split.len() as u64).to_le_bytes());
        hasher.update(&split.pixels);
        hasher.update(&split.labels);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
