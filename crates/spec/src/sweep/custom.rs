//! A `[model]` table of networks that only the trainer knows.

use std::collections::BTreeMap;

use super::Model;
use crate::custom::{Custom, Setting};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems, Range};
use crate::network::ModelSpec;

pub(crate) const MODEL_KEYS: [&str; 4] = ["family", "sizes", "lr", "finetune_lr"];
pub(crate) const SIZE_KEYS: [&str; 4] = ["name", "parameters", "macs", "settings"];

/// Reads the models of one table.
pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Vec<Model> {
    let fields = Fields::of(node, path, &MODEL_KEYS, problems);
    fields.require("sizes", "a list of models, such as { name = \"small\", parameters = 1e6, macs = 2e6 }", problems);
    let sizes = fields.tables("sizes", problems).iter().enumerate();
    sizes.filter_map(|(index, node)| read_size(node, &format!("{path}.sizes[{index}]"), problems)).collect()
}

fn read_size(node: &Node, path: &str, problems: &mut Problems) -> Option<Model> {
    let fields = Fields::of(node, path, &SIZE_KEYS, problems);
    for (key, what) in [
        ("name", "what figures call this model"),
        ("parameters", "how many parameters it has"),
        ("macs", "multiply-accumulates of one forward pass for one example"),
    ] {
        fields.require(key, what, problems);
    }
    let parameters = large(&fields, "parameters", problems);
    let macs = large(&fields, "macs", problems);
    let settings = fields.get("settings").map(|node| read_settings(node, &fields.key_path("settings"), problems));
    let name = fields.text("name", problems)?;
    let custom = Custom { parameters: parameters?, macs: macs?, settings: settings.unwrap_or_default() };
    Some(Model { name, spec: ModelSpec::Custom(custom), lr: None, finetune_lr: None, place: fields.place() })
}

/// A whole number that may be written as 1e9.
fn large(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<u64> {
    let value = fields.number(key, Range::From(1.0, 9e18), problems)?;
    if value.fract() != 0.0 {
        let message = format!("{}: found {value}, expected a whole number", fields.key_path(key));
        problems.add(fields.place_of(key), message);
    }
    Some(value as u64)
}

fn read_settings(node: &Node, path: &str, problems: &mut Problems) -> BTreeMap<String, Setting> {
    let Value::Table(entries) = &node.value else {
        let message = format!("{path}: found {}, expected a table of numbers, words and flags", node.describe());
        problems.add(node.place, message);
        return BTreeMap::new();
    };
    let mut settings = BTreeMap::new();
    for entry in entries {
        let setting = match &entry.node.value {
            Value::Bool(flag) => Setting::Flag(*flag),
            Value::Integer(number) => Setting::Whole(*number),
            Value::Float(number) if number.is_finite() => Setting::Number(*number),
            Value::Text(text) => Setting::Text(text.clone()),
            _ => {
                let found = entry.node.describe();
                let message = format!("{path}.{}: found {found}, expected a number, a word, true or false", entry.key);
                problems.add(entry.node.place, message);
                continue;
            }
        };
        settings.insert(entry.key.clone(), setting);
    }
    settings
}
