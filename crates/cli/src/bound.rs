//! `scalelaw bound PARENT PROGRAM ARGS...`: becomes PROGRAM, to which the kernel sends SIGTERM when PARENT ends.
//!
//! A trainer of somebody else cannot be asked to end with the scheduler, and between fork and exec nothing can be asked for
//! without unsafe code; so this program asks for itself and then makes way.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::exit::say;

/// As shells have it: the program is not there, or cannot be executed.
const CANNOT_START: u8 = 127;

/// Returns only if PROGRAM cannot be started, or PARENT is gone already.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let parent = arguments.next().and_then(|text| text.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let (Some(parent), Some(program)) = (parent, arguments.next()) else {
        say("scalelaw: bound needs the process id of its parent and a program");
        return ExitCode::from(2);
    };
    if !bind_to(parent) {
        return ExitCode::from(sched::PREEMPTED);
    }
    let error = Command::new(&program).args(arguments).exec();
    say(&format!("scalelaw: cannot start the trainer {}: {error}", program.display()));
    ExitCode::from(CANNOT_START)
}

/// Ties this process to the life of its parent. False where that has ended before: nobody would send the signal any more.
pub(crate) fn bind_to(parent: Pid) -> bool {
    let asked = set_parent_process_death_signal(Some(Signal::TERM));
    asked.is_ok() && getppid() == Some(parent)
}
