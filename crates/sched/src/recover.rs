//! After a scheduler that did not live to see its workers end: settle what they came to before anything new starts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spec::journal::Event;
use spec::state::Transition;
use spec::sweep::Slurm as Settings;
use store::{Ended, OpenAttempt, Outcome, Store};

use crate::executor::batches;
use crate::files::{StateFolder, io};
use crate::shell::now_ms;
use crate::slurm::{JobId, Slurm, SlurmError, Verdict};
use crate::{SchedError, follow, process};

/// Settles all attempts that are still open, but for those that are jobs of a cluster: these are returned, and go on. A worker that is
/// still alive is asked to save its state, and killed if it takes longer than `grace`. Also returns how many were settled.
pub async fn settle(
    store: &Store,
    folder: &StateFolder,
    grace: Duration,
) -> Result<(usize, Vec<OpenAttempt>), SchedError> {
    let (jobs, processes): (Vec<_>, Vec<_>) =
        store.open_attempts().await?.into_iter().partition(|open| open.job.is_some());
    for attempt in &processes {
        end(folder, attempt, grace).await?;
        close(store, folder, attempt).await?;
    }
    Ok((processes.len(), jobs))
}

/// Stops jobs of a cluster that no scheduler takes over: asks them to save their state, ends those that take longer than `grace`, and
/// settles them.
pub async fn settle_jobs(
    store: &Store,
    folder: &StateFolder,
    jobs: &[OpenAttempt],
    grace: Duration,
) -> Result<(), SchedError> {
    let named: Vec<(JobId, &OpenAttempt)> =
        jobs.iter().filter_map(|open| Some((open.job.as_deref()?.parse().ok()?, open))).collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut slurm = Slurm::connect(&Settings::default(), &batches(folder.runs())?).await?;
    let mut ids: Vec<JobId> = named.iter().map(|(job, _)| job.clone()).collect();
    slurm.terminate(&ids).await?;
    let (began, mut is_killed) = (Instant::now(), false);
    loop {
        // A job that Slurm knows nothing of was never submitted, or has ended long ago.
        let found = slurm.poll(&ids).await?;
        let is_over =
            |job: &JobId| found.get(job).is_some_and(|one| matches!(one.verdict, Verdict::Ended(_) | Verdict::Gone));
        ids.retain(|job| !is_over(job));
        if ids.is_empty() {
            break;
        }
        if began.elapsed() > grace && !is_killed {
            slurm.cancel(&ids).await?;
            is_killed = true;
        }
        if began.elapsed() > 2 * grace + Duration::from_secs(60 + u64::from(slurm.limits().kill_wait)) {
            let said = format!("{} of an earlier scheduler does not end", ids[0]);
            return Err(SlurmError::NotNow { command: "scancel".to_owned(), said }.into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (job, open) in named {
        slurm.claim(&job);
        close(store, folder, open).await?;
        slurm.clear(&job.batch);
    }
    Ok(())
}

/// Writes down what an attempt came to that has ended unseen.
async fn close(store: &Store, folder: &StateFolder, attempt: &OpenAttempt) -> Result<(), SchedError> {
    let journal = folder.journal(attempt.run, attempt.attempt);
    // The last line may have been read before: the whole journal is looked at once more.
    let whole = follow::read(&journal, 0).map_err(io("reading", &journal))?;
    let is_foreign = whole.foreign(attempt.run, attempt.attempt).is_some();
    if !is_foreign {
        let added = follow::read(&journal, attempt.journal_bytes).map_err(io("reading", &journal))?;
        store.ingest(attempt.run, attempt.attempt, &added.lines, attempt.journal_bytes, added.end).await?;
    }
    let (outcome, transition) = match whole.last().filter(|_| !is_foreign) {
        Some(Event::Finished(_)) => (Outcome::Completed, Transition::Complete),
        Some(Event::Diverged { .. }) => (Outcome::Diverged, Transition::Diverge),
        // Whatever it was: its scheduler died, so the run is not to blame.
        _ => (Outcome::Preempted, Transition::Requeue),
    };
    let message = Some("the scheduler ended before this attempt did".to_owned());
    let ended = Ended { outcome, transition, failure: None, message, device_seconds: None };
    let mut write = store.write().await?;
    write.end_attempt(attempt.run, attempt.attempt, &ended, now_ms()).await?;
    Ok(write.commit().await?)
}

/// Waits until nobody works on the run: a worker holds the lock of its run as long as it lives, and so does what a trainer has
/// started and not outlived.
async fn end(folder: &StateFolder, attempt: &OpenAttempt, grace: Duration) -> Result<(), SchedError> {
    let run = folder.run(attempt.run);
    let began = Instant::now();
    let known = attempt.process.as_ref();
    let mut asked = BTreeSet::new();
    loop {
        let leader = known.filter(|known| process::identify(known.pid).as_ref() == Some(*known));
        let mut left = process::at_work(&run, known.map(|known| known.pid));
        if left.is_empty() && process::is_free(&run).map_err(io("locking", &run.join("lock")))? {
            return Ok(());
        }
        if began.elapsed() > 2 * grace {
            let message = format!(
                "a worker of an earlier scheduler does not end; `fuser -v {}` tells which",
                run.join("lock").display()
            );
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, message);
            return Err(SchedError::Io { what: format!("waiting for {}", run.display()), source });
        }
        left.extend(leader.and_then(|leader| Pid::from_raw(leader.pid)));
        let late = began.elapsed() > grace;
        for pid in left {
            // Each is asked once: a second signal tells some programs not to save any more.
            if asked.insert(pid.as_raw_nonzero()) || late {
                // It may have ended a moment ago.
                let _ = kill_process(pid, if late { Signal::KILL } else { Signal::TERM });
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
