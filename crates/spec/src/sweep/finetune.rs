//! The table `[finetune]`: the second stage.

use super::read::read_rates;
use super::{Finetune, Model, Pick, data, train};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range};

pub(crate) const FINETUNE_KEYS: [&str; 5] = ["from", "epochs", "lr", "data", "train"];

/// Reads the stage that follows the pre-training of `models`, which take `pictures` or something that only their trainer knows.
pub(crate) fn read(node: &Node, models: &[Model], pictures: bool, problems: &mut Problems) -> Finetune {
    let empty = Node { place: node.place, value: Value::Table(Vec::new()) };
    let fields = Fields::of(node, "finetune", &FINETUNE_KEYS, problems);
    fields.require("epochs", "passes over the data of this stage; 50 in arXiv 2310.16764", problems);
    fields.require("train", "a table with at least batch", problems);
    if models.iter().any(|model| model.finetune_lr.is_none()) {
        fields.require(
            "lr",
            "a list of learning rates, or { center, factor, num }, or finetune_lr in every [model]",
            problems,
        );
    }
    let train = train::read(fields.get("train").unwrap_or(&empty), "finetune.train", fields.has("train"), problems);
    if train.share_trunk {
        problems.add(
            train.place,
            "finetune.train.schedule.share_trunk: this stage has one budget, so there is nothing to share",
        );
    }
    let from = fields.word("from", &[("best", Pick::Best), ("each", Pick::Each)], problems).unwrap_or(Pick::Best);
    Finetune {
        from,
        epochs: fields.number("epochs", Range::Above0(1e6), problems).unwrap_or(1.0),
        lr: read_rates(&fields, "lr", problems).unwrap_or_default(),
        data: fields.get("data").map(|node| data::read(node, "finetune.data", true, pictures, problems)),
        train,
        place: fields.place(),
    }
}
