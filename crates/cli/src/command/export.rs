//! `scalelaw export csv`: one row per run, units in the column names, empty where there is nothing.

use spec::state::Failure as RunFailure;
use store::RunRow;

use crate::args::{Export, ExportFormat};
use crate::exit::{Failure, print};
use crate::place::Place;

const HEADER: [&str; 27] = [
    "sweep",
    "run_id",
    "cell_key",
    "state",
    "failure",
    "message",
    "wanted",
    "model",
    "n_total",
    "n_without_head",
    "macs_per_example",
    "epochs",
    "samples",
    "batch",
    "steps",
    "steps_done",
    "lr",
    "seed",
    "training_flops",
    "train_hours",
    "device_hours",
    "estimated_device_hours",
    "heldout_loss_nats",
    "heldout_accuracy",
    "step_seconds",
    "attempts",
    "state_hash",
];

pub(crate) async fn run(place: &Place, options: &Export) -> Result<u8, Failure> {
    let ExportFormat::Csv = options.format;
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let broken = |error: csv::Error| Failure::environment(format!("cannot write the table: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER).map_err(broken)?;
    for row in store.runs(sweep.sweep_id).await? {
        writer.write_record(record(&sweep.name, &row)).map_err(broken)?;
    }
    let content = writer.into_inner().map_err(|error| Failure::environment(error.to_string()))?;
    print(&String::from_utf8_lossy(&content));
    Ok(0)
}

fn record(sweep: &str, row: &RunRow) -> [String; 27] {
    let or_empty = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let result = row.result.as_ref();
    [
        sweep.to_owned(),
        row.run.to_string(),
        row.spec.cell().to_string(),
        row.state.word().to_owned(),
        row.state.failure().map(RunFailure::as_str).unwrap_or_default().to_owned(),
        row.message.clone().unwrap_or_default(),
        row.wanted.to_string(),
        row.model.clone(),
        row.parameters.to_string(),
        row.parameters_without_head.to_string(),
        row.macs.to_string(),
        row.spec.train.epochs.to_string(),
        row.samples.to_string(),
        row.spec.train.batch.to_string(),
        row.steps.to_string(),
        row.step.to_string(),
        row.spec.train.lr.to_string(),
        row.spec.seed.to_string(),
        row.flops.to_string(),
        or_empty(row.train_seconds().map(|seconds| seconds / 3600.0)),
        (row.device_seconds / 3600.0).to_string(),
        (row.estimated_seconds / 3600.0).to_string(),
        or_empty(result.map(|result| result.heldout_loss)),
        or_empty(result.map(|result| result.accuracy)),
        or_empty(result.map(|result| result.step_seconds)),
        row.attempt.to_string(),
        result.map(|result| result.state_hash.clone()).unwrap_or_default(),
    ]
}
