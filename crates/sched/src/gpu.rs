//! GPUs of this machine, by NVIDIA's management library. A machine without it has no GPUs, which is never an error.

use std::collections::BTreeSet;

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

/// Which of these GPUs are used by processes that `is_ours` does not know, or have more memory in use than a quiet one has.
pub fn busy(names: &[String], is_ours: impl Fn(u32) -> bool) -> BTreeSet<usize> {
    let Ok(nvml) = Nvml::init() else { return BTreeSet::new() };
    let is_busy = |name: &str| {
        let device = nvml.device_by_uuid(name).ok()?;
        let processes = device.running_compute_processes().unwrap_or_default();
        let foreign = processes.iter().any(|process| !is_ours(process.pid));
        let used = device.memory_info().map_or(0, |memory| memory.used);
        // Inside a container the processes of others do not show, but their memory does.
        Some(foreign || processes.is_empty() && used > QUIET)
    };
    names.iter().enumerate().filter(|(_, name)| is_busy(name) == Some(true)).map(|(index, _)| index).collect()
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
}
