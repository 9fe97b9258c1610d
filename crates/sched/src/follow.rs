//! Reading a journal that is still being written. A line without its end is not an error, it is a line to come.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use spec::journal::{Event, JOURNAL_SCHEMA, Line, parse_line};
use spec::run::RunId;

/// What has been added to a journal.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Added {
    pub(crate) lines: Vec<Line>,
    /// Where the next reading begins.
    pub(crate) end: u64,
    /// What is wrong with the first line that was not understood; kinds of a newer version are no mistake.
    pub(crate) mistake: Option<String>,
}

impl Added {
    /// Why these lines are not of this attempt, where they say so themselves.
    pub(crate) fn foreign(&self, run: RunId, attempt: u32) -> Option<String> {
        self.lines.iter().find_map(|line| match line.event {
            Event::Header { schema, .. } if schema > JOURNAL_SCHEMA => {
                Some(format!("it has the form {schema}, and this version reads up to {JOURNAL_SCHEMA}"))
            }
            Event::Header { run_id, attempt: other, .. } if (run_id, other) != (run, attempt) => {
                Some(format!("its header is of attempt {other} on run {run_id}, so nothing of it counts"))
            }
            _ => None,
        })
    }

    /// The line after which none follows.
    pub(crate) fn last(&self) -> Option<&Event> {
        self.lines.iter().map(|line| &line.event).rfind(|event| event.is_last())
    }
}

/// The complete lines of the journal from byte `from` on. A journal that is not there yet is empty; lines that are not
/// understood are passed over.
pub(crate) fn read(path: &Path, from: u64) -> std::io::Result<Added> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Added { end: from, ..Added::default() }),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let complete = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = content[..complete].split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut added = Added { end: from + complete as u64, ..Added::default() };
    for text in lines.filter(|line| !line.is_empty()) {
        match parse_line(text) {
            Ok(line) => added.lines.push(line),
            Err(error) if added.mistake.is_none() && !error.to_string().starts_with("unknown variant") => {
                let beginning: String = text.chars().take(60).collect();
                added.mistake = Some(format!("`{beginning}` is not understood: {error}"));
            }
            Err(_) => {}
        }
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_torn_line_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.jsonl");
        assert_eq!(read(&path, 0).expect("missing is empty"), Added::default());
        let mut file = File::create(&path).expect("writable");
        file.write_all(b"{\"seq\":0,\"at_ms\":1,\"event\":\"heartbeat\",\"step\":1}\n{\"seq\":1,\"at_ms\"")
            .expect("space");
        let first = read(&path, 0).expect("readable");
        assert_eq!(first.lines.len(), 1);
        assert_eq!(read(&path, first.end).expect("readable"), Added { end: first.end, ..Added::default() });
        file.write_all(b":2,\"event\":\"preempted\",\"step\":2}\nnonsense\n").expect("space");
        let second = read(&path, first.end).expect("readable");
        assert_eq!(second.last(), Some(&Event::Preempted { step: 2 }));
        assert_eq!(second.lines.len(), 1);
        assert!(second.mistake.expect("nonsense is none").starts_with("`nonsense` is not understood"));
    }

    #[test]
    fn what_somebody_else_has_written_is_told_and_newer_kinds_are_no_mistake() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.jsonl");
        let header = r#"{"event":"header","schema":1,"run_id":"00000000000000aa","attempt":2,"pid":1,"host":"h"}"#;
        std::fs::write(&path, format!("{header}\n{{\"event\":\"sang\",\"song\":\"la\"}}\n")).expect("writable");
        let added = read(&path, 0).expect("readable");
        let run = |text: &str| text.parse().expect("16 digits");
        assert_eq!((added.foreign(run("00000000000000aa"), 2), &added.mistake), (None, &None));
        assert!(
            added.foreign(run("00000000000000aa"), 3).is_some() && added.foreign(run("00000000000000ab"), 2).is_some()
        );
    }
}
