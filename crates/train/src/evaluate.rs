//! The held-out loss: mean cross-entropy in nats over the whole held-out set, without smoothing or augmentation; of examples
//! with any number of classes, the mean of the sum over the classes of the sigmoid cross-entropy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data::Dataset;
use data::batch;
use data::crew::Crew;
use data::loader::Loader;
use spec::run::RunSpec;
use tch::{Kind, Reduction, TchError, Tensor};

use crate::TrainError;
use crate::gradient::Target;
use crate::input::{normalised, precision, target};
use crate::network::{Mode, Network};
use crate::parameters::Parameters;

/// Examples evaluated at once. Part of what makes the loss reproducible to the last bit, so it is fixed.
const AT_ONCE: u64 = 250;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy in nats; not finite if the network has diverged.
    pub loss: f64,
    /// Share of examples whose most likely class is one of theirs.
    pub accuracy: f64,
    /// Share of examples with one of their classes among the five most likely; `None` with fewer than six classes.
    pub top5_accuracy: Option<f64>,
}

/// Evaluates on the first `heldout_examples` examples that are held out, read by so many threads; `None` if `stop` is raised
/// meanwhile.
///
/// # Errors
/// A damaged example among them, which is named: then losses could not be compared.
pub fn evaluate(
    network: &Network,
    parameters: &Parameters,
    dataset: &Arc<Dataset>,
    run: &RunSpec,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Option<Evaluation>, TrainError> {
    let (spec, kind) = (&run.data, precision(run));
    let examples = spec.heldout_examples.min(dataset.heldout.len());
    let (side, centre_crop) = (spec.heldout_resolution as usize, spec.centre_crop.unwrap_or(1.0));
    let own = Arc::clone(dataset);
    let make = move |part: u64, crew: &Crew| {
        let from = part * AT_ONCE;
        batch::evaluation(&own.heldout, side, centre_crop, from..(from + AT_ONCE).min(examples), crew)
    };
    let parts = examples.div_ceil(AT_ONCE);
    // Pictures in memory cost nothing to take.
    let threads = if dataset.heldout.is_encoded() { threads } else { 0 };
    let mut loader = Loader::new(0..parts, threads, make)
        .map_err(|source| TrainError::Io { what: "starting threads that load data".to_owned(), source })?;
    let (mut loss, mut right, mut among_five) = (0.0, 0, 0);
    let five = spec.classes > 5;
    let _no_grad = tch::no_grad_guard();
    for _ in 0..parts {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = loader.take()?;
        if let Some(skipped) = batch.skipped.first() {
            let name = dataset.heldout.name(skipped.id)?;
            let problem = format!(
                "held out, and damaged: {}; mend or replace it (skip_damaged is for training only: losses on other held-out sets cannot be compared)",
                skipped.damage
            );
            return Err(data::DataError::Example { example: name, problem }.into());
        }
        let device = parameters.flat().device();
        let pictures = normalised(&batch.pixels, batch.shape, spec, spec.heldout_resolution, kind, device)?;
        let target = target(&batch, spec.classes, spec.multi_label)?.to_device(device)?;
        let logits = network.forward(parameters, &pictures, Mode::Evaluate)?;
        loss += target.loss(&logits, 0.0, Reduction::Sum)?.f_double_value(&[])?;
        right += hits(&logits, &target, 1)?;
        if five {
            among_five += hits(&logits, &target, 5)?;
        }
    }
    let share = |count: i64| count as f64 / examples as f64;
    Ok(Some(Evaluation {
        loss: loss / examples as f64,
        accuracy: share(right),
        top5_accuracy: five.then(|| share(among_five)),
    }))
}

/// Examples that have one of their classes among the `count` most likely ones.
fn hits(logits: &Tensor, target: &Target, count: i64) -> Result<i64, TchError> {
    let likely = match count {
        1 => logits.f_argmax(1, true)?,
        count => logits.f_topk(count, 1, true, false)?.1,
    };
    let found = match target {
        Target::Classes(classes) => likely.f_eq_tensor(&classes.f_unsqueeze(1)?)?,
        Target::Shares(all) | Target::Sets(all) => all.f_gather(1, &likely, false)?.f_gt(0.0)?,
    };
    found.f_any_dim(1, false)?.f_sum(Kind::Int64)?.f_int64_value(&[])
}
