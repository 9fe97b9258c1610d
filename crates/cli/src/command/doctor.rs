//! `scalelaw doctor`: what this machine has, and the remedy for what is missing.

use std::process::Command;

use data::fetch;
use sched::filesystem::file_system;
use sched::slurm::{self, SlurmError};
use serde_json::json;
use spec::hardware::memory;
use store::Store;

use super::run;
use crate::exit::{Failure, print};
use crate::place::{Place, cache, worker};

/// How a thing was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Something will not work.
    Missing,
    /// Normal to be without.
    Absent,
}

struct Finding {
    what: &'static str,
    verdict: Verdict,
    text: String,
}

pub(crate) async fn run(place: &Place) -> Result<u8, Failure> {
    let findings = [libtorch(), cuda(), cores(), slurm().await, sqlite().await, state(place), dataset()];
    if place.json {
        let list = findings
            .iter()
            .map(|one| json!({"what": one.what, "ok": one.verdict != Verdict::Missing, "found": one.text}));
        print(&json!({"schema_version": 1, "findings": list.collect::<Vec<_>>()}).to_string());
    } else {
        for one in &findings {
            let sign = match one.verdict {
                Verdict::Good => "ok",
                Verdict::Missing => "MISSING",
                Verdict::Absent => "-",
            };
            print(&format!("{sign:<8}{:<12}{}", one.what, one.text));
        }
    }
    Ok(if findings.iter().any(|one| one.verdict == Verdict::Missing) { 3 } else { 0 })
}

fn finding(what: &'static str, found: Result<String, String>) -> Finding {
    let verdict = if found.is_ok() { Verdict::Good } else { Verdict::Missing };
    Finding { what, verdict, text: found.unwrap_or_else(|missing| missing) }
}

/// The worker links libtorch, so it is the worker that is asked.
fn libtorch() -> Finding {
    let found = match worker(None) {
        Err(_) => Err("no worker program beside this one; build it with `make build`".to_owned()),
        Ok(worker) => match Command::new(&worker).arg("--check").output() {
            Ok(output) if output.status.success() => {
                let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                Ok(format!("{} through {}", answer["libtorch"].as_str().unwrap_or("unknown"), worker.display()))
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(format!(
                    "{} does not start: {said}; `make setup` gets libtorch, `make build` links it",
                    worker.display()
                ))
            }
            Err(error) => Err(format!("{}: {error}; build it with `make build`", worker.display())),
        },
    };
    finding("libtorch", found)
}

fn cuda() -> Finding {
    let driver = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let text = match driver.as_deref().and_then(|text| text.lines().next()) {
        Some(version) => format!("driver found ({}); runs with device = \"cuda\" can use it", version.trim()),
        None => "no NVIDIA driver; runs train on the CPU".to_owned(),
    };
    Finding { what: "CUDA", verdict: Verdict::Absent, text }
}

fn cores() -> Finding {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory(&meminfo, "MemAvailable");
    let memory = available.map_or("unknown memory".to_owned(), |bytes| format!("{} free", super::table::bytes(bytes)));
    finding("machine", Ok(format!("{} cores, {memory}", run::cores())))
}

async fn sqlite() -> Finding {
    let found = async {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let store = Store::open(&folder.path().join("check.db")).await.map_err(|error| error.to_string())?;
        store.sqlite_version().await.map_err(|error| error.to_string())
    };
    finding("SQLite", found.await)
}

/// A write-ahead log needs memory that processes share, which file systems of several machines do not give.
fn state(place: &Place) -> Finding {
    let path = std::path::absolute(place.state.path()).unwrap_or_else(|_| place.state.path().to_owned());
    let folder = path.ancestors().find(|folder| folder.exists()).unwrap_or(&path);
    let found = match (rustix::fs::statvfs(folder), file_system(folder)) {
        (Err(error), _) => Err(format!("{}: {error}", folder.display())),
        (_, Err(error)) => Err(format!("{}: {error}", folder.display())),
        (Ok(space), Ok(system)) => {
            let free = super::table::bytes(space.f_bavail * space.f_frsize);
            let text = format!("{} on {}, {free} free", place.state.path().display(), system.name);
            if system.is_shared {
                Err(format!(
                    "{text}: machines share it, and a database there can be damaged; give --state-dir on a disk of this machine, \
                     and --runs-dir for what the nodes of a cluster have to see"
                ))
            } else if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
                Err(format!("{text}: not writable; give --state-dir somewhere else"))
            } else {
                Ok(text)
            }
        }
    };
    finding("state", found)
}

/// Where jobs can be submitted, what the cluster allows.
async fn slurm() -> Finding {
    let (verdict, text) = match slurm::limits().await {
        Err(SlurmError::Missing(_)) => (
            Verdict::Absent,
            "none here; executor = \"slurm\" needs a machine from which jobs are submitted".to_owned(),
        ),
        // Its commands may be installed where no cluster is.
        Err(error) => (
            Verdict::Absent,
            format!("its commands are here, but no cluster answers ({error}); needed for executor = \"slurm\" only"),
        ),
        Ok(limits) => {
            let partitions = slurm::partitions().await.unwrap_or_else(|error| vec![error.to_string()]);
            let accounting = if limits.accounting { "sacct works" } else { "no accounting, which is not needed" };
            let text = format!(
                "{} on {}: partitions {}; arrays of up to {} jobs; {} s to save after a kill; {accounting}",
                limits.version,
                limits.cluster,
                partitions.join(", "),
                limits.max_array,
                limits.kill_wait,
            );
            (Verdict::Good, text)
        }
    };
    Finding { what: "Slurm", verdict, text }
}

fn dataset() -> Finding {
    let remedy = "get it with `scalelaw data fetch fashion-mnist`";
    let found = match cache() {
        Err(_) => Err("no cache folder: neither XDG_CACHE_HOME nor HOME is set".to_owned()),
        Ok(cache) => {
            let folder = fetch::cached(&cache, "fashion-mnist");
            let files = spec::files::DataFiles::directory(folder.to_string_lossy());
            let opened = crate::sweepfile::open(&files, remedy).map_err(|error| error.to_string());
            opened.and_then(|dataset| {
                let right = dataset.facts == fetch::fashion_mnist_facts();
                if right {
                    Ok(format!("fashion-mnist in {}", folder.display()))
                } else {
                    Err(format!("{}: not Fashion-MNIST; remove it and {remedy}", folder.display()))
                }
            })
        }
    };
    finding("data", found)
}
