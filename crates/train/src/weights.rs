//! What a finished run leaves behind: its final weights, from which another run can start.
//!
//! `weights.safetensors` in the run directory holds every parameter under its name (timm's), those that were evaluated: the moving
//! average where one is kept. The file names its run and carries a hash of its own values.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use spec::run::RunId;
use tch::Tensor;

use crate::TrainError;
use crate::parameters::{Parameters, Role, bytes};
use crate::stored::{self, sync_folder, write_synced};
use crate::vit;

/// Name of the file in a run directory.
pub const FILE: &str = "weights.safetensors";

/// Metadata with the BLAKE3 of all that follows the header.
const HASH: &str = "data_blake3";

/// Writes the weights of the finished run `id` into its directory.
pub fn write(run: &Path, id: RunId, parameters: &Parameters) -> Result<(), TrainError> {
    let vectors = [(String::new(), bytes(parameters.flat())?)];
    let plain = stored::serialise(parameters.declared(), &vectors, None)?;
    let hash = blake3::hash(stored::data(&plain)).to_hex().to_string();
    let metadata = HashMap::from([("run_id".to_owned(), id.to_string()), (HASH.to_owned(), hash)]);
    let content = stored::serialise(parameters.declared(), &vectors, Some(metadata))?;
    let (partial, path) = (run.join(format!("{FILE}.tmp")), run.join(FILE));
    let written = write_synced(&partial, &content).and_then(|()| fs::rename(&partial, &path));
    written
        .and_then(|()| sync_folder(run))
        .map_err(|source| TrainError::Io { what: format!("saving the weights {}", path.display()), source })
}

/// The weights of a finished run, checked against their hash.
pub struct Weights {
    content: Vec<u8>,
    path: String,
}

impl Weights {
    /// Reads those that the run `id` left in its directory.
    pub fn read(run: &Path, id: RunId) -> Result<Weights, TrainError> {
        let path = run.join(FILE);
        let content = fs::read(&path).map_err(|source| {
            let remedy = "the run to start from has no weights; was its folder removed, or was it trained by a version that kept none?";
            TrainError::Unusable(format!("{}: {source}; {remedy}", path.display()))
        })?;
        let weights = Weights { content, path: path.display().to_string() };
        let (_, header) =
            SafeTensors::read_metadata(&weights.content).map_err(|error| weights.unusable(error.to_string()))?;
        let said = |key: &str| header.metadata().as_ref().and_then(|all| all.get(key)).cloned().unwrap_or_default();
        if said("run_id") != id.to_string() {
            return Err(weights.unusable(format!("weights of run {:?}, expected those of {id}", said("run_id"))));
        }
        if blake3::hash(stored::data(&weights.content)).to_hex().as_str() != said(HASH) {
            return Err(weights.unusable("damaged: the values do not match their hash".to_owned()));
        }
        Ok(weights)
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
                values.push(own.f_detach()?.f_flatten(0, -1)?);
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
