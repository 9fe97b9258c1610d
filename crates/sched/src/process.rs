//! Workers as processes: each in a group of its own, bound to this one, and told apart from later owners of its id.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use store::Process;
use tokio::process::{Child, Command};

use crate::executor::Start;
use crate::launch::{Attempt, Settings, launch};
use crate::shell::Setup;

/// Starts the trainer on an attempt. Must be called on the thread that lives as long as the program: the kernel sends
/// the trainer its parent-death signal when the *thread* that started it ends.
pub(crate) fn start(setup: &Setup, start: Start) -> io::Result<Child> {
    let (mut command, holds_lock) = command(setup, &start, Some(std::process::id()))?;
    let stdin = match holds_lock {
        true => Stdio::from(lock(&setup.folder.run(start.task.run))?),
        false => Stdio::null(),
    };
    let errors = start.log.try_clone()?;
    command.stdin(stdin).stdout(start.log).stderr(errors).process_group(0).spawn()
}

/// What starts the trainer on an attempt, and whether it needs the lock of its run as its standard input. It ends with the process
/// that it is `bound_to`.
pub(crate) fn command(setup: &Setup, start: &Start, bound_to: Option<u32>) -> io::Result<(Command, bool)> {
    // Trainers of one's own are started elsewhere.
    let folder = std::path::absolute(setup.folder.run(start.task.run))?;
    let settings = Settings {
        worker: &setup.worker,
        others: &setup.others,
        data: &setup.data,
        checkpoint_seconds: setup.checkpoint_seconds,
        loader_threads: setup.loader_threads,
    };
    let attempt = Attempt {
        task: &start.task,
        number: start.attempt,
        folder: &folder,
        devices: &start.devices,
        accumulate: start.accumulate,
        keep_trunk: start.is_trunk,
        bound_to,
    };
    let launch = launch(&settings, &attempt).map_err(|error| io::Error::new(ErrorKind::NotFound, error))?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).envs(launch.environment);
    if let Some(folder) = &launch.working_directory {
        command.current_dir(folder);
    }
    Ok((command, launch.holds_lock))
}

/// Takes the lock of a run for a trainer that does not take it by itself: it is held as long as anybody has the file open.
fn lock(run: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(run.join("lock"))?;
    // Who has been killed may take a moment to be gone.
    for _ in 0..20 {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "a process of an earlier attempt still works on this run"))
}

/// What tells this process from another one that gets its id later; `None` once it is gone.
pub(crate) fn identify(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields behind it do not. The start time is the 22nd field.
    let (_, fields) = stat.rsplit_once(')')?;
    let start = fields.split_whitespace().nth(19)?.parse().ok()?;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    Some(Process { pid, start, boot_id })
}

/// Sends a signal to the group of a worker that we have started and not yet reaped.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(pid) {
        // It may have ended a moment ago; then there is nobody to tell.
        let _ = kill_process_group(group, signal);
    }
}

/// A trainer that believes to have done its work, but has not said what came of it.
const NO_RESULT: &str = "the trainer ended with exit code 0 but left no result: its last line in $SCALELAW_JOURNAL must be \
                         {\"event\": \"finished\", \"heldout_loss\": 1.23}, with a finite loss and a line feed behind it";

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => NO_RESULT.to_owned(),
        (Some(code), _) => format!("the worker ended with exit code {code}"),
        (None, Some(9)) => "the worker was killed (signal 9); did the machine run out of memory?".to_owned(),
        (None, Some(signal)) => format!("the worker was ended by signal {signal}"),
        (None, None) => "the worker ended".to_owned(),
    }
}

/// The last lines of a log, for a message.
pub(crate) fn tail(log: &Path) -> String {
    let content = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&content[content.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}
