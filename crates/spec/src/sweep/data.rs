//! The table `[data]`, of either stage.

use super::read::refuse_repeats;
use super::{Data, Description, Source};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range, suggestion};
use crate::files::{DataFiles, Place};
use crate::order::Blocks;
use crate::run::PerChannel;

pub(crate) const DATA_KEYS: [&str; 19] = [
    "dataset",
    "directory",
    "train",
    "heldout",
    "class_names",
    "label",
    "multi_label",
    "train_examples",
    "heldout_examples",
    "resolution",
    "heldout_resolution",
    "centre_crop",
    "mean",
    "std",
    "channels",
    "classes",
    "keep_classes",
    "blocks",
    "skip_damaged",
];

pub(crate) const BLOCK_KEYS: [&str; 2] = ["examples", "open"];

/// Reads the table at `path`; where it is not `present`, nothing in it is missed. Where no network takes `pictures`, a data set
/// without files is described by its numbers of examples alone.
pub(crate) fn read(node: &Node, path: &str, present: bool, pictures: bool, problems: &mut Problems) -> Data {
    let data = Fields::of(node, path, &DATA_KEYS, problems);
    if present {
        data.require("dataset", "the name of a data set, such as \"fashion-mnist\"", problems);
    }
    let dataset = data.text("dataset", problems).unwrap_or_default();
    let train_examples = data.whole("train_examples", 1, u64::MAX, problems);
    let heldout_examples = data.whole("heldout_examples", 1, u64::MAX, problems);
    let mut pixels = |key| data.whole(key, 1, 16_384, problems).map(|pixels| pixels as u32);
    let (resolution, heldout_resolution) = (pixels("resolution"), pixels("heldout_resolution"));
    let source = source(&data, path, &dataset, pictures, problems);
    let keep_classes = data.wholes("keep_classes", 0, 1 << 24, problems).filter(|classes| !classes.is_empty());
    refuse_repeats(&data, "keep_classes", keep_classes.as_deref().unwrap_or_default(), problems);
    if keep_classes.as_ref().is_some_and(|classes| classes.len() < 2) {
        problems.add(data.place_of("keep_classes"), format!("{path}.keep_classes: at least two classes are needed"));
    }
    let no_classes = match &source {
        Source::Described(_) => Some("a data set without files has no classes to choose from"),
        Source::Files(files) if files.multi_label => Some("cannot be told for examples with any number of classes"),
        _ => None,
    };
    if let (Some(_), Some(why)) = (&keep_classes, no_classes) {
        problems.add(data.place_of("keep_classes"), format!("{path}.keep_classes: {why}"));
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
        mean: per_channel(&data, "mean", Range::From(0.0, 1.0), problems),
        std: per_channel(&data, "std", Range::Above0(1.0), problems),
        centre_crop: data.number("centre_crop", Range::Above0(1.0), problems),
        blocks: data.get("blocks").and_then(|node| blocks(node, path, problems)),
        skip_damaged: data.number("skip_damaged", Range::From(0.0, 1.0), problems),
        path: path.to_owned(),
        place: data.place(),
    }
}

/// Where the examples come from.
fn source(data: &Fields<'_>, path: &str, dataset: &str, pictures: bool, problems: &mut Problems) -> Source {
    let parts = ["train", "heldout"].iter().any(|key| data.has(key));
    if parts {
        for key in ["train", "heldout"] {
            data.require(key, "the other part of the data, such as \"shards/val-{00..49}.tar\"", problems);
        }
        if data.has("directory") {
            let message =
                format!("{path}.directory: leave it out where {path}.train and {path}.heldout name the files");
            problems.add(data.place_of("directory"), message);
        }
    }
    let directory = data.text("directory", problems);
    let [train, heldout] = ["train", "heldout"].map(|key| data.text(key, problems).unwrap_or_default());
    if parts && train == heldout && !train.is_empty() {
        let message = format!("{path}.heldout: the same files as {path}.train; what is trained on cannot be held out");
        problems.add(data.place_of("heldout"), message);
    }
    let at = match directory {
        _ if parts => Some(Place::Parts { train, heldout }),
        directory => directory.map(Place::Directory),
    };
    let [class_names, label] = ["class_names", "label"].map(|key| data.text(key, problems));
    let multi_label = data.flag("multi_label", problems).unwrap_or(false);
    if let Some(at) = at {
        if data.has("classes") {
            let message = format!("{path}.classes: read from the files of this data set; leave it out");
            problems.add(data.place_of("classes"), message);
        }
        let channels = data.whole("channels", 1, 3, problems).map(|channels| channels as u32);
        if channels == Some(2) {
            problems.add(data.place_of("channels"), format!("{path}.channels: 1 for grey pictures, 3 for colour"));
        }
        return Source::Files(DataFiles { at, class_names, label, multi_label, channels });
    }
    for key in ["class_names", "label", "multi_label"].into_iter().filter(|key| data.has(key)) {
        problems.add(
            data.place_of(key),
            format!("{path}.{key}: only for files that {path}.directory or {path}.train names"),
        );
    }
    let described = ["channels", "classes"].iter().any(|key| data.has(key)) || (!pictures && data.has("dataset"));
    if dataset == "fashion-mnist" {
        for key in ["channels", "classes"].into_iter().filter(|key| data.has(key)) {
            problems
                .add(data.place_of(key), format!("{path}.{key}: read from the files of this data set; leave it out"));
        }
        return Source::FashionMnist;
    }
    if described {
        let all = ["train_examples", "heldout_examples", "channels", "classes", "resolution"];
        for key in if pictures { &all[..] } else { &all[..2] } {
            data.require(key, "a data set without files has to be described by it", problems);
        }
        let channels = data.whole("channels", 1, 4, problems).unwrap_or(1) as u32;
        let classes = data.whole("classes", 2, 10_000_000, problems).unwrap_or(1) as u32;
        return Source::Described(Description { channels, classes });
    }
    if data.has("dataset") {
        let message = format!(
            "{path}.dataset: unknown data set {dataset:?}{}; for your own files give {path}.directory, or {path}.train and heldout; for a price without files {path}.channels, classes, resolution, train_examples and heldout_examples",
            suggestion(dataset, &["fashion-mnist"])
        );
        problems.add(data.place_of("dataset"), message);
    }
    Source::FashionMnist
}

/// A number, or a list with one for each channel.
fn per_channel(data: &Fields<'_>, key: &str, range: Range, problems: &mut Problems) -> Option<PerChannel> {
    match data.get(key)? {
        Node { value: Value::List(_), .. } => data.numbers(key, range, problems).map(PerChannel::Each),
        _ => data.number(key, range, problems).map(PerChannel::All),
    }
}

fn blocks(node: &Node, path: &str, problems: &mut Problems) -> Option<Blocks> {
    let fields = Fields::of(node, &format!("{path}.blocks"), &BLOCK_KEYS, problems);
    for (key, what) in
        [("examples", "how many neighbours are read together"), ("open", "how many blocks are mixed at a time")]
    {
        fields.require(key, what, problems);
    }
    let examples = fields.whole("examples", 1, 1 << 40, problems)?;
    let open = fields.whole("open", 1, 1 << 20, problems)?;
    Some(Blocks { examples, open })
}
