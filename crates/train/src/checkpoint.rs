//! Checkpoints: everything a run needs to go on to the same bits, old or new but never broken.
//!
//! A checkpoint is a folder `checkpoints/STEP` with `state.safetensors` (parameters and the optimiser's states by name) and
//! `manifest.json`. Both are written and synced under another name, then the folder is renamed: a folder with a number
//! for a name is complete. The last two are kept; one that is damaged is put aside under the name `damaged-STEP`, so that
//! it neither counts nor gets lost. All of this happens under the lock of the run.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use spec::run::RunId;
use tch::{TchError, Tensor};

use crate::TrainError;
use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, bytes};
use crate::stored::{self, sync_folder, write_synced};

/// How many are kept.
const KEPT: usize = 2;

/// The one that is being written.
const PARTIAL: &str = "partial";

/// The form of a checkpoint that this version reads and writes.
const SCHEMA: u32 = 1;

/// The counters of a run after a step; together with parameters and momentum its whole state. The learning rate and the
/// order of the examples are functions of the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Digest of the examples of the open epoch.
    pub digest: String,
    /// Damaged examples left out of the open epoch.
    #[serde(default)]
    pub skipped: u64,
    /// Sum of the training losses since the last line of progress, as bits, so that no digit is lost.
    pub loss_sum_bits: u32,
    /// Losses in that sum.
    pub losses: u64,
    /// Median seconds of a step so far.
    pub step_seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    schema: u32,
    run_id: RunId,
    state_blake3: String,
    progress: Progress,
}

/// The checkpoints of one run.
pub struct Checkpoints {
    folder: PathBuf,
    run_id: RunId,
}

impl Checkpoints {
    /// Those in the run directory `run`.
    pub fn of(run: &Path, run_id: RunId) -> Checkpoints {
        Checkpoints { folder: run.join("checkpoints"), run_id }
    }

    /// The one that other runs branch off, in the run directory `run`.
    pub fn of_trunk(run: &Path, run_id: RunId) -> Checkpoints {
        Checkpoints { folder: run.join("trunk"), run_id }
    }

    /// Loads the checkpoint of `step` into `parameters` and `optimizer`, and moves nothing: it may be another run's.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn load(&self, step: u64, parameters: &mut Parameters, optimizer: &mut Optimizer) -> Result<Progress, String> {
        let path = self.folder.join(format!("{step:010}"));
        let (progress, values, states) =
            self.read(&path, parameters, optimizer).map_err(|why| format!("{}: {why}", path.display()))?;
        let loaded = parameters.load(&values).and_then(|()| optimizer.load(&states));
        loaded.map_err(|error| error.to_string())?;
        Ok(progress)
    }

    /// Writes a checkpoint and drops all but the last two. Does nothing where there is one of this step.
    pub fn save(&self, parameters: &Parameters, optimizer: &Optimizer, progress: &Progress) -> Result<(), TrainError> {
        let target = self.folder.join(format!("{:010}", progress.step));
        if target.exists() {
            return Ok(());
        }
        let partial = self.folder.join(PARTIAL);
        let saved = self.write(&partial, &target, parameters, optimizer, progress);
        if saved.is_err() {
            // On a full disk the half that was written stands in the way of everything else.
            let _ = fs::remove_dir_all(&partial);
        }
        saved?;
        for (_, old) in self.complete().into_iter().skip(KEPT) {
            let _ = fs::remove_dir_all(old);
        }
        Ok(())
    }

    fn write(
        &self,
        partial: &Path,
        target: &Path,
        parameters: &Parameters,
        optimizer: &Optimizer,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let io = |path: &Path| {
            let what = format!("saving the checkpoint {}", path.display());
            move |source| TrainError::Io { what, source }
        };
        let _ = fs::remove_dir_all(partial);
        fs::create_dir_all(partial).map_err(io(partial))?;
        let state = serialise(parameters, optimizer)?;
        let manifest = Manifest {
            schema: SCHEMA,
            run_id: self.run_id,
            state_blake3: blake3::hash(&state).to_hex().to_string(),
            progress: progress.clone(),
        };
        let manifest = serde_json::to_vec_pretty(&manifest).map_err(|error| io(partial)(error.into()))?;
        for (file, content) in [("state.safetensors", &state), ("manifest.json", &manifest)] {
            let path = partial.join(file);
            write_synced(&path, content).map_err(io(&path))?;
        }
        sync_folder(partial).map_err(io(partial))?;
        fs::rename(partial, target).map_err(io(target))?;
        sync_folder(&self.folder).map_err(io(&self.folder))
    }

    /// Drops all of them: the run has its result.
    pub fn drop_all(&self) {
        // What cannot be removed only takes space.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Restores the newest undamaged checkpoint into `parameters` and `optimizer`. `None` where there is none; the notes
    /// say which were put aside and why.
    pub fn restore(
        &self,
        parameters: &mut Parameters,
        optimizer: &mut Optimizer,
    ) -> Result<(Option<Progress>, Vec<String>), TrainError> {
        let _ = fs::remove_dir_all(self.folder.join(PARTIAL));
        let mut notes = Vec::new();
        for (step, path) in self.complete() {
            match self.read(&path, parameters, optimizer) {
                Ok((progress, values, states)) => {
                    parameters.load(&values)?;
                    optimizer.load(&states)?;
                    return Ok((Some(progress), notes));
                }
                Err(why) => {
                    let _ = fs::rename(&path, self.folder.join(format!("damaged-{step:010}")));
                    notes.push(format!("cannot go on from the checkpoint {}: {why}", path.display()));
                }
            }
        }
        Ok((None, notes))
    }

    /// Complete checkpoints, newest first.
    fn complete(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let numbered = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
        let mut found: Vec<(u64, PathBuf)> = numbered.collect();
        found.sort_by(|a, b| b.cmp(a));
        found
    }

    fn read(
        &self,
        path: &Path,
        parameters: &Parameters,
        optimizer: &Optimizer,
    ) -> Result<(Progress, Tensor, Vec<Tensor>), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let manifest = fs::read(path.join("manifest.json")).map_err(|error| text(&error))?;
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| text(&error))?;
        if manifest.schema != SCHEMA || manifest.run_id != self.run_id {
            return Err(format!(
                "form {} of run {}, expected form {SCHEMA} of run {}",
                manifest.schema, manifest.run_id, self.run_id
            ));
        }
        let state = fs::read(path.join("state.safetensors")).map_err(|error| text(&error))?;
        if blake3::hash(&state).to_hex().as_str() != manifest.state_blake3 {
            return Err("state.safetensors does not match its hash".to_owned());
        }
        let tensors = SafeTensors::deserialize(&state).map_err(|error| text(&error))?;
        let flat = |prefix: &str| {
            let values = stored::values(&tensors, parameters.declared(), prefix)?;
            Tensor::f_from_slice(&values).map_err(|error| text(&error))
        };
        let states = optimizer.states().iter().map(|(name, _)| flat(&format!("{name}.")));
        Ok((manifest.progress, flat("")?, states.collect::<Result<_, _>>()?))
    }
}

/// BLAKE3 over all parameters and the optimiser's states: equal exactly if two runs ended in the same bits.
pub fn state_hash(parameters: &Parameters, optimizer: &Optimizer) -> Result<String, TchError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes(parameters.flat())?);
    for (_, state) in optimizer.states() {
        hasher.update(&bytes(state)?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn serialise(parameters: &Parameters, optimizer: &Optimizer) -> Result<Vec<u8>, TrainError> {
    let mut vectors = vec![(String::new(), bytes(parameters.flat())?)];
    for (name, state) in optimizer.states() {
        vectors.push((format!("{name}."), bytes(state)?));
    }
    stored::serialise(parameters.declared(), &vectors, None)
}
