//! The long table of what runs recorded on their way: one row for each run, step and series.

use store::{Recorded, RunRow};

use super::Column;

/// One number with the run that recorded it.
pub(crate) struct Entry<'a> {
    pub(crate) row: &'a RunRow,
    pub(crate) recorded: Recorded,
}

/// The columns.
pub(crate) fn entries<'a>() -> Vec<Column<Entry<'a>>> {
    vec![
        Column::text("run_id", "identity of the run", |entry| Some(entry.row.run.to_string())),
        Column::text("model", "name of the model in the sweep", |entry| Some(entry.row.model.clone())),
        Column::whole("step", "steps done", |entry| Some(entry.recorded.step)),
        Column::whole("samples", "samples seen, repeats counted; the last step takes what is left", |entry| {
            let all = entry.row.samples;
            let computed = (entry.recorded.step as u64).saturating_mul(entry.row.spec.train.batch).min(all);
            entry.recorded.samples.or_else(|| i64::try_from(computed).ok())
        }),
        Column::text("series", "training_loss_nats, heldout_loss_nats or heldout_accuracy", |entry| {
            Some(entry.recorded.series.as_str().to_owned())
        }),
        Column::number("value", "mean of the steps since the row before, or of the whole held-out set", |entry| {
            Some(entry.recorded.value)
        }),
    ]
}
