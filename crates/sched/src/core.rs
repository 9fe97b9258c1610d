//! What the scheduler decides. No processes, no files, no clock: time is an argument.
//!
//! [`Core::handle`] is given what has happened and answers with what is to be done. What it promises is checked after every step
//! of simulated sweeps with all kinds of trouble (`core/simulation.rs`).

mod budget;
mod health;
mod pool;
mod queue;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spec::run::RunId;
use spec::state::{Failure, Transition};
use store::Outcome;

use budget::{Budget, LATENESS};
use health::Health;
use pool::Pool;
pub use pool::{Device, Use};
use queue::Queue;

/// The rules of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Crashes after which a run is tried once more.
    pub retries: u32,
    /// Time between asking an attempt to stop and killing it.
    pub grace: Duration,
    /// Runs that may fail one after the other on a device before it is used no more.
    pub failures_in_a_row: u32,
    /// How long an attempt that writes heartbeats may write none.
    pub silence: Duration,
    /// How long an attempt may be without finishing a step.
    pub stall: Duration,
    /// Whether every trainer tells of its steps. Where one need not, `stall` holds for attempts that have told of one or beaten.
    pub tells_steps: bool,
    /// How often a batch may be halved after memory ran out.
    pub halvings: u32,
    /// Device seconds that the sweep may cost, and what it has cost before.
    pub budget: (Option<f64>, f64),
}

/// What has to happen with a run before the others are let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// It has to have a result.
    Result,
    /// It has to have finished a step.
    Step,
}

/// A run that waits.
#[derive(Clone, Debug, PartialEq)]
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
    /// Higher ones first.
    pub priority: i64,
    /// Devices that it needs.
    pub devices: u32,
    /// Estimated bytes on each of them.
    pub memory: u64,
    /// Estimated seconds that are left.
    pub seconds: f64,
    /// How often its batch is halved.
    pub halvings: u32,
    /// How often it can be.
    pub most_halvings: u32,
    /// Others wait for it.
    pub canary: Option<Canary>,
    /// How often another run has gone past it because its devices were not free.
    pub passed: u32,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// An attempt that waited in a cluster's queue works now, or has until now, on this node.
    Placed {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// The node.
        node: String,
        /// For how long, by the cluster's clock.
        seconds: f64,
    },
    /// A cluster has stopped an attempt for a while, so that it cannot give a sign of life.
    Suspended {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
    },
    /// There is news in the journal of an attempt.
    Sign {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// The last step that is known.
        step: u64,
        /// Whether it writes heartbeats.
        beats: bool,
    },
    /// An attempt has ended.
    Ended {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
        /// How.
        ending: Ending,
    },
    /// A person takes a run back.
    Cancel(RunId),
    /// A person gives a run another priority.
    Prioritise(RunId, i64),
    /// A person wants nothing to run for now; what runs saves its state.
    Pause,
    /// A person wants to go on, and has mended what was wrong.
    Resume,
    /// Devices that others use now.
    Busy(BTreeSet<usize>),
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
    /// A person took it back where it ran, in a cluster's queue.
    Withdrawn,
    /// It could not be started for now, through no fault of its own.
    Refused {
        /// Why.
        message: String,
    },
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
        /// The devices it gets.
        devices: Vec<usize>,
        /// How often its batch is halved.
        halvings: u32,
    },
    /// Ask an attempt to save its state and stop.
    Terminate(RunId),
    /// End an attempt at once.
    Kill(RunId),
    /// Write down how an attempt ended.
    Settle(Settled),
    /// Write down that a run that waited is cancelled.
    Cancel(RunId),
    /// Write down that a device or a node is used no more, and why.
    Quarantine {
        /// Its name.
        place: String,
        /// What happened there.
        why: String,
    },
    /// Write down that nothing starts any more and why, or that it does again.
    Pause(Option<String>),
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What its run does.
    pub transition: Transition,
    /// What kind of failure it was.
    pub failure: Option<Failure>,
    /// What to tell a person.
    pub message: Option<String>,
    /// What it is billed.
    pub device_seconds: f64,
}

/// Why an attempt was asked to stop.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    ToStop,
    ToCancel,
    ForBudget,
    Hangs(String),
}

#[derive(Clone, Debug, PartialEq)]
struct Working {
    waiting: Waiting,
    order: u64,
    devices: Vec<usize>,
    node: Option<String>,
    asked: Option<(Duration, Asked)>,
    killed: bool,
    beats: bool,
    /// The last sign of life, and the last finished step with its time.
    sign: Duration,
    step: (u64, Duration),
    /// Device seconds set aside for it.
    reserved: f64,
}

/// A run that can start, and one that it goes past.
struct Next {
    run: RunId,
    devices: Vec<usize>,
    passed: Option<RunId>,
}

#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Going,
    /// Nothing starts; by a person's wish, or because of failures, which ends the sweep once nothing runs.
    Paused {
        why: String,
        by_person: bool,
    },
    Stopping,
    Killing,
}

/// How a sweep has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// Every run has its final state.
    Done,
    /// A person stopped it.
    Stopped,
    /// Too many failures.
    Paused(String),
    /// What is left does not fit into the budget.
    Budget,
    /// What is left needs more devices than there are.
    TooFewDevices,
}

/// All that the scheduler knows.
#[derive(Clone, Debug)]
pub struct Core {
    rules: Rules,
    pool: Pool,
    health: Health,
    budget: Budget,
    queue: Queue,
    working: BTreeMap<RunId, Working>,
    gate: BTreeSet<RunId>,
    mode: Mode,
    at: Duration,
}

/// Longest wait before a crashed run is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A longer time between two events means that the machine slept or the scheduler was held up: nobody is late then.
const GAP: Duration = Duration::from_secs(10);

/// So many runs may go past one whose devices are not free; then all wait for it.
const PATIENCE: u32 = 16;

impl Core {
    /// A scheduler for `queue`, which is worked off in this order within a priority.
    pub fn new(rules: Rules, devices: Vec<Device>, queue: Vec<Waiting>) -> Core {
        let mut core = Core {
            health: Health::new(rules.failures_in_a_row, devices.len()),
            budget: Budget::new(rules.budget.0, rules.budget.1),
            pool: Pool::new(devices),
            rules,
            queue: Queue::default(),
            working: BTreeMap::new(),
            gate: BTreeSet::new(),
            mode: Mode::Going,
            at: Duration::ZERO,
        };
        core.add(Duration::ZERO, queue);
        core
    }

    /// Queues more runs behind the others; they start with the next event. A run that is known already is left alone.
    pub fn add(&mut self, now: Duration, more: Vec<Waiting>) {
        // A run may stand before the one that it goes on from.
        let new: BTreeSet<RunId> = more.iter().map(|waiting| waiting.run).collect();
        for waiting in more {
            if self.is_pending(waiting.run) {
                continue;
            }
            if waiting.canary.is_some() {
                self.gate.insert(waiting.run);
            }
            let working = &self.working;
            let known: BTreeSet<RunId> =
                waiting.after.into_iter().filter(|after| self.queue.contains(*after)).collect();
            let pending = |run: RunId| working.contains_key(&run) || known.contains(&run) || new.contains(&run);
            self.queue.push(waiting, now, pending);
        }
    }

    /// Takes over an attempt that an earlier scheduler started and that may still work; for how long it has, [`Event::Placed`] says.
    pub fn adopt(&mut self, now: Duration, waiting: Waiting, node: Option<String>) {
        let devices = self.pool.place(waiting.devices, waiting.memory, &BTreeSet::new()).unwrap_or_default();
        self.pool.put(waiting.run, waiting.memory, &devices);
        let working = self.begin(now, waiting, u64::MAX, devices);
        self.working.insert(working.waiting.run, Working { node, ..working });
    }

    /// What is to be done after `event`.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.forgive_gap(now);
        self.pool.advance(now);
        match event {
            Event::Tick => {}
            Event::Placed { run, attempt, node, seconds } => self.placed(now, run, attempt, node, seconds),
            Event::Suspended { run, attempt } => self.suspended(now, run, attempt),
            Event::Sign { run, attempt, step, beats } => self.sign(now, run, attempt, step, beats),
            Event::Ended { run, attempt, ending } => self.ended(now, run, attempt, ending, &mut actions),
            Event::Cancel(run) => self.cancel(now, run, &mut actions),
            Event::Prioritise(run, priority) => self.prioritise(now, run, priority),
            Event::Pause => self.pause(now, &mut actions),
            Event::Resume => self.resume(&mut actions),
            Event::Busy(busy) => self.pool.set_busy(busy),
            Event::Stop => self.stop(now, &mut actions),
        }
        self.end_what_hangs(now, &mut actions);
        self.keep_budget(now, &mut actions);
        self.kill_the_late(now, &mut actions);
        self.queue.wake(now);
        if self.mode == Mode::Going {
            self.start(now, &mut actions);
        }
        actions
    }

    /// How the sweep has ended, once it has.
    pub fn over(&self) -> Option<Over> {
        if !self.working.is_empty() {
            return None;
        }
        match &self.mode {
            Mode::Stopping | Mode::Killing => Some(Over::Stopped),
            _ if self.queue.is_empty() => Some(Over::Done),
            Mode::Paused { why, by_person: false } => Some(Over::Paused(why.clone())),
            Mode::Paused { .. } => None,
            Mode::Going => self.stuck(),
        }
    }

    /// Whether a person has asked to stop.
    pub fn is_stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping | Mode::Killing)
    }

    /// Whether a run waits or is worked on.
    pub fn is_pending(&self, run: RunId) -> bool {
        self.working.contains_key(&run) || self.queue.contains(run)
    }

    /// How many runs wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What each device was used for since the beginning.
    pub fn uses(&self) -> impl Iterator<Item = (&str, Use)> {
        self.pool.uses()
    }

    /// Names of the devices of an attempt.
    pub fn device_names(&self, devices: &[usize]) -> Vec<String> {
        devices.iter().map(|index| self.pool.devices()[*index].name.clone()).collect()
    }

    /// Devices and nodes that are used no more.
    pub fn quarantined(&self) -> &BTreeSet<String> {
        self.health.quarantined()
    }

    /// With nothing at work: why nothing can start, where nothing ever will.
    fn stuck(&self) -> Option<Over> {
        let mut candidates = self.queue.ready().filter(|one| self.gate.is_empty() || one.canary.is_some()).peekable();
        if candidates.peek().is_none() || self.queue.has_delayed() {
            return None;
        }
        let shunned = self.shunned();
        let mut placeable = candidates.filter(|one| self.pool.could_place(one.devices, &shunned)).peekable();
        if placeable.peek().is_none() {
            return Some(Over::TooFewDevices);
        }
        // What others use now may be free later.
        let affordable = placeable.any(|one| self.budget.allows(0.0, self.need(one)));
        (!affordable).then_some(Over::Budget)
    }

    fn forgive_gap(&mut self, now: Duration) {
        let gap = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        if gap > GAP {
            for working in self.working.values_mut() {
                working.sign += gap;
                working.step.1 += gap;
            }
        }
    }

    fn placed(&mut self, now: Duration, run: RunId, attempt: u32, node: String, seconds: f64) {
        let Some(working) = self.working.get_mut(&run).filter(|working| working.waiting.attempt == attempt) else {
            return;
        };
        if working.node.is_none() {
            working.node = Some(node);
            (working.sign, working.step.1) = (now, now);
        }
        self.pool.count(run, seconds);
    }

    fn suspended(&mut self, now: Duration, run: RunId, attempt: u32) {
        if let Some(working) = self.working.get_mut(&run).filter(|working| working.waiting.attempt == attempt) {
            (working.sign, working.step.1) = (now, now);
        }
    }

    fn sign(&mut self, now: Duration, run: RunId, attempt: u32, step: u64, beats: bool) {
        let Some(working) = self.working.get_mut(&run).filter(|working| working.waiting.attempt == attempt) else {
            return;
        };
        working.sign = now;
        working.beats |= beats;
        if step != working.step.0 {
            working.step = (step, now);
            if working.waiting.canary == Some(Canary::Step) {
                self.gate.remove(&run);
            }
        }
    }

    /// Device or node of an attempt, for what is said of their health.
    fn places(&self, working: &Working) -> Vec<String> {
        working.node.as_ref().map_or_else(|| self.device_names(&working.devices), |node| vec![node.clone()])
    }

    fn ended(&mut self, now: Duration, run: RunId, attempt: u32, ending: Ending, actions: &mut Vec<Action>) {
        // An attempt that is not the one at work has been settled before.
        if self.working.get(&run).is_none_or(|working| working.waiting.attempt != attempt) {
            return;
        }
        let Some(working) = self.working.remove(&run) else { return };
        let places = self.places(&working);
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
        let settled = match (ending, working.asked.map(|(_, why)| why)) {
            (Ending::Completed, _) => {
                self.budget.learn(waiting.seconds * f64::from(waiting.devices), device_seconds);
                settled(Outcome::Completed, Transition::Complete, None, None)
            }
            (Ending::Diverged, _) => settled(Outcome::Diverged, Transition::Diverge, None, None),
            (ending, Some(Asked::ToCancel)) => {
                let outcome = if ending == Ending::Preempted { "saved its state" } else { "was ended" };
                let message = format!("cancelled; the attempt {outcome}");
                settled(Outcome::Preempted, Transition::Cancel, None, Some(message))
            }
            (Ending::Withdrawn, _) => {
                let message = Some("cancelled in the cluster's queue".to_owned());
                settled(Outcome::Preempted, Transition::Cancel, None, message)
            }
            (_, Some(Asked::Hangs(message))) => {
                self.crashed(now, &mut waiting, Failure::Timeout, message, &places, device_seconds, attempt, actions)
            }
            (Ending::Preempted, None) => settled(Outcome::Preempted, Transition::Requeue, None, None),
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

    fn requeue(&mut self, now: Duration, waiting: Waiting, order: u64) {
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

    fn break_off(&mut self, why: String, actions: &mut Vec<Action>) {
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
                    let why =
                        format!("{} runs in a row failed on it, the last one: {message}", self.rules.failures_in_a_row);
                    actions.push(Action::Quarantine { place, why });
                }
            }
        }
        let again = halve || class.may_heal() && waiting.crashes <= self.rules.retries;
        let transition = if again { Transition::Requeue } else { Transition::Fail(class) };
        if !halve {
            waiting.not_before = now + LONGEST_WAIT.min(Duration::from_secs(1 << waiting.crashes.min(9)) / 2);
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

    fn cancel(&mut self, now: Duration, run: RunId, actions: &mut Vec<Action>) {
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

    fn prioritise(&mut self, now: Duration, run: RunId, priority: i64) {
        if let Some(working) = self.working.get_mut(&run) {
            working.waiting.priority = priority;
        } else if let Some((mut waiting, order)) = self.queue.take(run) {
            waiting.priority = priority;
            self.requeue(now, waiting, order);
        }
    }

    fn pause(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.is_stopping() {
            return;
        }
        let why = "paused by a person".to_owned();
        actions.push(Action::Pause(Some(why.clone())));
        self.mode = Mode::Paused { why, by_person: true };
        self.ask_all(now, Asked::ToStop, actions);
    }

    fn resume(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.mode, Mode::Paused { .. }) {
            self.mode = Mode::Going;
            actions.push(Action::Pause(None));
        }
        self.health.forget();
    }

    fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
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

    fn ask_all(&mut self, now: Duration, why: Asked, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            if working.asked.is_none() {
                working.asked = Some((now, why.clone()));
                actions.push(Action::Terminate(*run));
            }
        }
    }

    /// An attempt that gives no sign of life, or whose steps do not go on, is ended.
    fn end_what_hangs(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            // What waits in a cluster's queue has not begun.
            let begun = working.node.is_some() || working.devices.iter().all(|index| self.pool.devices()[*index].held);
            if working.asked.is_some() || !begun {
                continue;
            }
            let (quiet, stuck) = (now.saturating_sub(working.sign), now.saturating_sub(working.step.1));
            let tells = self.rules.tells_steps || working.beats || working.step.0 > 0;
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
    fn ending_cost(&self, devices: u32) -> f64 {
        (self.rules.grace + LATENESS).as_secs_f64() * f64::from(devices)
    }

    /// Device seconds to set aside for a run that has not started.
    fn need(&self, waiting: &Waiting) -> f64 {
        self.budget.reserve(waiting.seconds) * f64::from(waiting.devices) + self.ending_cost(waiting.devices)
    }

    fn keep_budget(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let billed: f64 = self.working.keys().map(|run| self.pool.billed(*run)).sum();
        let ending: f64 = self.working.values().map(|working| self.ending_cost(working.waiting.devices)).sum();
        if self.budget.is_over(billed, ending) {
            self.ask_all(now, Asked::ForBudget, actions);
        }
    }

    fn kill_the_late(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (run, working) in &mut self.working {
            let late = working.asked.as_ref().is_some_and(|(asked, _)| now >= *asked + self.rules.grace);
            if late && !working.killed {
                working.killed = true;
                actions.push(Action::Kill(*run));
            }
        }
    }

    fn shunned(&self) -> BTreeSet<usize> {
        let quarantined = self.health.quarantined();
        let devices = self.pool.devices().iter().enumerate();
        devices.filter(|(_, device)| quarantined.contains(&device.name)).map(|(index, _)| index).collect()
    }

    fn start(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let shunned = self.shunned();
        if shunned.len() == self.pool.devices().len() && !self.queue.is_empty() {
            return self.break_off("every device is out of use after failures in a row".to_owned(), actions);
        }
        let mut promised: f64 = self.working.iter().map(|(run, one)| self.promised(*run, one)).sum();
        while let Some(next) = self.next(&shunned, promised) {
            if let Some(passed) = next.passed.and_then(|run| self.queue.ready_mut().find(|one| one.run == run)) {
                passed.passed += 1;
            }
            let Some((mut waiting, order)) = self.queue.take(next.run) else { return };
            (waiting.attempt, waiting.passed) = (waiting.attempt + 1, 0);
            let (run, attempt, halvings) = (waiting.run, waiting.attempt, waiting.halvings);
            self.pool.put(run, waiting.memory, &next.devices);
            let working = self.begin(now, waiting, order, next.devices.clone());
            promised += working.reserved;
            self.working.insert(run, working);
            actions.push(Action::Start { run, attempt, devices: next.devices, halvings });
        }
    }

    /// The first ready run for which there are devices and money. One whose devices are not free lets others pass, but not for ever.
    fn next(&self, shunned: &BTreeSet<usize>, promised: f64) -> Option<Next> {
        let mut passed = None;
        if !self.pool.has_room(shunned) {
            return None;
        }
        for waiting in self.queue.ready().filter(|one| self.gate.is_empty() || one.canary.is_some()) {
            match self.pool.place(waiting.devices, waiting.memory, shunned) {
                Some(devices) if self.budget.allows(promised, self.need(waiting)) => {
                    return Some(Next { run: waiting.run, devices, passed });
                }
                None if passed.is_none() && self.pool.could_place(waiting.devices, shunned) => {
                    if waiting.passed >= PATIENCE {
                        return None;
                    }
                    passed = Some(waiting.run);
                }
                _ => {}
            }
        }
        None
    }

    /// What may still be asked of the budget for an attempt that works.
    fn promised(&self, run: RunId, working: &Working) -> f64 {
        working.reserved.max(self.pool.billed(run) + self.ending_cost(working.waiting.devices))
    }

    fn begin(&self, now: Duration, waiting: Waiting, order: u64, devices: Vec<usize>) -> Working {
        let reserved = self.need(&waiting);
        Working {
            waiting,
            order,
            devices,
            node: None,
            asked: None,
            killed: false,
            beats: false,
            sign: now,
            step: (0, now),
            reserved,
        }
    }
}
