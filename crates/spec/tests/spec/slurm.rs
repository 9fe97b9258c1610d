//! The table `[slurm]`.

use spec::document::Format;
use spec::plan::{Outcomes, Plan};
use spec::sweep::{Slurm, Sweep};

use crate::{GOOD, facts, planned, problems};

const ON_SLURM: &str = "[resources]\nexecutor = \"slurm\"\n";

#[track_caller]
fn read(tables: &str) -> Sweep {
    let text = format!("{GOOD}{tables}");
    Sweep::parse(&text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The good sweep with `tables` behind it has exactly these problems; line 17 is the first of `tables`.
#[track_caller]
fn check(tables: &str, expected: &[&str]) {
    assert_eq!(problems(&format!("{GOOD}{tables}"), Format::Toml), expected);
}

#[test]
fn the_executor_is_this_machine_unless_slurm_is_asked_for() {
    assert_eq!(read("").slurm, None);
    assert_eq!(read("[resources]\nexecutor = \"local\"\n").slurm, None);
    assert_eq!(read(ON_SLURM).slurm, Some(Slurm::default()), "defaults do without a table");
    let table = "[slurm]\npartition = \"gpu,long\"\ntime_minutes = 90\nmemory_gib = 1.5\nextra = [\"--constraint=a100|h100\", \"--exclusive\"]\n";
    let slurm = read(&format!("{ON_SLURM}{table}")).slurm.expect("asked for");
    assert_eq!((slurm.partition.as_deref(), slurm.time_minutes), (Some("gpu,long"), Some(90)));
    assert_eq!((slurm.memory_gib, slurm.signal_seconds), (Some(1.5), 120));
    assert_eq!(slurm.extra, ["--constraint=a100|h100", "--exclusive"]);
}

#[test]
fn who_starts_attempts_changes_no_run() {
    let local = planned(GOOD);
    let there: Plan =
        Plan::expand(&read(&format!("{ON_SLURM}[slurm]\nmax_jobs = 3\n")), &facts(), &Outcomes::new()).expect("a plan");
    assert_eq!(local.runs, there.runs);
}

#[test]
fn what_would_not_be_used_is_refused() {
    check("[slurm]\nmax_jobs = 3\n", &["17:1: slurm: only used with resources.executor = \"slurm\""]);
    check(
        &format!("{ON_SLURM}slots = 4\ndevice = \"cuda\"\nruns_per_gpu = 2\n"),
        &[
            "19:9: resources.slots: with executor = \"slurm\" it is slurm.max_jobs that says how many runs",
            "21:16: resources.runs_per_gpu: with executor = \"slurm\" a job has its GPUs to itself",
        ],
    );
    check(
        "[resources]\nexecutor = \"slrum\"\n",
        &["18:12: resources.executor: unknown value \"slrum\"; did you mean slurm? (allowed: local, slurm)"],
    );
}

#[test]
fn mistakes_in_the_table_are_all_told() {
    let table = "[slurm]\npartition = \"a b\"\ntime_minutes = 2\nmax_jobs = 0\npoll = 3\nextra = [\"-p x\", \"--part=x\", \"--arr=1\", \"--requeue\", \"--gres=gpu:a100:1\"]\n";
    check(
        &format!("{ON_SLURM}{table}"),
        &[
            "20:13: slurm.partition: found \"a b\", expected a name without spaces",
            "21:16: slurm.time_minutes: 2 min end before an attempt can be told to stop 120 s earlier; give more, or a smaller slurm.signal_seconds",
            "22:12: slurm.max_jobs: found 0, expected a whole number from 1 to 100000",
            "23:1: slurm.poll: unknown key (allowed: partition, account, qos, time_minutes, signal_seconds, max_jobs, poll_seconds, memory_gib, extra)",
            "24:10: slurm.extra[0]: found \"-p x\", expected one option of sbatch with its value, as in \"--constraint=a100\"",
            "24:18: slurm.extra[1]: --partition has a key of its own: slurm.partition",
            "24:30: slurm.extra[2]: --array has a key of its own: slurm.max_jobs",
            "24:41: slurm.extra[3]: --requeue is set by scalelaw, which could not find its jobs again otherwise",
        ],
    );
}
