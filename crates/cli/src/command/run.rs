//! `scalelaw run`: apply the file, then work off what is left.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sched::core::Rules;
use sched::shell::{self, End, Setup};
use spec::plan::Outcomes;
use spec::run::{DeviceKind, short};
use spec::state::{RunState, Transition};
use spec::sweep::Sweep;
use store::{RunRow, Store};

use super::status;
use super::table::count;
use crate::args::Run;
use crate::exit::{Failure, SOME_FAILED, say};
use crate::place::{self, Place};
use crate::progress::Progress;
use crate::sweepfile;

pub(crate) async fn run(place: &Place, options: &Run) -> Result<u8, Failure> {
    let loaded = sweepfile::load(&options.sweep)?;
    let (facts, data) = loaded.open()?;
    loaded.plan(&facts, &Outcomes::new())?;
    let worker = place::worker(options.worker.as_deref())?;
    let sweep = &loaded.sweep;
    let gpus = gpus();
    if sweep.resources.device == DeviceKind::Cuda && gpus.is_empty() {
        return Err(Failure::environment(
            "no NVIDIA GPU that may be used, and the sweep asks for device = \"cuda\"; see `scalelaw doctor`",
        ));
    }
    let _lock = place.state.lock()?;
    let store = Store::open(&place.state.database()).await?;
    let grace = Duration::from_secs_f64(sweep.policy.grace_seconds);
    let settled = sched::settle(&store, &place.state, grace).await?;
    let plan = loaded.plan(&facts, &store.outcomes().await?)?;
    let (sweep_id, applied) = store.apply(&sweep.name, &loaded.text, &plan, now_ms()).await?;
    let again = try_again(&store, &store.runs(sweep_id).await?).await?;
    let rows = store.runs(sweep_id).await?;
    let waiting: usize = plan.waiting.iter().map(|waiting| waiting.runs).sum();
    let fitting = match sweep.resources.device {
        DeviceKind::Cpu => cores() / sweep.resources.threads as usize,
        DeviceKind::Cuda => gpus.len(),
    };
    let slots = slots(sweep, options, &rows, waiting, fitting.max(1));
    say(&format!(
        "{}: {}{} ({} new, {} kept, {} dropped), {} at a time",
        sweep.name,
        count(plan.runs.len(), "run"),
        if waiting > 0 { format!(" and {waiting} of fine-tuning to follow") } else { String::new() },
        applied.new,
        applied.kept,
        applied.dropped,
        slots,
    ));
    if settled > 0 {
        say(&format!("settled {} of a scheduler that had ended early", count(settled, "attempt")));
    }
    if again > 0 {
        say(&format!("trying again what failed before: {}", count(again, "run")));
    }
    let setup = Setup {
        folder: place.state.clone(),
        worker,
        data,
        gpus,
        rules: Rules { slots, retries: sweep.policy.retries, grace },
        checkpoint_seconds: sweep.policy.checkpoint_seconds,
        loader_threads: sweep.resources.loader_threads,
    };
    let later = plan.waiting.iter().map(|waiting| waiting.runs as f64 * waiting.price.seconds).sum();
    let mut progress = Progress::new(options.progress, &rows, later, slots);
    // Fine-tuning starts from what pre-training has come to.
    let more = async || {
        let plan = loaded.plan(&facts, &store.outcomes().await?);
        // What can be wrong with it has nothing to do with results, and it was right before.
        let Ok(plan) = plan else { return Ok(Vec::new()) };
        if sweep.finetune.is_none() {
            return Ok(Vec::new());
        }
        store.apply(&sweep.name, &loaded.text, &plan, now_ms()).await?;
        store.runs(sweep_id).await
    };
    let end = shell::run(&store, &setup, rows, &mut |news| progress.take(news), more).await;
    progress.finish();
    let end = end?;
    let rows = store.runs(sweep_id).await?;
    if end == End::Done {
        for waiting in &loaded.plan(&facts, &store.outcomes().await?)?.waiting {
            let cell = format!("{}, {} epochs", waiting.model, short(waiting.pretraining_epochs));
            say(&format!("not fine-tuned: {cell}: a run of its pre-training has no result"));
        }
    }
    let ledger = store.ledger(sweep_id).await?;
    status::show(place, &sweep.name, &rows, &ledger);
    store.close().await;
    Ok(match end {
        End::Stopped { signal } => {
            say("stopped; the same command goes on from here");
            128 + signal as u8
        }
        End::Done if rows.iter().any(|row| row.wanted && matches!(row.state, RunState::Failed(_))) => SOME_FAILED,
        End::Done => 0,
    })
}

/// Whoever runs a sweep again has mended what made runs fail, or wants to know. A divergence is a result and stays.
async fn try_again(store: &Store, rows: &[RunRow]) -> Result<usize, Failure> {
    let failed = rows.iter().filter(|row| row.wanted && matches!(row.state, RunState::Failed(_)));
    let mut again = 0;
    for row in failed {
        store.change(row.run, Transition::Retry).await?;
        again += 1;
    }
    Ok(again)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.
fn gpus() -> Vec<String> {
    if let Ok(visible) = std::env::var("CUDA_VISIBLE_DEVICES") {
        return visible.split(',').map(|gpu| gpu.trim().to_owned()).filter(|gpu| !gpu.is_empty()).collect();
    }
    let known = std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
    (0..known).map(|gpu| gpu.to_string()).collect()
}

/// As asked for, or as many as fit; never more than there are runs.
fn slots(sweep: &Sweep, options: &Run, rows: &[RunRow], later: usize, fitting: usize) -> usize {
    let wanted = options.slots.or(sweep.resources.slots).map_or(fitting, |slots| slots as usize);
    let waiting = rows.iter().filter(|row| row.wanted && !row.state.is_final()).count();
    wanted.clamp(1, (waiting + later).max(1))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
