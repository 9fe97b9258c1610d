//! What Slurm's commands print, as values. Lines that are not understood are passed over: they are about jobs of others.

use std::fmt;
use std::str::FromStr;

use super::state::{Verdict, verdict};

/// One task of a batch: known before it is submitted, and never the name of another one, unlike Slurm's numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The batch, which is also the name of the job in Slurm.
    pub batch: String,
    /// Number of the task in it, from 0.
    pub task: u32,
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.batch, self.task)
    }
}

/// A text that names no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no job of a batch")]
pub struct NoJob(String);

impl FromStr for JobId {
    type Err = NoJob;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once('/').filter(|(batch, _)| is_name(batch));
        let job = parts.and_then(|(batch, task)| Some(JobId { batch: batch.to_owned(), task: task.parse().ok()? }));
        job.filter(|job| job.to_string() == text).ok_or_else(|| NoJob(text.to_owned()))
    }
}

/// Whether `batch` can be the name of a job and of a folder.
pub(crate) fn is_name(batch: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    batch.len() <= 200 && batch.starts_with(|c: char| c.is_ascii_alphanumeric()) && batch.chars().all(letters)
}

/// What Slurm says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Where it stands.
    pub verdict: Verdict,
    /// Slurm's number for its array, for `scancel`.
    pub array: u64,
    /// The node it runs on, or ran on last.
    pub node: Option<String>,
    /// Why it waits or ended, in Slurm's words; empty where there is nothing to say.
    pub reason: String,
    /// Seconds that it has worked, or did.
    pub seconds: f64,
}

/// The number of a new job, as `sbatch --parsable` prints it: with the cluster behind a semicolon where there are several.
pub(crate) fn submitted(text: &str) -> Option<u64> {
    text.trim().split(';').next()?.parse().ok()
}

/// What `squeue --Format` is asked for; a name may hold anything, so it comes last.
pub(crate) const QUEUE_FORMAT: &str =
    "ArrayJobID:|,ArrayTaskID:|,State:|,exit_code:|,RestartCnt:|,BatchHost:|,Reason:|,TimeUsed:|,Name:|";

/// The jobs in the reply of `squeue`.
pub(crate) fn queue(text: &str) -> Vec<(JobId, Status)> {
    text.lines().filter_map(queued).collect()
}

fn queued(line: &str) -> Option<(JobId, Status)> {
    let mut fields = line.splitn(9, '|').map(str::trim);
    let mut next = || fields.next();
    let array = next()?.parse().ok()?;
    let task = next()?.parse().ok()?;
    let state = next()?;
    let status = next()?.parse().unwrap_or(0);
    let restarts = next()?.parse().unwrap_or(0);
    let node = Some(next()?).filter(|node| !matches!(*node, "" | "n/a" | "N/A" | "(null)")).map(str::to_owned);
    let reason = Some(next()?).filter(|reason| *reason != "None").unwrap_or_default().to_owned();
    let seconds = seconds(next()?).unwrap_or(0.0);
    let batch = next()?.strip_suffix('|')?;
    let status = Status { verdict: verdict(state, status, restarts), array, node, reason, seconds };
    is_name(batch).then(|| (JobId { batch: batch.to_owned(), task }, status))
}

/// A time as Slurm prints it: `3:07`, `1:03:07` or `2-01:03:07`.
fn seconds(text: &str) -> Option<f64> {
    let (days, rest) = text.split_once('-').unwrap_or(("0", text));
    let clock = rest.split(':').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>()?;
    let seconds = clock.iter().fold(0.0, |sum, part| 60.0 * sum + f64::from(*part));
    Some(86_400.0 * f64::from(days.parse::<u32>().ok()?) + seconds)
}

/// What `sacct --format` is asked for, with `--parsable2`.
pub(crate) const ACCOUNTING_FORMAT: &str = "JobID,State,ExitCode,NodeList,ElapsedRaw,JobName";

/// The jobs in the reply of `sacct`.
pub(crate) fn accounting(text: &str) -> Vec<(JobId, Status)> {
    text.lines().filter_map(accounted).collect()
}

fn accounted(line: &str) -> Option<(JobId, Status)> {
    let mut fields = line.splitn(6, '|').map(str::trim);
    let mut next = || fields.next();
    let (array, task) = next()?.split_once('_')?;
    let (array, task) = (array.parse().ok()?, task.parse().ok()?);
    let state = next()?;
    let (code, signal) = next()?.split_once(':')?;
    let status = (code.parse::<i32>().ok()? & 0xff) << 8 | signal.parse::<i32>().ok()? & 0x7f;
    let node = Some(next()?).filter(|node| !node.is_empty() && *node != "None assigned").map(str::to_owned);
    let seconds = next()?.parse().unwrap_or(0.0);
    let batch = next()?;
    let status = Status { verdict: verdict(state, status, 0), array, node, reason: String::new(), seconds };
    is_name(batch).then(|| (JobId { batch: batch.to_owned(), task }, status))
}

/// What a cluster allows, from `scontrol show config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slurm's version.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// One more than the largest index of an array.
    pub max_array: u32,
    /// Seconds for which a job that has ended stays in the queue.
    pub min_job_age: u32,
    /// Seconds between asking a job to end and killing it.
    pub kill_wait: u32,
    /// Whether `sacct` knows of jobs that have left the queue.
    pub accounting: bool,
}

/// The limits in the reply of `scontrol show config`.
pub(crate) fn limits(text: &str) -> Limits {
    let value = |key: &str| {
        let line = |line: &'_ str| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        };
        text.lines().find_map(line)
    };
    let number = |key: &str, usual: u32| {
        let first = value(key).and_then(|value| value.split_whitespace().next().and_then(|word| word.parse().ok()));
        first.unwrap_or(usual)
    };
    let storage = value("AccountingStorageType").unwrap_or_default();
    Limits {
        version: value("SLURM_VERSION").unwrap_or_else(|| "of unknown version".to_owned()),
        cluster: value("ClusterName").unwrap_or_else(|| "unnamed".to_owned()),
        max_array: number("MaxArraySize", 1001),
        min_job_age: number("MinJobAge", 300),
        kill_wait: number("KillWait", 30),
        accounting: storage.contains("slurmdbd"),
    }
}

/// Parts of what `sbatch` says when it may take the same jobs later: a limit on how many there may be, or nobody who listens.
const NOT_NOW: [&str; 22] = [
    "Job violates",
    "MaxSubmit",
    "MaxJobs",
    "GrpSubmit",
    "GrpJobs",
    "Unable to contact slurm controller",
    "Unable to connect",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "No route to host",
    "Communication connection failure",
    "Zero Bytes were transmitted",
    "Socket timed out",
    "temporarily un",
    "standby mode",
    "not responding",
    "Munge encode failed",
    "Protocol authentication error",
    "Required partition not available",
    "Requested partition configuration not available now",
    "Required node not available",
];

/// Whether what `sbatch` said is no reason to give up.
pub(crate) fn is_not_now(said: &str) -> bool {
    let said = said.to_lowercase();
    NOT_NOW.iter().any(|part| said.contains(&part.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::super::state::Cause;
    use super::*;
    use proptest::prelude::*;

    fn job(batch: &str, task: u32) -> JobId {
        JobId { batch: batch.to_owned(), task }
    }

    #[test]
    fn a_new_job_has_a_number() {
        assert_eq!(submitted("17\n"), Some(17));
        assert_eq!(submitted("17;cluster\n"), Some(17));
        assert_eq!(submitted("Submitted batch job 17\n"), None);
        assert_eq!(submitted(""), None);
    }

    #[test]
    fn the_queue_is_read_and_other_jobs_are_passed_over() {
        // As Slurm 22.05 prints it.
        let text = "1|N/A|COMPLETED|0|0|localhost|None|0:00|true|\n\
                    2|0|FAILED|768|0|n1|NonZeroExitCode|1:03|scalelaw-a|\n\
                    2|1|PENDING|0|0|n/a|Resources|0:00|scalelaw-a|\n\
                    5|0|PENDING|0|0|n/a|None|INVALID|a job | of somebody|\n\
                    slurm_load_jobs error: Invalid job id specified\n\n";
        let failed = Status {
            verdict: Verdict::Ended(Cause::Exited(3)),
            array: 2,
            node: Some("n1".to_owned()),
            reason: "NonZeroExitCode".to_owned(),
            seconds: 63.0,
        };
        let reason = "Resources".to_owned();
        let waiting = Status { verdict: Verdict::Waiting, array: 2, node: None, reason, seconds: 0.0 };
        assert_eq!(queue(text), [(job("scalelaw-a", 0), failed), (job("scalelaw-a", 1), waiting)]);
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("0:00", Some(0.0)),
            ("1:02:03", Some(3723.0)),
            ("2-00:00:01", Some(172_801.0)),
            ("INVALID", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn the_accounting_is_read() {
        let text = "7_0|COMPLETED|0:0|n1|9|scalelaw-a\n7_1|CANCELLED by 0|0:15|n2|2|scalelaw-a\n7_2|FAILED|75:0|n2|0|scalelaw-a\n\
                    7_[3-9]|PENDING|0:0|None assigned|0|scalelaw-a\n8|COMPLETED|0:0|n1|1|other\n";
        let read = accounting(text);
        let verdicts: Vec<Verdict> = read.iter().map(|(_, status)| status.verdict).collect();
        let ended = [Cause::Exited(0), Cause::Cancelled, Cause::Exited(75)].map(Verdict::Ended);
        assert_eq!(verdicts, ended);
        assert_eq!(read[1].0, job("scalelaw-a", 1));
        assert_eq!(read[1].1.node.as_deref(), Some("n2"));
        assert_eq!(read[0].1.seconds, 9.0);
    }

    #[test]
    fn limits_are_read_and_have_defaults() {
        let text = "Configuration data as of 2026-01-01T00:00:00\nAccountingStorageType   = accounting_storage/slurmdbd\n\
                    ClusterName             = c\nKillWait                = 30 sec\nMaxArraySize            = 5\n\
                    MinJobAge               = 300 sec\nSLURM_VERSION           = 22.05.8\n";
        let expected = Limits {
            version: "22.05.8".to_owned(),
            cluster: "c".to_owned(),
            max_array: 5,
            min_job_age: 300,
            kill_wait: 30,
            accounting: true,
        };
        assert_eq!(limits(text), expected);
        assert_eq!((limits("").max_array, limits("").accounting), (1001, false));
    }

    #[test]
    fn limits_and_silence_are_told_from_mistakes() {
        for said in [
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy \
             (job submit limit, user's size and/or time limits)",
            "sbatch: error: AssocMaxSubmitJobLimit",
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
            "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        ] {
            assert!(is_not_now(said), "{said}");
        }
        for said in [
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            "sbatch: unrecognized option '--nope'",
            "",
        ] {
            assert!(!is_not_now(said), "{said}");
        }
    }

    proptest! {
        #[test]
        fn a_job_reads_as_it_is_written(batch in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,40}", task in any::<u32>()) {
            let job = JobId { batch, task };
            prop_assert_eq!(job.to_string().parse::<JobId>(), Ok(job));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "[0-9a-zA-Z_|:/;= \n-]{0,200}|\\PC{0,100}") {
            queue(&text);
            seconds(&text);
            accounting(&text);
            limits(&text);
            submitted(&text);
            if let Ok(job) = text.parse::<JobId>() {
                prop_assert_eq!(job.to_string(), text);
            }
        }

        /// Whatever the columns hold, a line is about the job that it names or about none.
        #[test]
        fn a_line_of_the_queue_is_read_whole(
            array in any::<u64>(), task in any::<u32>(), state in "[A-Z_]{1,20}", status in any::<u16>(), reason in "[A-Za-z() ,]{0,30}"
        ) {
            let line = format!("{array}|{task}|{state}|{status}|0|n1|{reason}|1:00|scalelaw-x|");
            let read = queue(&line);
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(&read[0].0, &job("scalelaw-x", task));
            prop_assert_eq!(read[0].1.array, array);
            prop_assert_eq!(read[0].1.verdict, verdict(&state, i32::from(status), 0));
        }
    }
}
