//! How an attempt is started: which program, with which arguments and environment, and where. Starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spec::files::DataFiles;
use spec::run::{DeviceKind, RunId};
use spec::trainer::{AttemptValues, TemplateError, Trainer, fill};
use store::Task;

/// A program and all that it is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that it has beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Where it is started; where this process is, if it is not given.
    pub working_directory: Option<PathBuf>,
    /// Whether the lock of its run has to be its standard input, because it does not take the lock by itself. The lock is then
    /// held until the last process ends that has inherited it.
    pub holds_lock: bool,
}

/// Trainers beside the built-in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Others {
    /// This program: it ties trainers to the life of the scheduler, and simulates.
    pub scalelaw: PathBuf,
    /// The folder of the sweep file, which commands are started in and looked for.
    pub folder: PathBuf,
    /// How fast simulated trainers are, and what goes wrong with them.
    pub simulated: Simulated,
}

/// What of a simulation is no part of a run, for it does not change what the run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// How many times as fast as estimated.
    pub speed: f64,
    /// Faults, as `scalelaw simulate --faults` has them.
    pub faults: String,
    /// Decides when they strike.
    pub seed: u64,
}

/// What the attempts of a sweep have in common.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The built-in trainer.
    pub worker: &'a Path,
    /// Other trainers.
    pub others: &'a Others,
    /// Where the data sets lie, by their fingerprints.
    pub data: &'a BTreeMap<String, DataFiles>,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Threads of one worker that make batches ahead of time.
    pub loader_threads: u32,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Its run.
    pub task: &'a Task,
    /// Its number.
    pub number: u32,
    /// The folder of the run, absolute.
    pub folder: &'a Path,
    /// Its devices; those of a run on GPUs as CUDA_VISIBLE_DEVICES names them.
    pub devices: &'a [String],
    /// Parts that a batch is computed in, where they are not as many as the run says.
    pub accumulate: Option<u32>,
    /// Whether other runs go on from its state.
    pub keep_trunk: bool,
    /// The process that it must not outlive.
    pub bound_to: Option<u32>,
    /// Where its processes find each other, if it has several devices.
    pub port: u16,
}

/// Why an attempt cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The files to train on are not known.
    #[error("the data set {0} is not at hand")]
    NoData(String),
    /// The command of the sweep file.
    #[error("trainer.command: {0}")]
    Command(#[from] TemplateError),
    /// A command without a program.
    #[error("trainer.command: there is no program")]
    NoProgram,
}

/// What starts `attempt`.
///
/// # Errors
/// If the data of a built-in trainer are not at hand, or the command of another one cannot be filled in.
pub fn launch(settings: &Settings<'_>, attempt: &Attempt<'_>) -> Result<Launch, LaunchError> {
    let launch = match &attempt.task.spec.trainer {
        None => built_in(settings, attempt)?,
        Some(Trainer::Command { command }) => of_command(settings, attempt, command)?,
        Some(Trainer::Simulated { .. }) => simulated(settings, attempt),
    };
    Ok(Launch { environment: environment(attempt), ..launch })
}

/// What every trainer is told, whoever wrote it.
fn environment(attempt: &Attempt<'_>) -> Vec<(String, String)> {
    let spec = &attempt.task.spec;
    let of_attempt = attempt.folder.join("attempts").join(attempt.number.to_string());
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut variables = vec![
        ("SCALELAW_RUN_DIR", text(attempt.folder.to_owned())),
        ("SCALELAW_SPEC", text(attempt.folder.join("spec.json"))),
        ("SCALELAW_JOURNAL", text(of_attempt.join("journal.jsonl"))),
        ("SCALELAW_RUN_ID", attempt.task.run.to_string()),
        ("SCALELAW_ATTEMPT", attempt.number.to_string()),
        ("OMP_NUM_THREADS", spec.train.threads.to_string()),
    ];
    let arithmetic = &spec.train.arithmetic;
    variables.push(("SCALELAW_ACCUMULATE", attempt.accumulate.unwrap_or(arithmetic.accumulate).to_string()));
    // A worker opens a context on every GPU it sees.
    let gpus = if arithmetic.device == DeviceKind::Cuda { attempt.devices.join(",") } else { String::new() };
    variables.push(("CUDA_VISIBLE_DEVICES", gpus));
    if attempt.devices.len() > 1 {
        // What launchers of several ranks ask for.
        variables.push(("WORLD_SIZE", attempt.devices.len().to_string()));
        variables.push(("MASTER_ADDR", "127.0.0.1".to_owned()));
        variables.push(("MASTER_PORT", attempt.port.to_string()));
    }
    if arithmetic.deterministic {
        // cuBLAS reads it when CUDA starts.
        variables.push(("CUBLAS_WORKSPACE_CONFIG", ":4096:8".to_owned()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn built_in(settings: &Settings<'_>, attempt: &Attempt<'_>) -> Result<Launch, LaunchError> {
    let data = &attempt.task.spec.data;
    let files = settings.data.get(&data.fingerprint).ok_or_else(|| LaunchError::NoData(data.dataset.clone()))?;
    let mut arguments = vec![attempt.folder.to_string_lossy().into_owned()];
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("--attempt", attempt.number.to_string());
    add("--data", files.to_argument());
    add("--checkpoint-seconds", settings.checkpoint_seconds.to_string());
    if let Some(parent) = attempt.bound_to {
        add("--bound-to", parent.to_string());
    }
    if settings.loader_threads > 0 {
        add("--loader-threads", settings.loader_threads.to_string());
    }
    if let Some(trunk) = attempt.task.trunk {
        add("--trunk", trunk.run.to_string());
    }
    if let Some(parts) = attempt.accumulate {
        add("--accumulate", parts.to_string());
    }
    if attempt.keep_trunk {
        arguments.push("--keep-trunk".to_owned());
    }
    Ok(Launch {
        program: settings.worker.to_owned(),
        arguments,
        environment: Vec::new(),
        working_directory: None,
        holds_lock: false,
    })
}

fn of_command(settings: &Settings<'_>, attempt: &Attempt<'_>, command: &[String]) -> Result<Launch, LaunchError> {
    let run_dir = attempt.folder.to_string_lossy();
    let devices = attempt.devices.len() as u32;
    let of = AttemptValues { run_dir: &run_dir, attempt: attempt.number, accumulate: attempt.accumulate, devices };
    let filled = command.iter().map(|text| fill(text, &attempt.task.spec, &of));
    let mut filled = filled.collect::<Result<Vec<String>, TemplateError>>()?.into_iter();
    let program = program(&settings.others.folder, &filled.next().ok_or(LaunchError::NoProgram)?);
    let launch = Launch {
        program,
        arguments: filled.collect(),
        environment: Vec::new(),
        working_directory: Some(settings.others.folder.clone()),
        holds_lock: true,
    };
    // It is none of ours, so it cannot be asked to end with the scheduler; the kernel is asked, by the program that becomes it.
    Ok(match attempt.bound_to {
        None => launch,
        Some(parent) => {
            let before = ["bound".to_owned(), parent.to_string(), launch.program.to_string_lossy().into_owned()];
            let arguments = before.into_iter().chain(launch.arguments).collect();
            Launch { program: settings.others.scalelaw.clone(), arguments, ..launch }
        }
    })
}

fn simulated(settings: &Settings<'_>, attempt: &Attempt<'_>) -> Launch {
    let others = settings.others;
    let simulated = &others.simulated;
    let mut arguments = vec![
        "simulated-attempt".to_owned(),
        attempt.bound_to.unwrap_or(0).to_string(),
        simulated.speed.to_string(),
        simulated.seed.to_string(),
        simulated.faults.clone(),
    ];
    if let Some(trunk) = attempt.task.trunk {
        arguments.extend([trunk.run.to_string(), trunk.step.to_string()]);
    }
    Launch {
        program: others.scalelaw.clone(),
        arguments,
        environment: Vec::new(),
        working_directory: None,
        holds_lock: true,
    }
}

/// Ports for the processes of a run, the first to be tried first. They follow from the run, so that two on one machine seldom meet, and
/// lie below those that systems give to whoever asks for any.
pub fn ports(run: RunId) -> impl Iterator<Item = u16> {
    let first = run.to_string().bytes().fold(0_u32, |sum, byte| (31 * sum + u32::from(byte)) % PORTS);
    (0..PORTS).map(move |next| 20_000 + ((first + next) % PORTS) as u16)
}

/// How many there are.
const PORTS: u32 = 10_000;

/// A program with a slash in its name is a file, seen from the folder of the sweep file; any other is looked up in PATH.
pub fn program(folder: &Path, name: &str) -> PathBuf {
    if name.contains('/') { folder.join(name) } else { PathBuf::from(name) }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
