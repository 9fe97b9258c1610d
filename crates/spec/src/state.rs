//! The states of a run, and the one function that moves it from one to the next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a run failed for good, or an attempt for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// Memory ran out.
    Oom,
    /// The machine's fault: killed, disk full, lost.
    Node,
    /// The program's fault: it ended with an exit code and without a result.
    Code,
    /// The data cannot be read.
    Data,
    /// It took too long.
    Timeout,
}

impl Failure {
    /// Whether another attempt of the very same run may succeed.
    pub fn may_heal(self) -> bool {
        match self {
            Failure::Node | Failure::Timeout => true,
            Failure::Oom | Failure::Code | Failure::Data => false,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Oom => "oom",
            Failure::Node => "node",
            Failure::Code => "code",
            Failure::Data => "data",
            Failure::Timeout => "timeout",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Waits for a slot; also after an attempt that was stopped or crashed.
    Queued,
    /// An attempt works on it.
    Running,
    /// Has a held-out loss.
    Completed,
    /// The learning rate was too high: a result, not a failure.
    Diverged,
    /// Given up.
    Failed(Failure),
    /// Taken back by a person.
    Cancelled,
}

/// What moves a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// An attempt was given a slot.
    Start,
    /// The attempt reached the budget.
    Complete,
    /// The attempt diverged.
    Diverge,
    /// The attempt stopped or crashed; another one may follow.
    Requeue,
    /// No further attempt.
    Fail(Failure),
    /// A person took it back.
    Cancel,
    /// A person wants another try.
    Retry,
}

impl Transition {
    /// The word for it, without the class of a failure.
    pub fn word(self) -> &'static str {
        match self {
            Transition::Start => "start",
            Transition::Complete => "complete",
            Transition::Diverge => "diverge",
            Transition::Requeue => "requeue",
            Transition::Fail(_) => "fail",
            Transition::Cancel => "cancel",
            Transition::Retry => "retry",
        }
    }

    /// The class of a failure that is for good.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Transition::Fail(class) => Some(class),
            _ => None,
        }
    }

    /// The transition from its word and, for a failure, its class.
    pub fn from_words(word: &str, class: Option<&str>) -> Result<Transition, UnknownWord> {
        match (word, class) {
            ("start", None) => Ok(Transition::Start),
            ("complete", None) => Ok(Transition::Complete),
            ("diverge", None) => Ok(Transition::Diverge),
            ("requeue", _) => Ok(Transition::Requeue),
            ("fail", Some(class)) => class.parse().map(Transition::Fail),
            ("cancel", _) => Ok(Transition::Cancel),
            ("retry", None) => Ok(Transition::Retry),
            (word, class) => Err(UnknownWord(format!("{word} {}", class.unwrap_or_default()), "transition")),
        }
    }
}

/// A transition that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state} cannot {transition:?}")]
pub struct Illegal {
    /// Where the run stood.
    pub state: RunState,
    /// What was to happen.
    pub transition: Transition,
}

impl RunState {
    /// The state after `transition`, or why it cannot happen now.
    pub fn next(self, transition: Transition) -> Result<RunState, Illegal> {
        use RunState::{Cancelled, Completed, Diverged, Failed, Queued, Running};
        match (self, transition) {
            (Queued, Transition::Start) => Ok(Running),
            (Running, Transition::Complete) => Ok(Completed),
            (Running, Transition::Diverge) => Ok(Diverged),
            (Running, Transition::Requeue) => Ok(Queued),
            (Running, Transition::Fail(class)) => Ok(Failed(class)),
            (Queued | Running, Transition::Cancel) => Ok(Cancelled),
            (Failed(_) | Cancelled, Transition::Retry) => Ok(Queued),
            (state, transition) => Err(Illegal { state, transition }),
        }
    }

    /// The state that these moves lead to, from the beginning on: what the row of a run has to say.
    pub fn after(moves: impl IntoIterator<Item = Transition>) -> Result<RunState, Illegal> {
        moves.into_iter().try_fold(RunState::Queued, RunState::next)
    }

    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, RunState::Queued | RunState::Running)
    }

    /// The word for it, without the class of a failure.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Completed => "completed",
            RunState::Diverged => "diverged",
            RunState::Failed(_) => "failed",
            RunState::Cancelled => "cancelled",
        }
    }

    /// The class of a failure.
    pub fn failure(self) -> Option<Failure> {
        match self {
            RunState::Failed(class) => Some(class),
            _ => None,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunState::Failed(class) => write!(formatter, "failed ({})", class.as_str()),
            other => formatter.write_str(other.word()),
        }
    }
}

/// A word that names no state or class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no {1}")]
pub struct UnknownWord(String, &'static str);

impl FromStr for Failure {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Failure::Oom, Failure::Node, Failure::Code, Failure::Data, Failure::Timeout];
        let found = all.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.to_owned(), "class of failure"))
    }
}

impl RunState {
    /// The state from its word and, for a failure, its class.
    pub fn from_words(word: &str, class: Option<&str>) -> Result<RunState, UnknownWord> {
        match (word, class) {
            ("queued", None) => Ok(RunState::Queued),
            ("running", None) => Ok(RunState::Running),
            ("completed", None) => Ok(RunState::Completed),
            ("diverged", None) => Ok(RunState::Diverged),
            ("cancelled", None) => Ok(RunState::Cancelled),
            ("failed", Some(class)) => class.parse().map(RunState::Failed),
            (word, class) => Err(UnknownWord(format!("{word} {}", class.unwrap_or_default()), "run state")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_stays_finished() {
        for state in [RunState::Completed, RunState::Diverged] {
            for transition in
                [Transition::Start, Transition::Complete, Transition::Requeue, Transition::Cancel, Transition::Retry]
            {
                assert_eq!(state.next(transition), Err(Illegal { state, transition }));
            }
        }
    }

    #[test]
    fn words_come_back_as_states() {
        let all = [
            RunState::Queued,
            RunState::Running,
            RunState::Completed,
            RunState::Diverged,
            RunState::Cancelled,
            RunState::Failed(Failure::Oom),
        ];
        for state in all {
            assert_eq!(RunState::from_words(state.word(), state.failure().map(Failure::as_str)), Ok(state));
        }
        assert!(RunState::from_words("failed", None).is_err());
    }
}
