//! Weights by timm's names into the folder of a run, from which other runs can start.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use spec::network::{Layout, ModelSpec};
use spec::run::SpecFile;
use tch::{Device, Kind, Tensor};

use super::{CONFIG, MODEL, config, refuse_overwriting, shape, timm_name, timm_shape};
use crate::TrainError;
use crate::network::declare;
use crate::parameters::{Declared, Init, Parameters};
use crate::weights::{self, Origin};

/// How many tensors of a kind a refusal names.
const NAMED: usize = 3;

/// Where an export of ours says what network it is of.
const OUR_MODEL: &str = "/scalelaw/model";

/// What to do about weights of another network.
const REMEDY: &str = "take a spec.json whose model, classes, channels and resolution are those of the checkpoint";

/// Writes the weights in `from`, a folder with `model.safetensors` or such a file, into the folder of the run `file`, as those that
/// it left. Existing ones are overwritten only with `force`. Answers with what a person should know.
///
/// # Errors
/// If they are the weights of another network or not all finite.
pub fn import(file: &SpecFile, from: &Path, run: &Path, force: bool) -> Result<Vec<String>, TrainError> {
    refuse_overwriting(&run.join(weights::FILE), force)?;
    let path = if from.is_dir() { from.join(MODEL) } else { from.to_owned() };
    let unusable = |why: String| TrainError::Unusable(format!("{}: {why}", path.display()));
    let content = fs::read(&path).map_err(|error| {
        unusable(format!(
            "{error}; name a folder with {MODEL} or a file of that form (timm's .bin and .pth: save them as one)"
        ))
    })?;
    let tensors = SafeTensors::deserialize(&content)
        .map_err(|error| unusable(format!("{error}; is it whole, and of the form safetensors?")))?;
    let data = &file.run.data;
    let layout = file.run.model.layout(data.channels, data.resolution, data.classes)?;
    let config = if from.is_dir() { read_config(&from.join(CONFIG))? } else { Value::Null };
    check_config(&config, &file.run.model)
        .map_err(|why| TrainError::Unusable(format!("{}: {why}", from.join(CONFIG).display())))?;

    // Nothing is drawn: every value is overwritten, and drawing half a billion takes minutes.
    let blank = |one| Declared { init: Init::Constant(0.0), ..one };
    let declared: Vec<Declared> = declare(&layout).into_iter().map(blank).collect();
    compare(&layout, &declared, &tensors).map_err(unusable)?;
    let mut parameters = Parameters::new(declared, 0, Device::Cpu)?;
    let mut all = Vec::with_capacity(parameters.declared().len());
    for one in parameters.declared() {
        let name = timm_name(&layout, &one.name);
        let view = tensors.tensor(&name).map_err(|error| unusable(error.to_string()))?;
        let values = as_floats(&view)?.ok_or_else(|| {
            unusable(format!("{name} is of type {:?}; convert it to floats of 16 or 32 bits", view.dtype()))
        })?;
        if values.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(unusable(format!(
                "{name} has values that are not finite; take weights from before it diverged"
            )));
        }
        all.push(values);
    }
    parameters.load(&Tensor::f_cat(&all, 0)?)?;
    weights::write(run, file.run_id, &parameters, Origin::Imported)?;
    Ok(notes(&config, &file.run.model))
}

/// As a vector of 32-bit floats; `None` if it holds something else.
fn as_floats(view: &TensorView<'_>) -> Result<Option<Tensor>, TrainError> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        _ => return Ok(None),
    };
    let count: usize = view.shape().iter().product();
    Ok(Some(Tensor::f_from_data_size(view.data(), &[count as i64], kind)?.f_to_kind(Kind::Float)?))
}

/// Refuses tensors that are not those of the network, by name.
fn compare(layout: &Layout, declared: &[Declared], tensors: &SafeTensors<'_>) -> Result<(), String> {
    let (mut missing, mut misshapen, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
    for one in declared {
        let name = timm_name(layout, &one.name);
        match tensors.tensor(&name) {
            Ok(view) if shape(view.shape()) == timm_shape(one) => {}
            Ok(view) => misshapen.push(format!("{name} {:?} instead of {:?}", view.shape(), timm_shape(one))),
            Err(_) => missing.push(name.clone()),
        }
        known.insert(name);
    }
    let names = tensors.names().into_iter();
    let mut superfluous: Vec<String> = names.filter(|name| !known.contains(*name)).map(str::to_owned).collect();
    superfluous.sort();
    let parts: Vec<String> = [("missing", missing), ("superfluous", superfluous), ("misshapen", misshapen)]
        .into_iter()
        .filter(|(_, all)| !all.is_empty())
        .map(|(what, all)| {
            let more = if all.len() > NAMED { ", ..." } else { "" };
            format!("{} {what} ({}{more})", all.len(), all[..all.len().min(NAMED)].join(", "))
        })
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    Err(format!("weights of another architecture: {}; {REMEDY}", parts.join(", ")))
}

/// `Null` if there is none.
fn read_config(path: &Path) -> Result<Value, TrainError> {
    let unusable = |why: String| TrainError::Unusable(format!("{}: {why}; mend it or take it away", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| unusable(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Refuses another network where `config.json` says what names and shapes do not show.
fn check_config(config: &Value, model: &ModelSpec) -> Result<(), String> {
    let another = |what: &str, found: &Value, expected: &Value| {
        Err(format!("weights of another architecture: {what} is {found}, expected {expected}; {REMEDY}"))
    };
    let ours = config::model(model);
    if let Some(theirs) = config.pointer(OUR_MODEL) {
        for (key, expected) in ours.as_object().into_iter().flatten() {
            let found = theirs.get(key).unwrap_or(&Value::Null);
            if found != expected {
                return another(key, found, expected);
            }
        }
    }
    for (key, own) in [("num_heads", "heads"), ("alpha", "alpha")] {
        let (Some(found), Some(expected)) = (argument(config, key), ours.get(own)) else { continue };
        if found.as_f64() != expected.as_f64() {
            return another(key, found, expected);
        }
    }
    Ok(())
}

/// Where timm, as far as `config.json` says, computes a little differently from what will be trained.
fn notes(config: &Value, model: &ModelSpec) -> Vec<String> {
    if config.pointer(OUR_MODEL).is_some() {
        return Vec::new();
    }
    let note = match model {
        ModelSpec::Vit(_) if argument(config, "act_layer").and_then(Value::as_str) != Some("gelu_tanh") => {
            "timm has the exact GELU where config.json does not say act_layer gelu_tanh; here it is the tanh form"
        }
        ModelSpec::Nfnet(_) if argument(config, "std_conv_eps").is_none() => {
            "timm adds 1e-5 to the variance of weights where config.json says no other std_conv_eps; here, as in the code \
             released with the paper, nothing is added"
        }
        _ => return Vec::new(),
    };
    vec![note.to_owned()]
}

fn argument<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    config.get("model_args")?.get(key)
}
