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

    /// Drops all pictures but those with a new class; `bytes` is the size of one.
    fn keep(&mut self, new_class: &[Option<u8>; 256], bytes: usize) {
        let mut kept = 0;
        for at in 0..self.labels.len() {
            if let Some(class) = new_class[usize::from(self.labels[at])] {
                self.labels[kept] = class;
                self.pixels.copy_within(at * bytes..(at + 1) * bytes, kept * bytes);
                kept += 1;
            }
        }
        self.labels.truncate(kept);
        self.pixels.truncate(kept * bytes);
        self.labels.shrink_to_fit();
        self.pixels.shrink_to_fit();
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
        let counts = per_class(&train, &heldout);
        if counts.iter().filter(|[train, _]| *train > 0).count() < 2 {
            let problem = "all training pictures have one class, and at least two are needed".to_owned();
            return Err(DataError::Malformed { path: train_labels, problem });
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
            per_class: counts,
        };
        Ok(Dataset { train, heldout, facts })
    }

    /// Keeps only the examples of `classes`, which are numbered anew in this order; examples stay in theirs. Numbers of
    /// examples and classes follow; mean, spread and fingerprint stay those of the files.
    ///
    /// Refuses a class that the training set does not have and one that is named twice; nothing changes then.
    pub fn keep(&mut self, classes: &[u32]) -> Result<(), DataError> {
        let mut new_class = [None; 256];
        let mut kept = Vec::new();
        for class in classes {
            let found = self.facts.per_class.get(*class as usize).copied().filter(|[train, _]| *train > 0);
            let Some(found) = found else {
                return Err(DataError::Classes(format!("the training set has no class {class}")));
            };
            if new_class[*class as usize].replace(kept.len() as u8).is_some() {
                return Err(DataError::Classes(format!("class {class} is named twice")));
            }
            kept.push(found);
        }
        let bytes = (self.facts.channels * self.facts.resolution * self.facts.resolution) as usize;
        self.train.keep(&new_class, bytes);
        self.heldout.keep(&new_class, bytes);
        self.facts.train_examples = self.train.len() as u64;
        self.facts.heldout_examples = self.heldout.len() as u64;
        self.facts.classes = kept.len() as u32;
        self.facts.per_class = kept;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pictures of two pixels by two, each of a grey level of its own.
    fn dataset(train: &[u8], heldout: &[u8]) -> Dataset {
        let split = |labels: &[u8]| Split {
            pixels: (0..labels.len()).flat_map(|at| [at as u8; 4]).collect(),
            labels: labels.to_vec(),
        };
        let (train, heldout) = (split(train), split(heldout));
        let facts = DatasetFacts {
            fingerprint: fingerprint(&train, &heldout, 2),
            train_examples: train.len() as u64,
            heldout_examples: heldout.len() as u64,
            channels: 1,
            resolution: 2,
            classes: 10,
            mean: 0.5,
            std: 0.2,
            per_class: per_class(&train, &heldout),
        };
        Dataset { train, heldout, facts }
    }

    #[test]
    fn kept_classes_are_numbered_as_they_are_listed() {
        let mut kept = dataset(&[0, 3, 1, 3, 9, 0], &[9, 1, 3, 3]);
        let before = kept.facts.clone();
        kept.keep(&[3, 0, 9]).expect("classes that are there");
        assert_eq!(kept.train.labels, [1, 0, 0, 2, 1]);
        assert_eq!(kept.train.pixels, [[0; 4], [1; 4], [3; 4], [4; 4], [5; 4]].concat());
        assert_eq!(kept.heldout.labels, [2, 0, 0]);
        assert_eq!(kept.heldout.pixels, [[0; 4], [2; 4], [3; 4]].concat());
        let expected = DatasetFacts {
            train_examples: 5,
            heldout_examples: 3,
            classes: 3,
            per_class: vec![[2, 2], [2, 0], [1, 1]],
            ..before
        };
        assert_eq!(kept.facts, expected);
    }

    #[test]
    fn classes_that_cannot_be_kept_change_nothing() {
        let whole = dataset(&[0, 1, 1], &[2, 0]);
        for (classes, why) in [
            (vec![0, 2], "keep_classes: the training set has no class 2"),
            (vec![0, 4_000_000_000], "keep_classes: the training set has no class 4000000000"),
            (vec![1, 0, 1], "keep_classes: class 1 is named twice"),
        ] {
            let mut kept = whole.clone();
            assert_eq!(kept.keep(&classes).map_err(|error| error.to_string()), Err(why.to_owned()));
            assert_eq!(kept, whole);
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_has_the_class(
            labels in proptest::collection::vec(0_u8..4, 0..40), classes in Just(vec![0_u32, 1, 2, 3]).prop_shuffle(), count in 0_usize..5,
        ) {
            let classes = &classes[..count];
            let there = |class: &u32| labels.iter().any(|label| u32::from(*label) == *class);
            let mut kept = dataset(&labels, &labels);
            let result = kept.keep(classes);
            prop_assert_eq!(result.is_ok(), classes.iter().all(there));
            prop_assume!(result.is_ok());
            let expected: Vec<(u8, u8)> = labels
                .iter()
                .zip(0_u8..)
                .filter(|(label, _)| classes.contains(&u32::from(**label)))
                .map(|(label, at)| (at, *label))
                .collect();
            let found: Vec<(u8, u8)> = (kept.train.labels.iter())
                .zip(kept.train.pixels.chunks_exact(4))
                .map(|(label, pixels)| (pixels[3], classes[usize::from(*label)] as u8))
                .collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(kept.train, kept.heldout);
        }
    }
}
