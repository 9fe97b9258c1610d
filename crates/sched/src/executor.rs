//! Attempts as processes of this machine: starting them, telling them to stop, and hearing of their end.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, getpgid};
use spec::run::RunId;
use store::{Process, Task};
use tokio::task::JoinSet;

use crate::process;
use crate::shell::Setup;

/// An attempt that is to start.
pub(crate) struct Start {
    pub(crate) task: Task,
    pub(crate) attempt: u32,
    /// Names of its devices.
    pub(crate) devices: Vec<String>,
    /// Parts of a batch, where that is not what the specification says.
    pub(crate) accumulate: Option<u32>,
    /// Whether others go on from its state.
    pub(crate) is_trunk: bool,
    pub(crate) log: std::fs::File,
}

/// How a process ended.
pub(crate) struct Exit {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    pub(crate) status: io::Result<ExitStatus>,
}

/// The processes at work.
#[derive(Default)]
pub(crate) struct Executor {
    pids: BTreeMap<RunId, i32>,
    children: JoinSet<Exit>,
}

impl Executor {
    /// Starts an attempt and says which process it is.
    pub(crate) fn start(&mut self, setup: &Setup, start: Start) -> io::Result<Option<Process>> {
        let (run, attempt) = (start.task.run, start.attempt);
        let mut child = process::start(setup, start)?;
        let pid = child.id().map_or(0, |pid| pid as i32);
        self.pids.insert(run, pid);
        self.children.spawn(async move { Exit { run, attempt, status: child.wait().await } });
        Ok(process::identify(pid))
    }

    /// The next process that ends.
    pub(crate) async fn next(&mut self) -> Option<Exit> {
        loop {
            // Only a panic in the line that waits for a child could be an error.
            if let Ok(exit) = self.children.join_next().await? {
                return Some(exit);
            }
        }
    }

    /// A process that has ended already.
    pub(crate) fn next_at_hand(&mut self) -> Option<Exit> {
        loop {
            if let Ok(exit) = self.children.try_join_next()? {
                return Some(exit);
            }
        }
    }

    /// Whether a process belongs to an attempt: each attempt is a group.
    pub(crate) fn owns(&self, pid: u32) -> bool {
        let group = Pid::from_raw(pid as i32).and_then(|pid| getpgid(Some(pid)).ok());
        group.is_some_and(|group| self.pids.values().any(|own| *own == group.as_raw_nonzero().get()))
    }

    /// An attempt was settled.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.pids.remove(&run);
    }

    pub(crate) fn signal(&self, run: RunId, signal: Signal) {
        if let Some(pid) = self.pids.get(&run) {
            process::signal(*pid, signal);
        }
    }
}
