//! From batches of bytes to what the network takes: normalised pictures and targets, on the device.

use data::Label;
use data::batch::{Batch, Shape};
use spec::run::{DataSpec, Precision, RunSpec};
use tch::{Device, Kind, TchError, Tensor};

use crate::gradient::{Examples, Target};
use crate::shim;

/// What activations are computed in.
pub fn precision(run: &RunSpec) -> Kind {
    match run.train.arithmetic.precision {
        Precision::Fp32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// A training batch as the network wants it.
pub(crate) fn examples(batch: &Batch, run: &RunSpec, device: Device) -> Result<Examples, TchError> {
    let spec = &run.data;
    let pictures = normalised(&batch.pixels, batch.shape, spec, spec.resolution, precision(run), device)?;
    let target = target(batch, spec.classes, spec.multi_label)?.to_device(device)?;
    Ok(Examples { pictures, target })
}

/// What the logits of a batch are compared with, on the CPU. Where pictures are mixed, their targets are too.
pub fn target(batch: &Batch, classes: u32, multi_label: bool) -> Result<Target, TchError> {
    if !multi_label && batch.partners.is_empty() {
        return Ok(Target::Classes(Tensor::f_from_slice(&first_classes(batch))?));
    }
    let all = indicators(&batch.labels, classes)?;
    let mixed = if batch.partners.is_empty() {
        all
    } else {
        let partners: Vec<i64> = batch.partners.iter().map(|place| *place as i64).collect();
        let partners = all.f_index_select(0, &Tensor::f_from_slice(&partners)?)?;
        mixed_target(&all, &partners, &batch.weights)?
    };
    Ok(if multi_label { Target::Sets(mixed) } else { Target::Shares(mixed) })
}

/// The class of each example; of one with several, the first.
fn first_classes(batch: &Batch) -> Vec<i64> {
    let class = |label: &Label| match label {
        Label::One(class) => i64::from(*class),
        Label::Many(classes) => classes.first().map_or(0, |class| i64::from(*class)),
    };
    batch.labels.iter().map(class).collect()
}

/// [examples, classes]: 1 where an example has the class.
fn indicators(labels: &[Label], classes: u32) -> Result<Tensor, TchError> {
    let width = classes as usize;
    let mut content = vec![0.0_f32; labels.len() * width];
    for (row, label) in content.chunks_exact_mut(width).zip(labels) {
        let own = match label {
            Label::One(class) => std::slice::from_ref(class),
            Label::Many(classes) => classes,
        };
        for class in own {
            let place = row.get_mut(*class as usize);
            *place.ok_or_else(|| TchError::Shape(format!("class {class} of {classes}")))? = 1.0;
        }
    }
    Tensor::f_from_slice(&content)?.f_view([labels.len() as i64, i64::from(classes)])
}

/// The target of mixed pictures: `share` of each picture's own target, the rest of its partner's.
fn mixed_target(own: &Tensor, partners: &Tensor, shares: &[f32]) -> Result<Tensor, TchError> {
    let shares = Tensor::f_from_slice(shares)?.f_unsqueeze(1)?;
    let rest = shares.f_neg()?.f_add_scalar(1.0)?;
    own.f_mul(&shares)?.f_add(&partners.f_mul(&rest)?)
}

/// Pixels as the network wants them: [examples, channels, resolution, resolution], mean 0, spread 1.
///
/// On the CPU the first pass reads the bytes where they are. To a GPU they go as bytes, from pinned memory and without waiting.
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
    let size = [examples, channels, side, side];
    let pixels = match device {
        Device::Cpu => shim::floats_of(pixels, &size)?,
        device => {
            let pinned = Tensor::f_from_data_size(pixels, &size, Kind::Uint8)?.f_pin_memory(device)?;
            pinned.f_to_device_(device, Kind::Uint8, true, false)?.f_to_kind(Kind::Float)?
        }
    };
    // One pass: (pixel / 255 - mean) / std.
    let (mean, std) = (spec.mean.each(shape.channels), spec.std.each(shape.channels));
    let mut scaled = pixels;
    if mean.iter().all(|value| *value == mean[0]) && std.iter().all(|value| *value == std[0]) {
        let _ = scaled.f_mul_scalar_(1.0 / (255.0 * std[0]))?.f_sub_scalar_(mean[0] / std[0])?;
    } else {
        let each = |values: Vec<f64>| {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::f_from_slice(&values)?.f_view([1, channels, 1, 1])?.f_to_device(device)
        };
        let _ = scaled.f_mul_(&each(std.iter().map(|std| 1.0 / (255.0 * std)).collect())?)?;
        let _ = scaled.f_sub_(&each(mean.iter().zip(&std).map(|(mean, std)| mean / std).collect())?)?;
    }
    let resolution = i64::from(resolution);
    let sized =
        if resolution == side { scaled } else { scaled.f_upsample_bicubic2d([resolution; 2], false, None, None)? };
    sized.f_to_kind(kind)
}
