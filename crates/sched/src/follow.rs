//! Reading a journal that is still being written. A line without its end is not an error, it is a line to come.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use spec::journal::{Event, Line, parse_line};

/// What has been added to a journal.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Added {
    pub(crate) lines: Vec<Line>,
    /// Where the next reading begins.
    pub(crate) end: u64,
}

impl Added {
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
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Added { lines: Vec::new(), end: from }),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let complete = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = content[..complete].split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let lines = lines.filter(|line| !line.is_empty()).filter_map(|line| parse_line(line).ok()).collect();
    Ok(Added { lines, end: from + complete as u64 })
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
        assert_eq!(read(&path, first.end).expect("readable"), Added { lines: Vec::new(), end: first.end });
        file.write_all(b":2,\"event\":\"preempted\",\"step\":2}\nnonsense\n").expect("space");
        let second = read(&path, first.end).expect("readable");
        assert_eq!(second.last(), Some(&Event::Preempted { step: 2 }));
        assert_eq!(second.lines.len(), 1);
    }
}
