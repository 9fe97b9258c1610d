//! A training set and a held-out set, opened and checked, in whichever format they lie on the disk.

use std::path::{Path, PathBuf};

use spec::files::{DataFiles, Place};
use spec::plan::DatasetFacts;
use spec::run::PerChannel;

use crate::batch::Shape;
use crate::decode::DECODER;
use crate::idx::{self, Idx};
use crate::labels::read_names;
use crate::layout::{self, Layout};
use crate::split::{Raw, Split};
use crate::{DataError, Examples, Labelling, Progress};

/// A training set, a held-out set and what is known of them.
pub struct Dataset {
    /// Trained on.
    pub train: Split,
    /// Evaluated on, never trained on.
    pub heldout: Split,
    /// Shape, number, mean, spread and fingerprint.
    pub facts: DatasetFacts,
    /// Names of the classes, in the order of their numbers; empty where there are none.
    pub class_names: Vec<String>,
}

/// How a data set is opened.
pub struct Opening<'a> {
    /// What to do where a file is missing.
    pub remedy: &'a str,
    /// The user's cache, for indices of folders that nothing can be written into.
    pub cache: Option<&'a Path>,
    /// Whether an index is built although there is one.
    pub again: bool,
    /// Is told how far the building of an index has come.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Opening<'a> {
    /// Without a cache, telling nobody anything.
    pub fn quietly(remedy: &'a str) -> Opening<'a> {
        Opening { remedy, cache: None, again: false, progress: &|_| {} }
    }
}

/// Mean and standard deviation of ImageNet's channels, which users of encoded pictures mostly take.
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// The names of the four files, as MNIST has them.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

impl Dataset {
    /// Opens a data set; builds the indices of encoded pictures where they are missing or out of date.
    ///
    /// # Errors
    /// If files are missing or are not what they should be, with a remedy.
    pub fn open(files: &DataFiles, opening: &Opening<'_>) -> Result<Dataset, DataError> {
        let (train, heldout) = match &files.at {
            Place::Parts { train, heldout } => (train.clone(), heldout.clone()),
            Place::Directory(folder) => match layout::of(Path::new(folder), opening.remedy)? {
                Layout::Idx(folder) => return idx_files(&folder, opening.remedy).and_then(|parts| raw(parts, files)),
                Layout::Cifar(cifar) => return cifar.read().and_then(|parts| raw(parts, files)),
                Layout::Encoded { train, heldout } => (train, heldout),
            },
        };
        encoded(&train, &heldout, files, opening)
    }

    /// Keeps only the examples of `classes`, which are numbered anew in this order; examples stay in theirs. Numbers of
    /// examples and classes follow; mean, spread and fingerprint stay those of the files.
    ///
    /// # Errors
    /// A class that the training set does not have, and one that is named twice; nothing changes then.
    pub fn keep(&mut self, classes: &[u32]) -> Result<(), DataError> {
        let mut kept = Vec::new();
        for (at, class) in classes.iter().enumerate() {
            let found = self.facts.per_class.get(*class as usize).copied().filter(|[train, _]| *train > 0);
            let Some(found) = found.filter(|_| !self.facts.multi_label) else {
                return Err(DataError::Classes(format!("the training set has no class {class}")));
            };
            if classes[..at].contains(class) {
                return Err(DataError::Classes(format!("class {class} is named twice")));
            }
            kept.push(found);
        }
        self.train.keep(classes)?;
        self.heldout.keep(classes)?;
        if !self.class_names.is_empty() {
            let name = |class: &u32| self.class_names.get(*class as usize).cloned().unwrap_or_default();
            self.class_names = classes.iter().map(name).collect();
        }
        self.facts.train_examples = self.train.len();
        self.facts.heldout_examples = self.heldout.len();
        self.facts.classes = kept.len() as u32;
        self.facts.per_class = kept;
        Ok(())
    }
}

/// Both parts of a data set in memory, and the file that a problem with its labels is put down to.
pub(crate) struct RawParts {
    pub(crate) train: Raw,
    pub(crate) heldout: Raw,
    pub(crate) labels: PathBuf,
    pub(crate) class_names: Vec<String>,
}

fn raw(parts: RawParts, files: &DataFiles) -> Result<Dataset, DataError> {
    let RawParts { train, heldout, labels, class_names } = parts;
    let refuse = |problem: &str| DataError::Malformed { path: labels.clone(), problem: problem.to_owned() };
    let Shape { channels, side } = train.shape;
    let counts = per_class(&train.labels, &heldout.labels);
    if counts.iter().filter(|[train, _]| *train > 0).count() < 2 {
        return Err(refuse("all training pictures have one class, and at least two are needed"));
    }
    if files.channels.is_some_and(|wanted| wanted as usize != channels) {
        return Err(refuse(&format!(
            "the pictures have {channels} channels, which cannot be changed; leave channels out"
        )));
    }
    if files.multi_label || files.label.is_some() {
        return Err(refuse("this format has one class for each picture; leave multi_label and label out"));
    }
    let class_names = match &files.class_names {
        Some(path) => read_names(Path::new(path))?,
        None => class_names,
    };
    let (mean, std) = moments(&train);
    let facts = DatasetFacts {
        fingerprint: fingerprint(&train, &heldout),
        train_examples: train.labels.len() as u64,
        heldout_examples: heldout.labels.len() as u64,
        channels: channels as u32,
        resolution: Some(side as u32),
        classes: counts.len().max(class_names.len()).max(2) as u32,
        mean,
        std,
        per_class: counts,
        multi_label: false,
    };
    Ok(Dataset { train: Split::raw(train), heldout: Split::raw(heldout), facts, class_names })
}

fn encoded(train: &str, heldout: &str, files: &DataFiles, opening: &Opening<'_>) -> Result<Dataset, DataError> {
    let names = files.class_names.as_deref().map(|path| read_names(Path::new(path))).transpose()?;
    let labelling = Labelling { class_names: names, label_field: files.label.clone(), multi_label: files.multi_label };
    let train = Examples::open(train, &labelling, opening.cache, opening.again, opening.progress)?;
    // Of folders, a class that only one part has must not shift the numbers of the others.
    let known = train.is_folder().then(|| train.class_names().to_vec());
    let labelling = Labelling { class_names: known.or(labelling.class_names.clone()), ..labelling };
    let place = heldout;
    let heldout = Examples::open(heldout, &labelling, opening.cache, opening.again, opening.progress)?;
    if train.class_names() != heldout.class_names() {
        let problem =
            "its classes have other names, or another order, than those of the training set; give class_names";
        return Err(DataError::Malformed { path: place.into(), problem: problem.to_owned() });
    }
    let channels = files.channels.unwrap_or(3);
    let classes = train.classes().max(heldout.classes()).max(2);
    let of = |counts: &[u64], class: u32| counts.get(class as usize).copied().unwrap_or(0);
    let per_class: Vec<[u64; 2]> =
        (0..classes).map(|class| [of(train.per_class(), class), of(heldout.per_class(), class)]).collect();
    if per_class.iter().filter(|[train, _]| *train > 0).count() < 2 {
        let problem = "all training pictures have one class, and at least two are needed".to_owned();
        return Err(DataError::Malformed { path: PathBuf::from(&labelling_place(files)), problem });
    }
    let mut hasher = blake3::Hasher::new();
    for part in [train.fingerprint(), heldout.fingerprint(), DECODER, &channels.to_string()] {
        hasher.update(part.as_bytes()).update(b"\n");
    }
    let (mean, std) = match channels {
        1 => (PerChannel::All(0.5), PerChannel::All(0.25)),
        _ => (PerChannel::Each(IMAGENET.0.to_vec()), PerChannel::Each(IMAGENET.1.to_vec())),
    };
    let facts = DatasetFacts {
        fingerprint: hasher.finalize().to_hex()[..32].to_owned(),
        train_examples: train.len(),
        heldout_examples: heldout.len(),
        channels,
        resolution: None,
        classes,
        mean,
        std,
        per_class,
        multi_label: files.multi_label,
    };
    let class_names = train.class_names().to_vec();
    let [train, heldout] = [train, heldout].map(|examples| Split::encoded(examples, channels as usize));
    Ok(Dataset { train, heldout, facts, class_names })
}

fn labelling_place(files: &DataFiles) -> String {
    match &files.at {
        Place::Directory(folder) => folder.clone(),
        Place::Parts { train, .. } => train.clone(),
    }
}

/// Training and held-out examples of each class.
fn per_class(train: &[u8], heldout: &[u8]) -> Vec<[u64; 2]> {
    let mut counts = Vec::new();
    for (part, labels) in [train, heldout].into_iter().enumerate() {
        for label in labels {
            let class = usize::from(*label);
            if counts.len() <= class {
                counts.resize(class + 1, [0, 0]);
            }
            counts[class][part] += 1;
        }
    }
    counts
}

/// The four files of MNIST and its kin.
fn idx_files(folder: &Path, remedy: &str) -> Result<RawParts, DataError> {
    let [train_images, train_labels, heldout_images, heldout_labels] = FILES.map(|name| folder.join(name));
    let train = split(&train_images, &train_labels, remedy)?;
    let heldout = split(&heldout_images, &heldout_labels, remedy)?;
    if train.shape != heldout.shape {
        let (side, other) = (train.shape.side, heldout.shape.side);
        let problem = format!("pictures of {other} pixels, but {side} in {}", train_images.display());
        return Err(DataError::Malformed { path: heldout_images, problem });
    }
    Ok(RawParts { train, heldout, labels: train_labels, class_names: Vec::new() })
}

fn split(images: &Path, labels: &Path, remedy: &str) -> Result<Raw, DataError> {
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
    Ok(Raw { pixels: pictures.bytes, labels: bytes, shape: Shape { channels: 1, side: height } })
}

/// Mean and standard deviation of each channel's pixels scaled to 0..1, rounded to four digits as data sheets give them.
fn moments(pictures: &Raw) -> (PerChannel, PerChannel) {
    let Shape { channels, side } = pictures.shape;
    let mut counts = vec![[0_u64; 256]; channels];
    for (at, plane) in pictures.pixels.chunks_exact((side * side).max(1)).enumerate() {
        plane.iter().for_each(|pixel| counts[at % channels][usize::from(*pixel)] += 1);
    }
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let of_channel = |counts: &[u64; 256]| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let moment = |power: i32| {
            let sum: f64 = counts
                .iter()
                .enumerate()
                .map(|(value, count)| (value as f64 / 255.0).powi(power) * *count as f64)
                .sum();
            sum / total
        };
        let mean = moment(1);
        let std = (moment(2) - mean * mean).max(0.0).sqrt();
        (round(mean), round(std).max(1e-4))
    };
    let (mean, std): (Vec<f64>, Vec<f64>) = counts.iter().map(of_channel).unzip();
    let shape =
        |values: Vec<f64>| if let [only] = values[..] { PerChannel::All(only) } else { PerChannel::Each(values) };
    (shape(mean), shape(std))
}

/// BLAKE3 over everything that training can see.
fn fingerprint(train: &Raw, heldout: &Raw) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(train.shape.side as u64).to_le_bytes());
    for split in [train, heldout] {
        hasher.update(&(split.labels.len() as u64).to_le_bytes());
        hasher.update(&split.pixels);
        hasher.update(&split.labels);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests;
