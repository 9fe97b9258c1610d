//! The table `[data]`, of either stage.

use super::read::refuse_repeats;
use super::{Data, Description, Source};
use crate::document::Node;
use crate::fields::{Fields, Problems, suggestion};

pub(crate) const DATA_KEYS: [&str; 9] = [
    "dataset",
    "directory",
    "train_examples",
    "heldout_examples",
    "resolution",
    "heldout_resolution",
    "channels",
    "classes",
    "keep_classes",
];

/// Reads the table at `path`; where it is not `present`, nothing in it is missed.
pub(crate) fn read(node: &Node, path: &str, present: bool, problems: &mut Problems) -> Data {
    let data = Fields::of(node, path, &DATA_KEYS, problems);
    if present {
        data.require("dataset", "the name of a data set, such as \"fashion-mnist\"", problems);
    }
    let dataset = data.text("dataset", problems).unwrap_or_default();
    let train_examples = data.whole("train_examples", 1, u64::MAX, problems);
    let heldout_examples = data.whole("heldout_examples", 1, u64::MAX, problems);
    let mut pixels = |key| data.whole(key, 1, 16_384, problems).map(|pixels| pixels as u32);
    let (resolution, heldout_resolution) = (pixels("resolution"), pixels("heldout_resolution"));
    let described = ["channels", "classes"].iter().any(|key| data.has(key));
    let directory = data.text("directory", problems);
    let source = match directory {
        Some(directory) => Source::Directory(directory),
        None if dataset == "fashion-mnist" => Source::FashionMnist,
        None if described => {
            for key in ["channels", "classes", "resolution", "train_examples", "heldout_examples"] {
                data.require(key, "a data set without files has to be described by it", problems);
            }
            let channels = data.whole("channels", 1, 4, problems).unwrap_or(3) as u32;
            let classes = data.whole("classes", 2, 10_000_000, problems).unwrap_or(2) as u32;
            Source::Described(Description { channels, classes })
        }
        None => {
            if data.has("dataset") {
                let message = format!(
                    "{path}.dataset: unknown data set {dataset:?}{}; for your own files give {path}.directory, for a price without files {path}.channels, classes, resolution, train_examples and heldout_examples",
                    suggestion(&dataset, &["fashion-mnist"])
                );
                problems.add(data.place_of("dataset"), message);
            }
            Source::FashionMnist
        }
    };
    if described && !matches!(source, Source::Described(_)) {
        for key in ["channels", "classes"].into_iter().filter(|key| data.has(key)) {
            problems
                .add(data.place_of(key), format!("{path}.{key}: read from the files of this data set; leave it out"));
        }
    }
    let keep_classes = data.wholes("keep_classes", 0, 1 << 24, problems).filter(|classes| !classes.is_empty());
    refuse_repeats(&data, "keep_classes", keep_classes.as_deref().unwrap_or_default(), problems);
    if keep_classes.as_ref().is_some_and(|classes| classes.len() < 2) {
        problems.add(data.place_of("keep_classes"), format!("{path}.keep_classes: at least two classes are needed"));
    }
    if keep_classes.is_some() && described {
        let message = format!("{path}.keep_classes: a data set without files has no classes to choose from");
        problems.add(data.place_of("keep_classes"), message);
    }
    let keep_classes = keep_classes.map(|classes| classes.into_iter().map(|class| class as u32).collect());
    Data {
        dataset,
        source,
        train_examples,
        heldout_examples,
        keep_classes,
        resolution,
        heldout_resolution,
        path: path.to_owned(),
        place: data.place(),
    }
}
