//! From the path of a sweep file to its plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::{Dataset, Opening, fetch};
use spec::document::{Format, Problem};
use spec::files::DataFiles;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::PerChannel;
use spec::sweep::{Data, Source, Sweep};
use spec::trainer::Trainer;

use crate::exit::Failure;
use crate::indexing::Indexing;
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
    /// One line for each problem.
    pub(crate) fn refuse(&self, problems: &[Problem]) -> Failure {
        refuse(&self.path, problems)
    }

    /// The plan, as far as results are known.
    pub(crate) fn plan(&self, facts: &Facts, outcomes: &Outcomes) -> Result<Plan, Failure> {
        let plan = Plan::expand(&self.sweep, &facts.grid, outcomes).and_then(|mut plan| {
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

    /// The data, opened: what is known of them, and where they lie by fingerprint.
    pub(crate) fn open(&self) -> Result<(Facts, BTreeMap<String, DataFiles>), Failure> {
        let mut places = BTreeMap::new();
        let mut open = |data: &Data| -> Result<DatasetFacts, Failure> {
            if self.finds_its_data(data) {
                return self.facts_of(data);
            }
            let (files, dataset) = self.open_one(data, false)?;
            places.insert(dataset.facts.fingerprint.clone(), files);
            Ok(dataset.facts)
        };
        let grid = open(&self.sweep.data)?;
        let finetuning = self.finetuning_data().map(open).transpose()?;
        Ok((Facts { grid, finetuning }, places))
    }

    /// Whether the trainer needs no files of ours: it finds them by itself, or only pretends.
    fn finds_its_data(&self, data: &Data) -> bool {
        match &self.sweep.trainer {
            None => false,
            Some(Trainer::Command { .. }) => matches!(data.source, Source::Described(_)),
            Some(Trainer::Simulated { .. }) => !matches!(data.source, Source::Files(_)),
        }
    }

    fn facts_of(&self, data: &Data) -> Result<DatasetFacts, Failure> {
        match &data.source {
            Source::FashionMnist => Ok(fetch::fashion_mnist_facts()),
            Source::Files(_) => Ok(self.open_one(data, false)?.1.facts),
            Source::Described(description) => Ok(DatasetFacts {
                fingerprint: format!("described:{}", data.dataset),
                train_examples: data.train_examples.unwrap_or(1),
                heldout_examples: data.heldout_examples.unwrap_or(1),
                channels: description.channels,
                resolution: Some(data.resolution.unwrap_or(1)),
                classes: description.classes,
                mean: PerChannel::All(0.0),
                std: PerChannel::All(1.0),
                per_class: Vec::new(),
                multi_label: false,
            }),
        }
    }

    /// Opens the data of one stage, with absolute paths, as a worker is told them; builds indices anew where they are to be made
    /// `again`.
    pub(crate) fn open_one(&self, data: &Data, again: bool) -> Result<(DataFiles, Dataset), Failure> {
        let (files, remedy) = match &data.source {
            Source::FashionMnist => fashion_mnist()?,
            Source::Files(files) => {
                let beside = self.path.parent().unwrap_or(Path::new(""));
                let files = files.clone().map_paths(|path| beside.join(path).to_string_lossy().into_owned());
                (files, format!("{}.directory names the folder of the data set", data.path))
            }
            Source::Described(_) => {
                let message = format!(
                    "the data set {:?} is only described, so this sweep can be planned but not run",
                    data.dataset
                );
                return Err(Failure::usage(message));
            }
        };
        let files = absolute(files)?;
        let dataset = open_indexed(&files, &remedy, again)?;
        if data.source == Source::FashionMnist && dataset.facts != fetch::fashion_mnist_facts() {
            let message = format!("{}: not Fashion-MNIST any more; {remedy}, which replaces it", files.to_argument());
            return Err(Failure::environment(message));
        }
        Ok((files, dataset))
    }
}

/// Where Fashion-MNIST lies, and what to do where it does not.
pub(crate) fn fashion_mnist() -> Result<(DataFiles, String), Failure> {
    let folder = fetch::cached(&place::cache()?, "fashion-mnist");
    Ok((DataFiles::directory(folder.to_string_lossy()), "get it with `scalelaw data fetch fashion-mnist`".to_owned()))
}

/// The same files, whatever the folder that a program is started in.
pub(crate) fn absolute(files: DataFiles) -> Result<DataFiles, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::environment(format!("the current folder: {error}")))?;
    Ok(files.map_paths(|path| here.join(path).to_string_lossy().into_owned()))
}

/// Opens a data set; a person sees how far the building of an index has come.
pub(crate) fn open(files: &DataFiles, remedy: &str) -> Result<Dataset, Failure> {
    open_indexed(files, remedy, false)
}

/// The same, with its indices built anew where that is asked for.
pub(crate) fn open_indexed(files: &DataFiles, remedy: &str, again: bool) -> Result<Dataset, Failure> {
    let cache = fetch::user_cache();
    let indexing = Indexing::default();
    let progress = |progress| indexing.show(progress);
    let opening = Opening { remedy, cache: cache.as_deref(), again, progress: &progress };
    let mut dataset = Dataset::open(files, &opening)?;
    if dataset.class_names.is_empty() && dataset.facts == fetch::fashion_mnist_facts() {
        dataset.class_names = fetch::FASHION_MNIST_CLASSES.map(str::to_owned).to_vec();
    }
    Ok(dataset)
}
