//! Trainers that are not the built-in one: a program of one's own, or a simulation.

use serde::{Deserialize, Serialize};

use crate::network::ModelSpec;
use crate::run::RunSpec;
use crate::simulation::Simulation;

/// What trains a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Trainer {
    /// A program that honours the run folder.
    Command {
        /// The program and its arguments, with placeholders such as `{lr}`; `{{` and `}}` are braces.
        command: Vec<String>,
    },
    /// A pretended training with a planted law, by `scalelaw simulate`.
    Simulated {
        /// The law.
        law: Simulation,
    },
}

/// Placeholders of a command, beside `setting.NAME` of models that only the trainer knows.
pub const PLACEHOLDERS: [&str; 12] = [
    "lr",
    "epochs",
    "model",
    "seed",
    "batch",
    "steps",
    "samples",
    "run_dir",
    "run_id",
    "attempt",
    "accumulate",
    "gpus_per_run",
];

/// What a command may be told of the attempt that it is started for.
#[derive(Clone, Copy, Debug)]
pub struct AttemptValues<'a> {
    /// The folder of the run.
    pub run_dir: &'a str,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Parts that a batch is computed in; `None`: as many as the run says.
    pub accumulate: Option<u32>,
    /// Devices of the attempt.
    pub devices: u32,
}

/// Why a text with placeholders cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a single {0}; write {0}{0} for a brace")]
    Brace(char),
    /// A placeholder that has no value.
    #[error("unknown placeholder {{{0}}}")]
    Unknown(String),
}

/// A piece of a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text as it is; a brace for two.
    Text(&'a str),
    /// The name of a placeholder.
    Placeholder(&'a str),
}

/// Takes a text with placeholders apart.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let brace = &rest[at..=at];
        let behind = &rest[at + 1..];
        if behind.starts_with(brace) {
            pieces.push(Piece::Text(&rest[..=at]));
            rest = &behind[1..];
            continue;
        }
        let end = behind.find(['{', '}']).filter(|end| brace == "{" && behind[*end..].starts_with('}'));
        let Some(end) = end else { return Err(TemplateError::Brace(if brace == "{" { '{' } else { '}' })) };
        pieces.extend([Piece::Text(&rest[..at]), Piece::Placeholder(&behind[..end])]);
        rest = &behind[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

impl Trainer {
    /// The trainer of the runs of a model. Its name is no part of a run, but what a command is told decides the weights, so it is
    /// put in its place here.
    pub(crate) fn for_model(&self, name: &str) -> Trainer {
        match self {
            Trainer::Command { command } => {
                let filled = command.iter().map(|text| with_model(text, name).unwrap_or_else(|_| text.clone()));
                Trainer::Command { command: filled.collect() }
            }
            Trainer::Simulated { law } => Trainer::Simulated { law: *law },
        }
    }
}

fn with_model(text: &str, name: &str) -> Result<String, TemplateError> {
    let escaped = |text: &str| text.replace('{', "{{").replace('}', "}}");
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => escaped(text),
        Piece::Placeholder("model") => escaped(name),
        Piece::Placeholder(other) => format!("{{{other}}}"),
    };
    Ok(pieces(text)?.iter().map(piece).collect())
}

/// One argument of the command that trains `run`, with all values in their places. Numbers are written without exponent.
///
/// # Errors
/// If a brace stands alone or a placeholder is none of ours.
pub fn fill(text: &str, run: &RunSpec, of: &AttemptValues<'_>) -> Result<String, TemplateError> {
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => Ok((*text).to_owned()),
        Piece::Placeholder(name) => value(name, run, of).ok_or_else(|| TemplateError::Unknown((*name).to_owned())),
    };
    pieces(text)?.iter().map(piece).collect()
}

fn value(name: &str, run: &RunSpec, of: &AttemptValues<'_>) -> Option<String> {
    Some(match name {
        "lr" => run.train.lr.to_string(),
        "epochs" => run.train.epochs.to_string(),
        "seed" => run.seed.to_string(),
        "batch" => run.train.batch.to_string(),
        "steps" => run.steps().to_string(),
        "samples" => run.samples().to_string(),
        "run_dir" => of.run_dir.to_owned(),
        "run_id" => run.id().to_string(),
        "attempt" => of.attempt.to_string(),
        "accumulate" => of.accumulate.unwrap_or(run.train.arithmetic.accumulate).to_string(),
        "gpus_per_run" => of.devices.to_string(),
        _ => setting(&run.model, name.strip_prefix("setting.")?)?,
    })
}

/// A setting of a model that only the trainer knows, as text.
fn setting(model: &ModelSpec, name: &str) -> Option<String> {
    match model {
        ModelSpec::Custom(custom) => custom.settings.get(name).map(ToString::to_string),
        ModelSpec::Nfnet(_) | ModelSpec::Vit(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn braces_and_placeholders_are_told_apart() {
        use Piece::{Placeholder, Text};
        assert_eq!(pieces("--lr={lr}"), Ok(vec![Text("--lr="), Placeholder("lr")]));
        assert_eq!(
            pieces("{{\"lr\": {lr}}}"),
            Ok(vec![Text("{"), Text("\"lr\": "), Placeholder("lr"), Text("}")]),
            "JSON can be written"
        );
        assert_eq!(pieces(""), Ok(vec![]));
        for (text, brace) in [("{lr", '{'), ("lr}", '}'), ("{l{r}", '{'), ("{", '{'), ("{{}", '}')] {
            assert_eq!(pieces(text), Err(TemplateError::Brace(brace)), "{text}");
        }
    }

    proptest! {
        /// Whatever a model is called, its name comes out as it is.
        #[test]
        fn a_name_is_put_in_its_place(name in ".{0,12}", before in "[^{}]{0,5}") {
            let filled = with_model(&format!("{before}{{model}}{{{{{{lr}}"), &name).expect("a good template");
            let text: String = pieces(&filled).expect("still one").iter().map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Placeholder(name) => format!("<{name}>"),
            }).collect();
            prop_assert_eq!(text, format!("{before}{name}{{<lr>"));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}a-c.ä]{0,12}") {
            let _ = pieces(&text);
        }
    }
}
