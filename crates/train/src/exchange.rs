//! Weights to and from timm: `model.safetensors` and `config.json`, as the Hugging Face hub has them.
//!
//! Parameters have timm's names here as well; their shapes differ where timm has pictures of one pixel (gains, squeeze-excite),
//! and a stem of one convolution is called `stem.conv` there. The numbers are the same, bit for bit. In Python:
//!
//! ```python
//! config = json.load(open("OUT/config.json"))
//! model = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
//! model.load_state_dict(safetensors.torch.load_file("OUT/model.safetensors"), strict=True)
//! ```
//!
//! or `timm.create_model("local-dir:OUT", pretrained=True)`. The fields of timm's `NfCfg` are arguments of `create_model`, so any
//! shape that timm has can be said in `model_args`. What timm then computes differently stands under `differences`:
//! its NFNets know only the exact GELU, which moves logits by 2e-4 to 5e-4 of the largest. `scripts/load_in_timm.py` sets the
//! approximation, and logits agree to rounding. The epsilon that timm adds to the variance of weights is set to next to nothing;
//! with timm's own 1e-5, under which it trains, logits of an F0 move by a hundredth: so do those of what is imported from there.

mod config;
mod import;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use spec::network::Layout;
use spec::run::SpecFile;

use crate::TrainError;
use crate::network::declare;
use crate::parameters::Declared;
use crate::stored::{self, floats};
use crate::weights::{self, Weights};

pub use import::import;

/// Name of the file with the weights.
pub const MODEL: &str = "model.safetensors";

/// Name of the file that says what they are the weights of.
pub const CONFIG: &str = "config.json";

/// What there is to know about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Why timm has no such network; `None` if it has.
    pub obstacle: Option<String>,
    /// What timm computes differently with these weights.
    pub differences: Vec<String>,
}

/// Writes the weights that the finished run `file` left in the folder `run` into the folder `out`, for timm. Files that are there
/// already are overwritten only with `force`.
pub fn export(file: &SpecFile, run: &Path, out: &Path, force: bool) -> Result<Exported, TrainError> {
    let path = run.join(weights::FILE);
    if !path.exists() {
        let remedy = "only a finished run has weights; let the sweep run to its end, or import some";
        return Err(TrainError::Unusable(format!("{}: not there; {remedy}", path.display())));
    }
    for name in [MODEL, CONFIG] {
        refuse_overwriting(&out.join(name), force)?;
    }
    let data = &file.run.data;
    let layout = file.run.model.layout(data.channels, data.resolution, data.classes)?;
    let weights = Weights::read(run, file.run_id)?;
    let tensors = weights.tensors()?;
    let mut views = Vec::new();
    for one in declare(&layout) {
        let unusable = |why: String| TrainError::Unusable(format!("{}: {why}", path.display()));
        let view = tensors.tensor(&one.name).map_err(|_| unusable(format!("there is no {}", one.name)))?;
        if view.dtype() != Dtype::F32 || shape(view.shape()) != one.shape {
            return Err(unusable(format!("{} is {:?} {:?}", one.name, view.dtype(), view.shape())));
        }
        let sizes = timm_shape(&one).iter().map(|size| *size as usize).collect();
        let view = TensorView::new(Dtype::F32, sizes, view.data()).map_err(|error| unusable(error.to_string()))?;
        views.push((timm_name(&layout, &one.name), view));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let model = safetensors::serialize(views, Some(metadata)).map_err(|error| TrainError::Spec(error.to_string()))?;
    let (config, exported) = config::describe(file, &layout, &tensors);
    let config = serde_json::to_string_pretty(&config).map_err(|error| TrainError::Spec(error.to_string()))? + "\n";
    let io = |source| TrainError::Io { what: format!("exporting to {}", out.display()), source };
    fs::create_dir_all(out).map_err(io)?;
    for (name, content) in [(MODEL, &model[..]), (CONFIG, config.as_bytes())] {
        stored::replace(&out.join(name), content).map_err(io)?;
    }
    Ok(exported)
}

fn refuse_overwriting(path: &Path, force: bool) -> Result<(), TrainError> {
    if force || !path.exists() {
        return Ok(());
    }
    let remedy = "name another folder, or say --force to overwrite it";
    Err(TrainError::Unusable(format!("{}: already there; {remedy}", path.display())))
}

/// What timm calls the parameter `name` of `layout`.
fn timm_name(layout: &Layout, name: &str) -> String {
    match (layout, name.strip_prefix("stem.conv1.")) {
        (Layout::Nfnet(nfnet), Some(part)) if nfnet.stem.len() == 1 => format!("stem.conv.{part}"),
        _ => name.to_owned(),
    }
}

/// The shape that timm gives it; as many numbers, in the same order.
fn timm_shape(one: &Declared) -> Vec<i64> {
    if one.name.ends_with(".skipinit_gain") {
        return Vec::new();
    }
    let pixels = if one.name.ends_with(".gain") {
        3
    } else if one.name.ends_with(".attn_last.fc1.weight") || one.name.ends_with(".attn_last.fc2.weight") {
        2
    } else {
        0
    };
    one.shape.iter().copied().chain(std::iter::repeat_n(1, pixels)).collect()
}

fn shape(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|size| *size as i64).collect()
}

/// Channels of scaled convolutions whose centred weights have a smaller norm than `least`.
fn channels_below(layout: &Layout, tensors: &SafeTensors<'_>, least: f64) -> usize {
    let Layout::Nfnet(nfnet) = layout else { return 0 };
    let small = |conv: &spec::nfnet::Conv| {
        let Ok(view) = tensors.tensor(&format!("{}.weight", conv.name)) else { return 0 };
        let channels = view.data().chunks_exact(4 * conv.fan_in().max(1) as usize);
        let norm = |channel: &[u8]| {
            let mean = floats(channel).map(f64::from).sum::<f64>() / f64::from(conv.fan_in());
            floats(channel).map(|weight| (f64::from(weight) - mean).powi(2)).sum::<f64>().sqrt()
        };
        channels.filter(|channel| norm(channel) < least).count()
    };
    nfnet.convolutions().map(small).sum()
}
