//! `scalelaw export csv`: one row per run, units in the column names, empty where there is nothing. With `--json` the same
//! rows as objects, null where there is nothing.

use serde_json::{Value, json};
use spec::state::Failure as RunFailure;
use store::RunRow;

use crate::args::{Export, ExportFormat};
use crate::exit::{Failure, print};
use crate::place::Place;

pub(crate) async fn run(place: &Place, options: &Export) -> Result<u8, Failure> {
    let ExportFormat::Csv = options.format;
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let rows = store.runs(sweep.sweep_id).await?;
    let by_id = store::by_id(&rows);
    let rows = rows.iter().map(|row| {
        let pretrained = row.spec.pretrained.and_then(|parent| by_id.get(&parent).copied());
        record(&sweep.name, row, pretrained, options.peak_flops)
    });
    if place.json {
        let runs: Vec<Value> =
            rows.map(|row| row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).collect();
        print(&json!({"schema_version": 1, "sweep": sweep.name, "runs": runs}).to_string());
        return Ok(0);
    }
    let broken = |error: csv::Error| Failure::environment(format!("cannot write the table: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (index, row) in rows.enumerate() {
        if index == 0 {
            writer.write_record(row.iter().map(|(name, _)| *name)).map_err(broken)?;
        }
        writer.write_record(row.iter().map(|(_, value)| as_text(value))).map_err(broken)?;
    }
    let content = writer.into_inner().map_err(|error| Failure::environment(error.to_string()))?;
    print(&String::from_utf8_lossy(&content));
    Ok(0)
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The columns of a run.
fn record(
    sweep: &str,
    row: &RunRow,
    pretrained: Option<&RunRow>,
    peak_flops: Option<f64>,
) -> Vec<(&'static str, Value)> {
    let (train, result, usage) = (&row.spec.train, row.result.as_ref(), row.usage);
    vec![
        ("sweep", json!(sweep)),
        ("run_id", json!(row.run)),
        ("cell_key", json!(row.spec.cell())),
        ("state", json!(row.state.word())),
        ("failure", json!(row.state.failure().map(RunFailure::as_str))),
        ("message", json!(row.message)),
        ("wanted", json!(row.wanted)),
        ("excluded", json!(row.excluded)),
        ("model", json!(row.model)),
        ("n_total", json!(row.parameters)),
        ("n_without_head", json!(row.parameters_without_head)),
        ("macs_per_example", json!(row.macs)),
        ("epochs", json!(train.epochs)),
        ("samples", json!(row.samples)),
        ("batch", json!(train.batch)),
        ("steps", json!(row.steps)),
        ("steps_done", json!(row.step)),
        ("lr", json!(train.lr)),
        ("seed", json!(row.spec.seed)),
        ("training_flops", json!(row.flops)),
        ("train_hours", json!(row.train_seconds().map(|seconds| seconds / 3600.0))),
        ("device_hours", json!(row.device_seconds / 3600.0)),
        ("estimated_device_hours", json!(row.estimated_seconds / 3600.0)),
        ("heldout_loss_nats", json!(result.map(|result| result.heldout_loss))),
        ("heldout_accuracy", json!(result.map(|result| result.accuracy))),
        ("heldout_top5_accuracy", json!(result.and_then(|result| result.top5_accuracy))),
        ("step_seconds", json!(result.map(|result| result.step_seconds))),
        ("images_per_second", json!(row.images_per_second())),
        ("flops_per_second", json!(row.flops_per_second())),
        ("mfu", json!(row.flops_per_second().zip(peak_flops).map(|(reached, peak)| reached / peak))),
        ("data_seconds", json!(usage.map(|usage| usage.data_seconds))),
        ("wait_seconds", json!(usage.map(|usage| usage.wait_seconds))),
        ("gradient_seconds", json!(usage.map(|usage| usage.gradient_seconds))),
        ("optimizer_seconds", json!(usage.map(|usage| usage.optimizer_seconds))),
        ("evaluation_seconds", json!(usage.map(|usage| usage.evaluation_seconds))),
        ("checkpoint_seconds", json!(usage.map(|usage| usage.checkpoint_seconds))),
        ("peak_memory_bytes", json!(usage.map(|usage| usage.peak_memory_bytes).filter(|bytes| *bytes > 0))),
        ("attempts", json!(row.attempt)),
        ("trunk_run_id", json!(row.branched.map(|trunk| trunk.run))),
        ("trunk_step", json!(row.branched.map(|trunk| trunk.step))),
        ("pretrained_run_id", json!(row.spec.pretrained)),
        ("pretraining_epochs", json!(pretrained.map(|parent| parent.spec.train.epochs))),
        ("pretraining_lr", json!(pretrained.map(|parent| parent.spec.train.lr))),
        ("pretraining_flops", json!(pretrained.map(|parent| parent.flops))),
        ("pretraining_train_hours", json!(pretrained.and_then(RunRow::train_seconds).map(|seconds| seconds / 3600.0))),
        ("pretraining_device_hours", json!(pretrained.map(|parent| parent.device_seconds / 3600.0))),
        ("state_hash", json!(result.map(|result| &result.state_hash))),
    ]
}
