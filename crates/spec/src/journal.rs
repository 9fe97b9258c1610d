//! The journal: what happened to one attempt, one JSON object a line, appended by the worker and read by the scheduler.
//!
//! It is the only way back from a trainer, the built-in one or another; [`crate::schema::JOURNAL_JSON_SCHEMA`] describes it for
//! whoever writes one. All that must be in it is the line with the held-out loss. A line that does not end yet is a line that is
//! still being written; the reader remembers how many bytes it has taken in, so that no line counts twice.

use serde::{Deserialize, Serialize};

use crate::run::RunId;
use crate::state::Failure;
use crate::trunk::Trunk;
use crate::units::Loss;

/// The form of the journal that this version reads and writes.
pub const JOURNAL_SCHEMA: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the line, from 0, so that a person sees a gap; 0 where it is not said.
    #[serde(default)]
    pub seq: u64,
    /// Milliseconds since 1970, to tell when an attempt was last seen; 0 where it is not said.
    #[serde(default)]
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen to an attempt. New kinds may come; a reader skips kinds that it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line: who writes this journal.
    Header {
        /// [`JOURNAL_SCHEMA`].
        schema: u32,
        /// The run.
        run_id: RunId,
        /// The attempt, from 1.
        attempt: u32,
        /// Process id of the worker.
        pid: u32,
        /// Name of the machine.
        host: String,
    },
    /// Training begins or goes on.
    Started {
        /// Steps that a checkpoint already holds; later steps of earlier attempts no longer count.
        #[serde(default)]
        resumed_step: u64,
        /// Device, as in `cpu` or `cuda:0`; empty where it is not said.
        #[serde(default)]
        device: String,
        /// What the device is, as in `NVIDIA H100 80GB HBM3` or the name of a processor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hardware: Option<String>,
        /// What computes, with its version, as in `libtorch 2.11.0`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        software: Option<String>,
        /// What a person has to know of where it begins: damaged checkpoints, a missing trunk, imported weights.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// The run whose state it goes on from: then its own steps begin there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trunk: Option<Trunk>,
    },
    /// The process is alive; written by a thread of its own, so it goes on during a slow step.
    Heartbeat {
        /// Last finished step; 0 where it is not said.
        #[serde(default)]
        step: u64,
    },
    /// Training has come this far.
    Progress {
        /// Steps done.
        step: u64,
        /// Samples seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        samples: Option<u64>,
        /// Mean training loss since the last line of this kind.
        loss: Loss,
        /// Learning rate of the last step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lr: Option<f64>,
        /// Seconds of training in this attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
    /// The held-out set was evaluated.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Mean cross-entropy on the held-out set.
        loss: Loss,
        /// Share of the held-out set whose most likely class is the right one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accuracy: Option<f64>,
        /// Share whose five most likely classes have the right one among them; `None` of a run with fewer than six classes and
        /// of an older worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top5_accuracy: Option<f64>,
    },
    /// An example was damaged and did not enter the weights.
    Skipped {
        /// Steps done, the one that it was skipped in among them.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// Its id.
        example: u64,
        /// What was wrong with it.
        reason: String,
    },
    /// An epoch, or the open rest of the last one, is in the weights.
    Epoch {
        /// Epoch, from 0.
        epoch: u64,
        /// Positions seen: from 0 up to here; those whose examples were skipped among them.
        samples: u64,
        /// Multiset digest of the example ids that entered the weights.
        digest: String,
    },
    /// A checkpoint is on the disk.
    Checkpoint {
        /// Steps it holds.
        step: u64,
    },
    /// What the attempt took; written before the line that ends it.
    Usage(Usage),
    /// The attempt was told to stop and has saved its state.
    Preempted {
        /// Steps the checkpoint holds; 0 where it is not said.
        #[serde(default)]
        step: u64,
    },
    /// The loss left the finite numbers or exploded: a result.
    Diverged {
        /// Step at which it was noticed; 0 where it is not said.
        #[serde(default)]
        step: u64,
    },
    /// The end of the budget.
    Finished(Finished),
    /// The attempt gave up.
    Failed {
        /// What kind of failure.
        #[serde(default = "of_the_program")]
        class: Failure,
        /// What to tell a person.
        message: String,
    },
}

fn of_the_program() -> Failure {
    Failure::Code
}

/// Where the time of an attempt went, in seconds of the clock, and the memory it took. Starting the process and opening the
/// data are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Making batches, as far as it held up training.
    pub data_seconds: f64,
    /// The part of it in which the trainer did nothing but wait for a batch.
    #[serde(default)]
    pub wait_seconds: f64,
    /// Forward and backward passes.
    pub gradient_seconds: f64,
    /// Clipping and the step.
    pub optimizer_seconds: f64,
    /// Evaluations.
    pub evaluation_seconds: f64,
    /// Writing checkpoints.
    pub checkpoint_seconds: f64,
    /// Most memory the process ever had resident; 0 where the system does not say.
    pub peak_memory_bytes: u64,
}

/// What a run that reached its budget has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Steps done; 0 where it is not said: all that the run has.
    #[serde(default)]
    pub step: u64,
    /// Held-out loss at the end: what every fit uses.
    pub heldout_loss: Loss,
    /// Held-out accuracy at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// As of the last evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_accuracy: Option<f64>,
    /// Median seconds of a training step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_seconds: Option<f64>,
    /// BLAKE3 of the final weights and momentum, or another digest of them, to compare runs bit by bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_hash: Option<String>,
}

impl Event {
    /// Whether no line may follow.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Preempted { .. } | Event::Diverged { .. } | Event::Finished(_) | Event::Failed { .. })
    }
}

/// Reads one line without its line feed. A line that is refused is passed over: it is torn, or of a newer version's kind.
pub fn parse_line(text: &str) -> Result<Line, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_reads_as_it_was_written() {
        let loss = Loss::new(0.5).expect("finite");
        let finished = Finished {
            step: 9,
            heldout_loss: loss,
            accuracy: Some(0.8),
            top5_accuracy: None,
            step_seconds: Some(0.01),
            state_hash: Some("ab".into()),
        };
        let line = Line { seq: 3, at_ms: 1, event: Event::Finished(finished) };
        let text = serde_json::to_string(&line).expect("plain data");
        assert_eq!(
            text,
            r#"{"seq":3,"at_ms":1,"event":"finished","step":9,"heldout_loss":0.5,"accuracy":0.8,"step_seconds":0.01,"state_hash":"ab"}"#
        );
        assert_eq!(parse_line(&text).expect("its own output"), line);
    }

    #[test]
    fn a_trainer_has_to_say_little() {
        let minimal = r#"{"event": "finished", "heldout_loss": 1.5}"#;
        let Event::Finished(finished) = parse_line(minimal).expect("enough").event else { panic!("{minimal}") };
        assert_eq!((finished.heldout_loss.nats(), finished.step, finished.accuracy), (1.5, 0, None));
        let failed = parse_line(r#"{"event": "failed", "message": "no luck"}"#).expect("enough").event;
        assert_eq!(failed, Event::Failed { class: Failure::Code, message: "no luck".to_owned() });
        let preempted = parse_line(r#"{"event": "preempted", "step": 7, "mood": "good"}"#).expect("enough").event;
        assert_eq!(preempted, Event::Preempted { step: 7 });
    }

    #[test]
    fn newer_kinds_and_garbage_are_refused() {
        for text in [
            r#"{"seq":3,"at_ms":1,"event":"sang","song":"la"}"#,
            r#"{"seq":3,"at_ms":1,"event":"checkpoint"}"#,
            r#"{"seq":3,"at_ms":1,"event":"evaluated","step":1,"loss":null,"accuracy":0.5}"#,
            "{\"seq\":",
        ] {
            assert!(parse_line(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = parse_line(&text);
        }
    }
}
