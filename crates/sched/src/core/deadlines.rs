//! Time and money that run out: attempts that hang, that do not end when they are asked to, and the budget.

use std::time::Duration;

use spec::estimate::LATENESS;

use super::words::{Action, Waiting};
use super::{Asked, Core};

impl Core {
    /// An attempt that gives no sign of life, or whose steps do not go on, is ended.
    pub(super) fn end_what_hangs(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            // What waits in a cluster's queue has not begun.
            let begun = working.node.is_some() || working.devices.iter().all(|index| self.pool.devices()[*index].held);
            if working.asked.is_some() || !begun {
                continue;
            }
            let (quiet, stuck) = (now.saturating_sub(working.sign), now.saturating_sub(working.step.1));
            let tells = self.rules.tells_steps || working.beats || working.has_stepped;
            let why = if working.beats && quiet > self.rules.silence {
                format!("no heartbeat for {} s", quiet.as_secs())
            } else if tells && stuck > self.rules.stall {
                format!("no step was finished in {} s (policy.stall_seconds)", stuck.as_secs())
            } else {
                continue;
            };
            working.asked = Some((now, Asked::Hangs(why)));
            actions.push(Action::Terminate(*run));
        }
    }

    /// The most that attempts may cost from being asked to their end.
    pub(super) fn ending_cost(&self, devices: u32) -> f64 {
        (self.rules.grace.as_secs_f64() + LATENESS) * f64::from(devices)
    }

    /// Device seconds to set aside for a run that has not started.
    pub(super) fn need(&self, waiting: &Waiting) -> f64 {
        self.budget.reservation(waiting.seconds_left(), waiting.devices, self.rules.grace)
    }

    pub(super) fn keep_budget(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let billed: f64 = self.working.keys().map(|run| self.pool.billed(*run)).sum();
        let ending: f64 = self.working.values().map(|working| self.ending_cost(working.waiting.devices)).sum();
        if self.budget.is_over(billed, ending) {
            self.ask_all(now, Asked::ForBudget, actions);
        }
    }

    pub(super) fn kill_the_late(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            let late = working.asked.as_ref().is_some_and(|(asked, _)| now >= *asked + self.rules.grace);
            if late && !working.killed {
                working.killed = true;
                actions.push(Action::Kill(*run));
            }
        }
    }
}
