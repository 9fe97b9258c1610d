//! Workers as processes: each in a group of its own, bound to this one, and told apart from later owners of its id.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, test_kill_process_group};
use spec::run::RunId;
use store::Process;
use tokio::process::{Child, Command};

use crate::executor::Start;
use crate::launch::{Attempt, Settings, launch, ports};
use crate::shell::Setup;

/// Starts the trainer on an attempt. Must be called on the thread that lives as long as the program: the kernel sends
/// the trainer its parent-death signal when the *thread* that started it ends.
pub(crate) fn start(setup: &Setup, start: Start) -> io::Result<Child> {
    let (mut command, holds_lock) = command(setup, &start, Some(std::process::id()))?;
    let stdin = match holds_lock {
        true => Stdio::from(lock(&setup.folder.run(start.task.run))?),
        false => Stdio::null(),
    };
    let log = File::create(setup.folder.log(start.task.run, start.attempt))?;
    let errors = log.try_clone()?;
    command.stdin(stdin).stdout(log).stderr(errors).process_group(0).spawn()
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
    // Jobs of a cluster start elsewhere, and nobody knows here which ports are free there.
    let here = bound_to.is_some() && start.devices.len() > 1;
    let port = if here { free_port(start.task.run) } else { ports(start.task.run).next() };
    let attempt = Attempt {
        task: &start.task,
        number: start.attempt,
        folder: &folder,
        devices: &start.devices,
        accumulate: start.accumulate,
        keep_trunk: start.is_trunk,
        bound_to,
        port: port.unwrap_or_default(),
    };
    let launch = launch(&settings, &attempt).map_err(|error| io::Error::new(ErrorKind::NotFound, error))?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).envs(launch.environment);
    if let Some(folder) = &launch.working_directory {
        command.current_dir(folder);
    }
    Ok((command, launch.holds_lock))
}

/// A port on which nobody listens.
fn free_port(run: RunId) -> Option<u16> {
    ports(run).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Takes the lock of a run for a trainer that does not take it by itself: it is held as long as anybody has the file open.
fn lock(run: &Path) -> io::Result<File> {
    // Whoever reads from its standard input finds nothing, and no error.
    let file = File::options().create(true).truncate(false).read(true).write(true).open(run.join("lock"))?;
    // Who has been killed may take a moment to be gone.
    for _ in 0..20 {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
    let message = format!(
        "a process of an earlier attempt still works on this run; `fuser -v {}` tells which",
        run.join("lock").display()
    );
    Err(io::Error::new(ErrorKind::WouldBlock, message))
}

/// Whether nobody holds the lock of the run in this folder.
pub(crate) fn is_free(run: &Path) -> io::Result<bool> {
    let file = match File::options().write(true).open(run.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Processes that work on the run in this folder: its environment names it, and they are of the group of its trainer or hold its
/// lock. Numbers of processes and groups are given away again, so the environment has to agree.
pub(crate) fn at_work(run: &Path, group: Option<i32>) -> Vec<Pid> {
    let Ok(run) = std::path::absolute(run) else { return Vec::new() };
    let told = [b"SCALELAW_RUN_DIR=", run.as_os_str().as_bytes()].concat();
    let lock = run.join("lock");
    let works = |pid: &Pid| {
        let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        if *pid == getpid() || !environment.split(|byte| *byte == 0).any(|variable| variable == told) {
            return false;
        }
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let (state, of_group) = (fields.next(), fields.nth(1).and_then(|group| group.parse().ok()));
        let holds = || {
            let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            open.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == lock)
        };
        !matches!(state, None | Some("Z")) && ((group.is_some() && of_group == group) || holds())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)).filter(works).collect()
}

/// Ends what a trainer that has ended leaves at work, such as the ranks of a launcher that was killed: they would hold on to GPUs
/// and train beside the next attempt. Unless they were `asked` together with it they are asked now, and killed after `grace`.
pub(crate) async fn end_leftovers(run: &Path, group: i32, asked: bool, grace: Duration) {
    let began = Instant::now();
    let (mut asked, mut pause) = (asked, Duration::from_millis(20));
    // Looking through all processes takes a while, and hardly ever is anything left.
    let is_over = || {
        let group_ended = Pid::from_raw(group).is_none_or(|group| test_kill_process_group(group).is_err());
        group_ended && is_free(run).unwrap_or(true)
    };
    while !is_over() && began.elapsed() < grace + LAST_WAIT {
        let folder = run.to_owned();
        let left = tokio::task::spawn_blocking(move || at_work(&folder, Some(group))).await.unwrap_or_default();
        if left.is_empty() {
            return;
        }
        let signal = if began.elapsed() < grace { Signal::TERM } else { Signal::KILL };
        if signal == Signal::KILL || !asked {
            // It may have ended a moment ago.
            left.iter().for_each(|pid| _ = kill_process(*pid, signal));
        }
        asked = true;
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(Duration::from_secs(1));
    }
}

/// How long the end of a killed process is waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

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
    let lines = last_lines(log, 3);
    // Of a traceback of Python, the last line is what went wrong; those before it quote the program.
    let is_error = |line: &String| {
        let name = line.split(':').next().unwrap_or_default();
        !line.starts_with(' ') && (name.ends_with("Error") || name.ends_with("Exception"))
    };
    match lines.last() {
        Some(last) if lines.len() > 1 && is_error(last) => last.clone(),
        _ => lines.join(" | "),
    }
}

/// At most so many last lines of a log that are not empty, as far as they lie in its last 4 kB. A log that cannot be read has none.
pub fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(4000);
        file.seek(SeekFrom::Start(from))?;
        let mut content = Vec::new();
        file.take(4000).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given_to_a_run() {
        let run: RunId = "0123456789abcdef".parse().expect("16 digits");
        let free = free_port(run).expect("ten thousand are not all taken");
        let _taken = TcpListener::bind(("0.0.0.0", free)).expect("it is free");
        assert!(free_port(run).is_some_and(|other| other != free));
    }

    #[test]
    fn who_knows_the_folder_of_a_run_works_on_it_only_with_its_lock_or_in_its_group() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let told = |stdin: Stdio| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env("SCALELAW_RUN_DIR", folder.path()).stdin(stdin).process_group(0);
            command.spawn().expect("sleep is there")
        };
        let lock = lock(folder.path()).expect("nobody has it");
        let mut children = [told(Stdio::null()), told(Stdio::null()), told(lock.into())];
        let [_, leader, holder] = children.each_ref().map(|child| child.id() as i32);
        let found = |group| {
            let mut found: Vec<i32> =
                at_work(folder.path(), group).iter().map(|pid| pid.as_raw_nonzero().get()).collect();
            found.sort_unstable();
            found
        };
        assert_eq!((found(None), found(Some(leader))), (vec![holder], vec![leader, holder]));
        assert!(!is_free(folder.path()).expect("readable"));
        for child in &mut children {
            child.kill().and_then(|()| child.wait()).expect("our own child");
        }
        assert!(found(Some(leader)).is_empty() && is_free(folder.path()).expect("readable"));
    }
}
