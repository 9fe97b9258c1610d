//! What an attempt that has ended means for its run, its device, and the sweep.

use std::time::Duration;

use spec::run::RunId;
use spec::state::{Failure, Transition};
use store::Outcome;

use super::words::{Action, Ending, Settled, Steps, Waiting};
use super::{Asked, Core, Mode};

/// Longest wait before a run is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// An attempt that stops earlier than this, without a step, has stopped at once.
const SOON: Duration = Duration::from_secs(60);

/// Stopping at once so often in a row is worth a word.
const OFTEN: u32 = 3;

/// Attempts with a smaller share of their run to do say little of how long runs take.
const ENOUGH_TO_LEARN: f64 = 0.2;

/// How long a run waits that has come to nothing so many times.
fn back_off(times: u32) -> Duration {
    LONGEST_WAIT.min(Duration::from_secs(1 << times.min(9)) / 2)
}

impl Core {
    pub(super) fn ended(&mut self, now: Duration, run: RunId, attempt: u32, ending: Ending, actions: &mut Vec<Action>) {
        // An attempt that is not the one at work has been settled before.
        if self.working.get(&run).is_none_or(|working| working.waiting.attempt != attempt) {
            return;
        }
        let Some(working) = self.working.remove(&run) else { return };
        let places = self.places(&working);
        let lasted = now.saturating_sub(working.began);
        let device_seconds = self.pool.take_off(run, &working.devices);
        self.budget.spent += device_seconds;
        let mut waiting = working.waiting;
        let settled = |outcome, transition, failure, message| Settled {
            run,
            attempt,
            outcome,
            transition,
            failure,
            message,
            device_seconds,
        };
        let begun = Waiting { steps: Steps { done: working.begun_with, ..waiting.steps }, ..waiting.clone() };
        waiting.steps.done = working.step.0;
        // What ended by itself was not ended by the wait for its end.
        let asked = working.asked.map(|(_, why)| why).filter(|why| *why != Asked::HasEnded);
        let settled = match (ending, asked) {
            (Ending::Completed, _) => {
                // Of an attempt that had little left to do, most of the time goes into its start.
                if begun.steps.left() >= ENOUGH_TO_LEARN {
                    self.budget.learn(begun.seconds_left() * f64::from(waiting.devices), device_seconds);
                }
                settled(Outcome::Completed, Transition::Complete, None, None)
            }
            (Ending::Diverged, _) => settled(Outcome::Diverged, Transition::Diverge, None, None),
            (ending, Some(Asked::ToCancel)) => {
                let outcome = if ending == Ending::Preempted { "stopped when it was asked to" } else { "was ended" };
                let message = format!("cancelled: the attempt {outcome}");
                settled(Outcome::Preempted, Transition::Cancel, None, Some(message))
            }
            (Ending::Withdrawn, _) => {
                let message = Some("cancelled in the cluster's queue".to_owned());
                settled(Outcome::Preempted, Transition::Cancel, None, message)
            }
            (_, Some(Asked::Hangs(message))) => {
                self.crashed(now, &mut waiting, Failure::Timeout, message, &places, device_seconds, attempt, actions)
            }
            (Ending::Preempted, None) => {
                // Somebody who wants its place will want it again; a trainer that always stops at once must not spin.
                let at_once = !working.has_stepped && lasted < SOON;
                waiting.stopped_at_once = if at_once { waiting.stopped_at_once + 1 } else { 0 };
                waiting.not_before = now + if at_once { back_off(waiting.stopped_at_once) } else { Duration::ZERO };
                let message = (waiting.stopped_at_once >= OFTEN).then(|| {
                    format!("stopped at once {} times in a row, without finishing a step", waiting.stopped_at_once)
                });
                settled(Outcome::Preempted, Transition::Requeue, None, message)
            }
            (Ending::Preempted, Some(why)) => {
                let message = (why == Asked::ForBudget).then(|| "the budget of the sweep was spent".to_owned());
                settled(Outcome::Preempted, Transition::Requeue, None, message)
            }
            (Ending::Refused { message }, _) => {
                waiting.not_before = now + Duration::from_secs(10);
                settled(Outcome::Preempted, Transition::Requeue, None, Some(message))
            }
            // It was asked to stop or killed, so it is not to blame: a signal also ends a worker that is not ready for it.
            (Ending::Crashed { .. }, Some(_)) => {
                let message = "told to stop, and ended before it could save its state".to_owned();
                settled(Outcome::Preempted, Transition::Requeue, None, Some(message))
            }
            (Ending::Crashed { class, message }, None) => {
                self.crashed(now, &mut waiting, class, message, &places, device_seconds, attempt, actions)
            }
        };
        if matches!(settled.outcome, Outcome::Completed | Outcome::Diverged) {
            self.health.good(&places);
        }
        let transition = settled.transition;
        actions.push(Action::Settle(settled));
        if transition == Transition::Requeue {
            self.requeue(now, waiting, working.order);
        } else {
            self.queue.ended(run, now);
            self.canary_ended(run, transition, actions);
        }
        if let (Some(failed), Mode::Going) = (self.health.too_many(), &self.mode) {
            let why = format!("{failed} runs failed one after the other");
            self.break_off(why, actions);
        }
    }

    pub(super) fn requeue(&mut self, now: Duration, waiting: Waiting, order: u64) {
        let after = waiting.after.filter(|after| self.is_pending(*after));
        let pending = |run: RunId| Some(run) == after;
        match order {
            u64::MAX => self.queue.push(waiting, now, pending),
            order => self.queue.put(waiting, order, now, pending),
        }
    }

    /// A canary that has ended lets the others go, or stops them.
    fn canary_ended(&mut self, run: RunId, transition: Transition, actions: &mut Vec<Action>) {
        if !self.gate.remove(&run) {
            return;
        }
        if matches!(transition, Transition::Fail(_)) && self.mode == Mode::Going {
            self.break_off("a canary run failed, so the others were not started".to_owned(), actions);
        }
    }

    pub(super) fn break_off(&mut self, why: String, actions: &mut Vec<Action>) {
        actions.push(Action::Pause(Some(why.clone())));
        self.mode = Mode::Paused { why, by_person: false };
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one end, used twice")]
    fn crashed(
        &mut self,
        now: Duration,
        waiting: &mut Waiting,
        class: Failure,
        message: String,
        places: &[String],
        device_seconds: f64,
        attempt: u32,
        actions: &mut Vec<Action>,
    ) -> Settled {
        let mut message = message;
        let halve = class == Failure::Oom && waiting.halvings < self.rules.halvings.min(waiting.most_halvings);
        if halve {
            waiting.halvings += 1;
            message = format!("{message}; the next attempt computes a batch in {} parts", 1_u64 << waiting.halvings);
        } else {
            waiting.crashes += 1;
            // Memory that runs out says something of the run, not of the device.
            if class != Failure::Oom {
                for place in self.health.bad(waiting.run, places) {
                    let why = match self.rules.failures_in_a_row {
                        0 | 1 => format!("a run failed on it: {message}"),
                        row => format!("{row} runs in a row failed on it, the last one: {message}"),
                    };
                    actions.push(Action::Quarantine { place, why });
                }
            }
        }
        let again = halve || class.may_heal() && waiting.crashes <= self.rules.retries;
        let transition = if again { Transition::Requeue } else { Transition::Fail(class) };
        if !halve {
            waiting.not_before = now + back_off(waiting.crashes);
        }
        let outcome = Outcome::Crashed;
        Settled {
            run: waiting.run,
            attempt,
            outcome,
            transition,
            failure: Some(class),
            message: Some(message),
            device_seconds,
        }
    }
}
