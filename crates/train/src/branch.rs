//! Going on from the state of another run that shares the first steps.

use std::collections::BTreeMap;
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
    /// What the epochs before consisted of, as that run saw it: lines for the journal of this one.
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
    let epochs = epochs(&folder, draws / file.run.data.train_examples)?;
    let progress = Checkpoints::of_trunk(&folder, other).load(trunk.step, parameters, optimizer)?;
    // The lines of progress of this run have another rhythm, and its steps are timed by itself.
    let progress = Progress { loss_sum_bits: 0, losses: 0, step_seconds: 0.0, ..progress };
    Ok(Branched { trunk, progress, epochs })
}

/// The first `closed` epochs as the journals of a run have them.
fn epochs(folder: &Path, closed: u64) -> Result<Vec<Event>, String> {
    let mut found = BTreeMap::new();
    let attempts = fs::read_dir(folder.join("attempts")).into_iter().flatten().flatten();
    for attempt in attempts {
        let journal = fs::read_to_string(attempt.path().join("journal.jsonl")).unwrap_or_default();
        for line in journal.lines().filter_map(|line| parse_line(line).ok()) {
            if let Event::Epoch { epoch, .. } = line.event {
                found.insert(epoch, line.event);
            }
        }
    }
    let first: Vec<Event> =
        found.into_iter().take_while(|(epoch, _)| *epoch < closed).map(|(_, event)| event).collect();
    if first.len() as u64 == closed {
        Ok(first)
    } else {
        Err(format!("{}: a journal lacks an epoch", folder.display()))
    }
}
