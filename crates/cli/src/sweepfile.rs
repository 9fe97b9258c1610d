//! From the path of a sweep file to its plan.

use std::path::{Path, PathBuf};

use data::{Dataset, fetch};
use spec::document::{Format, Problem};
use spec::plan::{DatasetFacts, Plan};
use spec::sweep::{Source, Sweep};

use crate::exit::Failure;
use crate::place;

/// A sweep file that was read.
pub(crate) struct Loaded {
    pub(crate) text: String,
    pub(crate) sweep: Sweep,
    pub(crate) path: PathBuf,
}

/// Reads a sweep file; everything that is wrong with it is said at once.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    // Some editors begin a file with a mark that no format wants.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    let format = Format::of_file_name(&path.to_string_lossy());
    let sweep = Sweep::parse(&text, format).map_err(|problems| refuse(path, &problems))?;
    Ok(Loaded { text, sweep, path: path.to_owned() })
}

/// One line per problem, as compilers have it.
pub(crate) fn refuse(path: &Path, problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    let count = match lines.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Failure::usage(format!("{count} in the sweep file\n{}", lines.join("\n")))
}

impl Loaded {
    /// The plan, with the data as they are known: opened where they have to be, described where that is enough.
    pub(crate) fn plan(&self, facts: &DatasetFacts) -> Result<Plan, Failure> {
        Plan::expand(&self.sweep, facts).map_err(|problems| refuse(&self.path, &problems))
    }

    /// What is known of the data without Fashion-MNIST having been fetched.
    pub(crate) fn facts(&self) -> Result<DatasetFacts, Failure> {
        match &self.sweep.data.source {
            Source::FashionMnist => Ok(fetch::fashion_mnist_facts()),
            Source::Directory(_) => Ok(self.open()?.1.facts),
            Source::Described(description) => Ok(DatasetFacts {
                fingerprint: format!("described:{}", self.sweep.data.dataset),
                train_examples: self.sweep.data.train_examples.unwrap_or(1),
                heldout_examples: self.sweep.data.heldout_examples.unwrap_or(1),
                channels: description.channels,
                resolution: self.sweep.data.resolution.unwrap_or(1),
                classes: description.classes,
                mean: 0.0,
                std: 1.0,
                per_class: Vec::new(),
            }),
        }
    }

    /// The folder of the data and the data, for a sweep that is to run.
    pub(crate) fn open(&self) -> Result<(PathBuf, Dataset), Failure> {
        let (folder, remedy) = match &self.sweep.data.source {
            Source::FashionMnist => {
                (fetch::cached(&place::cache()?, "fashion-mnist"), "get it with `scalelaw data fetch fashion-mnist`")
            }
            Source::Directory(directory) => {
                let beside = self.path.parent().unwrap_or(Path::new(""));
                (beside.join(directory), "data.directory names the folder with the four IDX files")
            }
            Source::Described(_) => {
                let message = format!(
                    "the data set {:?} is only described, so this sweep can be planned but not run",
                    self.sweep.data.dataset
                );
                return Err(Failure::usage(message));
            }
        };
        let dataset = Dataset::open(&folder, remedy)?;
        if self.sweep.data.source == Source::FashionMnist && dataset.facts != fetch::fashion_mnist_facts() {
            let message = format!("{}: not Fashion-MNIST any more; {remedy}, which replaces it", folder.display());
            return Err(Failure::environment(message));
        }
        let folder = std::path::absolute(&folder)
            .map_err(|error| Failure::environment(format!("{}: {error}", folder.display())))?;
        Ok((folder, dataset))
    }
}
