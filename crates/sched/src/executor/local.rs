//! Attempts as processes of this machine: starting them, telling them to stop, and hearing of their end.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgid};
use spec::run::RunId;
use store::Process;
use tokio::task::JoinSet;

use super::{Exit, How, Start};
use crate::process;
use crate::shell::Setup;
use crate::verdict::PREEMPTED_EXIT;

/// The processes at work.
#[derive(Default)]
pub(crate) struct Local {
    pids: BTreeMap<RunId, i32>,
    children: JoinSet<Exit>,
}

impl Local {
    /// Starts an attempt and says which process it is.
    pub(super) fn start(&mut self, setup: &Setup, start: Start) -> io::Result<Option<Process>> {
        let (run, attempt) = (start.task.run, start.attempt);
        let mut child = match process::start(setup, start) {
            Ok(child) => child,
            // Somebody still works on this run, or there are too many processes or files for now: no reason for others not to start.
            Err(error) if may_start_later(&error) => {
                self.children.spawn(async move { Exit { run, attempt, how: How::Process(Err(error)) } });
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let pid = child.id().map_or(0, |pid| pid as i32);
        self.pids.insert(run, pid);
        let (folder, grace) = (setup.folder.run(run), setup.rules.grace);
        self.children.spawn(async move {
            let status = child.wait().await;
            let asked = status.as_ref().is_ok_and(|status| {
                status.signal() == Some(Signal::TERM.as_raw()) || matches!(status.code(), Some(PREEMPTED_EXIT | 143))
            });
            process::end_leftovers(&folder, pid, asked, grace).await;
            Exit { run, attempt, how: How::Process(status) }
        });
        Ok(process::identify(pid))
    }

    /// The next process that ends; `None` if there is none.
    pub(super) async fn next(&mut self) -> Option<Exit> {
        loop {
            // Only a panic in the line that waits for a child could be an error.
            if let Ok(exit) = self.children.join_next().await? {
                return Some(exit);
            }
        }
    }

    /// A process that has ended already.
    pub(super) fn next_at_hand(&mut self) -> Option<Exit> {
        loop {
            if let Ok(exit) = self.children.try_join_next()? {
                return Some(exit);
            }
        }
    }

    /// Whether a process belongs to an attempt: each attempt is a group.
    pub(super) fn owns(&self, pid: u32) -> bool {
        let group = Pid::from_raw(pid as i32).and_then(|pid| getpgid(Some(pid)).ok());
        group.is_some_and(|group| self.pids.values().any(|own| *own == group.as_raw_nonzero().get()))
    }

    pub(super) fn forget(&mut self, run: RunId) {
        self.pids.remove(&run);
    }

    pub(super) fn signal(&self, run: RunId, signal: Signal) {
        if let Some(pid) = self.pids.get(&run) {
            process::signal(*pid, signal);
        }
    }

    pub(super) async fn save_all(&mut self, grace: Duration) {
        let pids: Vec<i32> = self.pids.values().copied().collect();
        pids.iter().for_each(|pid| process::signal(*pid, Signal::TERM));
        let all = async { while self.next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            pids.iter().for_each(|pid| process::signal(*pid, Signal::KILL));
        }
    }
}

/// Whether what cannot be started now may be later, and it is nobody's fault.
pub(crate) fn may_start_later(error: &io::Error) -> bool {
    let for_now = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TXTBSY];
    error.kind() == ErrorKind::WouldBlock || for_now.iter().any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}
