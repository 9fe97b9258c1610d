//! What a finished run leaves behind: its final weights, from which another run can start.
//!
//! `weights.safetensors` in the run directory holds every parameter under its name (timm's), those that were evaluated: the moving
//! average where one is kept. The file names its run and carries a hash of its own values.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use spec::run::RunId;
use tch::{Device, Tensor};

use crate::TrainError;
use crate::parameters::{Parameters, Role, bytes};
use crate::stored;
use crate::vit;

/// Name of the file in a run directory.
pub const FILE: &str = "weights.safetensors";

/// What to do where weights cannot be used.
const REMEDY: &str =
    "train that run again in another --state-dir, or put weights there with `scalelaw-worker import --force`";

/// The one entry of the file's metadata, so that equal weights are equal files: a [`Label`] as JSON.
const LABEL: &str = "scalelaw";

/// What the file says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    run_id: RunId,
    origin: Origin,
    /// BLAKE3 of all that follows the header.
    data_blake3: String,
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The run has trained them.
    Trained,
    /// `scalelaw-worker import` has put them there: the run's identity does not stand for them.
    Imported,
}

/// Writes weights into the directory of the run `id`.
pub fn write(run: &Path, id: RunId, parameters: &Parameters, origin: Origin) -> Result<(), TrainError> {
    let vectors = [(String::new(), bytes(parameters.flat())?)];
    let plain = stored::serialise(parameters.declared(), &vectors, None)?;
    let data_blake3 = blake3::hash(stored::data(&plain)).to_hex().to_string();
    let label = serde_json::to_string(&Label { run_id: id, origin, data_blake3 })
        .map_err(|error| TrainError::Spec(error.to_string()))?;
    let metadata = HashMap::from([(LABEL.to_owned(), label)]);
    let content = stored::serialise(parameters.declared(), &vectors, Some(metadata))?;
    let path = run.join(FILE);
    stored::replace(&path, &content)
        .map_err(|source| TrainError::Io { what: format!("saving the weights {}", path.display()), source })
}

/// The weights of a finished run, checked against their hash.
pub struct Weights {
    content: Vec<u8>,
    path: String,
    /// Where they come from.
    pub origin: Origin,
}

impl Weights {
    /// Reads those that the run `id` left in its directory.
    pub fn read(run: &Path, id: RunId) -> Result<Weights, TrainError> {
        let path = run.join(FILE);
        let content = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => TrainError::Unusable(format!(
                "{}: no such file, so there are no weights to start from; {REMEDY}",
                path.display()
            )),
            _ => TrainError::Io { what: format!("reading {}", path.display()), source },
        })?;
        let unusable = |why: String| TrainError::Unusable(format!("{}: {why}; {REMEDY}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&content).map_err(|error| unusable(error.to_string()))?;
        let label = header.metadata().as_ref().and_then(|all| all.get(LABEL));
        let label: Label = label.and_then(|label| serde_json::from_str(label).ok()).ok_or_else(|| {
            unusable("not the weights of a run; `scalelaw-worker import` takes those of others".to_owned())
        })?;
        if label.run_id != id {
            return Err(unusable(format!("weights of run {}, expected those of {id}", label.run_id)));
        }
        if blake3::hash(stored::data(&content)).to_hex().as_str() != label.data_blake3 {
            return Err(unusable("damaged: the values do not match their hash".to_owned()));
        }
        Ok(Weights { content, path: path.display().to_string(), origin: label.origin })
    }

    /// All of them, by name.
    pub(crate) fn tensors(&self) -> Result<SafeTensors<'_>, TrainError> {
        SafeTensors::deserialize(&self.content).map_err(|error| self.unusable(error.to_string()))
    }

    /// Overwrites `parameters` with these weights, all but the classifier's: another data set has other classes. Position
    /// embeddings are resampled where the resolution is another one.
    ///
    /// # Errors
    /// If these are the weights of another architecture.
    pub fn start(&self, parameters: &mut Parameters) -> Result<(), TrainError> {
        let tensors = self.tensors()?;
        let another = |what: String| self.unusable(format!("weights of another architecture: {what}"));
        let declared = parameters.declared();
        if let Some(name) = tensors.names().iter().find(|name| parameters.index(name).is_none()) {
            return Err(another(format!("the network to train has no {name}")));
        }
        let classifier: Vec<&str> = declared
            .iter()
            .filter(|one| one.role == Role::Classifier)
            .filter_map(|one| one.name.strip_suffix("weight"))
            .collect();
        let mut values = Vec::new();
        for (one, own) in declared.iter().zip(parameters.views()) {
            if classifier.iter().any(|prefix| one.name.starts_with(prefix)) {
                values.push(own.f_detach()?.f_to_device(Device::Cpu)?.f_flatten(0, -1)?);
                continue;
            }
            let (shape, numbers) = stored::tensor(&tensors, &one.name).map_err(another)?;
            let mut given = Tensor::f_from_slice(&numbers)?.f_reshape(&shape)?;
            if one.name == vit::POSITIONS && shape != one.shape {
                let extra = i64::from(parameters.index(vit::CLASS_TOKEN).is_some());
                given = vit::resampled_positions(&given, extra, one.shape[1])?;
            }
            if given.size() != one.shape {
                return Err(another(format!("{} is of shape {shape:?}, expected {:?}", one.name, one.shape)));
            }
            values.push(given.f_flatten(0, -1)?);
        }
        Ok(parameters.load(&Tensor::f_cat(&values, 0)?)?)
    }

    fn unusable(&self, why: String) -> TrainError {
        TrainError::Unusable(format!("{}: {why}", self.path))
    }
}
