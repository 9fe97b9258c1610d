//! From the path of a sweep file to its plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::{Dataset, fetch};
use spec::document::{Format, Problem};
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::sweep::{Data, Source, Sweep};

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
fn refuse(path: &Path, problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    let count = match lines.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Failure::usage(format!("{count} in the sweep file\n{}", lines.join("\n")))
}

/// What is known of the data of both stages.
pub(crate) struct Facts {
    grid: DatasetFacts,
    /// Of the data that fine-tuning has for itself.
    finetuning: Option<DatasetFacts>,
}

impl Loaded {
    /// The plan, as far as results are known.
    pub(crate) fn plan(&self, facts: &Facts, outcomes: &Outcomes) -> Result<Plan, Failure> {
        let plan = Plan::expand(&self.sweep, &facts.grid).and_then(|mut plan| {
            plan.add_finetuning(&self.sweep, facts.finetuning.as_ref().unwrap_or(&facts.grid), outcomes)?;
            Ok(plan)
        });
        plan.map_err(|problems| refuse(&self.path, &problems))
    }

    fn finetuning_data(&self) -> Option<&Data> {
        self.sweep.finetune.as_ref()?.data.as_ref()
    }

    /// What is known of the data without Fashion-MNIST having been fetched.
    pub(crate) fn facts(&self) -> Result<Facts, Failure> {
        let finetuning = self.finetuning_data().map(|data| self.facts_of(data)).transpose()?;
        Ok(Facts { grid: self.facts_of(&self.sweep.data)?, finetuning })
    }

    /// The data, opened: what is known of them, and their folders by fingerprint.
    pub(crate) fn open(&self) -> Result<(Facts, BTreeMap<String, PathBuf>), Failure> {
        let mut folders = BTreeMap::new();
        let mut open = |data: &Data| -> Result<DatasetFacts, Failure> {
            let (folder, facts) = self.open_one(data)?;
            folders.insert(facts.fingerprint.clone(), folder);
            Ok(facts)
        };
        let grid = open(&self.sweep.data)?;
        let finetuning = self.finetuning_data().map(open).transpose()?;
        Ok((Facts { grid, finetuning }, folders))
    }

    fn facts_of(&self, data: &Data) -> Result<DatasetFacts, Failure> {
        match &data.source {
            Source::FashionMnist => Ok(fetch::fashion_mnist_facts()),
            Source::Directory(_) => Ok(self.open_one(data)?.1),
            Source::Described(description) => Ok(DatasetFacts {
                fingerprint: format!("described:{}", data.dataset),
                train_examples: data.train_examples.unwrap_or(1),
                heldout_examples: data.heldout_examples.unwrap_or(1),
                channels: description.channels,
                resolution: data.resolution.unwrap_or(1),
                classes: description.classes,
                mean: 0.0,
                std: 1.0,
                per_class: Vec::new(),
            }),
        }
    }

    fn open_one(&self, data: &Data) -> Result<(PathBuf, DatasetFacts), Failure> {
        let (folder, remedy) = match &data.source {
            Source::FashionMnist => {
                let remedy = "get it with `scalelaw data fetch fashion-mnist`".to_owned();
                (fetch::cached(&place::cache()?, "fashion-mnist"), remedy)
            }
            Source::Directory(directory) => {
                let beside = self.path.parent().unwrap_or(Path::new(""));
                (beside.join(directory), format!("{}.directory names the folder with the four IDX files", data.path))
            }
            Source::Described(_) => {
                let message = format!(
                    "the data set {:?} is only described, so this sweep can be planned but not run",
                    data.dataset
                );
                return Err(Failure::usage(message));
            }
        };
        let dataset = Dataset::open(&folder, &remedy)?;
        if data.source == Source::FashionMnist && dataset.facts != fetch::fashion_mnist_facts() {
            let message = format!("{}: not Fashion-MNIST any more; {remedy}, which replaces it", folder.display());
            return Err(Failure::environment(message));
        }
        let folder = std::path::absolute(&folder)
            .map_err(|error| Failure::environment(format!("{}: {error}", folder.display())))?;
        Ok((folder, dataset.facts))
    }
}
