//! The table of runs: one row each, cheapest first, as fits and figures number them.

use std::collections::BTreeMap;

use spec::run::{Precision, RunId};
use spec::schedule::Decay;
use spec::state::Failure as RunFailure;
use store::{ResultRow, RunRow, Work};

use super::Column;
use crate::args::{Compute, Stage};
use crate::points::{self, compute_of};

/// A run with all that its row is made from.
pub(crate) struct Run<'a> {
    sweep: &'a str,
    number: usize,
    row: &'a RunRow,
    /// The run whose weights it started from.
    pretrained: Option<&'a RunRow>,
    work: Work,
    /// Operations per second of one device on its data sheet.
    peak_flops: Option<f64>,
    /// Why the fits and figures of its stage do not count it.
    left_out: Option<String>,
}

/// The runs of a sweep, in their order.
pub(crate) fn runs<'a>(
    sweep: &'a str,
    rows: &'a [RunRow],
    mut work: BTreeMap<RunId, Work>,
    peak_flops: Option<f64>,
) -> Vec<Run<'a>> {
    let by_id = store::by_id(rows);
    let stages = [Stage::Pretraining, Stage::Finetuning];
    let left_out = stages.map(|stage| points::of_sweep(rows, &BTreeMap::new(), Compute::Flops, stage).left_out);
    let mut left_out: BTreeMap<usize, String> =
        left_out.into_iter().flatten().map(|one| (one.row, one.reason)).collect();
    let run = |(index, row): (usize, &'a RunRow)| Run {
        sweep,
        number: index + 1,
        row,
        pretrained: row.spec.pretrained.and_then(|parent| by_id.get(&parent).copied()),
        work: work.remove(&row.run).unwrap_or_default(),
        peak_flops,
        left_out: left_out.remove(&(index + 1)),
    };
    rows.iter().enumerate().map(run).collect()
}

impl Run<'_> {
    /// Whether it is a point of the laws of pre-training, with a loss.
    pub(crate) fn is_point(&self) -> bool {
        self.row.spec.pretrained.is_none() && self.row.result.is_some() && self.left_out.is_none()
    }

    fn result<T>(&self, take: impl FnOnce(&ResultRow) -> T) -> Option<T> {
        self.row.result.as_ref().map(take)
    }

    fn usage(&self, take: impl FnOnce(spec::journal::Usage) -> f64) -> Option<f64> {
        self.row.usage.map(take)
    }

    fn six_nd(&self) -> f64 {
        6.0 * self.row.parameters as f64 * self.row.samples as f64
    }
}

/// How many devices these names are of; where nobody has said any, one.
fn devices(names: Option<&str>) -> usize {
    names.map_or(1, |names| names.split(',').count())
}

/// Share of the operations per second that all devices with these names could do by their data sheets.
fn utilisation(reached: f64, peak_of_one: f64, names: Option<&str>) -> f64 {
    reached / (peak_of_one * devices(names) as f64)
}

fn whole(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

fn hours(seconds: f64) -> f64 {
    seconds / 3600.0
}

fn schedule(decay: Decay) -> &'static str {
    match decay {
        Decay::Cosine => "cosine",
        Decay::Constant => "constant",
        Decay::Rsqrt { .. } => "rsqrt",
        Decay::Wsd { .. } => "wsd",
    }
}

/// What the published scripts that fit L(N, D) read: operations, parameters, samples, held-out loss.
pub(crate) fn chinchilla<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::number("C", "operations of the training (training_flops)", |run| Some(run.row.flops)),
        Column::whole("N", "all parameters (n_total)", |run| whole(run.row.parameters)),
        Column::whole("D", "samples seen in training, repeats counted (samples)", |run| whole(run.row.samples)),
        Column::number("loss", "held-out loss in nats (heldout_loss_nats)", |run| run.result(|it| it.heldout_loss)),
    ]
}

/// All columns.
pub(crate) fn columns<'a>() -> Vec<Column<Run<'a>>> {
    let mut columns = identity();
    columns.extend(network_and_recipe());
    columns.extend(compute());
    columns.extend(losses());
    columns.extend(speed());
    columns.extend(attempts());
    columns.extend(pretraining());
    columns
}

fn identity<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::text("sweep", "name of the sweep", |run| Some(run.sweep.to_owned())),
        Column::whole("row", "number of this row, from 1, by which fits name runs", |run| whole(run.number as u64)),
        Column::text("run_id", "identity of the run: a hash of all that decides its weights", |run| {
            Some(run.row.run.to_string())
        }),
        Column::text("cell_key", "identity of its cell: the run without its seed", |run| {
            Some(run.row.spec.cell().to_string())
        }),
        Column::text("stage", "pretraining or finetuning", |run| {
            Some(if run.row.spec.pretrained.is_some() { "finetuning" } else { "pretraining" }.to_owned())
        }),
        Column::text("state", "queued, running, completed, diverged, failed or cancelled", |run| {
            Some(run.row.state.word().to_owned())
        }),
        Column::text("failure", "kind of failure: oom, node, code, data or timeout", |run| {
            run.row.state.failure().map(|failure: RunFailure| failure.as_str().to_owned())
        }),
        Column::text("message", "what its last attempt said", |run| run.row.message.clone()),
        Column::flag("included", "fits and figures of its stage count it, a diverged run as one", |run| {
            Some(run.left_out.is_none())
        }),
        Column::text("exclude_reason", "why they do not", |run| run.left_out.clone()),
        Column::flag("wanted", "the sweep file still asks for it", |run| Some(run.row.wanted)),
        Column::text("excluded", "reason given with `scalelaw exclude`", |run| run.row.excluded.clone()),
    ]
}

fn network_and_recipe<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::text("model", "name of the model in the sweep", |run| Some(run.row.model.clone())),
        Column::text("family", "nfnet, vit or custom", |run| Some(run.row.spec.model.family().to_owned())),
        Column::whole("n_total", "all parameters", |run| whole(run.row.parameters)),
        Column::whole("n_without_head", "parameters without the classifier", |run| {
            whole(run.row.parameters_without_head)
        }),
        Column::whole("macs_per_example", "multiply-accumulates of a forward pass", |run| whole(run.row.macs)),
        Column::text("dataset", "name of the data set", |run| Some(run.row.spec.data.dataset.clone())),
        Column::whole("train_examples", "examples of one epoch", |run| whole(run.row.spec.data.train_examples)),
        Column::number("epochs", "passes over the training set", |run| Some(run.row.spec.train.epochs)),
        Column::whole("samples", "samples of the whole training, repeats counted", |run| whole(run.row.samples)),
        Column::whole("samples_seen", "samples of the steps done", |run| {
            whole(run.row.step.saturating_mul(run.row.spec.train.batch).min(run.row.samples))
        }),
        Column::whole("batch", "samples of a step", |run| whole(run.row.spec.train.batch)),
        Column::whole("steps", "steps of the whole training", |run| whole(run.row.steps)),
        Column::whole("steps_done", "steps done", |run| whole(run.row.step)),
        Column::number("lr", "peak of the learning rate", |run| Some(run.row.spec.train.lr)),
        Column::text("lr_schedule", "cosine, constant, rsqrt or wsd, behind the warm-up", |run| {
            Some(schedule(run.row.spec.train.decay).to_owned())
        }),
        Column::whole("warmup_steps", "steps of the warm-up", |run| whole(run.row.spec.train.warmup_steps)),
        Column::text("precision", "fp32 or bf16", |run| {
            let is_narrow = run.row.spec.train.arithmetic.precision == Precision::Bf16;
            Some(if is_narrow { "bf16" } else { "fp32" }.to_owned())
        }),
        Column::whole("seed", "decides initial weights and order of the examples", |run| whole(run.row.spec.seed)),
    ]
}

fn compute<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::number("training_flops", "operations of the training, by the architecture", |run| {
            Some(compute_of(run.row, Compute::Flops))
        }),
        Column::number("flops_6nd", "6 n_total samples, for comparison with work that counts so", |run| {
            Some(run.six_nd())
        }),
        Column::number("train_hours", "steps times the median step time, restarts left out", |run| {
            Some(compute_of(run.row, Compute::TrainHours))
        }),
        Column::number("fitted_device_hours", "device_hours and shared_device_hours: what fits use", |run| {
            Some(compute_of(run.row, Compute::DeviceHours))
        }),
        Column::number("device_hours", "billed: all attempts", |run| Some(hours(run.row.device_seconds))),
        Column::number("useful_device_hours", "billed for steps that are in the weights", |run| {
            Some(hours(run.work.useful_seconds))
        }),
        Column::number("repeated_device_hours", "billed for steps that were computed again", |run| {
            Some(hours(run.work.repeated_seconds))
        }),
        Column::number("failed_device_hours", "billed to a run that was given up", |run| {
            Some(hours(run.work.failed_seconds))
        }),
        Column::number("shared_device_hours", "billed for the steps that it has from trunk_run_id", |run| {
            Some(hours(run.row.shared_seconds))
        }),
        Column::number("estimated_device_hours", "what it was expected to cost", |run| {
            Some(hours(run.row.estimated_seconds))
        }),
    ]
}

fn losses<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::number("training_loss_nats", "mean training loss of the last recorded steps", |run| {
            run.work.training_loss
        }),
        Column::number("heldout_loss_nats", "held-out loss after the last step: what fits use", |run| {
            run.result(|it| it.heldout_loss)
        }),
        Column::number("heldout_accuracy", "share of right answers on the held-out set", |run| {
            run.result(|it| it.accuracy).flatten()
        }),
        Column::number("heldout_top5_accuracy", "share with the right answer among the five likeliest", |run| {
            run.result(|it| it.top5_accuracy).flatten()
        }),
        Column::number("heldout_best_loss_nats", "lowest held-out loss on the way", |run| run.work.best_heldout_loss),
        Column::whole("heldout_best_step", "the step of it", |run| run.work.best_step),
    ]
}

fn speed<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::number("step_seconds", "median time of a step", |run| run.result(|it| it.step_seconds).flatten()),
        Column::number("images_per_second", "at the median step", |run| run.row.images_per_second()),
        Column::number("flops_per_second", "at the median step", |run| run.row.flops_per_second()),
        Column::number("mfu", "share of --peak-flops that each of its devices reaches", |run| {
            let reached = run.row.flops_per_second();
            reached.zip(run.peak_flops).map(|(reached, peak)| utilisation(reached, peak, run.work.devices.as_deref()))
        }),
        Column::number("data_seconds", "making batches, as far as it held up training", |run| {
            run.usage(|usage| usage.data_seconds)
        }),
        Column::number("wait_seconds", "the part of it that was waiting", |run| run.usage(|usage| usage.wait_seconds)),
        Column::number("gradient_seconds", "forward and backward passes", |run| {
            run.usage(|usage| usage.gradient_seconds)
        }),
        Column::number("optimizer_seconds", "clipping and steps", |run| run.usage(|usage| usage.optimizer_seconds)),
        Column::number("evaluation_seconds", "evaluations", |run| run.usage(|usage| usage.evaluation_seconds)),
        Column::number("checkpoint_seconds", "writing checkpoints", |run| run.usage(|usage| usage.checkpoint_seconds)),
        Column::whole("peak_memory_bytes", "most memory that the process had", |run| {
            run.row.usage.map(|usage| usage.peak_memory_bytes).filter(|bytes| *bytes > 0).and_then(whole)
        }),
    ]
}

fn attempts<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::whole("attempts", "processes that worked on it", |run| whole(run.row.attempt.into())),
        Column::whole("crashes", "those of them that crashed since it was last tried again by hand", |run| {
            whole(run.row.crashes.into())
        }),
        Column::time("started", "start of the first attempt, UTC", |run| run.work.started_ms),
        Column::time("ended", "end of the newest attempt, UTC", |run| run.work.ended_ms),
        Column::text("devices", "devices of the newest attempt, separated by commas", |run| {
            run.work.devices.clone().filter(|names| !names.is_empty())
        }),
        Column::text("device", "what its trainer says that it computes on", |run| run.work.device.clone()),
        Column::text("hardware", "what that is: a processor or a GPU", |run| run.work.hardware.clone()),
        Column::text("software", "what its trainer says that computes, with its version", |run| {
            run.work.software.clone()
        }),
        Column::text("git_commit", "commit of the sweep file when the newest attempt was started", |run| {
            run.work.git_commit.clone()
        }),
        Column::flag("git_dirty", "whether files differed from it", |run| run.work.git_dirty),
        Column::text("node", "node of a cluster of the newest attempt", |run| run.work.node.clone()),
        Column::text("trunk_run_id", "the run that it has branched off", |run| {
            run.row.branched.map(|trunk| trunk.run.to_string())
        }),
        Column::whole("trunk_step", "the step of it", |run| run.row.branched.and_then(|trunk| whole(trunk.step))),
    ]
}

fn pretraining<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        Column::text("pretrained_run_id", "the run whose weights it started from", |run| {
            run.row.spec.pretrained.map(|parent| parent.to_string())
        }),
        Column::number("pretraining_epochs", "epochs of that run", |run| run.pretrained.map(|it| it.spec.train.epochs)),
        Column::number("pretraining_lr", "learning rate of that run", |run| run.pretrained.map(|it| it.spec.train.lr)),
        Column::number("pretraining_flops", "training_flops of that run", |run| run.pretrained.map(|it| it.flops)),
        Column::number("pretraining_train_hours", "train_hours of that run", |run| {
            run.pretrained.and_then(RunRow::train_seconds).map(hours)
        }),
        Column::number("pretraining_fitted_device_hours", "fitted_device_hours of that run", |run| {
            run.pretrained.map(|it| compute_of(it, Compute::DeviceHours))
        }),
        Column::number("pretraining_device_hours", "device_hours of that run", |run| {
            run.pretrained.map(|it| hours(it.device_seconds))
        }),
        Column::text("state_hash", "hash of the final weights and momentum", |run| {
            run.result(|it| it.state_hash.clone()).flatten()
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilisation_is_that_of_all_devices_of_a_run() {
        let of = |names| utilisation(3e14, 1e15, names);
        assert_eq!([of(None), of(Some("0")), of(Some("GPU-a,GPU-b"))], [0.3, 0.3, 0.15]);
    }
}
