//! What goes in and what comes out.

use std::collections::BTreeSet;
use std::time::Duration;

use spec::run::RunId;
use spec::state::{Failure, Transition};
use store::Outcome;

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
    /// Estimated seconds of all its steps.
    pub seconds: f64,
    /// Its steps, those that are done, and those that another run takes for it.
    pub steps: Steps,
    /// Attempts in a row that stopped, without finishing a step, soon after their start.
    pub stopped_at_once: u32,
    /// How often its batch is halved.
    pub halvings: u32,
    /// How often it can be.
    pub most_halvings: u32,
    /// Others wait for it.
    pub canary: Option<Canary>,
    /// How often another run has gone past it because its devices were not free.
    pub passed: u32,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Steps at the beginning that another run takes.
    pub shared: u64,
    /// Steps that are done, the shared ones among them.
    pub done: u64,
    /// All steps.
    pub all: u64,
}

impl Steps {
    /// Share of its own steps that is left.
    pub fn left(&self) -> f64 {
        let own = self.all.saturating_sub(self.shared);
        let done = self.done.saturating_sub(self.shared).min(own);
        if own == 0 { 1.0 } else { (own - done) as f64 / own as f64 }
    }
}

impl Waiting {
    /// Estimated seconds that are left.
    pub fn seconds_left(&self) -> f64 {
        self.seconds * self.steps.left()
    }
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
        /// Whether it has written the line after which none follows.
        is_last: bool,
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
    Budget {
        /// Device seconds to set aside for the run that needs least.
        needed: f64,
        /// Device seconds that are left.
        left: f64,
    },
    /// What is left needs more devices than there are.
    TooFewDevices,
}
