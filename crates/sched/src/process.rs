//! Workers as processes: each in a group of its own, bound to this one, and told apart from later owners of its id.

use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use spec::run::DeviceKind;
use store::Process;
use tokio::process::{Child, Command};

use crate::executor::Start;
use crate::shell::Setup;

/// Starts the worker on an attempt. Must be called on the thread that lives as long as the program: the kernel sends
/// the worker its parent-death signal when the *thread* that started it ends.
pub(crate) fn start(setup: &Setup, start: Start) -> std::io::Result<Child> {
    let mut command = command(setup, &start, Some(std::process::id()))?;
    let errors = start.log.try_clone()?;
    command.stdin(Stdio::null()).stdout(start.log).stderr(errors).process_group(0).spawn()
}

/// What starts the worker on an attempt. It ends with the process that it is `bound_to`.
pub(crate) fn command(setup: &Setup, start: &Start, bound_to: Option<u32>) -> std::io::Result<Command> {
    let Start { task, attempt, devices, accumulate, is_trunk, .. } = start;
    let spec = &task.spec;
    let data = setup.data.get(&spec.data.fingerprint).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::NotFound, format!("the data set {} is not at hand", spec.data.dataset))
    })?;
    let mut command = Command::new(&setup.worker);
    command
        .arg(std::path::absolute(setup.folder.run(task.run))?)
        .arg("--attempt")
        .arg(attempt.to_string())
        .arg("--data")
        .arg(data.to_argument())
        .arg("--checkpoint-seconds")
        .arg(setup.checkpoint_seconds.to_string());
    if let Some(parent) = bound_to {
        command.arg("--bound-to").arg(parent.to_string());
    }
    if setup.loader_threads > 0 {
        command.arg("--loader-threads").arg(setup.loader_threads.to_string());
    }
    if let Some(trunk) = task.trunk {
        command.arg("--trunk").arg(trunk.run.to_string());
    }
    let arithmetic = &spec.train.arithmetic;
    // A worker opens a context on every GPU it sees.
    let gpus = if arithmetic.device == DeviceKind::Cuda { devices.join(",") } else { String::new() };
    command.env("CUDA_VISIBLE_DEVICES", gpus);
    if let Some(parts) = accumulate {
        command.arg("--accumulate").arg(parts.to_string());
    }
    if arithmetic.deterministic {
        // cuBLAS reads it when CUDA starts.
        command.env("CUBLAS_WORKSPACE_CONFIG", ":4096:8");
    }
    if *is_trunk {
        command.arg("--keep-trunk");
    }
    command.env("OMP_NUM_THREADS", spec.train.threads.to_string());
    Ok(command)
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

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "the trainer ended without a line \"finished\" in its journal".to_owned(),
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
