//! The table `[trainer]`: who trains, where it is not the built-in trainer.

use super::Model;
use crate::document::{Node, Place};
use crate::fields::{Fields, Problems, suggestion};
use crate::network::ModelSpec;
use crate::trainer::{PLACEHOLDERS, Piece, Trainer, pieces};

pub(crate) const TRAINER_KEYS: [&str; 1] = ["command"];

/// Reads the trainer of `models`; networks that only a trainer knows must have one.
pub(crate) fn read(node: Option<&Node>, models: &[Model], problems: &mut Problems) -> Option<Trainer> {
    let Some(node) = node else {
        for model in models.iter().filter(|model| matches!(model.spec, ModelSpec::Custom(_))) {
            let message = format!(
                "model {:?}: only a trainer of your own knows networks of the family custom; say with trainer.command how it \
                 is started",
                model.name
            );
            problems.add(model.place, message);
        }
        return None;
    };
    let fields = Fields::of(node, "trainer", &TRAINER_KEYS, problems);
    fields.require("command", "the program and its arguments, such as [\"python3\", \"train.py\", \"{lr}\"]", problems);
    let command = fields.texts("command", problems).unwrap_or_default();
    for (index, (text, place)) in command.iter().enumerate() {
        let path = format!("trainer.command[{index}]");
        if index == 0 && text.trim().is_empty() {
            problems.add(*place, format!("{path}: expected a program"));
        }
        match pieces(text) {
            Err(error) => problems.add(*place, format!("{path}: {error}")),
            Ok(pieces) => pieces.iter().for_each(|piece| {
                if let Piece::Placeholder(name) = piece {
                    check(name, &path, *place, models, problems);
                }
            }),
        }
    }
    Some(Trainer::Command { command: command.into_iter().map(|(text, _)| text).collect() })
}

/// A placeholder must have a value for every model.
fn check(name: &str, path: &str, place: Place, models: &[Model], problems: &mut Problems) {
    if PLACEHOLDERS.contains(&name) {
        return;
    }
    let settings = |model: &Model| match &model.spec {
        ModelSpec::Custom(custom) => custom.settings.keys().map(|key| format!("setting.{key}")).collect(),
        ModelSpec::Nfnet(_) | ModelSpec::Vit(_) => Vec::new(),
    };
    let mut known: Vec<String> = models.iter().flat_map(settings).collect();
    known.sort();
    known.dedup();
    if !known.iter().any(|known| known == name) {
        let allowed: Vec<&str> = PLACEHOLDERS.into_iter().chain(known.iter().map(String::as_str)).collect();
        // Whoever writes JSON there means braces.
        let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-');
        let what = match name.chars().all(is_name) {
            true => suggestion(name, &allowed),
            false => "; a brace that is meant as it is, is written twice: {{ and }}".to_owned(),
        };
        problems.add(place, format!("{path}: unknown placeholder {{{name}}}{what}"));
        return;
    }
    for model in models.iter().filter(|model| !settings(model).iter().any(|known| known == name)) {
        problems.add(model.place, format!("model {:?}: lacks the {name} that {path} asks for", model.name));
    }
}
