//! After a scheduler that did not live to see its workers end: settle what they came to before anything new starts.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use spec::journal::Event;
use spec::state::Transition;
use store::{Ended, OpenAttempt, Outcome, Store};

use crate::files::{StateFolder, io};
use crate::shell::now_ms;
use crate::{SchedError, follow, process};

/// Settles all attempts that are still open. A worker that is still alive is asked to save its state, and killed if it
/// takes longer than `grace`. Returns how many there were.
pub async fn settle(store: &Store, folder: &StateFolder, grace: Duration) -> Result<usize, SchedError> {
    let open = store.open_attempts().await?;
    for attempt in &open {
        end(folder, attempt, grace).await?;
        let journal = folder.journal(attempt.run, attempt.attempt);
        let added = follow::read(&journal, attempt.journal_bytes).map_err(io("reading", &journal))?;
        store.ingest(attempt.run, attempt.attempt, &added.lines, attempt.journal_bytes, added.end).await?;
        // The last line may have been read before: then the whole journal is looked at once more.
        let whole = follow::read(&journal, 0).map_err(io("reading", &journal))?;
        let (outcome, transition) = match whole.last() {
            Some(Event::Finished(_)) => (Outcome::Completed, Transition::Complete),
            Some(Event::Diverged { .. }) => (Outcome::Diverged, Transition::Diverge),
            // Whatever it was: its scheduler died, so the run is not to blame.
            _ => (Outcome::Preempted, Transition::Requeue),
        };
        let message = Some("the scheduler ended before this attempt did".to_owned());
        let ended = Ended { outcome, transition, failure: None, message, device_seconds: None };
        let mut write = store.write().await?;
        write.end_attempt(attempt.run, attempt.attempt, &ended, now_ms()).await?;
        write.commit().await?;
    }
    Ok(open.len())
}

/// Waits until nobody works on the run: a worker holds the lock of its run as long as it lives.
async fn end(folder: &StateFolder, attempt: &OpenAttempt, grace: Duration) -> Result<(), SchedError> {
    let path = folder.run(attempt.run).join("lock");
    if !path.exists() {
        return Ok(());
    }
    let began = Instant::now();
    let alive = || attempt.process.as_ref().filter(|known| process::identify(known.pid).as_ref() == Some(*known));
    if let Some(known) = alive() {
        process::signal(known.pid, Signal::TERM);
    }
    loop {
        if is_free(&path)? {
            return Ok(());
        }
        if began.elapsed() > grace
            && let Some(known) = alive()
        {
            process::signal(known.pid, Signal::KILL);
        }
        if began.elapsed() > 2 * grace {
            let source =
                std::io::Error::new(std::io::ErrorKind::TimedOut, "a worker of an earlier scheduler does not end");
            return Err(SchedError::Io { what: format!("waiting for {}", path.display()), source });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_free(path: &Path) -> Result<bool, SchedError> {
    let file = OpenOptions::new().write(true).open(path).map_err(io("opening", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(io("locking", path)(error.into())),
    }
}
