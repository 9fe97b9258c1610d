//! Wishes of people: told to the scheduler that works, or granted here where none does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spec::state::Transition;
use store::{OpenAttempt, Store, StoreError, Wish};

use crate::args::Chosen;
use crate::exit::{Failure, print};
use crate::growth::now_ms;
use crate::place::Place;

/// How long an answer of the scheduler is waited for; it looks several times a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that a worker without a scheduler has to save its state.
const GRACE: Duration = Duration::from_secs(20);

/// What is said of a wish that the scheduler has not answered.
const UNANSWERED: &str = "asked, but not answered yet: the scheduler at work is busy, or works on another sweep; it is granted once that sweep is run";

/// `scalelaw pause`.
pub(crate) async fn pause(place: &Place, options: &Chosen) -> Result<u8, Failure> {
    of_sweep(place, options, Wish::Pause).await
}

/// `scalelaw resume`.
pub(crate) async fn resume(place: &Place, options: &Chosen) -> Result<u8, Failure> {
    of_sweep(place, options, Wish::Resume).await
}

async fn of_sweep(place: &Place, options: &Chosen, wish: Wish) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.sweep.as_deref()).await?;
    store.close().await;
    let answers = make(place, sweep.sweep_id, &[wish]).await?;
    let named = |answer: String| format!("{}: {answer}", sweep.name);
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.map(named)).collect();
    show(place, &sweep.name, &answers);
    Ok(0)
}

/// Prints what came of wishes.
pub(crate) fn show(place: &Place, sweep: &str, answers: &[Option<String>]) {
    if place.json {
        let answers: Vec<Value> =
            answers.iter().map(|answer| json!({"answered": answer.is_some(), "answer": answer})).collect();
        print(&json!({"schema_version": 1, "sweep": sweep, "answers": answers}).to_string());
        return;
    }
    let mut lines: Vec<&str> = answers.iter().flatten().map(String::as_str).collect();
    if answers.iter().any(Option::is_none) {
        lines.push(UNANSWERED);
    }
    print(&lines.join("\n"));
}

/// Makes wishes about a sweep and says what came of each, in the same order; `None`: not answered in time.
pub(crate) async fn make(place: &Place, sweep_id: i64, wishes: &[Wish]) -> Result<Vec<Option<String>>, Failure> {
    let database = place.state.database();
    // A scheduler that ends just now gives its lock back, one that begins takes it: then the wishes are written down for it.
    let lock = if place.state.is_scheduled() { None } else { place.state.lock().ok() };
    if lock.is_none() {
        let store = Store::open_beside(&database).await?;
        let answers = ask(&store, sweep_id, wishes).await?;
        store.close().await;
        return Ok(answers);
    }
    let store = Store::open(&database).await?;
    let (_, jobs) = sched::settle(&store, &place.state, GRACE).await?;
    // Jobs of a cluster go on without a scheduler; those of runs that are taken back are stopped first.
    let is_cancelled = |job: &OpenAttempt| wishes.contains(&Wish::Cancel(job.run));
    let jobs: Vec<OpenAttempt> = jobs.into_iter().filter(is_cancelled).collect();
    sched::settle_jobs(&store, &place.state, &jobs, GRACE).await?;
    let mut answers = Vec::with_capacity(wishes.len());
    for wish in wishes {
        answers.push(Some(grant(&store, sweep_id, *wish).await?));
    }
    store.close().await;
    Ok(answers)
}

async fn ask(store: &Store, sweep_id: i64, wishes: &[Wish]) -> Result<Vec<Option<String>>, StoreError> {
    let keys = store.request(sweep_id, wishes, now_ms()).await?;
    let began = Instant::now();
    let mut answers: BTreeMap<i64, String> = store.answers(&keys).await?;
    while answers.len() < keys.len() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        answers = store.answers(&keys).await?;
    }
    Ok(keys.iter().map(|key| answers.remove(key)).collect())
}

/// Does what a scheduler would do.
async fn grant(store: &Store, sweep_id: i64, wish: Wish) -> Result<String, StoreError> {
    let moved = |run, transition, done: &'static str| async move {
        match store.change(run, transition, now_ms()).await {
            Ok(_) => Ok(format!("{run}: {done}")),
            Err(conflict @ StoreError::Conflict { .. }) => Ok(conflict.to_string()),
            Err(error) => Err(error),
        }
    };
    match wish {
        Wish::Cancel(run) => moved(run, Transition::Cancel, "cancelled").await,
        Wish::Retry(run) => {
            moved(run, Transition::Retry, "queued again; `scalelaw run` with the sweep file starts it").await
        }
        Wish::Prioritise(run, priority) => {
            store.prioritise(run, priority).await?;
            Ok(format!("{run}: has priority {priority}"))
        }
        Wish::Pause => {
            store.pause(sweep_id, Some("paused by a person")).await?;
            Ok("paused; no scheduler is at work, and `scalelaw run` with the sweep file goes on".to_owned())
        }
        Wish::Resume => {
            store.pause(sweep_id, None).await?;
            Ok("no scheduler is at work; `scalelaw run` with the sweep file goes on".to_owned())
        }
    }
}
