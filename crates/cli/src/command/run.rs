//! `scalelaw run`: apply the file, then work off what is left.

use std::time::Duration;

use sched::core::Rules;
use sched::shell::{self, End, Setup};
use spec::plan::Outcomes;
use spec::run::{DeviceKind, short};
use spec::state::RunState;
use spec::sweep::Sweep;
use store::{RunRow, Store};

use super::status;
use super::table::count;
use crate::args::Run;
use crate::exit::{Failure, SOME_FAILED, say};
use crate::growth::{Growth, now_ms, try_again};
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
            "no NVIDIA GPU that may be used, and the sweep asks for device = \"cuda\"; `scalelaw doctor` says what is here, and \
             CUDA_VISIBLE_DEVICES which GPUs may be used",
        ));
    }
    let _lock = place.state.lock()?;
    let store = Store::open(&place.state.database()).await?;
    let grace = Duration::from_secs_f64(sweep.policy.grace_seconds);
    let settled = sched::settle(&store, &place.state, grace).await?;
    let plan = loaded.plan(&facts, &store.outcomes().await?)?;
    let (sweep_id, applied) = store.apply(&sweep.name, &loaded.text, &plan, now_ms()).await?;
    let again = try_again(&store, store.runs(sweep_id).await?.iter()).await?;
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
    let mut growth = Growth::new(&store, &loaded, &facts, sweep_id, &plan);
    let more = async || growth.more().await;
    let end = shell::run(&store, &setup, rows, &mut |news| progress.take(news), more).await;
    progress.finish();
    let end = end?;
    let rows = store.runs(sweep_id).await?;
    if end == End::Done {
        let plan = loaded.plan(&facts, &store.outcomes().await?)?;
        for skipped in plan.skipped.iter().filter(|skipped| skipped.cell.starts_with("fine-tuning")) {
            say(&format!("left out: {} ({})", skipped.cell, skipped.reason));
        }
        for waiting in &plan.waiting {
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
        End::Done
            if rows.iter().any(|row| row.wanted && !matches!(row.state, RunState::Completed | RunState::Diverged)) =>
        {
            SOME_FAILED
        }
        End::Done => 0,
    })
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.
fn gpus() -> Vec<String> {
    if let Ok(visible) = std::env::var("CUDA_VISIBLE_DEVICES") {
        // As CUDA reads it: what follows a number below 0 does not count.
        let listed = visible.split(',').map(|gpu| gpu.trim().to_owned());
        return listed.take_while(|gpu| !gpu.starts_with('-')).filter(|gpu| !gpu.is_empty()).collect();
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
