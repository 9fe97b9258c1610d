//! What `scalelaw run` was started as: the machine and the state of the sources. Reports say it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use sched::gpu::Gpu;
use serde::{Deserialize, Serialize};

use crate::command::fits::memory_of_machine;
use crate::command::run::cores;
use crate::command::table::{self, count};

/// What one scheduler was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    /// Version of scalelaw.
    pub(crate) scalelaw: String,
    pub(crate) host: String,
    /// The distribution, or the kernel where that has no name.
    pub(crate) system: String,
    pub(crate) processor: Option<String>,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    pub(crate) memory_bytes: Option<u64>,
    /// Products of the GPUs that the runs may use.
    pub(crate) gpus: Vec<String>,
    /// Of the folder with the sweep file, where it is under version control.
    pub(crate) git: Option<Git>,
}

/// The state of the sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Git {
    pub(crate) commit: String,
    /// Whether files under version control differ from it.
    pub(crate) changed: bool,
}

impl Surroundings {
    /// Of this process, whose sweep file lies in `folder`.
    pub(crate) fn here(folder: &Path, gpus: &[Gpu]) -> Surroundings {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let name = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let kernel = format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine()));
        Surroundings {
            scalelaw: env!("CARGO_PKG_VERSION").to_owned(),
            host: text(name.nodename()),
            system: distribution(&read("/etc/os-release")).unwrap_or(kernel),
            processor: spec::hardware::processor(&read("/proc/cpuinfo")),
            cores: cores(),
            memory_bytes: memory_of_machine(),
            gpus: gpus.iter().map(|gpu| gpu.product.clone().unwrap_or_else(|| gpu.name.clone())).collect(),
            git: git(folder),
        }
    }

    /// The machine in words.
    pub(crate) fn machine(&self) -> String {
        let mut products: BTreeMap<&str, usize> = BTreeMap::new();
        self.gpus.iter().for_each(|gpu| *products.entry(gpu).or_default() += 1);
        let mut parts: Vec<String> = products.iter().map(|(name, number)| format!("{number} x {name}")).collect();
        let processor = self.processor.as_deref().unwrap_or("processor without a name");
        parts.push(format!("{} of {processor}", count(self.cores, "core")));
        parts.extend(self.memory_bytes.map(|bytes| format!("{} of memory", table::bytes(bytes))));
        format!("{}; {}", parts.join(", "), self.system)
    }
}

impl Git {
    /// In words.
    pub(crate) fn text(&self) -> String {
        let changed = if self.changed { ", with changes that were not committed" } else { "" };
        format!("commit {}{changed}", self.commit)
    }
}

fn distribution(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned()).filter(|name| !name.is_empty())
}

/// Asks git; `None` without it, and outside of a repository.
fn git(folder: &Path) -> Option<Git> {
    let ask = |arguments: &[&str]| {
        let mut git = Command::new("git");
        // It must not take the lock of somebody's index.
        git.arg("--no-optional-locks").arg("-C").arg(folder).args(arguments).stdin(Stdio::null());
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = ask(&["rev-parse", "HEAD"])?;
    let changed = !ask(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(Git { commit, changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_sources_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(git(folder.path()), None);
        let run = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(folder.path()).args(["-c", "user.name=n", "-c", "user.email=e@example.org"]);
            assert!(git.args(arguments).output().expect("git").status.success(), "{arguments:?}");
        };
        run(&["init", "-q"]);
        std::fs::write(folder.path().join("sweep.toml"), "a").expect("written");
        run(&["add", "."]);
        run(&["commit", "-q", "-m", "one"]);
        let clean = git(folder.path()).expect("a commit");
        assert!(!clean.changed && clean.commit.len() == 40, "{clean:?}");
        std::fs::write(folder.path().join("sweep.toml"), "b").expect("written");
        let changed = git(folder.path()).expect("a commit");
        assert_eq!(changed, Git { commit: clean.commit, changed: true });
    }

    #[test]
    fn machines_are_told_in_words() {
        let gpus = vec![Gpu { name: "GPU-1".to_owned(), product: Some("H100".to_owned()), memory: None }; 2];
        let mut here = Surroundings::here(Path::new("."), &gpus);
        assert!(here.machine().contains("2 x H100, "), "{}", here.machine());
        (here.gpus, here.cores, here.memory_bytes) = (Vec::new(), 1, Some(2 << 30));
        here.processor = Some("P".to_owned());
        here.system = distribution("ID=x\nPRETTY_NAME=\"X 1\"\n").expect("a name");
        assert_eq!(here.machine(), "1 core of P, 2.0 GiB of memory; X 1");
    }
}
