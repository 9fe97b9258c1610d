//! A `[model]` table of Vision Transformers: presets by name, or sizes spelled out.

use super::Model;
use crate::document::Node;
use crate::fields::{Fields, Problems, suggestion};
use crate::network::ModelSpec;
use crate::vit::{PRESETS, Pooling, Vit};

pub(crate) const MODEL_KEYS: [&str; 6] = ["family", "presets", "sizes", "lr", "finetune_lr", "pooling"];
pub(crate) const SIZE_KEYS: [&str; 7] = ["name", "patch", "width", "depth", "mlp", "heads", "pooling"];

const POOLINGS: [(&str, Pooling); 2] = [("map", Pooling::Map), ("class-token", Pooling::ClassToken)];

/// Reads the models of one table.
pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Vec<Model> {
    let fields = Fields::of(node, path, &MODEL_KEYS, problems);
    let pooling = fields.word("pooling", &POOLINGS, problems).unwrap_or(Pooling::Map);
    if !fields.has("presets") && !fields.has("sizes") {
        let message = format!("{path}: name some presets ({}) or spell out sizes", PRESETS.join(", "));
        problems.add(fields.place(), message);
    }
    let mut models = Vec::new();
    for (name, place) in fields.texts("presets", problems).unwrap_or_default() {
        match Vit::preset(&name) {
            Some(preset) => models.push(Model {
                spec: ModelSpec::Vit(Vit { pooling, ..preset }),
                name,
                lr: None,
                finetune_lr: None,
                place,
            }),
            None => {
                problems.add(place, format!("{path}.presets: unknown preset {name:?}{}", suggestion(&name, &PRESETS)))
            }
        }
    }
    for (index, node) in fields.tables("sizes", problems).iter().enumerate() {
        models.extend(read_size(node, &format!("{path}.sizes[{index}]"), pooling, problems));
    }
    models
}

fn read_size(node: &Node, path: &str, pooling: Pooling, problems: &mut Problems) -> Option<Model> {
    let fields = Fields::of(node, path, &SIZE_KEYS, problems);
    for (key, what) in [
        ("name", "what figures call this model"),
        ("patch", "height and width of a patch in pixels"),
        ("width", "channels of a token"),
        ("depth", "number of blocks"),
        ("heads", "attention heads"),
    ] {
        fields.require(key, what, problems);
    }
    let mut whole = |key, high| fields.whole(key, 1, high, problems).map(|value| value as u32);
    let (patch, width, depth) = (whole("patch", 1 << 14), whole("width", 1 << 17), whole("depth", 4096));
    let (heads, mlp) = (whole("heads", 4096), whole("mlp", 1 << 20));
    let name = fields.text("name", problems)?;
    let pooling = fields.word("pooling", &POOLINGS, problems).unwrap_or(pooling);
    let (width, patch, depth, heads) = (width?, patch?, depth?, heads?);
    let vit = Vit { patch, width, depth, mlp: mlp.unwrap_or(4 * width), heads, pooling };
    Some(Model { name, spec: ModelSpec::Vit(vit), lr: None, finetune_lr: None, place: fields.place() })
}
