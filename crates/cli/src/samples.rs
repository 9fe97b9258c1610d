//! Whether runs have seen each of their examples exactly once, by what the database has of them.

use std::collections::BTreeMap;

use spec::run::RunId;
use spec::samples::{Known, Promise, Skipped, Wrong, check};
use spec::state::RunState;
use store::{RunRow, Store};

use crate::exit::Failure;

/// What the check of a finished run has found.
pub(crate) struct Verdict {
    /// Epochs it has recorded.
    pub(crate) epochs: usize,
    /// Examples it was allowed to skip.
    pub(crate) skipped: Vec<Skipped>,
    /// The first epoch that is not what it must be.
    pub(crate) wrong: Option<Wrong>,
}

/// The verdicts on all runs among these that have finished. Whole epochs of one size have one digest, which is computed once.
pub(crate) async fn verdicts(store: &Store, rows: &[RunRow]) -> Result<BTreeMap<RunId, Verdict>, Failure> {
    let (mut known, mut verdicts) = (Known::default(), BTreeMap::new());
    for row in rows.iter().filter(|row| matches!(row.state, RunState::Completed | RunState::Diverged)) {
        let (epochs, skipped) = (store.epochs(row.run).await?, store.skipped(row.run).await?);
        let promise = Promise::of(&row.spec, row.state == RunState::Diverged);
        let wrong = promise.and_then(|promise| check(&promise, &epochs, &skipped, &mut known).err());
        verdicts.insert(row.run, Verdict { epochs: epochs.len(), skipped, wrong });
    }
    Ok(verdicts)
}
