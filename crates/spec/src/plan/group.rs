//! One model and budget of the grid: its settings, the learning rates that it can be tried at, and the runs that these make.

use super::settings::{Settings, Stage};
use super::{Outcome, Outcomes, PlannedRun, Price, Skipped, batch_too_large, cell_label};
use crate::cost::{Footprint, Speed};
use crate::fields::Problems;
use crate::run::{DataSpec, RunSpec};
use crate::search::{self, Ladder, Rating, Standing};
use crate::sweep::{Model, Strategy, Sweep};

/// A model and budget.
pub(super) struct Group<'a> {
    pub(super) model: &'a Model,
    pub(super) epochs: f64,
    pub(super) ladder: Ladder,
    pub(super) seeds: Vec<u64>,
    /// What each of its runs costs.
    pub(super) price: Price,
    /// Its runs, but for learning rate and seed.
    run: RunSpec,
    /// Learning rates of the grid, in the order of the file.
    rates: Vec<f64>,
}

impl<'a> Group<'a> {
    /// `None` where something is wrong, which `problems` says.
    pub(super) fn new(
        sweep: &Sweep,
        model: &'a Model,
        epochs: f64,
        (data, network, speed): (&DataSpec, &Footprint, Speed),
        problems: &mut Problems,
    ) -> Option<Group<'a>> {
        let settings = Settings::of_cells(sweep, model, epochs);
        if let Some(message) = batch_too_large("train", settings.batch, data) {
            let own =
                sweep.overrides.iter().rfind(|one| one.batch.is_some() && one.when.holds(&model.name, epochs, None));
            problems.add(own.map_or(sweep.train.place, |one| one.place), message);
            return None;
        }
        if !settings.batch.is_multiple_of(u64::from(sweep.train.augment.multiplicity)) {
            let message = format!(
                "train.multiplicity: {} does not divide a batch of {}",
                sweep.train.augment.multiplicity, settings.batch
            );
            problems.add(sweep.train.place, message);
            return None;
        }
        let trainer = sweep.trainer.as_ref().map(|trainer| trainer.for_model(&model.name));
        let resources = &sweep.resources;
        let stage = Stage { data, train: &sweep.train, epochs, resources, trainer: trainer.as_ref() };
        let run = settings.run(&stage, &model.spec, 1.0, 0);
        let skipped = |lr: f64| sweep.skips.iter().any(|skip| skip.when.holds(&model.name, epochs, Some(lr)));
        Some(Group {
            model,
            epochs,
            ladder: Ladder::new(&settings.lr, sweep.search.max_extra, skipped),
            price: Price::of(network, &run, speed),
            run,
            seeds: settings.seeds,
            rates: settings.lr,
        })
    }

    /// Runs of the full grid, those among them that a skip rule leaves out.
    pub(super) fn grid_runs(&self) -> usize {
        self.rates.len().saturating_mul(self.seeds.len())
    }

    /// Cells of the grid that a skip rule leaves out.
    pub(super) fn skipped(&self, sweep: &Sweep) -> impl Iterator<Item = Skipped> {
        let skip = |lr: &f64| {
            let rule = sweep.skips.iter().find(|skip| skip.when.holds(&self.model.name, self.epochs, Some(*lr)))?;
            Some(Skipped { cell: cell_label(&self.model.name, self.epochs, *lr), reason: rule.reason.clone() })
        };
        self.rates.iter().filter_map(skip)
    }

    /// The runs at one rung of the ladder.
    pub(super) fn planned(
        &self,
        rung: usize,
        seeds: impl Iterator<Item = u64>,
        repeat: bool,
    ) -> impl Iterator<Item = PlannedRun> {
        let cell = self.spec(rung, 0).cell();
        seeds.map(move |seed| {
            let spec = self.spec(rung, seed);
            let (model, id) = (self.model.name.clone(), spec.id_in(cell));
            PlannedRun { model, id, cell, spec, price: self.price, trunk: None, repeat }
        })
    }

    fn spec(&self, rung: usize, seed: u64) -> RunSpec {
        let mut spec = RunSpec { seed, ..self.run.clone() };
        spec.train.lr = self.ladder.rates[rung];
        spec
    }

    fn rating(&self, rung: usize, outcomes: &Outcomes) -> Rating {
        let ended: Vec<Option<&Outcome>> =
            self.seeds.iter().map(|seed| outcomes.get(&self.spec(rung, *seed).id())).collect();
        let mut sum = 0.0;
        let mut worst = None;
        for outcome in ended {
            match outcome {
                None => return Rating::Open,
                Some(Outcome::Loss(loss)) => sum += loss,
                Some(Outcome::Diverged) => worst = Some(Rating::Diverged),
                Some(Outcome::GivenUp) => worst = worst.or(Some(Rating::GivenUp)),
            }
        }
        worst.unwrap_or(Rating::Loss(sum / self.seeds.len() as f64))
    }
}

/// How far the search of each of `groups` is.
pub(super) fn standings(sweep: &Sweep, groups: &[Group<'_>], outcomes: &Outcomes) -> Vec<Standing> {
    let search = &sweep.search;
    // Identities take time, and the full grid asks for all of its runs whatever they come to.
    let blind = outcomes.is_empty() || (search.strategy == Strategy::Grid && search.noise.is_none());
    let searched = |group: &Group<'_>| {
        let rate = |rung| if blind { Rating::Open } else { group.rating(rung, outcomes) };
        search::Group { ladder: group.ladder.clone(), ratings: (0..group.ladder.rates.len()).map(rate).collect() }
    };
    let mut standings: Vec<Option<Standing>> = vec![None; groups.len()];
    for family in families(groups) {
        let rows: Vec<Vec<search::Group>> =
            family.iter().map(|row| row.iter().map(|index| searched(&groups[*index])).collect()).collect();
        let found = search::standings(search.strategy, &rows);
        for (index, standing) in family.iter().flatten().zip(found.into_iter().flatten()) {
            standings[*index] = Some(standing);
        }
    }
    standings.into_iter().flatten().collect()
}

/// The numbers of `groups` by family: a row for each model, the smallest first, and in it the budgets, the shortest first.
fn families(groups: &[Group<'_>]) -> Vec<Vec<Vec<usize>>> {
    let mut models: Vec<Vec<usize>> = Vec::new();
    for index in 0..groups.len() {
        match models.last_mut() {
            Some(row) if groups[row[0]].model.name == groups[index].model.name => row.push(index),
            _ => models.push(vec![index]),
        }
    }
    for row in &mut models {
        row.sort_by(|a, b| groups[*a].epochs.total_cmp(&groups[*b].epochs));
    }
    let first = |row: &[usize]| &groups[row[0]];
    models.sort_by_key(|row| (first(row).price.parameters, first(row).price.macs));
    let mut families: Vec<Vec<Vec<usize>>> = Vec::new();
    for row in models {
        let same =
            |family: &&mut Vec<Vec<usize>>| first(&family[0]).model.spec.family() == first(&row).model.spec.family();
        match families.iter_mut().find(same) {
            Some(family) => family.push(row),
            None => families.push(vec![row]),
        }
    }
    families
}
