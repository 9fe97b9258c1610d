//! A `plot` command as words: read, and written so that it draws the same figure anywhere.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::args::{Arguments, Command, Compare, Figure, Plot};

/// What draws figures.
pub(crate) enum DrawingCommand {
    Plot(Box<Plot>),
    Compare(Compare),
}

/// A command that draws figures as it was typed, without the name of the program.
pub(crate) fn drawing_command(command: &[String]) -> Result<DrawingCommand, clap::Error> {
    let words = ["scalelaw".to_owned()].into_iter().chain(command.iter().cloned());
    match Arguments::try_parse_from(words)?.command {
        Command::Plot(options) => Ok(DrawingCommand::Plot(Box::new(options))),
        Command::Compare(options) => Ok(DrawingCommand::Compare(options)),
        _ => Err(clap::Error::raw(ErrorKind::InvalidSubcommand, "it draws no figure\n")),
    }
}

/// The options of a `plot` command.
pub(crate) fn typed(command: &[String]) -> Result<Plot, clap::Error> {
    match drawing_command(command)? {
        DrawingCommand::Plot(options) => Ok(*options),
        DrawingCommand::Compare(_) => Err(clap::Error::raw(ErrorKind::InvalidSubcommand, "it is no plot\n")),
    }
}

/// The command that draws one figure again, with everything that decides it and nothing else: where the state folder lies, where
/// the files go and how the answer is printed are matters of the machine and the moment. `sweep` is the one that was meant.
pub(crate) fn decisive(options: &Plot, figure: Figure, sweep: Option<&str>) -> Vec<String> {
    let mut words = vec!["plot".to_owned(), word(figure)];
    words.extend(sweep.map(str::to_owned));
    let usual = typed(&words[..1]).map_or_else(|_| Vec::new(), |usual| settings(&usual));
    for (flag, value) in settings(options).into_iter().filter(|setting| !usual.contains(setting)) {
        words.extend(value.into_iter().flat_map(|value| [format!("--{flag}"), value]));
    }
    words
}

/// All that decides a figure, by the names of the options.
fn settings(plot: &Plot) -> Vec<(&'static str, Option<String>)> {
    let Plot { columns, .. } = plot;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| nearest(path));
    vec![
        ("points", path(&columns.points)),
        ("compute-column", columns.compute_column.clone()),
        ("loss-column", columns.loss_column.clone()),
        ("lr-column", columns.lr_column.clone()),
        ("epochs-column", columns.epochs_column.clone()),
        ("model-column", columns.model_column.clone()),
        ("family-column", columns.family_column.clone()),
        ("params-column", columns.params_column.clone()),
        ("samples-column", columns.samples_column.clone()),
        ("compute", Some(word(plot.compute))),
        ("style", Some(word(plot.style))),
        ("overlay", path(&plot.overlay)),
        ("title", plot.title.clone()),
        ("x-label", plot.x_label.clone()),
        ("y-label", plot.y_label.clone()),
    ]
}

/// What to type behind `scalelaw` for these words, with the files going to `folder`.
pub(crate) fn as_typed(command: &[String], folder: &Path) -> String {
    let plain = |word: &str| word.chars().all(|c| c.is_alphanumeric() || "-_./=+,:%".contains(c)) && !word.is_empty();
    let quoted = |word: &String| if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    let own = command.iter().map(quoted);
    own.chain(["--out".to_owned(), quoted(&folder.display().to_string())]).collect::<Vec<_>>().join(" ")
}

/// A path as seen from the folder where the command is typed, where it lies below it.
fn nearest(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.as_ref().and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}

/// A choice as it is typed.
pub(crate) fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_decides_nothing_is_forgotten() {
        let options = typed(&words(
            "plot all demo --state-dir /here/state --runs-dir=/runs --json --pdf --out /tmp/x --compute flops --style paper",
        ))
        .expect("a plot");
        let decisive = decisive(&options, Figure::Lr, Some("demo"));
        assert_eq!(decisive, words("plot lr demo --compute flops"));
        let again = typed(&decisive).expect("a plot");
        assert_eq!((again.figure, again.compute), (Figure::Lr, options.compute));
    }

    #[test]
    fn what_decides_is_kept_and_can_be_typed() {
        let command =
            "plot transfer --points a.csv --loss-column error --family-column kind --style dark --overlay b.csv";
        let mut typed_words = words(command);
        typed_words.extend(["--x-label".to_owned(), "core hours".to_owned()]);
        let options = typed(&typed_words).expect("a plot");
        let kept = decisive(&options, Figure::Transfer, None);
        assert_eq!(kept, typed_words);
        assert_eq!(as_typed(&kept, Path::new("out")), format!("{command} --x-label 'core hours' --out out"));
    }

    #[test]
    fn paths_below_are_written_from_here() {
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(nearest(&here.join("a/b.csv")), "a/b.csv");
        assert_eq!(nearest(Path::new("/elsewhere/b.csv")), "/elsewhere/b.csv");
    }
}
