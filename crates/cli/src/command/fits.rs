//! Whether a plan fits: into its budget, and onto the devices of this machine.

use std::fmt::Write;

use sched::gpu;
use serde_json::{Value, json};
use spec::estimate::Estimator;
use spec::hardware::memory;
use spec::plan::Plan;
use spec::run::{DeviceKind, RunId};
use spec::sweep::Sweep;

use super::table::{bytes, count, hours};

/// What is known of how a plan fits.
pub(crate) struct Fit {
    /// Runs without a result.
    open: usize,
    /// Of the budget: its device seconds, those that are spent, and how many of the open runs fit into the rest.
    budget: Option<(f64, f64, usize)>,
    /// Device seconds that the cheapest of them has to have set aside.
    cheapest: f64,
    /// How many times their estimates finished runs took, and device seconds that are left by that.
    calibrated: Option<(f64, f64)>,
    /// Runs that need more memory than a device has, the most that one needs, and what a device has.
    too_large: Option<(usize, u64, u64)>,
    /// GPUs of a run, where there are fewer.
    too_few_gpus: Option<(u32, usize)>,
}

impl Fit {
    /// `is_done`: whether a run has its result; `spent`: device seconds that the sweep was billed; `estimator`: what its finished runs
    /// say of estimates.
    pub(crate) fn of(
        sweep: &Sweep,
        plan: &Plan,
        is_done: impl Fn(RunId) -> bool,
        spent: f64,
        estimator: &Estimator,
    ) -> Fit {
        let devices = sweep.resources.gpus_per_run;
        let open: Vec<_> = plan.runs.iter().filter(|run| !is_done(run.id)).collect();
        let mut seconds: Vec<f64> = open.iter().map(|run| run.own_share() * run.price.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let grace = sweep.policy.grace_seconds;
        let reservation = |seconds: f64| estimator.reservation(seconds, devices, grace);
        let factor = estimator.factor().unwrap_or(1.0) * f64::from(devices);
        let budget = sweep.budget_hours.map(|hours| {
            let (limit, mut used, mut fitting) = (3600.0 * hours, spent, 0);
            for one in &seconds {
                if used + reservation(*one) > limit {
                    break;
                }
                used += factor * one;
                fitting += 1;
            }
            (limit, spent, fitting)
        });
        let here = if sweep.slurm.is_some() { None } else { Some(sweep.resources.device) };
        let gpus = if here == Some(DeviceKind::Cuda) { gpu::usable() } else { Vec::new() };
        let memory = match here {
            Some(DeviceKind::Cuda) => gpus.iter().filter_map(|gpu| gpu.memory).max(),
            Some(DeviceKind::Cpu) => memory_of_machine(),
            None => None,
        };
        let too_large = memory.and_then(|has| {
            let needs = open.iter().map(|run| run.price.bytes).filter(|bytes| *bytes > has);
            Some((needs.clone().count(), needs.max()?, has))
        });
        Fit {
            open: open.len(),
            budget,
            cheapest: seconds.first().map_or(0.0, |seconds| reservation(*seconds)),
            calibrated: estimator.factor().map(|one| (one, factor * seconds.iter().sum::<f64>())),
            too_large,
            too_few_gpus: (!gpus.is_empty() && gpus.len() < devices as usize).then_some((devices, gpus.len())),
        }
    }

    /// Whether not even the cheapest run fits into the budget.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.open > 0 && matches!(self.budget, Some((_, _, 0)))
    }

    pub(crate) fn as_text(&self) -> String {
        let mut text = String::new();
        if let Some((factor, left)) = self.calibrated.filter(|_| self.open > 0) {
            let _ = writeln!(
                text,
                "finished runs took {factor:.2} times their estimates: by that, {} still to run",
                hours(left)
            );
        }
        if let Some((limit, spent, fitting)) = self.budget {
            let spent = if spent > 0.0 { format!(", {} of it spent", hours(spent)) } else { String::new() };
            let fits = match fitting {
                0 if self.open > 0 => format!(
                    "too little for even one of {}: the cheapest has {} set aside, its time to stop among it",
                    count(self.open, "run"),
                    hours(self.cheapest)
                ),
                _ if fitting < self.open => {
                    format!("about {fitting} of {} fit, the cheapest first", count(self.open, "run"))
                }
                _ => "enough for all that is left".to_owned(),
            };
            let _ = writeln!(text, "budget: {}{spent}: {fits}", hours(limit));
        }
        if let Some((runs, most, has)) = self.too_large {
            let _ = writeln!(
                text,
                "memory: {} may not fit: up to {} by the estimate, and a device has {}",
                count(runs, "run"),
                bytes(most),
                bytes(has)
            );
        }
        if let Some((wanted, there)) = self.too_few_gpus {
            let _ = writeln!(text, "devices: a run needs {wanted} GPUs, and {there} may be used here");
        }
        text
    }

    pub(crate) fn as_json(&self) -> Value {
        json!({
            "budget_device_hours": self.budget.map(|(limit, _, _)| limit / 3600.0),
            "spent_device_hours": self.budget.map(|(_, spent, _)| spent / 3600.0),
            "runs_that_fit_the_budget": self.budget.map(|(_, _, fitting)| fitting),
            "measured_over_estimated": self.calibrated.map(|(factor, _)| factor),
            "calibrated_device_hours_left": self.calibrated.map(|(_, left)| left / 3600.0),
            "runs_that_may_not_fit_memory": self.too_large.map_or(0, |(runs, _, _)| runs),
        })
    }
}

/// Bytes of memory of this machine.
pub(crate) fn memory_of_machine() -> Option<u64> {
    memory(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}
