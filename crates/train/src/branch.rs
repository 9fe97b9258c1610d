//! Going on from the state of another run that shares the first steps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use spec::journal::{Event, parse_line};
use spec::run::{RunId, SpecFile};
use spec::trunk::{Trunk, trunks};

use crate::checkpoint::{Checkpoints, Progress};
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;

/// A state taken over.
pub(crate) struct Branched {
    /// From which run, and after how many steps.
    pub(crate) trunk: Trunk,
    pub(crate) progress: Progress,
    /// What the epochs before consisted of and what was skipped, as that run saw it: lines for the journal of this one.
    pub(crate) epochs: Vec<Event>,
}

/// Loads the state that the run `other`, whose directory lies beside `run`, keeps for others to go on from.
///
/// # Errors
/// Says why it cannot be used, in which case the parameters are as they were.
pub(crate) fn off(
    other: RunId,
    file: &SpecFile,
    run: &Path,
    parameters: &mut Parameters,
    optimizer: &mut Optimizer,
) -> Result<Branched, String> {
    let folder = run.with_file_name(other.to_string());
    let path = folder.join("spec.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let shorter: SpecFile = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let shared = trunks([&shorter.run, &file.run]).get(&file.run_id).copied();
    let Some(trunk) = shared.filter(|trunk| trunk.run == other) else {
        return Err(format!("run {other} does not share its first steps"));
    };
    // Looked up before anything is loaded.
    let draws = trunk.step * file.run.train.batch / file.run.multiplicity();
    let epochs = epochs(&folder, draws / file.run.data.train_examples, trunk.step)?;
    let progress = Checkpoints::of_trunk(&folder, other).load(trunk.step, parameters, optimizer)?;
    // The lines of progress of this run have another rhythm, and its steps are timed by itself.
    let progress = Progress { loss_sum_bits: 0, losses: 0, step_seconds: 0.0, ..progress };
    Ok(Branched { trunk, progress, epochs })
}

/// The first `closed` epochs as the journals of a run have them, and the examples that were skipped up to `step`.
fn epochs(folder: &Path, closed: u64, step: u64) -> Result<Vec<Event>, String> {
    let (mut epochs, mut skipped) = (BTreeMap::new(), BTreeMap::new());
    let attempts = fs::read_dir(folder.join("attempts")).into_iter().flatten().flatten();
    let number = |attempt: fs::DirEntry| attempt.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
    let numbers: BTreeSet<u32> = attempts.filter_map(number).collect();
    for attempt in numbers {
        let journal = folder.join("attempts").join(attempt.to_string()).join("journal.jsonl");
        let journal = fs::read_to_string(journal).unwrap_or_default();
        for line in journal.lines().filter_map(|line| parse_line(line).ok()) {
            match line.event {
                // What was skipped after the checkpoint is tried again.
                Event::Started { resumed_step, .. } => {
                    skipped.retain(|_, event| matches!(event, Event::Skipped { step, .. } if *step <= resumed_step));
                }
                Event::Epoch { epoch, .. } => {
                    epochs.insert(epoch, line.event);
                }
                Event::Skipped { step: at, epoch, example, .. } if at <= step => {
                    skipped.insert((epoch, example), line.event);
                }
                _ => {}
            }
        }
    }
    let first: Vec<Event> =
        epochs.into_iter().take_while(|(epoch, _)| *epoch < closed).map(|(_, event)| event).collect();
    if first.len() as u64 == closed {
        Ok(skipped.into_values().chain(first).collect())
    } else {
        Err(format!("{}: a journal lacks an epoch", folder.display()))
    }
}
