//! The table `[slurm]`: how attempts are submitted where Slurm starts them.

use crate::document::{Node, Place};
use crate::fields::{Fields, Problems, Range};

pub(crate) const SLURM_KEYS: [&str; 9] = [
    "partition",
    "account",
    "qos",
    "time_minutes",
    "signal_seconds",
    "max_jobs",
    "poll_seconds",
    "memory_gib",
    "extra",
];

/// How attempts are submitted to Slurm.
#[derive(Clone, Debug, PartialEq)]
pub struct Slurm {
    /// Partition, or several with commas between them; the cluster's default where it is not given.
    pub partition: Option<String>,
    /// Account that is billed.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Time limit of one attempt in minutes; the partition's where it is not given. A run may take several attempts.
    pub time_minutes: Option<u32>,
    /// Seconds before the time limit at which an attempt is told to save its state and stop.
    pub signal_seconds: u32,
    /// Jobs of this sweep in Slurm's queue at the same time, those that wait there included.
    pub max_jobs: u32,
    /// Seconds between two looks at the queue.
    pub poll_seconds: f64,
    /// Memory of one attempt in GiB; the cluster's default where it is not given.
    pub memory_gib: Option<f64>,
    /// Further options of sbatch, as in `--constraint=a100`.
    pub extra: Vec<String>,
}

impl Default for Slurm {
    fn default() -> Slurm {
        Slurm {
            partition: None,
            account: None,
            qos: None,
            time_minutes: None,
            signal_seconds: 120,
            max_jobs: 100,
            poll_seconds: 30.0,
            memory_gib: None,
            extra: Vec::new(),
        }
    }
}

/// Options of sbatch that have a key of their own here, and the key.
const KEYED: [(&str, &str); 8] = [
    ("partition", "slurm.partition"),
    ("account", "slurm.account"),
    ("qos", "slurm.qos"),
    ("time", "slurm.time_minutes"),
    ("signal", "slurm.signal_seconds"),
    ("mem", "slurm.memory_gib"),
    ("cpus-per-task", "resources.threads"),
    ("array", "slurm.max_jobs"),
];

/// Options of sbatch by which jobs are found again and kept from running twice.
const OWNED: [&str; 20] = [
    "chdir",
    "clusters",
    "dependency",
    "error",
    "export",
    "export-file",
    "get-user-env",
    "hold",
    "job-name",
    "no-requeue",
    "nodes",
    "ntasks",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "test-only",
    "uid",
    "wait",
    "wrap",
];

/// Reads the table.
pub(crate) fn read(node: &Node, problems: &mut Problems) -> Slurm {
    let fields = Fields::of(node, "slurm", &SLURM_KEYS, problems);
    let usual = Slurm::default();
    let slurm = Slurm {
        partition: word(&fields, "partition", problems),
        account: word(&fields, "account", problems),
        qos: word(&fields, "qos", problems),
        time_minutes: fields.whole("time_minutes", 1, 1_000_000, problems).map(|minutes| minutes as u32),
        signal_seconds: fields
            .whole("signal_seconds", 1, 65_535, problems)
            .map_or(usual.signal_seconds, |seconds| seconds as u32),
        max_jobs: fields.whole("max_jobs", 1, 100_000, problems).map_or(usual.max_jobs, |jobs| jobs as u32),
        poll_seconds: fields.number("poll_seconds", Range::Above0(3600.0), problems).unwrap_or(usual.poll_seconds),
        memory_gib: fields.number("memory_gib", Range::Above0(1e5), problems),
        extra: read_extra(&fields, problems),
    };
    if let Some(minutes) = slurm.time_minutes
        && u64::from(slurm.signal_seconds) >= 60 * u64::from(minutes)
    {
        let message = format!(
            "slurm.time_minutes: {minutes} min end before an attempt can be told to stop {} s earlier; give more, or a smaller \
             slurm.signal_seconds",
            slurm.signal_seconds
        );
        problems.add(fields.place_of("time_minutes"), message);
    }
    slurm
}

/// A name, which goes into an argument of sbatch.
fn word(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let text = fields.text(key, problems)?;
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("{}: found {text:?}, expected a name without spaces", fields.key_path(key));
        problems.add(fields.place_of(key), message);
    }
    Some(text)
}

fn read_extra(fields: &Fields<'_>, problems: &mut Problems) -> Vec<String> {
    if !fields.has("extra") {
        return Vec::new();
    }
    let options = fields.texts("extra", problems).unwrap_or_default();
    for (index, (option, place)) in options.iter().enumerate() {
        if let Some(wrong) = refuse(option) {
            problems.add(*place, format!("slurm.extra[{index}]: {wrong}"));
        }
    }
    options.into_iter().map(|(option, _): (String, Place)| option).collect()
}

/// What is wrong with an option, if something is.
fn refuse(option: &str) -> Option<String> {
    let name = option.strip_prefix("--").unwrap_or_default();
    let name = name.split('=').next().unwrap_or_default();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(letters) || option.contains(|c: char| c.is_control()) {
        return Some(format!(
            "found {option:?}, expected one option of sbatch with its value, as in \"--constraint=a100\""
        ));
    }
    // sbatch takes the beginning of a name for the name.
    if let Some((option, key)) = KEYED.iter().find(|(option, _)| option.starts_with(name)) {
        return Some(format!("--{option} has a key of its own: {key}"));
    }
    let owned = OWNED.iter().find(|option| option.starts_with(name));
    owned.map(|option| format!("--{option} is set by scalelaw, which could not find its jobs again otherwise"))
}
