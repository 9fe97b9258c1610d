//! Writing the journal of an attempt: one line at a time, whole or not at all as far as a reader can tell.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use spec::journal::{Event, Line};

use crate::TrainError;

/// The journal of this attempt. Shared with the thread that writes heartbeats.
pub struct Journal {
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    seq: u64,
    /// Bytes of whole lines.
    len: u64,
}

impl Journal {
    /// Begins the journal at `path`, which must not exist: an attempt number is used once.
    pub fn create(path: &Path) -> Result<Journal, TrainError> {
        let file = OpenOptions::new().append(true).create_new(true).open(path);
        let file = file.map_err(|source| TrainError::Io { what: format!("creating {}", path.display()), source })?;
        Ok(Journal { inner: Mutex::new(Inner { file, seq: 0, len: 0 }) })
    }

    /// Appends one event. Results, checkpoints and the end reach the disk before this returns; progress and heartbeats
    /// may be lost with the power. A line that cannot be written whole, because the disk is full, is taken back: the
    /// next one must not be appended to half a line.
    pub fn write(&self, event: Event) -> Result<(), TrainError> {
        let durable = !matches!(event, Event::Progress { .. } | Event::Heartbeat { .. });
        // A thread that panicked while writing leaves at worst a torn line, which readers know how to meet.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let line = Line { seq: inner.seq, at_ms, event };
        let io = |source| TrainError::Io { what: "writing the journal".to_owned(), source };
        let mut text = serde_json::to_vec(&line).map_err(|error| io(error.into()))?;
        text.push(b'\n');
        if let Err(error) = inner.file.write_all(&text) {
            // Nobody has read half a line. Where even this fails, readers pass over what they do not understand.
            let _ = inner.file.set_len(inner.len);
            return Err(io(error));
        }
        inner.seq += 1;
        inner.len += text.len() as u64;
        if durable {
            inner.file.sync_data().map_err(io)?;
        }
        Ok(())
    }
}
