//! The data set that a command is about.

use std::path::Path;

use data::Dataset;
use data::batch::Recipe;
use spec::files::{DataFiles, Place};
use spec::order::SampleOrder;
use spec::plan::{Outcomes, Plan};
use spec::run::{Augment, RunSpec};

use crate::args::DataSet;
use crate::exit::Failure;
use crate::sweepfile;

/// A data set, opened.
pub(crate) struct Chosen {
    /// What people call it.
    pub(crate) name: String,
    /// The data.
    pub(crate) dataset: Dataset,
    /// What a sweep does with its pictures.
    pub(crate) recipe: Option<Recipe>,
    /// The order of the cheapest run of the sweep that names it; of fine-tuning it is not known before there are results.
    pub(crate) order: Option<SampleOrder>,
}

/// What pictures of different sizes are brought to where nothing says.
const SIDE: usize = 224;

impl Chosen {
    /// What is done with pictures: what a sweep does, or what most do with photographs; at `resolution` where that is given.
    pub(crate) fn recipe_at(&self, resolution: Option<u32>) -> Recipe {
        let usual = || Recipe {
            augment: Augment { inception_crop: Some(0.08), flip: true, ..Augment::NONE },
            seed: 0,
            side: self.dataset.train.side().unwrap_or(SIDE),
            centre_crop: spec::plan::CENTRE_CROP,
        };
        let recipe = self.recipe.unwrap_or_else(usual);
        Recipe { side: resolution.map_or(recipe.side, |side| side as usize), ..recipe }
    }

    /// Opens what a person has named.
    pub(crate) fn open(options: &DataSet) -> Result<Chosen, Failure> {
        Chosen::indexed(options, false)
    }

    /// The same, with its indices built anew where they are to be made `again`.
    pub(crate) fn indexed(options: &DataSet, again: bool) -> Result<Chosen, Failure> {
        let text = &options.dataset;
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if matches!(extension, "toml" | "yaml" | "yml" | "json") {
            return of_sweep(options, again);
        }
        if options.finetuning {
            return Err(Failure::usage("--finetuning goes with a sweep file"));
        }
        let is_folder = Path::new(text).is_dir();
        let is_pattern = text.contains(['{', '*']) || matches!(extension, "tar" | "parquet");
        let (files, remedy) = if text == "fashion-mnist" && !is_folder {
            sweepfile::fashion_mnist()?
        } else if !is_folder && !is_pattern {
            return Err(Failure::usage(format!(
                "{text}: no such folder; a data set is a sweep file, a folder, fashion-mnist, or a pattern such as 'train-{{00..99}}.tar'"
            )));
        } else {
            let at = match &options.heldout {
                Some(heldout) => Place::Parts { train: text.clone(), heldout: heldout.clone() },
                None if is_pattern => Place::Parts { train: text.clone(), heldout: text.clone() },
                None => Place::Directory(text.clone()),
            };
            let class_names = options.class_names.as_ref().map(|path| path.to_string_lossy().into_owned());
            let (label, multi_label) = (options.label.clone(), options.multi_label);
            let files = DataFiles { at, class_names, label, multi_label, channels: None };
            (files, "see `scalelaw data inspect --help` for what a data set can be".to_owned())
        };
        let dataset = sweepfile::open_indexed(&sweepfile::absolute(files)?, &remedy, again)?;
        Ok(Chosen { name: text.clone(), dataset, recipe: None, order: None })
    }
}

fn of_sweep(options: &DataSet, again: bool) -> Result<Chosen, Failure> {
    if options.heldout.is_some() || options.class_names.is_some() || options.label.is_some() || options.multi_label {
        return Err(Failure::usage("--heldout, --class-names, --label and --multi-label go without a sweep file"));
    }
    let loaded = sweepfile::load(Path::new(&options.dataset))?;
    let stage = loaded.sweep.finetune.as_ref();
    let data = match (options.finetuning, stage) {
        (false, _) => &loaded.sweep.data,
        (true, None) => return Err(Failure::usage(format!("{}: has no [finetune]", options.dataset))),
        (true, Some(stage)) => stage.data.as_ref().unwrap_or(&loaded.sweep.data),
    };
    let (_, mut dataset) = loaded.open_one(data, again)?;
    let (recipe, order) = match stage.filter(|_| options.finetuning) {
        Some(stage) => {
            let side = data.resolution.or(dataset.facts.resolution).unwrap_or(1) as usize;
            let centre_crop = data.centre_crop.unwrap_or(spec::plan::CENTRE_CROP);
            (Some(Recipe { augment: stage.train.augment, seed: 0, side, centre_crop }), None)
        }
        None => {
            let plan = Plan::expand(&loaded.sweep, &dataset.facts, &Outcomes::new())
                .map_err(|problems| loaded.refuse(&problems))?;
            let run = plan.runs.first().map(|run| &run.spec);
            (run.map(Recipe::of), run.and_then(RunSpec::order))
        }
    };
    if let Some(classes) = &data.keep_classes {
        dataset.keep(classes)?;
    }
    let part = if options.finetuning { " (fine-tuning)" } else { "" };
    Ok(Chosen { name: format!("{} of {}{part}", data.dataset, options.dataset), dataset, recipe, order })
}
