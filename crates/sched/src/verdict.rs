//! What an attempt came to, from its journal, its exit and its last words.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use spec::journal::Event;
use spec::state::Failure;

use crate::core::Ending;
use crate::executor::{How, may_start_later};
use crate::process;
use crate::slurm::Cause;

/// Exit code of a trainer that saved its state and stopped: try again.
pub const PREEMPTED: u8 = 75;

/// The same, as processes report it.
pub(crate) const PREEMPTED_EXIT: i32 = PREEMPTED as i32;

/// Judges an attempt by the last line of its journal, then by how its process or job ended, then by what it said in its log.
pub(crate) fn judge(last: Option<&Event>, how: &How, log: &Path) -> Ending {
    match how {
        How::Process(Err(error)) if may_start_later(error) => Ending::Refused { message: error.to_string() },
        How::Process(status) => judge_process(last, status, log),
        How::Job(cause, reason) => judge_job(last, *cause, reason, log),
    }
}

fn judge_job(last: Option<&Event>, cause: Cause, reason: &str, log: &Path) -> Ending {
    let crashed = |class| {
        let said =
            [&process::tail(log), reason].into_iter().find(|said| !said.is_empty()).map(|said| format!(": {said}"));
        Ending::Crashed { class, message: format!("{}{}", cause.describe(), said.unwrap_or_default()) }
    };
    match (last, cause) {
        (Some(Event::Finished(_)), _) => Ending::Completed,
        (Some(Event::Diverged { .. }), _) => Ending::Diverged,
        // Whoever took it back wants no other attempt, although this one has saved its state.
        (_, Cause::Cancelled) => Ending::Withdrawn,
        (Some(Event::Preempted { .. }), _) => Ending::Preempted,
        (_, Cause::Stopped | Cause::Preempted | Cause::Requeued | Cause::NotStarted) => Ending::Preempted,
        (_, Cause::Exited(code)) if reason.is_empty() || code == PREEMPTED_EXIT => {
            judge_process(last, &Ok(ExitStatus::from_raw(code << 8)), log)
        }
        (_, Cause::Signalled(signal)) => judge_process(last, &Ok(ExitStatus::from_raw(signal)), log),
        (Some(Event::Failed { class, message }), _) => Ending::Crashed { class: *class, message: message.clone() },
        // It did not come to its program.
        (_, Cause::Exited(_)) => crashed(Failure::Node),
        (_, Cause::TimeLimit) => crashed(Failure::Timeout),
        (_, Cause::Memory) => crashed(Failure::Oom),
        (_, Cause::Node | Cause::Lost) => crashed(Failure::Node),
    }
}

fn judge_process(last: Option<&Event>, status: &std::io::Result<ExitStatus>, log: &Path) -> Ending {
    let code = status.as_ref().ok().and_then(ExitStatus::code);
    match (last, code) {
        // The journal is the truth: a result that reached the disk counts, whatever killed the process afterwards.
        (Some(Event::Finished(_)), _) => Ending::Completed,
        (Some(Event::Diverged { .. }), _) => Ending::Diverged,
        (_, Some(code)) if code == PREEMPTED_EXIT => Ending::Preempted,
        (Some(Event::Failed { class, message }), _) => Ending::Crashed { class: *class, message: message.clone() },
        _ => {
            let said = process::tail(log);
            let how = status.as_ref().map_or_else(ToString::to_string, |status| process::describe(*status));
            let class = class_of(status, &said);
            let message = if said.is_empty() { how } else { format!("{how}: {said}") };
            Ending::Crashed { class, message }
        }
    }
}

/// Words in a log that tell memory that ran out, on a device or in the machine.
const MEMORY: [&str; 7] = [
    "out of memory",
    "outofmemoryerror",
    "cannot allocate memory",
    "std::bad_alloc",
    "cublas_status_alloc_failed",
    "memoryerror",
    "oom-kill",
];

/// Words that tell of the machine: another attempt, or another machine, may do better.
const MACHINE: [&str; 13] = [
    "no space left on device",
    "input/output error",
    "stale file handle",
    "transport endpoint is not connected",
    "read-only file system",
    "uncorrectable ecc",
    "cuda error: unspecified launch failure",
    "cuda-capable device(s) is/are busy",
    "no cuda-capable device",
    "cuda driver initialization failed",
    "device-side hardware",
    "nccl error",
    "connection reset by peer",
];

/// The class of a failure that a trainer has not told.
fn class_of(status: &std::io::Result<ExitStatus>, said: &str) -> Failure {
    let said = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let signal = status.as_ref().ok().and_then(ExitStatus::signal);
    let code = status.as_ref().ok().and_then(ExitStatus::code);
    match (signal, code) {
        _ if says(&MEMORY) => Failure::Oom,
        _ if says(&MACHINE) => Failure::Node,
        // What shells report of a child that was killed, and `timeout` of one that took too long.
        (_, Some(124)) => Failure::Timeout,
        (_, Some(129..=143)) | (Some(_), _) => Failure::Node,
        (None, Some(_)) => Failure::Code,
        (None, None) => Failure::Node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_from_signals_codes_and_words() {
        let exit = |code: i32| Ok(ExitStatus::from_raw(code << 8));
        let killed = |signal: i32| Ok(ExitStatus::from_raw(signal));
        for (status, said, class) in [
            (exit(1), "Traceback | ValueError: x", Failure::Code),
            (exit(1), "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", Failure::Oom),
            (exit(1), "MemoryError", Failure::Oom),
            (exit(1), "OSError: [Errno 28] No space left on device", Failure::Node),
            (exit(124), "", Failure::Timeout),
            (exit(137), "", Failure::Node),
            (killed(9), "", Failure::Node),
            (killed(11), "", Failure::Node),
        ] {
            assert_eq!(class_of(&status, said), class, "{status:?} {said}");
        }
    }

    #[test]
    fn the_journal_is_believed_before_the_exit() {
        let log = Path::new("/nonexistent");
        let killed = Ok(ExitStatus::from_raw(9));
        assert_eq!(judge_process(Some(&Event::Diverged { step: 1 }), &killed, log), Ending::Diverged);
        let preempted = Ok(ExitStatus::from_raw(75 << 8));
        assert_eq!(judge_process(None, &preempted, log), Ending::Preempted, "a trainer need not write that it stops");
        assert!(matches!(judge_process(Some(&Event::Preempted { step: 1 }), &killed, log), Ending::Crashed { .. }));
        let well = Ok(ExitStatus::from_raw(0));
        let Ending::Crashed { class, message } = judge_process(None, &well, log) else {
            panic!("no result was written")
        };
        assert_eq!(class, Failure::Code);
        assert!(message.contains("left no result"), "{message}");
    }

    #[test]
    fn a_job_is_judged_by_its_journal_then_by_what_slurm_says() {
        let log = Path::new("/nonexistent");
        let judge = |last: Option<&Event>, cause| judge_job(last, cause, "", log);
        let class = |cause| match judge(None, cause) {
            Ending::Crashed { class, .. } => Some(class),
            _ => None,
        };
        let saved = Event::Preempted { step: 1 };
        for cause in [Cause::Cancelled, Cause::Node, Cause::Exited(0), Cause::Lost] {
            assert_eq!(judge(Some(&Event::Diverged { step: 1 }), cause), Ending::Diverged, "{cause:?}");
        }
        for cause in [Cause::TimeLimit, Cause::Exited(75), Cause::Signalled(9), Cause::Lost] {
            assert_eq!(judge(Some(&saved), cause), Ending::Preempted, "{cause:?}");
        }
        for cause in [Cause::Stopped, Cause::Preempted, Cause::Requeued, Cause::NotStarted, Cause::Exited(75)] {
            assert_eq!(judge(None, cause), Ending::Preempted, "{cause:?}");
        }
        for last in [None, Some(&saved)] {
            assert_eq!(judge(last, Cause::Cancelled), Ending::Withdrawn);
        }
        assert_eq!(class(Cause::TimeLimit), Some(Failure::Timeout));
        assert_eq!(class(Cause::Memory), Some(Failure::Oom));
        assert_eq!(class(Cause::Node), Some(Failure::Node));
        assert_eq!(class(Cause::Lost), Some(Failure::Node));
        assert_eq!(class(Cause::Exited(1)), Some(Failure::Code));
        assert_eq!(class(Cause::Signalled(11)), Some(Failure::Node));
        let unseen = "task 3 on n1: cannot read it";
        let Ending::Crashed { class, message } = judge_job(None, Cause::Exited(78), unseen, log) else {
            panic!("a crash")
        };
        assert_eq!(class, Failure::Node);
        assert!(message.ends_with(unseen), "{message}");
    }
}
