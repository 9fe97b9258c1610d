//! Pages: what a person reads of one sweep, or of two that are compared.

use std::collections::BTreeMap;

use report::Part;
use spec::run::RunId;
use spec::trainer::Trainer;
use store::{DeviceLedger, Ledger, RunRow, Session, Standing, Store, SweepRow, Work, Worked};

use crate::exit::Failure;
use crate::samples::{self, Verdict};

pub(crate) mod comparison;
mod conclusions;
pub(crate) mod happened;
pub(crate) mod provenance;
pub(crate) mod sides;
pub(crate) mod sweep;

/// All that the database has on one sweep.
pub(crate) struct Told {
    pub(crate) sweep: SweepRow,
    /// The text of its file.
    pub(crate) source: String,
    pub(crate) rows: Vec<RunRow>,
    pub(crate) verdicts: BTreeMap<RunId, Verdict>,
    pub(crate) standing: Standing,
    pub(crate) ledger: Ledger,
    pub(crate) devices: Vec<DeviceLedger>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) worked: Vec<Worked>,
    pub(crate) work: BTreeMap<RunId, Work>,
}

impl Told {
    pub(crate) async fn read(store: &Store, sweep: SweepRow) -> Result<Told, Failure> {
        let id = sweep.sweep_id;
        let rows = store.runs(id).await?;
        Ok(Told {
            sweep,
            source: store.source(id).await?,
            verdicts: samples::verdicts(store, &rows).await?,
            rows,
            standing: store.standing(id).await?,
            ledger: store.ledger(id).await?,
            devices: store.ledger_by_device(id).await?,
            sessions: store.sessions(id).await?,
            worked: store.worked(id).await?,
            work: store.work(id).await?,
        })
    }
}

/// Whether runs that the sweep asks for only pretend to train.
pub(crate) fn is_simulated(rows: &[RunRow]) -> bool {
    let mut wanted = rows.iter().filter(|row| row.wanted);
    wanted.any(|row| matches!(row.spec.trainer, Some(Trainer::Simulated { .. })))
}

fn heading(text: &str) -> Part {
    Part::Heading(text.to_owned())
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> Part {
    Part::Table(header.iter().map(|title| (*title).to_owned()).collect(), rows)
}
