//! A batch as Slurm gets it: the words of a task and the arguments of `sbatch`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use spec::run::RunId;
use spec::sweep::Slurm as Settings;

/// The script of every batch.
pub(crate) const SCRIPT: &str = include_str!("batch.sh");

/// Bytes of a mebibyte, Slurm's unit of memory.
const MIB: u64 = 1 << 20;

/// An attempt, as it is started on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub attempt: u32,
    /// The program, as the nodes see it.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the scheduler's environment.
    pub environment: Vec<(String, OsString)>,
    /// Where it is started; where the scheduler is, if it is not given.
    pub directory: Option<PathBuf>,
    /// The lock that it is to hold as its standard input, where it does not take it by itself.
    pub lock: Option<PathBuf>,
    /// The file that its output is appended to.
    pub log: PathBuf,
}

/// What an attempt needs; attempts of one shape are submitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Cores.
    pub cpus: u32,
    /// GPUs.
    pub gpus: u32,
    /// Memory; the cluster's default where it is not given.
    pub memory_bytes: Option<u64>,
}

/// The words of a task as `batch.sh` reads them, each with a zero byte behind.
pub(crate) fn words(task: &Task) -> std::io::Result<Vec<u8>> {
    let variables = task.environment.iter().map(|(name, value)| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(letters) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{name:?} cannot be the name of a variable")));
        }
        let mut word = OsString::from(format!("{name}="));
        word.push(value);
        Ok(word)
    });
    let variables: Vec<OsString> = variables.collect::<Result<_, _>>()?;
    let directory = task.directory.clone().unwrap_or_default();
    let lock = task.lock.clone().unwrap_or_default();
    let mut all = vec![task.log.clone().into_os_string(), directory.into_os_string(), lock.into_os_string()];
    all.extend(variables);
    all.extend([OsString::new(), task.program.clone().into_os_string()]);
    all.extend(task.arguments.iter().cloned());
    let mut bytes = Vec::new();
    for word in all {
        if word.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{} has a zero byte", word.display())));
        }
        bytes.extend(word.into_vec());
        bytes.push(0);
    }
    Ok(bytes)
}

/// The arguments of `sbatch` for the tasks with these numbers, which lie in `folder`, away from the `excluded` nodes.
pub(crate) fn arguments(
    batch: &str,
    folder: &Path,
    tasks: Range<u32>,
    shape: &Shape,
    settings: &Settings,
    excluded: &BTreeSet<String>,
) -> Vec<OsString> {
    let mut options = vec![
        "--parsable".to_owned(),
        format!("--job-name={batch}"),
        format!("--array={}-{}", tasks.start, tasks.end.max(tasks.start + 1) - 1),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", shape.cpus.max(1)),
        // An attempt that was lost goes on as the next one, which is a job of its own; doing both would train it twice.
        "--no-requeue".to_owned(),
        format!("--signal=B:TERM@{}", settings.signal_seconds),
        "--open-mode=append".to_owned(),
        "--export=ALL".to_owned(),
    ];
    if shape.gpus > 0 {
        options.push(format!("--gres=gpu:{}", shape.gpus));
    }
    if let Some(bytes) = shape.memory_bytes {
        options.push(format!("--mem={}M", bytes.div_ceil(MIB).max(1)));
    }
    let named = [("partition", &settings.partition), ("account", &settings.account), ("qos", &settings.qos)];
    options.extend(named.iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))));
    options.extend(settings.time_minutes.map(|minutes| format!("--time={minutes}")));
    // The last --exclude is the one that counts.
    let exclude = |option: &&String| option.strip_prefix("--exclude=").is_some();
    let wanted = settings.extra.iter().filter(exclude).filter_map(|option| option.strip_prefix("--exclude="));
    let excluded: Vec<&str> = wanted.chain(excluded.iter().map(String::as_str)).collect();
    options.extend(settings.extra.iter().filter(|option| !exclude(option)).cloned());
    if !excluded.is_empty() {
        options.push(format!("--exclude={}", excluded.join(",")));
    }
    let mut arguments: Vec<OsString> = options.into_iter().map(OsString::from).collect();
    let mut output = OsString::from("--output=");
    output.push(as_pattern(&folder.join("slurm.txt")));
    arguments.extend([output, folder.join("batch.sh").into_os_string(), folder.to_owned().into_os_string()]);
    arguments
}

/// Slurm fills in what stands behind a per cent sign.
fn as_pattern(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let doubled = bytes.flat_map(|byte| if *byte == b'%' { vec![b'%', b'%'] } else { vec![*byte] });
    OsString::from_vec(doubled.collect())
}

/// Whether a variable of the environment would make Slurm's commands do other than they are told, or a worker take itself for a
/// part of the job that the scheduler itself may run in.
pub(crate) fn is_inherited(name: &str) -> bool {
    const PREFIXES: [&str; 8] = ["SLURM_", "PMI_", "PMIX_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SBATCH_"];
    // Where the cluster is, and what people put into their profile because the cluster asks for it.
    const KEPT: [&str; 4] = ["SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !KEPT.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn task(arguments: &[&str]) -> Task {
        Task {
            run: "00000000000000aa".parse().expect("16 digits"),
            attempt: 2,
            program: "/bin/worker".into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: vec![("OMP_NUM_THREADS".to_owned(), "2".into())],
            directory: None,
            lock: None,
            log: "/runs/log.txt".into(),
        }
    }

    #[test]
    fn a_task_is_words() {
        assert_eq!(
            words(&task(&["a b", ""])).expect("no zero byte"),
            b"/runs/log.txt\0\0\0OMP_NUM_THREADS=2\0\0/bin/worker\0a b\0\0"
        );
        assert!(words(&task(&["a\0b"])).is_err());
        let mut bad = task(&[]);
        bad.environment.push(("A-B".to_owned(), "1".into()));
        assert!(words(&bad).is_err());
    }

    fn text(settings: &Settings, shape: Shape, excluded: &[&str]) -> String {
        let excluded = excluded.iter().map(ToString::to_string).collect();
        let all = arguments("scalelaw-x", Path::new("/r 1/50%"), 0..3, &shape, settings, &excluded);
        all.iter().map(|one| one.to_str().expect("UTF-8")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_not_asked_for_is_the_clusters_business() {
        let shape = Shape { cpus: 2, gpus: 0, memory_bytes: None };
        assert_eq!(
            text(&Settings::default(), shape, &[]),
            "--parsable --job-name=scalelaw-x --array=0-2 --nodes=1 --ntasks=1 --cpus-per-task=2 --no-requeue --signal=B:TERM@120 \
             --open-mode=append --export=ALL --output=/r 1/50%%/slurm.txt /r 1/50%/batch.sh /r 1/50%"
        );
    }

    #[test]
    fn what_is_asked_for_is_said_and_exclusions_are_joined() {
        let settings = Settings {
            partition: Some("gpu".to_owned()),
            qos: Some("low".to_owned()),
            time_minutes: Some(90),
            extra: vec!["--exclude=n9".to_owned(), "--gres=gpu:a100:1".to_owned()],
            ..Settings::default()
        };
        let shape = Shape { cpus: 1, gpus: 1, memory_bytes: Some(3 * MIB / 2) };
        let text = text(&settings, shape, &["n1", "n2"]);
        let options =
            "--gres=gpu:1 --mem=2M --partition=gpu --qos=low --time=90 --gres=gpu:a100:1 --exclude=n9,n1,n2 --output=";
        assert!(text.contains(options), "{text}");
    }

    #[test]
    fn variables_of_an_outer_job_are_not_handed_on() {
        for name in ["SLURM_NTASKS", "SQUEUE_STATES", "PMI_RANK", "SBATCH_WAIT", "SCANCEL_INTERACTIVE"] {
            assert!(is_inherited(name), "{name}");
        }
        for name in ["SLURM_CONF", "SBATCH_ACCOUNT", "PATH", "SLURMX"] {
            assert!(!is_inherited(name), "{name}");
        }
    }

    /// Runs the script of a batch as Slurm would, on a task that prints what it was given; returns its exit code and its log.
    fn run_script(folder: &Path, task: &Task, variables: &BTreeMap<&str, &str>) -> (Option<i32>, String) {
        std::fs::write(folder.join("batch.sh"), SCRIPT).expect("writable");
        std::fs::write(folder.join("4"), words(task).expect("no zero byte")).expect("writable");
        let mut command = Command::new("bash");
        command.arg(folder.join("batch.sh")).arg(folder).env("SLURM_ARRAY_TASK_ID", "4").envs(variables);
        let code = command.output().expect("bash is there").status.code();
        (code, std::fs::read_to_string(&task.log).unwrap_or_default())
    }

    fn printing(folder: &Path, arguments: Vec<OsString>, value: &str) -> Task {
        let program = folder.join("print it");
        let text = "#!/bin/bash\nprintf '<%s>' \"$@\" \"$TELL\" \"${SLURM_NTASKS-none}\" \"$SLURM_JOB_ID\" \"${PWD##*/}\"\nexit 3\n";
        std::fs::write(&program, text).expect("writable");
        let directory = folder.join("of the sweep");
        std::fs::create_dir_all(&directory).expect("writable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its owner");
        Task {
            program,
            arguments,
            environment: vec![("TELL".to_owned(), value.into())],
            directory: Some(directory),
            log: folder.join("log of it.txt"),
            ..task(&[])
        }
    }

    #[test]
    fn the_script_starts_a_task_at_most_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let task = printing(folder.path(), vec!["a".into()], "v");
        let variables = BTreeMap::from([("SLURM_NTASKS", "8"), ("SLURM_JOB_ID", "17")]);
        let said = "<a><v><none><17><of the sweep>".to_owned();
        assert_eq!(run_script(folder.path(), &task, &variables), (Some(3), said.clone()));
        assert_eq!(run_script(folder.path(), &task, &variables), (Some(75), said.clone()), "not a second time");
        std::fs::remove_dir(folder.path().join("4.started")).expect("made by the script");
        let again = BTreeMap::from([("SLURM_RESTART_COUNT", "1")]);
        assert_eq!(run_script(folder.path(), &task, &again), (Some(75), said), "not after a requeue");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is in them, words come to the program as they were.
        #[test]
        fn no_quoting_goes_wrong(arguments in proptest::collection::vec("[^\0]{0,12}", 0..5), value in "[^\0]{0,12}") {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let task = printing(folder.path(), arguments.iter().map(OsString::from).collect(), &value);
            let (code, log) = run_script(folder.path(), &task, &BTreeMap::new());
            let expected: String = arguments.iter().map(String::as_str).chain([value.as_str(), "none", "", "of the sweep"]).map(|word| format!("<{word}>")).collect();
            prop_assert_eq!((code, log), (Some(3), expected));
        }
    }
}
