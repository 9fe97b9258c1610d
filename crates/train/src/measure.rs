//! What an attempt takes: time and memory.

use std::time::Instant;

/// Seconds since `lap`, which is set to now.
pub(crate) fn elapsed(lap: &mut Instant) -> f64 {
    let now = Instant::now();
    let seconds = now.duration_since(*lap).as_secs_f64();
    *lap = now;
    seconds
}

/// The high-water mark of the resident memory of this process; 0 where the system does not say.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
