//! Devices and who is on them: where a run may go, and how long each device and each attempt was at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spec::run::RunId;

/// What one run at a time computes on, or several where they are small.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// As people and CUDA know it: a GPU's UUID, `cpu0` for a share of the cores.
    pub name: String,
    /// Bytes that runs may fill; `None` where that is not known.
    pub memory: Option<u64>,
    /// Runs at the same time.
    pub runs: u32,
    /// Whether its idle time is ours: false for a place in a queue that costs nothing while it is empty.
    pub held: bool,
}

/// Seconds of one device since the scheduler began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// With an attempt on it.
    pub busy: f64,
    /// Held without one.
    pub idle: f64,
}

/// The devices and what is on them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    devices: Vec<Device>,
    /// Runs on each device, with their memory.
    on: Vec<BTreeMap<RunId, u64>>,
    /// Runs on several devices, which share none.
    wide: BTreeSet<RunId>,
    /// Taken by somebody else.
    busy: BTreeSet<usize>,
    /// Places for what was taken over; nothing else starts there.
    extra: BTreeSet<usize>,
    uses: Vec<Use>,
    billed: BTreeMap<RunId, f64>,
    /// Attempts whose time counts; one that waits in a cluster's queue costs nothing yet.
    counting: BTreeSet<RunId>,
    at: Duration,
}

impl Pool {
    pub(super) fn new(devices: Vec<Device>) -> Pool {
        let count = devices.len();
        Pool {
            devices,
            on: vec![BTreeMap::new(); count],
            wide: BTreeSet::new(),
            busy: BTreeSet::new(),
            extra: BTreeSet::new(),
            uses: vec![Use::default(); count],
            billed: BTreeMap::new(),
            counting: BTreeSet::new(),
            at: Duration::ZERO,
        }
    }

    pub(super) fn devices(&self) -> &[Device] {
        &self.devices
    }

    pub(super) fn uses(&self) -> impl Iterator<Item = (&str, Use)> {
        self.devices.iter().map(|device| device.name.as_str()).zip(self.uses.iter().copied())
    }

    pub(super) fn runs_on(&self, device: usize) -> impl Iterator<Item = RunId> {
        self.on.get(device).into_iter().flat_map(|on| on.keys().copied())
    }

    pub(super) fn set_busy(&mut self, busy: BTreeSet<usize>) {
        self.busy = busy;
    }

    /// Devices for a run that needs `count` of them with `memory` bytes each, none of them among `shunned`; the emptiest first.
    ///
    /// An empty device takes any run: the memory of a run is an estimate, and a run that is alone may be right where the
    /// estimate is wrong. Several runs share one only where their estimates fit. A run on several devices shares none.
    pub(super) fn place(&self, count: u32, memory: u64, shunned: &BTreeSet<usize>) -> Option<Vec<usize>> {
        let fits = |index: &usize| {
            let (device, on) = (&self.devices[*index], &self.on[*index]);
            if on.is_empty() {
                return true;
            }
            let full = on.len() as u32 >= device.runs || on.keys().any(|run| self.wide.contains(run));
            let free = device.memory.is_none_or(|all| on.values().sum::<u64>().saturating_add(memory) <= all);
            count == 1 && !full && free
        };
        let usable = |index: &usize| self.is_usable(*index, shunned);
        let mut free: Vec<usize> = (0..self.devices.len()).filter(|index| usable(index) && fits(index)).collect();
        free.sort_by_key(|index| (self.on[*index].len(), *index));
        free.truncate(count as usize);
        (free.len() == count as usize).then_some(free)
    }

    fn is_usable(&self, index: usize, shunned: &BTreeSet<usize>) -> bool {
        !shunned.contains(&index) && !self.busy.contains(&index) && !self.extra.contains(&index)
    }

    /// Places in a cluster's queue that take one run, which is there already, and none after it.
    pub(super) fn add_places_of_one(&mut self, count: u32) -> Vec<usize> {
        let new: Vec<usize> = (0..count as usize).map(|index| self.devices.len() + index).collect();
        for index in &new {
            self.devices.push(Device { name: format!("slurm{index}"), memory: None, runs: 1, held: false });
            self.on.push(BTreeMap::new());
            self.uses.push(Use::default());
            self.extra.insert(*index);
        }
        new
    }

    /// Whether any device takes one more run, as far as their number goes.
    pub(super) fn has_room(&self, shunned: &BTreeSet<usize>) -> bool {
        (0..self.devices.len())
            .filter(|index| self.is_usable(*index, shunned))
            .any(|index| (self.on[index].len() as u32) < self.devices[index].runs.max(1))
    }

    /// Whether a run on `count` devices could ever be placed while those among `shunned` are out of use.
    pub(super) fn could_place(&self, count: u32, shunned: &BTreeSet<usize>) -> bool {
        (0..self.devices.len()).filter(|index| !shunned.contains(index) && !self.extra.contains(index)).count()
            >= count as usize
    }

    pub(super) fn put(&mut self, run: RunId, memory: u64, devices: &[usize]) {
        for index in devices {
            self.on[*index].insert(run, memory);
        }
        if devices.len() > 1 {
            self.wide.insert(run);
        }
        self.billed.insert(run, 0.0);
        if devices.iter().all(|index| self.devices[*index].held) {
            self.counting.insert(run);
        }
    }

    /// The attempt on `run` really works now, and has for `seconds`, which is what each of its devices is billed so far.
    pub(super) fn count(&mut self, run: RunId, seconds: f64) {
        let Some(billed) = self.billed.get_mut(&run) else { return };
        let devices: Vec<usize> = (0..self.on.len()).filter(|index| self.on[*index].contains_key(&run)).collect();
        let missing = seconds * devices.len() as f64 - *billed;
        *billed += missing;
        for index in &devices {
            self.uses[*index].busy += missing / devices.len() as f64;
        }
        self.counting.insert(run);
    }

    /// Takes a run off its devices and returns the device seconds that it is billed.
    pub(super) fn take_off(&mut self, run: RunId, devices: &[usize]) -> f64 {
        for index in devices {
            self.on[*index].remove(&run);
        }
        self.wide.remove(&run);
        self.counting.remove(&run);
        self.billed.remove(&run).unwrap_or(0.0)
    }

    /// Device seconds of an attempt that works.
    pub(super) fn billed(&self, run: RunId) -> f64 {
        self.billed.get(&run).copied().unwrap_or(0.0)
    }

    /// Lets the time pass up to `now`: each device divides it among the attempts on it, so that nothing is billed twice and what
    /// attempts are billed adds up to what devices were busy.
    pub(super) fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        for (index, on) in self.on.iter().enumerate() {
            let counting: Vec<RunId> = on.keys().filter(|run| self.counting.contains(run)).copied().collect();
            if counting.is_empty() {
                self.uses[index].idle += if self.devices[index].held { passed } else { 0.0 };
                continue;
            }
            self.uses[index].busy += passed;
            for run in &counting {
                *self.billed.entry(*run).or_default() += passed / counting.len() as f64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(number: u64) -> RunId {
        format!("{number:016x}").parse().expect("16 digits")
    }

    fn gpu(memory: u64, runs: u32) -> Device {
        Device { name: "gpu".to_owned(), memory: Some(memory), runs, held: true }
    }

    #[test]
    fn small_runs_share_a_device_as_far_as_their_memory_fits() {
        let mut pool = Pool::new(vec![gpu(10, 3), gpu(10, 3)]);
        let none = BTreeSet::new();
        for (number, wanted) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            let found = pool.place(1, 4, &none).expect("room");
            assert_eq!(found, [wanted]);
            pool.put(run(number), 4, &found);
        }
        assert_eq!(pool.place(1, 4, &none), None, "8 of 10 bytes are taken on both");
        assert_eq!(pool.place(1, 2, &none), Some(vec![0]));
        assert_eq!(pool.place(2, 1, &none), None, "a run on several devices shares none");
        pool.take_off(run(0), &[0]);
        pool.take_off(run(2), &[0]);
        assert_eq!(pool.place(1, 99, &none), Some(vec![0]), "alone, a run may be larger than its estimate");
        assert_eq!(pool.place(1, 99, &BTreeSet::from([0])), None);
    }

    #[test]
    fn a_clusters_clock_corrects_what_is_billed() {
        let places = (0..2).map(|_| Device { memory: None, held: false, ..gpu(0, 1) }).collect();
        let mut pool = Pool::new(places);
        pool.put(run(0), 1, &[0, 1]);
        pool.advance(Duration::from_secs(10));
        assert_eq!(pool.billed(run(0)), 0.0, "it waits in the queue");
        pool.count(run(0), 4.0);
        assert_eq!(pool.billed(run(0)), 8.0, "four seconds on each of two");
        pool.advance(Duration::from_secs(15));
        assert_eq!(pool.billed(run(0)), 18.0);
        pool.count(run(0), 7.0);
        assert_eq!(pool.take_off(run(0), &[0, 1]), 14.0, "it had ended before that was seen");
        pool.count(run(0), 9.0);
        let busy: f64 = pool.uses().map(|(_, used)| used.busy).sum();
        assert_eq!(busy, 14.0);
    }

    proptest! {
        /// What attempts are billed is what devices were busy; busy and idle are all the time there was.
        #[test]
        fn time_adds_up(steps in proptest::collection::vec((0..6_u64, 1..3_u32, 0..50_u64), 0..80)) {
            let mut pool = Pool::new(vec![gpu(8, 3), gpu(8, 3), gpu(8, 1)]);
            let (mut on, mut settled, mut now) = (BTreeMap::<u64, Vec<usize>>::new(), 0.0, 0);
            for (which, count, passed) in steps {
                now += passed;
                pool.advance(Duration::from_secs(now));
                if let Some(devices) = on.remove(&which) {
                    settled += pool.take_off(run(which), &devices);
                } else if let Some(devices) = pool.place(count, 2, &BTreeSet::new()) {
                    pool.put(run(which), 2, &devices);
                    on.insert(which, devices);
                }
            }
            let open: f64 = on.keys().map(|which| pool.billed(run(*which))).sum();
            let busy: f64 = pool.uses().map(|(_, used)| used.busy).sum();
            let idle: f64 = pool.uses().map(|(_, used)| used.idle).sum();
            prop_assert!((settled + open - busy).abs() < 1e-6);
            prop_assert!((busy + idle - 3.0 * now as f64).abs() < 1e-6);
        }
    }
}
