//! `scalelaw runs logs`: what a trainer has written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use store::Store;

use crate::args::Logs;
use crate::exit::{Failure, print, say};
use crate::place::Place;
use crate::selection;

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;

pub(crate) async fn run(place: &Place, options: &Logs) -> Result<u8, Failure> {
    let store = place.read().await?;
    let (_, run) = selection::one(&store, &options.one.run).await?;
    let run = run.run;
    let path = |attempt| {
        if options.journal { place.state.journal(run, attempt) } else { place.state.log(run, attempt) }
    };
    let Some(mut attempt) = options.attempt.or(newest(&store, run).await?.map(|(attempt, _)| attempt)) else {
        return Err(Failure::usage(format!(
            "run {run} has not started yet; `scalelaw status` says how far the sweep is"
        )));
    };
    let missing = !path(attempt).exists();
    if missing {
        return Err(Failure::usage(format!("{}: run {run} has no such attempt", path(attempt).display())));
    }
    let mut from = 0;
    loop {
        // Asked before the file is read, so that nothing written before the end is missed.
        let (last, ended) = newest(&store, run).await?.unwrap_or((attempt, true));
        let over = attempt < last || ended || !place.state.is_scheduled();
        from = copy(&path(attempt), from, over || !options.follow)?;
        if !options.follow || (over && (options.attempt.is_some() || attempt == last)) {
            return Ok(0);
        }
        if over {
            (attempt, from) = (attempt + 1, 0);
            say(&format!("attempt {attempt}"));
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Number of the newest attempt, and whether it and the run are over.
async fn newest(store: &Store, run: spec::run::RunId) -> Result<Option<(u32, bool)>, Failure> {
    let attempts = store.attempts(run).await?;
    Ok(attempts.last().map(|attempt| (attempt.attempt, attempt.ended_ms.is_some())))
}

/// Prints what the file has from `from` on, up to the last whole line, or to its `end`. Returns where it stopped.
fn copy(path: &Path, from: u64, end: bool) -> Result<u64, Failure> {
    let broken = |error: std::io::Error| Failure::environment(format!("{}: {error}", path.display()));
    let mut from = from;
    let mut file = File::open(path).map_err(broken)?;
    loop {
        file.seek(SeekFrom::Start(from)).map_err(broken)?;
        let mut piece = Vec::new();
        (&mut file).take(PIECE).read_to_end(&mut piece).map_err(broken)?;
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // A line longer than a piece is printed in parts.
        let upto = if whole > 0 {
            whole
        } else if end || piece.len() as u64 == PIECE {
            piece.len()
        } else {
            0
        };
        if upto == 0 {
            return Ok(from);
        }
        print(&String::from_utf8_lossy(&piece[..upto]));
        from += upto as u64;
    }
}
