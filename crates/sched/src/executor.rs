//! Who starts attempts and hears of their end: this machine, or Slurm.

mod cluster;
mod local;
mod watcher;

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;

use spec::run::RunId;
use store::{OpenAttempt, Process, Task};

use crate::SchedError;
use crate::shell::Setup;
use crate::slurm::{Cause, SlurmError};
use cluster::Cluster;
pub(crate) use cluster::batches;
use local::Local;
pub(crate) use local::may_start_later;

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
}

/// An attempt that has ended.
pub(crate) struct Exit {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    pub(crate) how: How,
}

/// How an attempt has ended, as far as one can see who does not read its journal.
pub(crate) enum How {
    /// As a process of this machine.
    Process(io::Result<ExitStatus>),
    /// As a job of a cluster, with what the cluster has to say of it.
    Job(Cause, String),
}

/// What an executor has to tell.
pub(crate) enum Happening {
    Ended(Exit),
    /// An attempt works on this node, and has for so many seconds.
    Placed {
        run: RunId,
        attempt: u32,
        node: String,
        seconds: f64,
    },
    /// The cluster has stopped an attempt, and will let it go on.
    Suspended {
        run: RunId,
        attempt: u32,
    },
    /// For a person.
    Told(String),
    /// These attempts can never be started.
    Refused(Vec<(RunId, u32)>, SlurmError),
}

/// Starts attempts, in one of two ways.
pub(crate) enum Executor {
    Local(Local),
    Cluster(Box<Cluster>),
}

impl Executor {
    /// Makes ready what `setup` asks for.
    pub(crate) async fn new(setup: &Setup, session_ms: i64) -> Result<Executor, SchedError> {
        Ok(match &setup.slurm {
            None => Executor::Local(Local::default()),
            Some(slurm) => Executor::Cluster(Box::new(Cluster::connect(setup, slurm, session_ms).await?)),
        })
    }

    /// The name by which the next attempt that starts is found again in a cluster's queue; it has to start next.
    pub(crate) fn next_job(&mut self, task: &Task, devices: usize) -> Option<String> {
        match self {
            Executor::Local(_) => None,
            Executor::Cluster(cluster) => Some(cluster.next_job(task, devices).to_string()),
        }
    }

    /// Starts an attempt, or gathers it for [`Executor::submit`]; says which process it is.
    pub(crate) fn start(&mut self, setup: &Setup, start: Start) -> io::Result<Option<Process>> {
        match self {
            Executor::Local(local) => local.start(setup, start),
            Executor::Cluster(cluster) => cluster.gather(setup, start).map(|()| None),
        }
    }

    /// Submits what was gathered, away from the nodes in `excluded`.
    pub(crate) fn submit(&mut self, excluded: &BTreeSet<String>) {
        if let Executor::Cluster(cluster) = self {
            cluster.submit(excluded);
        }
    }

    /// Takes over an attempt that an earlier scheduler submitted. False if it has no job.
    pub(crate) fn adopt(&mut self, open: &OpenAttempt) -> bool {
        match self {
            Executor::Local(_) => false,
            Executor::Cluster(cluster) => cluster.adopt(open),
        }
    }

    /// What happens next. Waits for ever where nothing is at work.
    pub(crate) async fn next(&mut self) -> Happening {
        match self {
            Executor::Local(local) => match local.next().await {
                Some(exit) => Happening::Ended(exit),
                None => std::future::pending().await,
            },
            Executor::Cluster(cluster) => cluster.next().await,
        }
    }

    /// What has happened already.
    pub(crate) fn next_at_hand(&mut self) -> Option<Happening> {
        match self {
            Executor::Local(local) => local.next_at_hand().map(Happening::Ended),
            Executor::Cluster(cluster) => cluster.next_at_hand(),
        }
    }

    /// Whether a process belongs to an attempt.
    pub(crate) fn owns(&self, pid: u32) -> bool {
        matches!(self, Executor::Local(local) if local.owns(pid))
    }

    /// An attempt was settled.
    pub(crate) fn forget(&mut self, run: RunId) {
        match self {
            Executor::Local(local) => local.forget(run),
            Executor::Cluster(cluster) => cluster.forget(run),
        }
    }

    /// Asks an attempt to save its state and stop.
    pub(crate) fn terminate(&self, run: RunId) {
        match self {
            Executor::Local(local) => local.signal(run, rustix::process::Signal::TERM),
            Executor::Cluster(cluster) => cluster.stop(run, false),
        }
    }

    /// Ends an attempt at once, or as fast as the cluster can.
    pub(crate) fn kill(&self, run: RunId) {
        match self {
            Executor::Local(local) => local.signal(run, rustix::process::Signal::KILL),
            Executor::Cluster(cluster) => cluster.stop(run, true),
        }
    }

    /// Whether an attempt whose end shows no result in its journal yet is to be looked at again later: on a network file system a
    /// journal may be seen late.
    pub(crate) fn put_off(&mut self, exit: Exit) -> Option<Exit> {
        match self {
            Executor::Local(_) => Some(exit),
            Executor::Cluster(cluster) => cluster.put_off(exit),
        }
    }

    /// Those that were put off.
    pub(crate) fn take_put_off(&mut self) -> Vec<Exit> {
        match self {
            Executor::Local(_) => Vec::new(),
            Executor::Cluster(cluster) => cluster.take_put_off(),
        }
    }

    /// The end of everything: what is at work saves its state, within `grace`. Jobs of a cluster go on, and the next scheduler takes
    /// them over.
    pub(crate) async fn save_all(&mut self, grace: std::time::Duration) {
        if let Executor::Local(local) = self {
            local.save_all(grace).await;
        }
    }
}
