//! What the states of a job mean.

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has not started, and may be held.
    Waiting,
    /// Its program may be at work.
    Working,
    /// Its program is stopped and will go on.
    Suspended,
    /// It is over but for tidying up, and its program may still be ending.
    Ending,
    /// It is over.
    Ended(Cause),
    /// Slurm knows nothing of it.
    Gone,
}

/// Why a job is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its program ended with this code.
    Exited(i32),
    /// Its program was ended by this signal.
    Signalled(i32),
    /// Its time was up.
    TimeLimit,
    /// A more important job took its place.
    Preempted,
    /// Its node failed, or would not start it.
    Node,
    /// It used more memory than it was given.
    Memory,
    /// Somebody took it back.
    Cancelled,
    /// It was taken back or told to stop from here.
    Stopped,
    /// Somebody had it started once more, which it does not do.
    Requeued,
    /// Slurm knows nothing of it any more, and it had not started.
    NotStarted,
    /// Slurm knows nothing of it any more, and it had started.
    Lost,
}

impl Verdict {
    /// Of two jobs for one task the one that counts has the higher number: a second one is made when Slurm took in a batch
    /// and could not say so, and its program is not started.
    pub(crate) fn weight(self) -> u8 {
        match self {
            Verdict::Gone => 0,
            Verdict::Ended(Cause::Exited(crate::verdict::PREEMPTED_EXIT) | Cause::Requeued | Cause::Stopped) => 1,
            Verdict::Ended(_) => 2,
            Verdict::Waiting => 3,
            Verdict::Ending => 4,
            Verdict::Suspended => 5,
            Verdict::Working => 6,
        }
    }
}

impl Cause {
    /// In words, for a message.
    pub fn describe(self) -> String {
        match self {
            Cause::Exited(code) => format!("the job ended with exit code {code}"),
            Cause::Signalled(signal) => format!("the job was ended by signal {signal}"),
            Cause::TimeLimit => "the job reached its time limit (slurm.time_minutes)".to_owned(),
            Cause::Preempted => "a more important job took its place".to_owned(),
            Cause::Node => "its node failed".to_owned(),
            Cause::Memory => "the job used more memory than Slurm gave it (slurm.memory_gib)".to_owned(),
            Cause::Cancelled => "somebody took the job back with scancel".to_owned(),
            Cause::Stopped => "told to stop".to_owned(),
            Cause::Requeued => "somebody had the job started once more; it goes on as a new one".to_owned(),
            Cause::NotStarted => "Slurm lost the job before it started".to_owned(),
            Cause::Lost => "the job left Slurm's queue without a word".to_owned(),
        }
    }
}

/// The verdict on a job by the word that `squeue` or `sacct` has for its state, the status that its program left as `wait` has it, and how
/// often it was requeued.
pub(crate) fn verdict(state: &str, status: i32, restarts: u32) -> Verdict {
    // `sacct` says who: "CANCELLED by 1000".
    let word = state.split_whitespace().next().unwrap_or_default();
    let verdict = match word {
        "PENDING" | "CONFIGURING" | "POWER_UP_NODE" | "RESV_DEL_HOLD" => Verdict::Waiting,
        // Only by hand: jobs are submitted so that Slurm does not.
        "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" => Verdict::Ended(Cause::Requeued),
        "RUNNING" | "RESIZING" | "SIGNALING" => Verdict::Working,
        "SUSPENDED" | "STOPPED" => Verdict::Suspended,
        "COMPLETING" | "STAGE_OUT" | "UPDATE_DB" => Verdict::Ending,
        "COMPLETED" | "FAILED" => Verdict::Ended(ended_by(status)),
        "TIMEOUT" | "DEADLINE" => Verdict::Ended(Cause::TimeLimit),
        // Revoked: another cluster of a federation has it.
        "PREEMPTED" | "REVOKED" => Verdict::Ended(Cause::Preempted),
        "NODE_FAIL" | "BOOT_FAIL" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => Verdict::Ended(Cause::Node),
        "OUT_OF_MEMORY" => Verdict::Ended(Cause::Memory),
        "CANCELLED" => Verdict::Ended(Cause::Cancelled),
        // A word of a later version: as long as Slurm lists the job, it is not given up.
        _ => Verdict::Working,
    };
    match verdict {
        Verdict::Waiting | Verdict::Working if restarts > 0 => Verdict::Ended(Cause::Requeued),
        verdict => verdict,
    }
}

fn ended_by(status: i32) -> Cause {
    match status & 0x7f {
        0 => Cause::Exited((status >> 8) & 0xff),
        signal => Cause::Signalled(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_verdict() {
        for (state, status, expected) in [
            ("PENDING", 0, Verdict::Waiting),
            ("CONFIGURING", 0, Verdict::Waiting),
            ("RUNNING", 0, Verdict::Working),
            ("SUSPENDED", 0, Verdict::Suspended),
            ("COMPLETING", 0, Verdict::Ending),
            ("COMPLETED", 0, Verdict::Ended(Cause::Exited(0))),
            ("FAILED", 768, Verdict::Ended(Cause::Exited(3))),
            ("FAILED", 9, Verdict::Ended(Cause::Signalled(9))),
            // A core dump sets the highest bit.
            ("FAILED", 0x80 | 11, Verdict::Ended(Cause::Signalled(11))),
            ("TIMEOUT", 15, Verdict::Ended(Cause::TimeLimit)),
            ("DEADLINE", 0, Verdict::Ended(Cause::TimeLimit)),
            ("PREEMPTED", 9, Verdict::Ended(Cause::Preempted)),
            ("NODE_FAIL", 0, Verdict::Ended(Cause::Node)),
            ("BOOT_FAIL", 0, Verdict::Ended(Cause::Node)),
            ("OUT_OF_MEMORY", 0, Verdict::Ended(Cause::Memory)),
            ("CANCELLED", 9, Verdict::Ended(Cause::Cancelled)),
            ("CANCELLED by 1000", 0, Verdict::Ended(Cause::Cancelled)),
            ("REQUEUED", 0, Verdict::Ended(Cause::Requeued)),
            ("REQUEUE_HOLD", 0, Verdict::Ended(Cause::Requeued)),
            ("A_STATE_OF_THE_FUTURE", 0, Verdict::Working),
            ("", 0, Verdict::Working),
        ] {
            assert_eq!(verdict(state, status, 0), expected, "{state} {status}");
        }
    }

    #[test]
    fn a_job_that_was_requeued_is_over_for_us() {
        for state in ["PENDING", "RUNNING"] {
            assert_eq!(verdict(state, 0, 1), Verdict::Ended(Cause::Requeued), "{state}");
        }
        assert_eq!(verdict("COMPLETING", 0, 1), Verdict::Ending, "its program may still be ending");
        assert_eq!(verdict("FAILED", 75 << 8, 1), Verdict::Ended(Cause::Exited(75)));
    }
}
