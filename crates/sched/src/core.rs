//! What the scheduler decides. No processes, no files, no clock: time is an argument.
//!
//! [`Core::handle`] is given what has happened and answers with what is to be done. What it promises is checked after every step
//! of simulated sweeps with all kinds of trouble (`core/simulation.rs`).

mod budget;
#[cfg(test)]
mod cluster_simulation;
mod deadlines;
mod endings;
mod health;
mod pool;
mod queue;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod wishes;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spec::run::RunId;

use budget::Budget;
use health::Health;
use pool::Pool;
pub use pool::{Device, Use};
use queue::Queue;
pub use words::{Action, Canary, Ending, Event, Over, Rules, Settled, Steps, Waiting};

/// Why an attempt was asked to stop.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    ToStop,
    ToCancel,
    ForBudget,
    Hangs(String),
    /// Not at all: it has said its last word, and is to be gone after the grace.
    HasEnded,
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
    /// When it started, and the steps that its run had done then.
    began: Duration,
    begun_with: u64,
    has_stepped: bool,
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
        let place = self.pool.place(waiting.devices, waiting.memory, &BTreeSet::new());
        // It works already, also where fewer places are wanted now than before.
        let devices = place.unwrap_or_else(|| self.pool.add_places_of_one(waiting.devices));
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
            Event::Sign { run, attempt, step, beats, is_last } => self.sign(now, run, attempt, step, (beats, is_last)),
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

    /// Whether no run waits that could start.
    pub fn is_drained(&self) -> bool {
        self.queue.ready().next().is_none()
    }

    /// Device seconds that attempts at work have been billed so far.
    pub fn billed(&self) -> impl Iterator<Item = (RunId, u32, f64)> {
        self.working.iter().map(|(run, working)| (*run, working.waiting.attempt, self.pool.billed(*run)))
    }

    /// What each device was used for since the beginning.
    pub fn uses(&self) -> impl Iterator<Item = (&str, Use)> {
        self.pool.uses()
    }

    /// Devices of the attempt at work on a run; none where there is no such attempt.
    pub fn devices_of(&self, run: RunId) -> &[usize] {
        self.working.get(&run).map_or(&[], |working| &working.devices)
    }

    /// Runs that are worked on on a device.
    pub fn runs_on(&self, device: usize) -> impl Iterator<Item = RunId> {
        self.pool.runs_on(device)
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
        let needed = placeable.map(|one| self.need(one)).fold(f64::INFINITY, f64::min);
        (!self.budget.allows(0.0, needed)).then(|| Over::Budget { needed, left: self.budget.left() })
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

    fn sign(&mut self, now: Duration, run: RunId, attempt: u32, step: u64, (beats, is_last): (bool, bool)) {
        let Some(working) = self.working.get_mut(&run).filter(|working| working.waiting.attempt == attempt) else {
            return;
        };
        working.sign = now;
        working.beats |= beats;
        if step != working.step.0 {
            // One that goes on from a checkpoint begins with fewer steps than its run has seen.
            working.has_stepped |= step > working.step.0;
            working.step = (step, now);
        }
        if working.has_stepped && working.waiting.canary == Some(Canary::Step) {
            self.gate.remove(&run);
        }
        if is_last && working.asked.is_none() {
            working.asked = Some((now, Asked::HasEnded));
        }
    }

    /// Device or node of an attempt, for what is said of their health.
    fn places(&self, working: &Working) -> Vec<String> {
        working.node.as_ref().map_or_else(|| self.device_names(&working.devices), |node| vec![node.clone()])
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
        let (reserved, begun_with) = (self.need(&waiting), waiting.steps.done);
        Working {
            waiting,
            order,
            devices,
            node: None,
            asked: None,
            killed: false,
            beats: false,
            sign: now,
            step: (begun_with, now),
            began: now,
            begun_with,
            has_stepped: false,
            reserved,
        }
    }
}
