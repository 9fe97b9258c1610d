//! What a person sees while a sweep runs: on a terminal a bar, in a log one line per change.
//!
//! Percent is by estimated compute, never by count. The estimates are corrected by what finished runs of this sweep
//! really took, so that the remaining time settles after the first few. Sums are kept up as runs change: ten thousand of them are not
//! looked at for each line.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use sched::shell::News;
use spec::estimate::{Estimator, Eta};
use spec::run::RunId;
use spec::state::RunState;
use store::QueueRow;

use crate::args::ProgressStyle;
use crate::command::table::{count, duration, hours};
use crate::exit::say;

/// Finer than percent, so that the bar moves.
const SCALE: f64 = 10_000.0;

/// Quiet time after which a log gets a line although nothing has changed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Watched {
    label: String,
    estimated: f64,
    /// Share of it that is training; the rest is evaluation, which reports no steps.
    training: f64,
    /// Steps that another run takes for it; they are no part of the estimate.
    before: u64,
    steps: u64,
    step: u64,
    state: RunState,
}

/// What is added up over all runs.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Estimated seconds of all that were not cancelled, and of what is done of them.
    total: f64,
    done: f64,
    over: usize,
    running: usize,
}

impl Sums {
    fn add(&mut self, watched: &Watched, sign: f64) {
        if watched.state != RunState::Cancelled {
            self.total += sign * watched.estimated;
            self.done += sign * watched.estimated * watched.share();
        }
        let count = |count: usize, is: bool| if sign > 0.0 { count + usize::from(is) } else { count - usize::from(is) };
        self.over = count(self.over, watched.state.is_final());
        self.running = count(self.running, watched.state == RunState::Running);
    }
}

impl Watched {
    /// Share of it that is done.
    fn share(&self) -> f64 {
        match self.state {
            RunState::Completed | RunState::Diverged => 1.0,
            _ if self.state.is_final() => 0.0,
            _ => {
                let (step, steps) = (self.step.saturating_sub(self.before), self.steps.saturating_sub(self.before));
                self.training * (step as f64 / steps.max(1) as f64).min(1.0)
            }
        }
    }

    fn of(row: &QueueRow) -> Watched {
        Watched {
            label: row.label.clone(),
            estimated: row.estimated_seconds,
            training: row.training_share,
            before: row.shared_steps(),
            steps: row.steps,
            step: if row.state.is_final() { row.steps } else { row.step.min(row.steps) },
            state: row.state,
        }
    }
}

/// The state of the sweep as far as it is shown.
pub(crate) struct Progress {
    runs: BTreeMap<RunId, Watched>,
    sums: Sums,
    at_work: BTreeMap<RunId, Instant>,
    bar: Option<ProgressBar>,
    style: ProgressStyle,
    slots: usize,
    /// Estimated seconds of runs that nobody can name yet.
    later: f64,
    last_line: Instant,
    /// Of the attempts that have ended, those of earlier schedulers among them.
    device_seconds: f64,
    estimator: Estimator,
    /// Time left, and when that was worked out.
    eta: Option<(Instant, Option<Eta>)>,
    problems: usize,
}

impl Progress {
    /// `later`: estimated seconds of runs that nobody can name yet; `spent`: device seconds that the sweep was billed before, and
    /// `estimator`: what its finished runs say of estimates.
    pub(crate) fn new(
        style: ProgressStyle,
        rows: &[QueueRow],
        later: f64,
        slots: usize,
        (spent, estimator): (f64, Estimator),
    ) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let style = match style {
            ProgressStyle::Auto if terminal => ProgressStyle::Bar,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        let runs: BTreeMap<RunId, Watched> =
            rows.iter().filter(|row| row.wanted).map(|row| (row.run, Watched::of(row))).collect();
        let mut sums = Sums::default();
        runs.values().for_each(|watched| sums.add(watched, 1.0));
        let bar = (style == ProgressStyle::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(SCALE as u64), ProgressDrawTarget::stderr());
            let template = "{bar:16} {wide_msg}";
            bar.set_style(
                BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()).progress_chars("━╸─"),
            );
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        let mut progress = Progress {
            runs,
            sums,
            at_work: BTreeMap::new(),
            bar,
            style,
            slots,
            later,
            last_line: now,
            device_seconds: spent,
            estimator,
            eta: None,
            problems: 0,
        };
        progress.draw();
        progress
    }

    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Noted { run, note } => {
                let label = self.label(run);
                self.line(&format!("{label}: {note}"));
            }
            News::Told(text) => self.line(&text),
            News::TakenOver(run) => {
                self.at_work.insert(run, Instant::now());
                let label = self.label(run);
                self.line(&format!("{label}: its job goes on"));
            }
            News::Started { run, attempt } => {
                self.update(run, |watched| watched.state = RunState::Running);
                self.at_work.insert(run, Instant::now());
                if attempt > 1 {
                    let label = self.label(run);
                    self.line(&format!("{label}: attempt {attempt}"));
                }
            }
            News::Step { run, step } => self.update(run, |watched| watched.step = step),
            News::Ended { run, state, heldout_loss, message, device_seconds } => {
                self.ended(run, state, heldout_loss, message, device_seconds)
            }
            News::Added(rows) => {
                let estimated: f64 = rows.iter().map(|row| row.estimated_seconds).sum();
                self.later = (self.later - estimated).max(0.0);
                for row in &rows {
                    let new = Watched::of(row);
                    self.sums.add(&new, 1.0);
                    if let Some(old) = self.runs.insert(row.run, new) {
                        self.sums.add(&old, -1.0);
                    }
                }
            }
            News::Cancelled(run) => {
                self.update(run, |watched| {
                    watched.state = RunState::Cancelled;
                    watched.step = watched.steps;
                });
                let label = self.label(run);
                self.line(&format!("{label}: cancelled"));
            }
            News::Quarantined { place, why } => {
                self.problems += 1;
                self.line(&format!("{place} is used no more: {why}"));
            }
            News::Paused(Some(why)) => self.line(&format!("paused: {why}")),
            News::Paused(None) => self.line("goes on"),
            News::Stopping => self.line("stopping: the workers save their state; once more kills them"),
            News::Tick => {}
        }
        self.draw();
        if self.style == ProgressStyle::Plain && self.last_line.elapsed() >= PATIENCE {
            let truth = self.truth();
            self.line(&truth);
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn ended(&mut self, run: RunId, state: RunState, loss: Option<f64>, message: Option<String>, device_seconds: f64) {
        self.device_seconds += device_seconds;
        self.at_work.remove(&run);
        self.update(run, |watched| {
            watched.state = state;
            if state.is_final() {
                watched.step = watched.steps;
            }
        });
        let label = self.label(run);
        if state == RunState::Completed {
            let estimated = self.runs.get(&run).map_or(0.0, |watched| watched.estimated);
            self.estimator.learn(estimated, device_seconds);
        }
        let what = match (state, loss) {
            (RunState::Completed, Some(loss)) => format!("held-out loss {loss:.4}"),
            (RunState::Diverged, _) => "diverged".to_owned(),
            (RunState::Queued, _) => {
                format!("back in the queue{}", message.map(|why| format!(": {why}")).unwrap_or_default())
            }
            (state, _) => {
                self.problems += 1;
                format!("{state}{}", message.map(|why| format!(": {why}")).unwrap_or_default())
            }
        };
        let truth = if self.style == ProgressStyle::Plain { format!("  [{}]", self.truth()) } else { String::new() };
        self.line(&format!("{label}: {what} after {}{truth}", duration(device_seconds)));
    }

    fn update(&mut self, run: RunId, change: impl FnOnce(&mut Watched)) {
        if let Some(watched) = self.runs.get_mut(&run) {
            self.sums.add(watched, -1.0);
            change(watched);
            self.sums.add(watched, 1.0);
        }
    }

    fn label(&self, run: RunId) -> String {
        self.runs.get(&run).map_or_else(|| run.to_string(), |watched| watched.label.clone())
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.println(text),
            (None, ProgressStyle::Plain) => say(text),
            _ => {}
        }
    }

    fn draw(&mut self) {
        if self.bar.is_some() {
            let truth = self.truth();
            if let Some(bar) = &self.bar {
                bar.set_position((self.share() * SCALE) as u64);
                bar.set_message(truth);
            }
        }
    }

    fn share(&self) -> f64 {
        let total = self.later + self.sums.total;
        // Many additions and subtractions leave a little behind.
        let all_done = self.sums.over == self.runs.len() && self.sums.done >= self.sums.total * (1.0 - 1e-9);
        if total <= 0.0 || all_done && self.later <= 0.0 { 1.0 } else { (self.sums.done / total).clamp(0.0, 1.0) }
    }

    /// What the attempts that run now have taken so far.
    fn running_seconds(&self) -> f64 {
        self.at_work.values().map(|since| since.elapsed().as_secs_f64()).sum()
    }

    /// One line of truth.
    fn truth(&mut self) -> String {
        let mut parts = vec![
            // Rounded down: 100 % is said when everything is done.
            format!("{:.0} %", (100.0 * self.share() + 1e-9).floor()),
            format!("{}/{} runs, {} running", self.sums.over, self.runs.len(), self.sums.running),
            format!("{} device", hours(self.device_seconds + self.running_seconds())),
        ];
        if let Some(eta) = self.remaining() {
            let [middle, low, high] = [eta.seconds, eta.low, eta.high].map(|seconds| duration(seconds.ceil()));
            parts.push(format!("ETA {middle} ({low} to {high})"));
        }
        if self.problems > 0 {
            parts.push(count(self.problems, "problem"));
        }
        parts.join(" · ")
    }

    /// Time left, worked out at most once a second; none before there is something to go by, and where nothing is left.
    fn remaining(&mut self) -> Option<Eta> {
        if let Some((when, eta)) = self.eta
            && when.elapsed() < Duration::from_secs(1)
        {
            return eta;
        }
        let open = self.runs.values().filter(|watched| !watched.state.is_final());
        let mut left: Vec<(bool, f64)> = open
            .map(|watched| (watched.state != RunState::Running, watched.estimated * (1.0 - watched.share())))
            .collect();
        left.sort_by_key(|(waits, _)| *waits);
        let mut left: Vec<f64> = left.into_iter().map(|(_, seconds)| seconds).collect();
        if self.later > 0.0 {
            left.extend(std::iter::repeat_n(self.later / self.slots as f64, self.slots));
        }
        let eta = if left.is_empty() { None } else { self.estimator.eta(&left, self.slots) };
        self.eta = Some((Instant::now(), eta));
        eta
    }
}
