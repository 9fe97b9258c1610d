//! `scalelaw run`: apply the file, then work off what is left.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sched::core::{Device, Over, Rules};
use sched::gpu::{self, Gpu};
use sched::launch::{self, Others, Simulated};
use sched::shell::{self, End, OnSlurm, Setup};
use serde_json::json;
use spec::plan::Outcomes;
use spec::run::{DeviceKind, short};
use spec::state::RunState;
use spec::sweep::Sweep;
use spec::trainer::Trainer;
use store::{OpenAttempt, QueueRow, StateRow, Store};

use super::status;
use super::table::{count, hours};
use crate::args::Run;
use crate::exit::{BUDGET, Failure, SOME_FAILED, say};
use crate::growth::{Growth, now_ms, try_again};
use crate::place::{self, Place};
use crate::progress::Progress;
use crate::surroundings::Surroundings;
use crate::sweepfile::{self, Loaded};

pub(crate) async fn run(place: &Place, options: &Run) -> Result<u8, Failure> {
    let loaded = sweepfile::load(&options.sweep)?;
    let real = Simulated { speed: 1.0, faults: String::new(), seed: 0 };
    go(place, options, &loaded, real).await
}

/// Works off a sweep that was read.
pub(crate) async fn go(place: &Place, options: &Run, loaded: &Loaded, simulated: Simulated) -> Result<u8, Failure> {
    let (facts, data) = loaded.open()?;
    loaded.plan(&facts, &Outcomes::new())?;
    let sweep = &loaded.sweep;
    let worker = match &sweep.trainer {
        None => place::worker(options.worker.as_deref())?,
        Some(_) => PathBuf::new(),
    };
    // A pretended hang has to be over in seconds.
    let simulated_stall = (!simulated.faults.is_empty()).then_some(SIMULATED_STALL);
    let others = others(loaded, simulated)?;
    if sweep.slurm.is_none() {
        find_program(&others.folder, sweep)?;
    }
    let here = sweep.slurm.is_none() && sweep.resources.device == DeviceKind::Cuda;
    let gpus = if here { gpu::usable() } else { Vec::new() };
    if here && gpus.is_empty() {
        return Err(Failure::environment(
            "no NVIDIA GPU that may be used, and the sweep asks for device = \"cuda\"; `scalelaw doctor` says what is here, and \
             CUDA_VISIBLE_DEVICES which GPUs may be used",
        ));
    }
    let lock = place.state.lock()?;
    let store = Store::open(&place.state.database()).await?;
    let grace = Duration::from_secs_f64(sweep.policy.grace_seconds);
    let (settled, jobs) = sched::settle(&store, &place.state, grace).await?;
    let mut plan = loaded.plan(&facts, &store.outcomes().await?)?;
    let (sweep_id, applied) = store.apply(&sweep.name, &loaded.text, &plan, now_ms()).await?;
    let states = store.states(sweep_id).await?;
    // What of an earlier scheduler still goes on in a cluster's queue goes on under this one, if it would start it too.
    let works = |row: &StateRow| row.wanted && row.state == RunState::Running;
    let is_ours =
        |open: &OpenAttempt| sweep.slurm.is_some() && states.iter().any(|row| row.run == open.run && works(row));
    let (taken_over, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_ours);
    sched::settle_jobs(&store, &place.state, &jobs, grace).await?;
    // Whoever starts it again has mended what was wrong.
    if let Some(why) = store.paused(sweep_id).await? {
        say(&format!("goes on, though it had stopped: {why}"));
        store.pause(sweep_id, None).await?;
    }
    let again = try_again(&store, store.states(sweep_id).await?.iter()).await?;
    if again > 0 && sweep.grows() {
        // A search that had given them up waits for their results now.
        plan = loaded.plan(&facts, &store.outcomes().await?)?;
        store.apply(&sweep.name, &loaded.text, &plan, now_ms()).await?;
    }
    let rows = store.queue(sweep_id).await?;
    let results =
        rows.iter().filter(|row| row.wanted && matches!(row.state, RunState::Completed | RunState::Diverged)).count();
    let waiting: usize = plan.waiting.iter().map(|waiting| waiting.runs).sum();
    let [fewest, most] = plan.following(|_| 1.0).map(|runs| runs as usize);
    let devices = devices(sweep, options, &gpus, &rows, waiting + most);
    let slots =
        devices.iter().map(|device| device.runs as usize).sum::<usize>() / sweep.resources.gpus_per_run as usize;
    let spent = store.ledger(sweep_id).await?.billed();
    say(&format!(
        "{}: {}{}{} ({} new, {} kept, {} dropped{}), {} at a time",
        sweep.name,
        count(plan.runs.len(), "run"),
        if most > 0 { format!(" and {fewest} to {most} of the search to follow") } else { String::new() },
        if waiting > 0 { format!(" and {waiting} of fine-tuning to follow") } else { String::new() },
        applied.new,
        applied.kept,
        applied.dropped,
        // Results belong to runs, and runs to all sweeps that ask for them.
        if results > 0 { format!("; {results} with a result already") } else { String::new() },
        slots,
    ));
    if settled + jobs.len() > 0 {
        say(&format!("settled {} of a scheduler that had ended early", count(settled + jobs.len(), "attempt")));
    }
    if again > 0 {
        say(&format!("trying again what failed before: {}", count(again, "run")));
    }
    let setup = Setup {
        folder: place.state.clone(),
        worker,
        others,
        data,
        devices,
        devices_per_run: sweep.resources.gpus_per_run,
        on_gpus: here,
        skip_busy: sweep.resources.skip_busy_gpus,
        slurm: sweep.slurm.clone().map(|settings| OnSlurm { settings, name: sweep.name.clone() }),
        rules: rules(sweep, grace, spent, simulated_stall),
        canaries: plan.canaries.clone(),
        sweep_id,
        checkpoint_seconds: sweep.policy.checkpoint_seconds,
        loader_threads: sweep.resources.loader_threads,
    };
    let later = plan.waiting.iter().map(|waiting| waiting.runs as f64 * waiting.price.seconds).sum::<f64>()
        + plan.following(|price| price.seconds)[0];
    let mut progress = Progress::new(options.progress, &rows, later, slots, (spent, store.estimator(sweep_id).await?));
    let mut growth = Growth::new(&store, loaded, &facts, sweep_id, &plan);
    // Ten thousand specifications are not kept while the runs go on.
    drop(plan);
    if rows.iter().any(|row| row.wanted && !row.state.is_final()) {
        let surroundings = json!(Surroundings::here(&setup.others.folder, &gpus));
        store.note_session(sweep_id, now_ms(), &surroundings.to_string()).await?;
    }
    let more = async || growth.more().await;
    let end = shell::run(&store, &setup, rows, &taken_over, &mut |news| progress.take(news), more).await;
    progress.finish();
    let end = end?;
    let states = store.states(sweep_id).await?;
    if end == End::Over(Over::Done) && sweep.finetune.is_some() {
        let plan = loaded.plan(&facts, &store.outcomes().await?)?;
        for skipped in plan.skipped.iter().filter(|skipped| skipped.cell.starts_with("fine-tuning")) {
            say(&format!("left out: {} ({})", skipped.cell, skipped.reason));
        }
        for waiting in &plan.waiting {
            let cell = format!("{}, {} epochs", waiting.model, short(waiting.pretraining_epochs));
            say(&format!("not fine-tuned: {cell}: a run of its pre-training has no result"));
        }
    }
    // What stands in the way is said by `scalelaw status` as well, until somebody starts it again.
    let obstacle = match &end {
        End::Over(Over::Budget { needed, left }) => Some(format!(
            "what is left does not fit into budget.device_hours: the run that needs least has {} set aside, its time to stop among it, \
             and {} are left",
            hours(*needed),
            hours(*left),
        )),
        End::Over(Over::TooFewDevices) => {
            Some(format!("what is left needs {} devices a run, and there are fewer", sweep.resources.gpus_per_run))
        }
        _ => None,
    };
    if let Some(obstacle) = &obstacle {
        store.pause(sweep_id, Some(obstacle)).await?;
    }
    drop(lock);
    status::show(place, &store, sweep_id, &sweep.name).await?;
    store.close().await;
    let complete =
        states.iter().all(|row| !row.wanted || matches!(row.state, RunState::Completed | RunState::Diverged));
    Ok(match end {
        End::Stopped { signal } => {
            say("stopped; the same command goes on from here");
            128 + signal as u8
        }
        End::Over(Over::Paused(why)) => {
            say(&format!("stopped starting runs: {why}; mend the cause, then the same command goes on from here"));
            SOME_FAILED
        }
        End::Over(Over::Budget { .. }) => {
            say("with more hours in budget.device_hours the same command goes on from here");
            BUDGET
        }
        End::Over(Over::TooFewDevices) => {
            say("with more devices the same command goes on from here");
            SOME_FAILED
        }
        End::Over(_) if complete => 0,
        End::Over(_) => SOME_FAILED,
    })
}

/// What trainers beside the built-in one are started with.
fn others(loaded: &Loaded, simulated: Simulated) -> Result<Others, Failure> {
    let unknown = |error: std::io::Error| Failure::environment(format!("cannot find myself: {error}"));
    let scalelaw = std::env::current_exe().map_err(unknown)?;
    let beside = loaded.path.parent().unwrap_or(Path::new(""));
    let folder = std::env::current_dir().map_err(unknown)?.join(beside);
    Ok(Others { scalelaw, folder, simulated })
}

/// Whether the program of a trainer of one's own is there. On the nodes of a cluster there may be others.
fn find_program(folder: &Path, sweep: &Sweep) -> Result<(), Failure> {
    let Some(Trainer::Command { command }) = &sweep.trainer else { return Ok(()) };
    let Some(name) = command.first().filter(|name| !name.contains(['{', '}'])) else { return Ok(()) };
    let is_program = |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0);
    let program = launch::program(folder, name);
    let (found, remedy) = if name.contains('/') {
        let remedy = "is no file that may be executed; paths count from the folder of the sweep file";
        (is_program(&program), format!("{} {remedy}", program.display()))
    } else {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&paths).any(|path| is_program(&path.join(name)));
        (found, format!("{name:?} is not in PATH; a program beside the sweep file is written \"./{name}\""))
    };
    if found { Ok(()) } else { Err(Failure::environment(format!("trainer.command: {remedy}"))) }
}

fn rules(sweep: &Sweep, grace: Duration, spent: f64, simulated_stall: Option<Duration>) -> Rules {
    let policy = &sweep.policy;
    Rules {
        retries: policy.retries,
        grace,
        failures_in_a_row: policy.failures_in_a_row,
        silence: SILENCE,
        stall: simulated_stall.unwrap_or(Duration::MAX).min(Duration::from_secs_f64(policy.stall_seconds)),
        tells_steps: !matches!(sweep.trainer, Some(Trainer::Command { .. })),
        halvings: policy.oom_halvings,
        budget: (sweep.budget_hours.map(|hours| 3600.0 * hours), spent),
    }
}

/// How long a simulated trainer may be without a step, where faults are wanted.
const SIMULATED_STALL: Duration = Duration::from_secs(5);

/// The built-in trainer writes a heartbeat every five seconds.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What runs are computed on: GPUs, shares of the cores, or places in a cluster's queue; as many as asked for, or as fit, and never more than there are runs.
fn devices(sweep: &Sweep, options: &Run, gpus: &[Gpu], rows: &[QueueRow], later: usize) -> Vec<Device> {
    let resources = &sweep.resources;
    let open = rows.iter().filter(|row| row.wanted && !row.state.is_final()).count() + later;
    if let Some(slurm) = &sweep.slurm {
        let jobs = options.slots.unwrap_or(slurm.max_jobs).min(slurm.max_jobs) as usize;
        let places = jobs.clamp(1, open.max(1)) * resources.gpus_per_run as usize;
        let place = |index| Device { name: format!("slurm{index}"), memory: None, runs: 1, held: false };
        return (0..places).map(place).collect();
    }
    let wanted = options.slots.or(resources.slots).map(|slots| slots as usize);
    match resources.device {
        DeviceKind::Cpu => {
            let slots = wanted.unwrap_or(cores() / resources.threads as usize).clamp(1, open.max(1));
            (0..slots).map(|slot| Device { name: format!("cpu{slot}"), memory: None, runs: 1, held: true }).collect()
        }
        DeviceKind::Cuda => {
            let gpus = gpus.iter().take(wanted.map_or(gpus.len(), |slots| slots * resources.gpus_per_run as usize));
            let runs = resources.runs_per_gpu;
            gpus.map(|gpu| Device { name: gpu.name.clone(), memory: gpu.memory, runs, held: true }).collect()
        }
    }
}
