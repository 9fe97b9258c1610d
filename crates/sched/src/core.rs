//! What the scheduler decides. No processes, no files, no clock: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use spec::run::RunId;
use spec::state::{Failure, Transition};
use store::Outcome;

/// The rules of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Runs at the same time.
    pub slots: usize,
    /// Crashes after which a run is tried once more.
    pub retries: u32,
    /// Time between asking an attempt to stop and killing it.
    pub grace: Duration,
}

/// A run that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// The run.
    pub run: RunId,
    /// Number of its newest attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Not before this time.
    pub not_before: Duration,
    /// Not before this run has ended: it goes on from its state.
    pub after: Option<RunId>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// An attempt has ended.
    Ended {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// How.
        ending: Ending,
    },
    /// A person wants to stop: the first time checkpoints, the second time kills.
    Stop,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It has a held-out loss.
    Completed,
    /// It diverged, which is a result.
    Diverged,
    /// It saved its state and stopped.
    Preempted,
    /// It has no result.
    Crashed {
        /// Whose fault it was.
        class: Failure,
        /// What to tell a person.
        message: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an attempt.
    Start {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// The slot it gets.
        slot: usize,
    },
    /// Ask an attempt to save its state and stop.
    Terminate(RunId),
    /// End an attempt at once.
    Kill(RunId),
    /// Write down how an attempt ended.
    Settle {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
        /// What its run does.
        transition: Transition,
        /// What to tell a person.
        message: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Working {
    waiting: Waiting,
    slot: usize,
    /// When it was asked to stop.
    asked: Option<Duration>,
    killed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Going,
    Stopping,
    Killing,
}

/// All that the scheduler knows.
#[derive(Clone, Debug)]
pub struct Core {
    rules: Rules,
    queue: Vec<Waiting>,
    working: BTreeMap<RunId, Working>,
    mode: Mode,
}

/// Longest wait before a crashed run is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

impl Core {
    /// A scheduler for `queue`, which is worked off in this order.
    pub fn new(rules: Rules, queue: Vec<Waiting>) -> Core {
        Core { rules, queue, working: BTreeMap::new(), mode: Mode::Going }
    }

    /// Queues more runs behind the others; they start with the next event.
    pub fn add(&mut self, more: Vec<Waiting>) {
        self.queue.extend(more);
    }

    /// What is to be done after `event`.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Ended { run, attempt, ending } => self.ended(now, run, attempt, ending, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
        }
        self.kill_the_late(now, &mut actions);
        if self.mode == Mode::Going {
            self.start(now, &mut actions);
        }
        actions
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.working.is_empty() && (self.queue.is_empty() || self.mode != Mode::Going)
    }

    /// Whether a person has asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.mode != Mode::Going
    }

    fn ended(&mut self, now: Duration, run: RunId, attempt: u32, ending: Ending, actions: &mut Vec<Action>) {
        // An attempt that is not the one at work has been settled before.
        if self.working.get(&run).is_none_or(|working| working.waiting.attempt != attempt) {
            return;
        }
        let Some(working) = self.working.remove(&run) else { return };
        let mut waiting = working.waiting;
        let (outcome, transition, message) = match ending {
            Ending::Completed => (Outcome::Completed, Transition::Complete, None),
            Ending::Diverged => (Outcome::Diverged, Transition::Diverge, None),
            Ending::Preempted => (Outcome::Preempted, Transition::Requeue, None),
            // It was asked to stop or killed, so it is not to blame: a signal also ends a worker that is not ready for it.
            Ending::Crashed { .. } if working.asked.is_some() || working.killed => {
                let message = "told to stop, and ended before it could save its state".to_owned();
                (Outcome::Preempted, Transition::Requeue, Some(message))
            }
            Ending::Crashed { class, message } => {
                waiting.crashes += 1;
                let again = class.may_heal() && waiting.crashes <= self.rules.retries;
                let transition = if again { Transition::Requeue } else { Transition::Fail(class) };
                waiting.not_before = now + LONGEST_WAIT.min(Duration::from_secs(1 << waiting.crashes.min(9)) / 2);
                (Outcome::Crashed, transition, Some(message))
            }
        };
        if transition == Transition::Requeue {
            self.queue.insert(0, waiting);
        }
        actions.push(Action::Settle { run, attempt, outcome, transition, message });
    }

    fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.mode = if self.mode == Mode::Going { Mode::Stopping } else { Mode::Killing };
        for (run, working) in &mut self.working {
            if self.mode == Mode::Killing && !working.killed {
                working.killed = true;
                actions.push(Action::Kill(*run));
            } else if working.asked.is_none() {
                working.asked = Some(now);
                actions.push(Action::Terminate(*run));
            }
        }
    }

    fn kill_the_late(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            let late = working.asked.is_some_and(|asked| now >= asked + self.rules.grace);
            if late && !working.killed {
                working.killed = true;
                actions.push(Action::Kill(*run));
            }
        }
    }

    fn is_pending(&self, run: RunId) -> bool {
        self.working.contains_key(&run) || self.queue.iter().any(|waiting| waiting.run == run)
    }

    fn start(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for slot in 0..self.rules.slots {
            if self.working.values().any(|working| working.slot == slot) {
                continue;
            }
            let ready = |waiting: &Waiting| {
                let blocked = waiting.after.is_some_and(|run| self.is_pending(run));
                waiting.not_before <= now && !blocked
            };
            let Some(next) = self.queue.iter().position(ready) else { return };
            let mut waiting = self.queue.remove(next);
            waiting.attempt += 1;
            actions.push(Action::Start { run: waiting.run, attempt: waiting.attempt, slot });
            self.working.insert(waiting.run, Working { waiting, slot, asked: None, killed: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spec::state::RunState;
    use std::collections::{BTreeMap, BTreeSet};

    fn run(number: u64) -> RunId {
        format!("{number:016x}").parse().expect("16 digits")
    }

    fn queue(runs: u64) -> Vec<Waiting> {
        (0..runs)
            .map(|number| Waiting { run: run(number), attempt: 0, crashes: 0, not_before: Duration::ZERO, after: None })
            .collect()
    }

    const RULES: Rules = Rules { slots: 2, retries: 1, grace: Duration::from_secs(10) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn crashed(class: Failure) -> Ending {
        Ending::Crashed { class, message: "x".to_owned() }
    }

    #[test]
    fn slots_are_filled_in_order() {
        let mut core = Core::new(RULES, queue(3));
        let started = core.handle(at(0), Event::Tick);
        assert_eq!(
            started,
            [Action::Start { run: run(0), attempt: 1, slot: 0 }, Action::Start { run: run(1), attempt: 1, slot: 1 }]
        );
        let actions = core.handle(at(1), Event::Ended { run: run(0), attempt: 1, ending: Ending::Diverged });
        assert_eq!(actions[1], Action::Start { run: run(2), attempt: 1, slot: 0 });
    }

    #[test]
    fn a_crash_is_tried_again_later_and_then_given_up() {
        let mut core = Core::new(Rules { slots: 1, ..RULES }, queue(1));
        core.handle(at(0), Event::Tick);
        let first = core.handle(at(0), Event::Ended { run: run(0), attempt: 1, ending: crashed(Failure::Node) });
        assert!(matches!(first[..], [Action::Settle { transition: Transition::Requeue, .. }]), "{first:?}");
        assert_eq!(core.handle(at(5), Event::Tick), [Action::Start { run: run(0), attempt: 2, slot: 0 }]);
        let second = core.handle(at(6), Event::Ended { run: run(0), attempt: 2, ending: crashed(Failure::Node) });
        assert!(
            matches!(second[..], [Action::Settle { transition: Transition::Fail(Failure::Node), .. }]),
            "{second:?}"
        );
        assert!(core.is_done());
    }

    #[test]
    fn what_cannot_heal_is_not_tried_again() {
        let mut core = Core::new(RULES, queue(1));
        core.handle(at(0), Event::Tick);
        let actions = core.handle(at(0), Event::Ended { run: run(0), attempt: 1, ending: crashed(Failure::Data) });
        assert!(matches!(actions[..], [Action::Settle { transition: Transition::Fail(Failure::Data), .. }]));
    }

    #[test]
    fn stopping_asks_then_kills_and_starts_nothing() {
        let mut core = Core::new(RULES, queue(3));
        core.handle(at(0), Event::Tick);
        assert_eq!(core.handle(at(1), Event::Stop), [Action::Terminate(run(0)), Action::Terminate(run(1))]);
        assert_eq!(core.handle(at(2), Event::Ended { run: run(0), attempt: 1, ending: Ending::Preempted }).len(), 1);
        assert_eq!(core.handle(at(11), Event::Tick), [Action::Kill(run(1))]);
        let killed = core.handle(at(12), Event::Ended { run: run(1), attempt: 1, ending: crashed(Failure::Node) });
        assert!(matches!(
            killed[..],
            [Action::Settle { outcome: Outcome::Preempted, transition: Transition::Requeue, .. }]
        ));
        assert!(core.is_done());
    }

    #[test]
    fn a_stop_before_the_worker_is_ready_is_no_crash() {
        let mut core = Core::new(Rules { retries: 0, ..RULES }, queue(1));
        core.handle(at(0), Event::Tick);
        core.handle(at(0), Event::Stop);
        let actions = core.handle(at(0), Event::Ended { run: run(0), attempt: 1, ending: crashed(Failure::Node) });
        let preempted = Outcome::Preempted;
        assert!(
            matches!(actions[..], [Action::Settle { outcome, transition: Transition::Requeue, .. }] if outcome == preempted),
            "{actions:?}"
        );
    }

    #[test]
    fn a_late_word_of_a_settled_attempt_changes_nothing() {
        let mut core = Core::new(Rules { slots: 1, ..RULES }, queue(2));
        core.handle(at(0), Event::Tick);
        let late = Event::Ended { run: run(0), attempt: 0, ending: Ending::Completed };
        assert_eq!(core.handle(at(1), late), [], "attempt 1 is at work and keeps its slot");
    }

    #[test]
    fn what_goes_on_from_another_run_waits_for_its_end() {
        let mut waiting = queue(3);
        waiting[1].after = Some(run(0));
        let mut core = Core::new(RULES, waiting);
        let started = core.handle(at(0), Event::Tick);
        assert_eq!(
            started,
            [Action::Start { run: run(0), attempt: 1, slot: 0 }, Action::Start { run: run(2), attempt: 1, slot: 1 }]
        );
        // A crash is no end: the run will be tried again.
        let crash = Event::Ended { run: run(0), attempt: 1, ending: crashed(Failure::Node) };
        assert!(matches!(core.handle(at(0), crash)[..], [Action::Settle { transition: Transition::Requeue, .. }]));
        assert_eq!(core.handle(at(5), Event::Tick), [Action::Start { run: run(0), attempt: 2, slot: 0 }]);
        let actions = core.handle(at(6), Event::Ended { run: run(0), attempt: 2, ending: Ending::Completed });
        assert_eq!(actions[1], Action::Start { run: run(1), attempt: 1, slot: 0 });
    }

    #[test]
    fn a_second_stop_kills_at_once() {
        let mut core = Core::new(RULES, queue(1));
        core.handle(at(0), Event::Tick);
        core.handle(at(1), Event::Stop);
        assert_eq!(core.handle(at(1), Event::Stop), [Action::Kill(run(0))]);
    }

    /// One thing that may happen in a simulated sweep.
    fn happening() -> impl Strategy<Value = (u8, u64, u64)> {
        (0..9_u8, 0..8_u64, 0..4_u64)
    }

    proptest! {
        /// Whatever happens in whatever order: no slot is used twice, no run is in two places, states move only as they
        /// may, attempts count up by one, and in the end every run has one final state.
        #[test]
        fn the_promises_hold(happenings in proptest::collection::vec(happening(), 0..120), slots in 1_usize..4, retries in 0_u32..3) {
            let runs = 6;
            // Some go on from others: 1 from 0, 3 from 1.
            let mut waiting = queue(runs);
            (waiting[1].after, waiting[3].after) = (Some(run(0)), Some(run(1)));
            let mut core = Core::new(Rules { slots, retries, ..RULES }, waiting);
            let mut world = World::new(runs, slots);
            let mut now = 0;
            for (what, which, seconds) in happenings {
                now += seconds;
                let event = world.event(what, which, true);
                let actions = core.handle(at(now), event);
                world.perform(&actions)?;
            }
            let stopping = core.is_stopping();
            for _ in 0..500 {
                now += 400;
                let event = world.event(0, 0, false);
                let actions = core.handle(at(now), event);
                world.perform(&actions)?;
            }
            prop_assert!(core.is_done());
            prop_assert!(world.working.is_empty());
            if !stopping {
                prop_assert!(world.states.values().all(|state| state.is_final()), "{:?}", world.states);
            }
        }
    }

    struct World {
        states: BTreeMap<RunId, RunState>,
        attempts: BTreeMap<RunId, u32>,
        working: BTreeMap<RunId, (u32, usize)>,
        slots: usize,
    }

    impl World {
        fn new(runs: u64, slots: usize) -> World {
            let states = (0..runs).map(|number| (run(number), RunState::Queued)).collect();
            World { states, attempts: BTreeMap::new(), working: BTreeMap::new(), slots }
        }

        fn event(&self, what: u8, which: u64, may_stop: bool) -> Event {
            let working: Vec<_> = self.working.iter().collect();
            let Some((run, (attempt, _))) = working.get(which as usize % working.len().max(1)) else {
                return Event::Tick;
            };
            let ending = match what {
                0 | 1 => Ending::Completed,
                2 => Ending::Diverged,
                3 => Ending::Preempted,
                4 => crashed(Failure::Node),
                5 => crashed(Failure::Oom),
                // An attempt that is over is reported once more.
                6 => return Event::Ended { run: **run, attempt: attempt - 1, ending: Ending::Completed },
                7 if may_stop && which == 0 => return Event::Stop,
                _ => return Event::Tick,
            };
            Event::Ended { run: **run, attempt: *attempt, ending }
        }

        fn perform(&mut self, actions: &[Action]) -> Result<(), TestCaseError> {
            for action in actions {
                match action {
                    Action::Start { run, attempt, slot } => {
                        prop_assert!(*slot < self.slots);
                        prop_assert!(!self.working.contains_key(run), "{run} twice");
                        for (later, earlier) in [(1, 0), (3, 1)] {
                            let waits = *run == self::run(later);
                            prop_assert!(!waits || self.states[&self::run(earlier)].is_final(), "{run} too early");
                        }
                        let newest = self.attempts.entry(*run).or_default();
                        prop_assert_eq!(*attempt, *newest + 1);
                        *newest = *attempt;
                        self.move_on(*run, Transition::Start)?;
                        self.working.insert(*run, (*attempt, *slot));
                    }
                    Action::Settle { run, attempt, transition, .. } => {
                        prop_assert_eq!(self.working.remove(run).map(|(attempt, _)| attempt), Some(*attempt));
                        self.move_on(*run, *transition)?;
                    }
                    Action::Terminate(run) | Action::Kill(run) => prop_assert!(self.working.contains_key(run)),
                }
                let slots: BTreeSet<usize> = self.working.values().map(|(_, slot)| *slot).collect();
                prop_assert_eq!(slots.len(), self.working.len(), "a slot twice");
            }
            Ok(())
        }

        fn move_on(&mut self, run: RunId, transition: Transition) -> Result<(), TestCaseError> {
            let next =
                self.states[&run].next(transition).map_err(|illegal| TestCaseError::fail(illegal.to_string()))?;
            self.states.insert(run, next);
            Ok(())
        }
    }
}
