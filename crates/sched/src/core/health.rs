//! Failures in a row: a bad device must not burn the queue, and neither must a bad sweep.

use std::collections::{BTreeMap, BTreeSet};

use spec::run::RunId;

/// Runs that failed one after the other, on each place and everywhere.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// So many runs in a row are too many for a place.
    limit: usize,
    /// So many are too many for the sweep.
    limit_of_all: usize,
    /// By device or node. The same run again is no news of the place.
    rows: BTreeMap<String, BTreeSet<RunId>>,
    all: BTreeSet<RunId>,
    quarantined: BTreeSet<String>,
}

/// A sweep gives up after so many times the failures of one place, however many places it has.
const MOST_PLACES: usize = 4;

impl Health {
    pub(super) fn new(limit: u32, places: usize) -> Health {
        let limit = limit.max(1) as usize;
        Health {
            limit,
            limit_of_all: limit * places.clamp(1, MOST_PLACES),
            rows: BTreeMap::new(),
            all: BTreeSet::new(),
            quarantined: BTreeSet::new(),
        }
    }

    pub(super) fn quarantined(&self) -> &BTreeSet<String> {
        &self.quarantined
    }

    /// A run did well on these places.
    pub(super) fn good(&mut self, places: &[String]) {
        self.all.clear();
        for place in places {
            self.rows.remove(place);
        }
    }

    /// A run failed on these places; returns those that are used no more from now on.
    pub(super) fn bad(&mut self, run: RunId, places: &[String]) -> Vec<String> {
        self.all.insert(run);
        let mut new = Vec::new();
        for place in places {
            let row = self.rows.entry(place.clone()).or_default();
            row.insert(run);
            if row.len() >= self.limit && self.quarantined.insert(place.clone()) {
                new.push(place.clone());
            }
        }
        new
    }

    /// How many runs have failed in a row, where that is too many for the sweep.
    pub(super) fn too_many(&self) -> Option<usize> {
        (self.all.len() >= self.limit_of_all).then_some(self.all.len())
    }

    /// A person says that it is mended.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.all.clear();
        self.quarantined.clear();
    }
}
