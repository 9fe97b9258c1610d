//! GPUs of this machine, by NVIDIA's management library. A machine without it has no GPUs, which is never an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;

/// A GPU that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// As CUDA_VISIBLE_DEVICES names it: its UUID, or what was inherited where that is all that is known.
    pub name: String,
    /// The product, for people.
    pub product: Option<String>,
    /// Bytes of its memory.
    pub memory: Option<u64>,
}

/// The GPUs that this process may use: all of the machine, or those of an inherited CUDA_VISIBLE_DEVICES, in its order. What was
/// inherited is never widened.
pub fn usable() -> Vec<Gpu> {
    let inherited = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    select(&all(), inherited.as_deref())
}

/// All GPUs of the machine, in the order of CUDA with CUDA_DEVICE_ORDER=PCI_BUS_ID, which is that of the management library.
fn all() -> Vec<Gpu> {
    let Ok(nvml) = Nvml::init() else { return Vec::new() };
    let count = nvml.device_count().unwrap_or(0);
    let gpu = |index| {
        let device = nvml.device_by_index(index).ok()?;
        let memory = device.memory_info().ok().map(|memory| memory.total);
        Some(Gpu { name: device.uuid().ok()?, product: device.name().ok(), memory })
    };
    (0..count).filter_map(gpu).collect()
}

/// The GPUs that `inherited` names, as CUDA reads it: numbers, UUIDs or their beginnings; what follows the first that there is not
/// does not count, and neither does a repetition.
fn select(all: &[Gpu], inherited: Option<&str>) -> Vec<Gpu> {
    let Some(inherited) = inherited else { return all.to_vec() };
    let mut found: Vec<Gpu> = Vec::new();
    for word in inherited.split(',').map(str::trim) {
        let gpu = match word.parse::<i64>() {
            Ok(number) if number < 0 => break,
            // Without the library the numbers are all that is known.
            Ok(_) if all.is_empty() => Some(Gpu { name: word.to_owned(), product: None, memory: None }),
            Ok(number) => all.get(number as usize).cloned(),
            Err(_) if word.is_empty() => None,
            Err(_) if all.is_empty() => Some(Gpu { name: word.to_owned(), product: None, memory: None }),
            Err(_) => {
                let mut named = all.iter().filter(|gpu| gpu.name.starts_with(word));
                named.next().filter(|_| named.next().is_none()).cloned()
            }
        };
        let Some(gpu) = gpu else { break };
        if found.iter().any(|one| one.name == gpu.name) {
            return Vec::new();
        }
        found.push(gpu);
    }
    found
}

/// Bytes that may be in use on a GPU nobody computes on: driver and display take some.
const QUIET: u64 = 1 << 30;

/// How often GPUs are asked who uses them.
const ASK_WHO: Duration = Duration::from_secs(5);

/// How long the memory of a process that has ended may take to be free.
const COOLING: Duration = Duration::from_secs(10);

/// Tells which GPUs nothing is to start on now: others compute there, or the memory of what has ended is not free yet.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    nvml: Option<Nvml>,
    names: Vec<String>,
    /// Whether GPUs on which others compute are left alone.
    skip_busy: bool,
    asked: Option<Instant>,
    /// GPUs on which an attempt has ended, and when.
    cooling: BTreeMap<usize, Instant>,
}

/// What the library says of a GPU.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Processes that compute there and are not ours.
    has_foreign: bool,
    /// Whether any process shows; those outside of a container do not, but their memory does.
    has_processes: bool,
    used: u64,
}

impl Seen {
    fn is_busy(self, ours: bool, skip_busy: bool, is_cooling: bool) -> bool {
        let is_full = !ours && self.used > QUIET;
        skip_busy && (self.has_foreign || is_full && !self.has_processes) || is_cooling && is_full
    }
}

impl Watch {
    /// Watches the GPUs with these names.
    pub(crate) fn new(names: Vec<String>, skip_busy: bool) -> Watch {
        let nvml = if names.is_empty() { None } else { Nvml::init().ok() };
        Watch { nvml, names, skip_busy, ..Watch::default() }
    }

    /// An attempt on these GPUs has ended.
    pub(crate) fn ended(&mut self, gpus: &[usize]) {
        if self.nvml.is_some() {
            self.cooling.extend(gpus.iter().map(|gpu| (*gpu, Instant::now())));
            self.asked = None;
        }
    }

    /// Which GPUs nothing is to start on, where it is time to ask. `has_ours`: whether an attempt of ours is at work on a GPU;
    /// `is_ours`: whether a process belongs to one.
    pub(crate) fn look(
        &mut self,
        has_ours: impl Fn(usize) -> bool,
        is_ours: impl Fn(u32) -> bool,
    ) -> Option<BTreeSet<usize>> {
        let nvml = self.nvml.as_ref()?;
        let is_due = self.asked.is_none_or(|asked| self.skip_busy && asked.elapsed() >= ASK_WHO);
        if !is_due && self.cooling.is_empty() {
            return None;
        }
        self.asked = Some(Instant::now());
        let mut busy = BTreeSet::new();
        let mut still_full = BTreeSet::new();
        for (index, name) in self.names.iter().enumerate() {
            let Ok(device) = nvml.device_by_uuid(name.as_str()) else { continue };
            let processes = device.running_compute_processes().unwrap_or_default();
            let seen = Seen {
                has_foreign: processes.iter().any(|process| !is_ours(process.pid)),
                has_processes: !processes.is_empty(),
                used: device.memory_info().map_or(0, |memory| memory.used),
            };
            let is_cooling = self.cooling.get(&index).is_some_and(|ended| ended.elapsed() < COOLING);
            if seen.is_busy(has_ours(index), self.skip_busy, is_cooling) {
                busy.insert(index);
                still_full.insert(index);
            }
        }
        self.cooling.retain(|index, ended| still_full.contains(index) && ended.elapsed() < COOLING);
        Some(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<Gpu> {
        let gpu = |name: &str| Gpu { name: name.to_owned(), product: None, memory: Some(1) };
        vec![gpu("GPU-aa11"), gpu("GPU-aa22"), gpu("GPU-bb33")]
    }

    #[track_caller]
    fn check(inherited: Option<&str>, wanted: &[&str]) {
        let names: Vec<String> = select(&machine(), inherited).into_iter().map(|gpu| gpu.name).collect();
        assert_eq!(names, wanted, "{inherited:?}");
    }

    #[test]
    fn what_was_inherited_is_never_widened() {
        check(None, &["GPU-aa11", "GPU-aa22", "GPU-bb33"]);
        check(Some(""), &[]);
        check(Some("2, 0"), &["GPU-bb33", "GPU-aa11"]);
        check(Some("GPU-b,GPU-aa22"), &["GPU-bb33", "GPU-aa22"]);
        check(Some("1,-1,0"), &["GPU-aa22"]);
        check(Some("0,7,1"), &["GPU-aa11"]);
        // The beginning of two names, and the same twice: CUDA shows nothing of it.
        check(Some("GPU-a"), &[]);
        check(Some("0,0"), &[]);
    }

    #[test]
    fn without_the_library_names_are_taken_as_they_are() {
        let names: Vec<String> = select(&[], Some("0,GPU-x")).into_iter().map(|gpu| gpu.name).collect();
        assert_eq!(names, ["0", "GPU-x"]);
        assert_eq!(select(&[], None), []);
    }

    #[test]
    fn a_gpu_is_busy_with_others_or_with_what_has_just_ended() {
        let full = Seen { has_foreign: false, has_processes: false, used: 2 * QUIET };
        let quiet = Seen { used: QUIET / 2, ..full };
        let foreign = Seen { has_foreign: true, has_processes: true, ..quiet };
        // In a container our own process shows as memory only.
        assert!(!full.is_busy(true, true, false));
        assert!(full.is_busy(false, true, false) && !full.is_busy(false, false, false));
        assert!(full.is_busy(false, false, true) && !quiet.is_busy(false, true, true));
        assert!(foreign.is_busy(true, true, false) && !foreign.is_busy(false, false, true));
    }

    #[test]
    fn where_there_is_no_library_nothing_is_busy() {
        let mut watch = Watch::new(Vec::new(), true);
        watch.ended(&[0]);
        assert_eq!(watch.look(|_| false, |_| false), None);
    }
}
