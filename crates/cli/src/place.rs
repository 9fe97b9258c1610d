//! Where things are: state folder, cache, worker, the sweep that is meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sched::StateFolder;
use serde_json::json;
use spec::run::RunId;
use store::{RunRow, Store, StoreError, SweepRow};

use crate::exit::{Failure, print};

/// The state folder, if nobody says another.
pub(crate) const USUAL_FOLDER: &str = ".scalelaw";

/// Where a command works and how it answers.
pub(crate) struct Place {
    pub(crate) state: StateFolder,
    pub(crate) json: bool,
}

impl Place {
    pub(crate) fn new(state_dir: &Path, runs_dir: Option<&Path>, json: bool) -> Place {
        Place { state: StateFolder::at(state_dir, runs_dir), json }
    }

    /// Names files that were written, on standard output.
    pub(crate) fn print_files(&self, written: &[PathBuf]) {
        let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        print(&if self.json { json!({"schema_version": 1, "files": paths}).to_string() } else { paths.join("\n") });
    }

    /// A command for a person to type, which works here.
    pub(crate) fn command(&self, rest: &str) -> String {
        let folder = self.state.path();
        let usual = folder == Path::new(USUAL_FOLDER);
        if usual { format!("`scalelaw {rest}`") } else { format!("`scalelaw --state-dir {} {rest}`", folder.display()) }
    }

    /// Opens the database to read. One of an older version is brought up to date where no scheduler works on it.
    pub(crate) async fn read(&self) -> Result<Store, Failure> {
        let database = self.state.database();
        match Store::open_to_read(&database).await {
            Err(outdated @ StoreError::Outdated(_)) => {
                let Ok(_lock) = self.state.lock() else { return Err(outdated.into()) };
                Store::open(&database).await?.close().await;
                Ok(Store::open_to_read(&database).await?)
            }
            opened => Ok(opened?),
        }
    }

    /// The sweep that is meant: by name, by its file, or the newest.
    pub(crate) async fn choose(&self, store: &Store, wanted: Option<&str>) -> Result<SweepRow, Failure> {
        let sweeps = store.sweeps().await?;
        let Some(wanted) = wanted else {
            return sweeps
                .into_iter()
                .next()
                .ok_or_else(|| Failure::usage("the database has no sweep yet; `scalelaw run SWEEP` adds one"));
        };
        let name = name_of(wanted)?;
        let names: Vec<String> = sweeps.iter().map(|sweep| sweep.name.clone()).collect();
        let found = sweeps.into_iter().find(|sweep| sweep.name == name);
        found.ok_or_else(|| {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Failure::usage(format!("no sweep {name:?} in {} (there: {known})", self.state.database().display()))
        })
    }
}

/// The runs of a sweep and, numbered on, those of further ones; a run that several have is named once, where it is wanted.
pub(crate) async fn rows(place: &Place, store: &Store, sweep: i64, with: &[String]) -> Result<Vec<RunRow>, Failure> {
    let mut rows = store.runs(sweep).await?;
    let mut places: BTreeMap<RunId, usize> = rows.iter().enumerate().map(|(place, row)| (row.run, place)).collect();
    for name in with {
        let other = place.choose(store, Some(name)).await?;
        for row in store.runs(other.sweep_id).await? {
            match places.get(&row.run).map(|place| &mut rows[*place]) {
                None => {
                    places.insert(row.run, rows.len());
                    rows.push(row);
                }
                Some(there) if row.wanted && !there.wanted => *there = row,
                Some(_) => {}
            }
        }
    }
    Ok(rows)
}

/// A sweep is called by its name, or by its file.
fn name_of(wanted: &str) -> Result<String, Failure> {
    let path = Path::new(wanted);
    if !path.is_file() {
        return Ok(wanted.to_owned());
    }
    Ok(crate::sweepfile::load(path)?.sweep.name)
}

/// The user's cache, shared by all checkouts.
pub(crate) fn cache() -> Result<PathBuf, Failure> {
    let missing = || Failure::environment("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder");
    data::fetch::user_cache().ok_or_else(missing)
}

/// The worker that is meant.
pub(crate) fn worker(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(worker) = wanted {
        // Made absolute, or a name without a slash would be looked up in PATH when it is started.
        return match std::path::absolute(worker).ok().filter(|worker| worker.is_file()) {
            Some(worker) => Ok(worker),
            None => Err(Failure::environment(format!("{}: no such worker program", worker.display()))),
        };
    }
    let own = std::env::current_exe().map_err(|error| Failure::environment(format!("cannot find myself: {error}")))?;
    let beside = own.with_file_name("scalelaw-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::environment(format!(
        "{}: no worker program there; build it with `make build`, or say where it is with --worker",
        beside.display()
    )))
}
