//! The held-out loss: mean cross-entropy in nats over the whole held-out set, without smoothing or augmentation.

use std::sync::atomic::{AtomicBool, Ordering};

use data::batch::{self, Shape};
use spec::run::{DataSpec, Precision, RunSpec};
use tch::{Device, Kind, Reduction, TchError, Tensor, no_grad};

use crate::network::{Mode, Network};
use crate::parameters::Parameters;

/// Examples evaluated at once. Part of what makes the loss reproducible to the last bit, so it is fixed.
const AT_ONCE: usize = 250;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy in nats; not finite if the network has diverged.
    pub loss: f64,
    /// Share of examples whose most likely class is the right one.
    pub accuracy: f64,
    /// Share of examples whose five most likely classes have the right one among them; `None` with fewer than six classes.
    pub top5_accuracy: Option<f64>,
}

/// Evaluates on the first `heldout_examples` examples of `split`; `None` if `stop` is raised meanwhile.
pub fn evaluate(
    network: &Network,
    parameters: &Parameters,
    split: &data::Split,
    shape: Shape,
    run: &RunSpec,
    stop: &AtomicBool,
) -> Result<Option<Evaluation>, TchError> {
    let (spec, kind) = (&run.data, precision(run));
    let examples = (spec.heldout_examples as usize).min(split.len());
    let (mut loss, mut right, mut among_five) = (0.0, 0, 0);
    let five = spec.classes > 5;
    let whole = no_grad(|| {
        for from in (0..examples).step_by(AT_ONCE) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let batch = batch::evaluation(split, shape, from, (from + AT_ONCE).min(examples));
            let pictures =
                normalised(&batch.pixels, shape, spec, spec.heldout_resolution, kind, parameters.flat().device())?;
            let labels = Tensor::f_from_slice(&batch.labels)?.f_to_device(pictures.device())?;
            let logits = network.forward(parameters, &pictures, Mode::Evaluate)?;
            let sum = logits.f_cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0)?;
            loss += sum.f_double_value(&[])?;
            right += logits.f_argmax(1, false)?.f_eq_tensor(&labels)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
            if five {
                let (_, likely) = logits.f_topk(5, 1, true, false)?;
                let found = likely.f_eq_tensor(&labels.f_unsqueeze(1)?)?;
                among_five += found.f_sum(Kind::Int64)?.f_int64_value(&[])?;
            }
        }
        Ok::<bool, TchError>(true)
    })?;
    let share = |count: i64| count as f64 / examples as f64;
    Ok(whole.then_some(Evaluation {
        loss: loss / examples as f64,
        accuracy: share(right),
        top5_accuracy: five.then(|| share(among_five)),
    }))
}

/// What activations are computed in.
pub fn precision(run: &RunSpec) -> Kind {
    match run.train.arithmetic.precision {
        Precision::Fp32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// Pixels as the network wants them: [examples, channels, resolution, resolution], mean 0, spread 1.
pub fn normalised(
    pixels: &[u8],
    shape: Shape,
    spec: &DataSpec,
    resolution: u32,
    kind: Kind,
    device: Device,
) -> Result<Tensor, TchError> {
    let examples = (pixels.len() / shape.bytes()) as i64;
    let (channels, side) = (shape.channels as i64, shape.side as i64);
    let pixels =
        Tensor::f_from_data_size(pixels, &[examples, channels, side, side], Kind::Uint8)?.f_to_device(device)?;
    // One pass: (pixel / 255 - mean) / std.
    let scaled =
        pixels.f_to_kind(Kind::Float)?.f_mul_scalar(1.0 / (255.0 * spec.std))?.f_sub_scalar(spec.mean / spec.std)?;
    let resolution = i64::from(resolution);
    let sized =
        if resolution == side { scaled } else { scaled.f_upsample_bicubic2d([resolution; 2], false, None, None)? };
    sized.f_to_kind(kind)
}
