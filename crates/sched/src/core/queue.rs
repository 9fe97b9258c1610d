//! Runs that wait, in the order in which they go: by priority, then as they were queued.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spec::run::RunId;

use super::Waiting;

type Key = (Reverse<i64>, u64);

/// Everything that waits. A run stands in one of three places: ready, delayed, or behind another run.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    ready: BTreeMap<Key, Waiting>,
    delayed: BTreeSet<(Duration, RunId)>,
    blocked: BTreeMap<RunId, BTreeSet<RunId>>,
    /// Where each run stands in the order, and the run itself where it is not ready.
    pub(super) keys: BTreeMap<RunId, Key>,
    aside: BTreeMap<RunId, Waiting>,
    next: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn contains(&self, run: RunId) -> bool {
        self.keys.contains_key(&run)
    }

    /// Queues a run behind those of its priority. `is_pending`: whether a run has not ended yet.
    pub(super) fn push(&mut self, waiting: Waiting, now: Duration, is_pending: impl Fn(RunId) -> bool) {
        let order = self.next;
        self.next += 1;
        self.put(waiting, order, now, is_pending);
    }

    /// Queues a run where it stood before, which `order` says.
    pub(super) fn put(&mut self, waiting: Waiting, order: u64, now: Duration, is_pending: impl Fn(RunId) -> bool) {
        let (run, key) = (waiting.run, (Reverse(waiting.priority), order));
        self.keys.insert(run, key);
        match waiting.after.filter(|after| is_pending(*after)) {
            Some(after) => {
                self.blocked.entry(after).or_default().insert(run);
                self.aside.insert(run, waiting);
            }
            None if waiting.not_before > now => {
                self.delayed.insert((waiting.not_before, run));
                self.aside.insert(run, waiting);
            }
            None => {
                self.ready.insert(key, waiting);
            }
        }
    }

    /// Those whose time has come are ready now.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some((at, run)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, run));
            self.make_ready(run);
        }
    }

    /// `run` has ended for good: those behind it are ready, or wait for their time.
    pub(super) fn ended(&mut self, run: RunId, now: Duration) {
        for next in self.blocked.remove(&run).unwrap_or_default() {
            let at = self.aside.get(&next).map_or(Duration::ZERO, |waiting| waiting.not_before);
            if at > now {
                self.delayed.insert((at, next));
            } else {
                self.make_ready(next);
            }
        }
    }

    fn make_ready(&mut self, run: RunId) {
        if let (Some(key), Some(waiting)) = (self.keys.get(&run), self.aside.remove(&run)) {
            self.ready.insert(*key, waiting);
        }
    }

    /// The ready ones, in order.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Waiting> {
        self.ready.values()
    }

    pub(super) fn ready_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.ready.values_mut()
    }

    /// Whether some wait for their time.
    pub(super) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    /// Takes a run out, with its place in the order.
    pub(super) fn take(&mut self, run: RunId) -> Option<(Waiting, u64)> {
        let key = self.keys.remove(&run)?;
        let waiting = self.ready.remove(&key).or_else(|| self.aside.remove(&run))?;
        self.delayed.remove(&(waiting.not_before, run));
        if let Some(after) = waiting.after
            && let Some(behind) = self.blocked.get_mut(&after)
        {
            behind.remove(&run);
        }
        Some((waiting, key.1))
    }
}
