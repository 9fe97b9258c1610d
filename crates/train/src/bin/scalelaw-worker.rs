//! `scalelaw-worker`: one process, one attempt of one run.
//!
//! Ends with 0 and a result, 75 and a checkpoint (told to stop), or 1 and a reason, all of them in the journal. `export` and
//! `import` exchange weights with timm and end with 0, or 1 and a reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use spec::files::DataFiles;
use spec::journal::{Event, JOURNAL_SCHEMA};
use spec::run::{RunId, SPEC_SCHEMA, SpecFile};
use train::attempt::{Ending, Setting};
use train::journal::Journal;
use train::{TrainError, attempt, exchange, first_line};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long an attempt waits for an earlier one to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Exit code of an attempt that saved its state and stopped: try again.
const PREEMPTED: u8 = 75;

/// Trains one attempt of one run; started by `scalelaw run`.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    exchange: Option<Exchange>,
    /// The run directory, with spec.json.
    #[arg(required_unless_present = "check")]
    run: Option<PathBuf>,
    /// Number of the attempt.
    #[arg(long, default_value_t = 1)]
    attempt: u32,
    /// Folder of the data set, or as JSON where its files lie and how they are read.
    #[arg(long, default_value = ".", value_parser = DataFiles::from_argument)]
    data: DataFiles,
    /// Seconds between checkpoints.
    #[arg(long, default_value_t = 60.0)]
    checkpoint_seconds: f64,
    /// Threads that make batches ahead of time; 0: they are made where they are trained on.
    #[arg(long, default_value_t = 0)]
    loader_threads: usize,
    /// A run with the same first steps, whose directory lies beside this one: go on from the state it keeps.
    #[arg(long, value_name = "RUN_ID")]
    trunk: Option<RunId>,
    /// Keep the state before the cooldown, for runs of longer budgets to go on from.
    #[arg(long)]
    keep_trunk: bool,
    /// Compute a batch in so many parts, instead of what the specification says: memory ran out before.
    #[arg(long, value_name = "PARTS")]
    accumulate: Option<u32>,
    /// Save and stop when the process that started this one ends.
    #[arg(long)]
    bound_to: Option<i32>,
    /// Print what libtorch can do here, as JSON, and end.
    #[arg(long)]
    check: bool,
}

/// Weights to and from timm.
#[derive(Subcommand)]
enum Exchange {
    /// Writes the weights of a finished run as model.safetensors and config.json, which timm loads.
    Export {
        /// The run directory, with spec.json and weights.safetensors.
        run: PathBuf,
        /// The folder to write into.
        out: PathBuf,
        /// Overwrite what is there.
        #[arg(long)]
        force: bool,
    },
    /// Writes weights by timm's names into a run directory, for runs that start from them.
    Import {
        /// A folder with model.safetensors, or such a file.
        from: PathBuf,
        /// The run directory, with a spec.json of the same network.
        run: PathBuf,
        /// Overwrite weights that are there.
        #[arg(long)]
        force: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(exchange) = &arguments.exchange {
        return match exchange_weights(exchange) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&first_line(&error));
                ExitCode::FAILURE
            }
        };
    }
    let Some(run) = arguments.run.clone().filter(|_| !arguments.check) else {
        return check();
    };
    match work(&run, &arguments) {
        Ok(Ending::Result) => ExitCode::SUCCESS,
        Ok(Ending::Preempted) => ExitCode::from(PREEMPTED),
        Err(error) => {
            complain(&format!("{error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the worker's messages to its log")]
fn complain(message: &str) {
    eprintln!("scalelaw-worker: {message}");
}

#[expect(clippy::print_stdout, reason = "the answer to --check")]
fn check() -> ExitCode {
    let found = serde_json::json!({
        "libtorch": train::device::LIBTORCH,
        "gpus": train::device::gpus(),
        "threads": tch::get_num_threads(),
    });
    println!("{found}");
    ExitCode::SUCCESS
}

fn exchange_weights(exchange: &Exchange) -> Result<(), TrainError> {
    match exchange {
        Exchange::Export { run, out, force } => {
            let exported = exchange::export(&spec_of(run)?, run, out, *force)?;
            if let Some(why) = exported.obstacle {
                complain(&format!("{}: written, but timm cannot load it: {why}", out.display()));
            }
            for difference in exported.differences {
                complain(&format!("timm computes differently: {difference}"));
            }
        }
        Exchange::Import { from, run, force } => {
            let file = spec_of(run)?;
            let _lock = lock(run, Duration::ZERO)?;
            for note in exchange::import(&file, from, run, *force)? {
                complain(&note);
            }
        }
    }
    Ok(())
}

/// Of the run directory that a person named, who may have named another folder.
fn spec_of(run: &Path) -> Result<SpecFile, TrainError> {
    if run.join("spec.json").exists() {
        return read_spec(run);
    }
    let remedy = "name the directory of a run, as in .scalelaw/runs/RUN";
    Err(TrainError::Spec(format!("{}: has no spec.json; {remedy}", run.display())))
}

fn work(run: &Path, arguments: &Arguments) -> Result<Ending, TrainError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|source| TrainError::Io { what: "listening for signals".to_owned(), source })?;
    }
    if let Some(parent) = arguments.bound_to {
        bind_to(parent, &stop);
    }
    let file = read_spec(run)?;
    if file.run.trainer.is_some() {
        let why = "its sweep file names another trainer, and this one would come to something else";
        return Err(TrainError::Spec(format!("{}: {why}", run.display())));
    }
    let _lock = lock(run, LOCK_PATIENCE)?;
    let folder = run.join("attempts").join(arguments.attempt.to_string());
    fs::create_dir_all(&folder)
        .map_err(|source| TrainError::Io { what: format!("creating {}", folder.display()), source })?;
    let journal = Arc::new(Journal::create(&folder.join("journal.jsonl"))?);
    journal.write(Event::Header {
        schema: JOURNAL_SCHEMA,
        run_id: file.run_id,
        attempt: arguments.attempt,
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    })?;
    let step = Arc::new(AtomicU64::new(0));
    beat(Arc::clone(&journal), Arc::clone(&step));
    let setting = Setting {
        run: run.to_owned(),
        data: arguments.data.clone(),
        cache: data::fetch::user_cache(),
        checkpoint_every: Duration::try_from_secs_f64(arguments.checkpoint_seconds).unwrap_or(Duration::MAX),
        loader_threads: arguments.loader_threads,
        trunk: arguments.trunk,
        keep_trunk: arguments.keep_trunk,
        accumulate: arguments.accumulate,
        stop,
        step,
    };
    attempt::run(&file, &setting, &journal).inspect_err(|error| {
        // Where even this cannot be written, the exit code and the log remain.
        let _ = journal.write(Event::Failed { class: error.class(), message: first_line(error) });
    })
}

/// The kernel sends SIGTERM when the parent's thread ends; a parent that was faster than this line is noticed by its id.
fn bind_to(parent: i32, stop: &AtomicBool) {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    if getppid() != Pid::from_raw(parent) {
        stop.store(true, Ordering::Relaxed);
    }
}

/// Holds the lock of the run as long as this process lives, so that two attempts never work on one run: an earlier one
/// may still be saving its state, which is waited for.
fn lock(run: &Path, patience: Duration) -> Result<fs::File, TrainError> {
    use rustix::fs::{FlockOperation, flock};
    let path = run.join("lock");
    let io = |source: std::io::Error| TrainError::Io { what: format!("locking {}", path.display()), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    let since = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => break,
            Err(error) => return Err(io(error.into())),
        }
    }
    Err(io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "another attempt still works on this run; try again when it has ended",
    )))
}

fn read_spec(run: &Path) -> Result<SpecFile, TrainError> {
    let path = run.join("spec.json");
    let text = fs::read_to_string(&path)
        .map_err(|source| TrainError::Io { what: format!("reading {}", path.display()), source })?;
    let file: SpecFile =
        serde_json::from_str(&text).map_err(|error| TrainError::Spec(format!("{}: {error}", path.display())))?;
    if file.schema != SPEC_SCHEMA {
        return Err(TrainError::Spec(format!(
            "{}: form {}, this worker reads {SPEC_SCHEMA}",
            path.display(),
            file.schema
        )));
    }
    if file.run.id() != file.run_id {
        return Err(TrainError::Spec(format!(
            "{}: is named {}, but describes {}",
            path.display(),
            file.run_id,
            file.run.id()
        )));
    }
    Ok(file)
}

/// Heartbeats from a thread of their own, so that a slow step is told from a hang.
fn beat(journal: Arc<Journal>, step: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let _ = journal.write(Event::Heartbeat { step: step.load(Ordering::Relaxed) });
        }
    });
}
