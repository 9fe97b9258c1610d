//! `scalelaw status`: one line of truth, problems first, then what came out.

use std::collections::BTreeMap;
use std::fmt::Write;

use fit::{LawFit, Settings};
use serde_json::json;
use spec::document::Format;
use spec::estimate::{Estimator, Eta};
use spec::journal::Usage;
use spec::state::RunState;
use spec::sweep::Sweep;
use store::{DeviceLedger, Ledger, RunView, Standing, Store};

use super::table::{count, duration, hours};
use crate::args::{Chosen, Compute, Law, Stage};
use crate::exit::{Failure, print};
use crate::growth::now_ms;
use crate::laws::{self, Answer};
use crate::place::Place;
use crate::points;

pub(crate) async fn run(place: &Place, options: &Chosen) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.sweep.as_deref()).await?;
    show(place, &store, sweep.sweep_id, &sweep.name).await?;
    Ok(0)
}

/// Prints where a sweep stands.
pub(crate) async fn show(place: &Place, store: &Store, sweep_id: i64, name: &str) -> Result<(), Failure> {
    let source = store.source(sweep_id).await?;
    let (standing, scheduled) = (store.standing(sweep_id).await?, place.state.is_scheduled());
    let has_law = standing.count("completed") >= FEWEST_FOR_LAW && standing.runs() <= MOST_FOR_LAW;
    let law = if has_law { law(store, sweep_id).await? } else { None };
    let report = Report {
        place,
        name,
        ledger: store.ledger(sweep_id).await?,
        // Only what works comes to an end.
        estimator: if scheduled { store.estimator(sweep_id).await? } else { Estimator::default() },
        devices: if place.json { store.ledger_by_device(sweep_id).await? } else { Vec::new() },
        paused: store.paused(sweep_id).await?,
        budget: parsed(&source).and_then(|sweep| sweep.budget_hours),
        scheduled,
        standing,
        law,
    };
    print(&if place.json { report.as_json().to_string() } else { report.as_text() });
    Ok(())
}

/// Runs with a result that a law needs.
const FEWEST_FOR_LAW: usize = 4;

/// Runs of a sweep, all of which are read for its law while people wait; more take longer than a look.
const MOST_FOR_LAW: usize = 400;

/// The straight line through the frontier so far, where the runs carry one; `scalelaw fit` has all of it.
async fn law(store: &Store, sweep_id: i64) -> Result<Option<LawFit>, Failure> {
    let rows = store.runs(sweep_id).await?;
    let points = points::of_sweep(&rows, &BTreeMap::new(), Compute::Flops, Stage::Pretraining);
    Ok(match laws::fit_curve(Law::Frontier, &points.runs, &Settings::default()) {
        Answer::Curve(_, law, _) => Some(*law),
        _ => None,
    })
}

/// The sweep in the text of a file, in whatever format it is written.
pub(crate) fn parsed(source: &str) -> Option<Sweep> {
    let formats = [Format::Toml, Format::Yaml, Format::Json];
    formats.into_iter().find_map(|format| Sweep::parse(source, format).ok())
}

/// What is known of a sweep.
struct Report<'a> {
    place: &'a Place,
    name: &'a str,
    standing: Standing,
    ledger: Ledger,
    estimator: Estimator,
    /// Through the frontier of the runs that have a result so far.
    law: Option<LawFit>,
    devices: Vec<DeviceLedger>,
    paused: Option<String>,
    budget: Option<f64>,
    scheduled: bool,
}

/// Causes of problems that are named one by one.
const MOST_PROBLEMS: usize = 10;

impl Report<'_> {
    /// Time left on the devices that the newest scheduler holds; none where nothing is left or nothing works.
    fn eta(&self) -> Option<Eta> {
        let open = &self.standing.open;
        if open.is_empty() || !self.scheduled || self.paused.is_some() {
            return None;
        }
        let devices = self.ledger.newest_devices().iter().filter(|device| device.quarantined.is_none()).count();
        let left: Vec<f64> = open.iter().map(|run| run.left_seconds).collect();
        self.estimator.eta(&left, devices.max(self.standing.count("running")))
    }

    fn as_text(&self) -> String {
        let order = ["completed", "diverged", "running", "queued", "failed", "cancelled"];
        let counts = order.iter().map(|word| (self.standing.count(word), word)).filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        let mut parts = vec![
            // Rounded down: 100 % is said when everything is done.
            format!(
                "{}: {:.0} % of {} ({})",
                self.name,
                (100.0 * self.standing.share() + 1e-9).floor(),
                count(self.standing.runs(), "run"),
                counts.join(", ")
            ),
            self.spent(),
        ];
        if let Some(eta) = self.eta() {
            let [middle, low, high] = [eta.seconds, eta.low, eta.high].map(|seconds| duration(seconds.ceil()));
            parts.push(format!("ETA {middle} ({low} to {high})"));
        }
        parts.push(self.scheduler());
        let mut text = parts.join(" · ") + "\n";
        self.problems(&mut text);
        self.results(&mut text);
        text
    }

    /// The billed device time, and what of it was good for something.
    fn spent(&self) -> String {
        let wasted = self.wasted();
        let mut text =
            format!("{} device in {}", hours(self.ledger.billed()), count(self.ledger.attempts as usize, "attempt"));
        if let Some(budget) = self.budget {
            let _ = write!(text, " of a budget of {}", hours(3600.0 * budget));
        }
        if wasted > 0.0 {
            let _ = write!(text, ", {} useful, {} wasted", hours(self.ledger.useful), hours(wasted));
        }
        text
    }

    fn wasted(&self) -> f64 {
        self.ledger.repeated.max(0.0) + self.ledger.failed
    }

    /// Whether somebody works.
    fn scheduler(&self) -> String {
        let seen = self.ledger.devices.iter().map(|device| device.seen_ms).max();
        match seen {
            _ if self.scheduled => "scheduler at work".to_owned(),
            _ if self.standing.open.is_empty() => "nothing left to run".to_owned(),
            Some(seen) if now_ms() - seen < 1000 => "no scheduler at work".to_owned(),
            Some(seen) => format!("no scheduler at work for {}", duration((now_ms() - seen).max(0) as f64 / 1000.0)),
            None => "no scheduler has worked yet".to_owned(),
        }
    }

    fn problems(&self, text: &mut String) {
        let running = self.standing.count("running");
        if let Some(why) = &self.paused {
            let resume = self.place.command(&format!("resume {}", self.name));
            let next = if self.scheduled { resume } else { "`scalelaw run` with the sweep file".to_owned() };
            let _ = writeln!(text, "  nothing starts: {why}; {next} goes on");
        }
        // The rows of a scheduler that was killed still say "running"; its workers have ended with it.
        if running > 0 && !self.scheduled {
            let runs = if running == 1 { "1 run was".to_owned() } else { format!("{running} runs were") };
            let _ = writeln!(
                text,
                "  no scheduler is at work: {runs} interrupted; `scalelaw run` with the sweep file goes on"
            );
        }
        self.problem_runs(text);
        for device in self.ledger.newest_devices() {
            if let Some(why) = &device.quarantined {
                let _ =
                    writeln!(text, "  {} is used no more: {why}; a new `scalelaw run` tries it again", device.device);
            }
        }
        for run in &self.standing.excluded {
            let why = run.excluded.as_deref().unwrap_or_default();
            let _ = writeln!(text, "  {} is excluded from fits and figures: {why} (run {})", run.label(), run.run);
        }
        if self.ledger.damaged_examples > 0 {
            let examples = count(self.ledger.damaged_examples as usize, "damaged example");
            let _ = writeln!(text, "  {examples} left out of training, listed by verify samples --json");
        }
    }

    /// Runs that failed or crashed, those with the same cause together.
    fn problem_runs(&self, text: &mut String) {
        let mut causes: Vec<(String, Vec<&RunView>)> = Vec::new();
        for run in &self.standing.problems {
            let cause = format!("{}: {}", run.state, run.message.as_deref().unwrap_or("no message"));
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, runs)) => runs.push(run),
                None => causes.push((cause, vec![run])),
            }
        }
        for (cause, runs) in causes.iter().take(MOST_PROBLEMS) {
            let first = runs[0];
            let which = match runs.len() {
                1 => first.label(),
                several => format!("{}, such as {}", count(several, "run"), first.label()),
            };
            let _ = writeln!(text, "  {which}: {cause}");
            let next = match first.state {
                RunState::Failed(_) => format!(
                    "{}, then {}",
                    self.place.command(&format!("runs logs {}", first.run)),
                    self.place.command(&match runs.len() {
                        1 => format!("runs retry {}", first.run),
                        _ => format!("runs retry --sweep {} state=failed", self.name),
                    })
                ),
                _ => self.place.command(&format!("explain {}", first.run)),
            };
            let _ = writeln!(text, "    {next}");
        }
        if causes.len() > MOST_PROBLEMS {
            let more = count(causes.len() - MOST_PROBLEMS, "more cause");
            let list = self.place.command(&format!("runs ls --sweep {} state=failed", self.name));
            let _ = writeln!(text, "  and {more}; {list} lists what failed");
        }
    }

    fn results(&self, text: &mut String) {
        let phases = phases(self.ledger.usage.as_ref());
        if phases.iter().any(|(_, share)| *share > 0.0) {
            let parts: Vec<String> =
                phases.iter().map(|(name, share)| format!("{:.0} % {name}", 100.0 * share)).collect();
            let _ = writeln!(text, "  time went into: {}", parts.join(", "));
        }
        if let Some((loss, run)) = self.standing.lowest_loss.as_ref().and_then(|run| Some((run.heldout_loss?, run))) {
            let _ = writeln!(text, "  lowest held-out loss {loss:.4}: {}", run.label());
        }
        if let Some(law) = &self.law {
            let alpha = law.params["alpha"];
            let _ = writeln!(
                text,
                "  frontier so far: loss falls as FLOPs^-{:.3} (95 %: {:.3} to {:.3}), by {}; {} has all of it",
                alpha.value,
                alpha.low,
                alpha.high,
                count(law.used.len(), "point"),
                self.place.command(&format!("fit frontier {} --compute flops", self.name)),
            );
        }
        if let Some((accuracy, run)) =
            self.standing.highest_accuracy.as_ref().and_then(|run| Some((run.accuracy?, run)))
        {
            let _ = writeln!(text, "  lowest top-1 error {:.2} %: {}", 100.0 * (1.0 - accuracy), run.label());
        }
    }

    fn as_json(&self) -> serde_json::Value {
        let (ledger, hour) = (&self.ledger, |seconds: f64| seconds / 3600.0);
        let problems = self
            .standing
            .problems
            .iter()
            .map(|run| json!({"run_id": run.run, "state": run.state.to_string(), "message": run.message}));
        let quarantined = ledger.newest_devices().iter().filter_map(|device| {
            device.quarantined.as_ref().map(|why| json!({"device": device.device, "reason": why}))
        });
        let excluded = self.standing.excluded.iter().map(|run| json!({"run_id": run.run, "reason": run.excluded}));
        let devices = self.devices.iter().map(|device| {
            json!({
                "device": device.device,
                "useful": hour(device.useful),
                "repeated": hour(device.repeated),
                "failed": hour(device.failed),
                "idle": hour(device.idle),
                "busy": hour(device.busy),
            })
        });
        json!({
            "schema_version": 1,
            "sweep": self.name,
            "scheduled": self.scheduled,
            "last_seen_ms": ledger.devices.iter().map(|device| device.seen_ms).max(),
            "paused": self.paused,
            "share_of_compute": self.standing.share(),
            "eta_seconds": self.eta().map(|eta| json!({"middle": eta.seconds, "low": eta.low, "high": eta.high})),
            "runs": self.standing.runs(),
            "states": self.standing.states,
            "device_hours": {
                "total": hour(ledger.billed()),
                "useful": hour(ledger.useful),
                "repeated": hour(ledger.repeated),
                "failed": hour(ledger.failed),
                "idle": hour(ledger.idle()),
                "budget": self.budget,
                "with_result": hour(ledger.with_result),
                "stopped": hour(ledger.preempted),
                "crashed": hour(ledger.crashed),
            },
            "device_hours_by_device": devices.collect::<Vec<_>>(),
            "time_shares": phases(ledger.usage.as_ref()).into_iter().collect::<BTreeMap<_, _>>(),
            "frontier": self.law.as_ref().map(|law| json!({"params": law.params, "points": law.used.len()})),
            "attempts": ledger.attempts,
            "damaged_examples": ledger.damaged_examples,
            "problems": problems.collect::<Vec<_>>(),
            "quarantined": quarantined.collect::<Vec<_>>(),
            "excluded": excluded.collect::<Vec<_>>(),
        })
    }
}

/// What attempts spent their time on, as shares of all that is known.
fn phases(usage: Option<&Usage>) -> [(&'static str, f64); 5] {
    let part = |part: fn(&Usage) -> f64| usage.map_or(0.0, part);
    let seconds = [
        ("forward and backward", part(|usage| usage.gradient_seconds)),
        ("optimiser", part(|usage| usage.optimizer_seconds)),
        ("data", part(|usage| usage.data_seconds)),
        ("evaluation", part(|usage| usage.evaluation_seconds)),
        ("checkpoints", part(|usage| usage.checkpoint_seconds)),
    ];
    let total = seconds.iter().map(|(_, seconds)| seconds).sum::<f64>().max(f64::MIN_POSITIVE);
    seconds.map(|(name, seconds)| (name, seconds / total))
}
