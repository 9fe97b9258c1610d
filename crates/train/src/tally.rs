//! What the open epoch consists of so far: the digest of its examples, and those that were left out.

use std::ops::Range;

use data::batch::{Batch, Skipped};
use data::{DataError, Dataset};
use spec::journal::Event;
use spec::order::{Digest, SampleOrder};
use spec::run::RunSpec;

use crate::TrainError;
use crate::journal::Journal;

/// Counts the examples that enter the weights, epoch by epoch.
pub(crate) struct Tally {
    order: SampleOrder,
    /// Samples of each draw.
    copies: u64,
    /// Draws of the whole budget.
    draws: u64,
    /// Examples that an epoch may leave out.
    skippable: u64,
    digest: Digest,
    skipped: u64,
}

impl Tally {
    /// Goes on from an open epoch.
    pub(crate) fn new(spec: &RunSpec, order: SampleOrder, digest: Digest, skipped: u64) -> Tally {
        let (copies, draws, skippable) = (spec.multiplicity(), spec.draws(), spec.skippable());
        Tally { order, copies, draws, skippable, digest, skipped }
    }

    /// Of the examples of the open epoch.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Examples left out of the open epoch.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Adds the examples of a finished step, each draw once however many pictures it gave, and writes down what was left out
    /// and which epochs have ended. `step` is the number of steps done.
    ///
    /// # Errors
    /// If more examples are damaged than may be left out.
    pub(crate) fn count(
        &mut self,
        step: u64,
        samples: Range<u64>,
        batch: &Batch,
        dataset: &Dataset,
        journal: &Journal,
    ) -> Result<(), TrainError> {
        let (examples, draws) = (self.order.examples(), samples.end / self.copies);
        let (mut ids, mut skipped) = (batch.ids.iter(), batch.skipped.iter().peekable());
        for sample in samples {
            let missing = skipped.next_if(|one| one.sample == sample);
            let id = if missing.is_none() { ids.next() } else { None };
            if !sample.is_multiple_of(self.copies) {
                continue;
            }
            let draw = sample / self.copies;
            if let Some(one) = missing {
                self.skip(step, draw / examples, one, dataset, journal)?;
            }
            if let Some(id) = id {
                self.digest.add(*id);
            }
            if (draw + 1).is_multiple_of(examples) {
                self.close_epoch(draw / examples, examples, journal)?;
            }
        }
        if draws == self.draws && !draws.is_multiple_of(examples) {
            self.close_epoch(draws / examples, draws % examples, journal)?;
        }
        Ok(())
    }

    /// Writes down that a damaged example is left out of an epoch, if that may be.
    fn skip(
        &mut self,
        step: u64,
        epoch: u64,
        one: &Skipped,
        dataset: &Dataset,
        journal: &Journal,
    ) -> Result<(), TrainError> {
        self.skipped += 1;
        if self.skipped > self.skippable {
            let remedy = format!(
                "more examples of epoch {epoch} are damaged than the {} that data.skip_damaged lets be left out",
                self.skippable
            );
            return Err(damaged(dataset, one, &remedy)?);
        }
        journal.write(Event::Skipped { step, epoch, example: one.id, reason: one.damage.to_string() })
    }

    fn close_epoch(&mut self, epoch: u64, samples: u64, journal: &Journal) -> Result<(), TrainError> {
        self.skipped = 0;
        let digest = std::mem::take(&mut self.digest).to_string();
        journal.write(Event::Epoch { epoch, samples, digest })
    }
}

/// Why a damaged example ends the attempt.
pub(crate) fn damaged(dataset: &Dataset, one: &Skipped, remedy: &str) -> Result<TrainError, TrainError> {
    let example = dataset.train.name(one.id)?;
    let problem = format!("{}; {remedy}; `scalelaw data verify` lists all that are damaged", one.damage);
    Ok(DataError::Example { example, problem }.into())
}
