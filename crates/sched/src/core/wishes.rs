//! What people ask for.

use std::time::Duration;

use spec::run::RunId;

use super::words::Action;
use super::{Asked, Core, Mode};

impl Core {
    pub(super) fn cancel(&mut self, now: Duration, run: RunId, actions: &mut Vec<Action>) {
        if let Some(working) = self.working.get_mut(&run) {
            if working.asked.is_none() {
                actions.push(Action::Terminate(run));
                working.asked = Some((now, Asked::ToCancel));
            } else if let Some((_, why)) = &mut working.asked {
                *why = Asked::ToCancel;
            }
        } else if self.queue.take(run).is_some() {
            actions.push(Action::Cancel(run));
            self.queue.ended(run, now);
            self.gate.remove(&run);
        }
    }

    pub(super) fn prioritise(&mut self, now: Duration, run: RunId, priority: i64) {
        if let Some(working) = self.working.get_mut(&run) {
            working.waiting.priority = priority;
        } else if let Some((mut waiting, order)) = self.queue.take(run) {
            waiting.priority = priority;
            self.requeue(now, waiting, order);
        }
    }

    pub(super) fn pause(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.is_stopping() {
            return;
        }
        let why = "paused by a person".to_owned();
        actions.push(Action::Pause(Some(why.clone())));
        self.mode = Mode::Paused { why, by_person: true };
        self.ask_all(now, Asked::ToStop, actions);
    }

    pub(super) fn resume(&mut self, actions: &mut Vec<Action>) {
        if self.is_stopping() {
            return;
        }
        self.mode = Mode::Going;
        self.health.forget();
        actions.push(Action::Pause(None));
    }

    pub(super) fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.mode = if self.is_stopping() { Mode::Killing } else { Mode::Stopping };
        if self.mode == Mode::Stopping {
            return self.ask_all(now, Asked::ToStop, actions);
        }
        for (run, working) in &mut self.working {
            if !working.killed {
                working.killed = true;
                working.asked.get_or_insert((now, Asked::ToStop));
                actions.push(Action::Kill(*run));
            }
        }
    }

    pub(super) fn ask_all(&mut self, now: Duration, why: Asked, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            if working.asked.is_none() {
                working.asked = Some((now, why.clone()));
                actions.push(Action::Terminate(*run));
            }
        }
    }
}
