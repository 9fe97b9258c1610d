//! What a person sees while a sweep runs: on a terminal a bar, in a log one line per change.
//!
//! Percent is by estimated compute, never by count. The estimates are corrected by what finished runs of this sweep
//! really took, so that the remaining time settles after the first few.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use sched::shell::News;
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
    /// When its attempt started, while one runs.
    since: Option<Instant>,
}

impl Watched {
    fn of(row: &QueueRow) -> Watched {
        Watched {
            label: row.label.clone(),
            estimated: row.estimated_seconds,
            training: row.training_share,
            before: row.shared_steps(),
            steps: row.steps,
            step: if row.state.is_final() { row.steps } else { row.step.min(row.steps) },
            state: row.state,
            since: None,
        }
    }
}

/// The state of the sweep as far as it is shown.
pub(crate) struct Progress {
    runs: BTreeMap<RunId, Watched>,
    bar: Option<ProgressBar>,
    style: ProgressStyle,
    slots: usize,
    /// Estimated seconds of runs that nobody can name yet.
    later: f64,
    began: Instant,
    last_line: Instant,
    /// Of the attempts that have ended.
    device_seconds: f64,
    /// Estimated and measured seconds of the runs that finished here.
    calibration: (f64, f64),
    problems: usize,
}

impl Progress {
    pub(crate) fn new(style: ProgressStyle, rows: &[QueueRow], later: f64, slots: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let style = match style {
            ProgressStyle::Auto if terminal => ProgressStyle::Bar,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        let runs = rows.iter().filter(|row| row.wanted).map(|row| (row.run, Watched::of(row))).collect();
        let bar = (style == ProgressStyle::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(SCALE as u64), ProgressDrawTarget::stderr());
            let template = "{bar:24} {msg}";
            bar.set_style(
                BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()).progress_chars("━╸─"),
            );
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        let progress = Progress {
            runs,
            bar,
            style,
            slots,
            later,
            began: now,
            last_line: now,
            device_seconds: 0.0,
            calibration: (0.0, 0.0),
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
                self.update(run, |watched| watched.since = Some(Instant::now()));
                let label = self.label(run);
                self.line(&format!("{label}: its job goes on"));
            }
            News::Started { run, attempt } => {
                self.update(run, |watched| {
                    watched.state = RunState::Running;
                    watched.since = Some(Instant::now());
                });
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
                self.runs.extend(rows.iter().map(|row| (row.run, Watched::of(row))));
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
        self.update(run, |watched| {
            watched.state = state;
            watched.since = None;
            if state.is_final() {
                watched.step = watched.steps;
            }
        });
        let label = self.label(run);
        if state == RunState::Completed {
            let estimated = self.runs.get(&run).map_or(0.0, |watched| watched.estimated);
            self.calibration = (self.calibration.0 + estimated, self.calibration.1 + device_seconds);
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
            change(watched);
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

    fn draw(&self) {
        if let Some(bar) = &self.bar {
            bar.set_position((self.share() * SCALE) as u64);
            bar.set_message(self.truth());
        }
    }

    fn total(&self) -> f64 {
        self.later + self.runs.values().map(|watched| watched.estimated).sum::<f64>()
    }

    fn done(&self) -> f64 {
        let share = |watched: &Watched| match watched.state.is_final() {
            true => 1.0,
            false => {
                let (step, steps) = (watched.step.saturating_sub(watched.before), watched.steps - watched.before);
                watched.training * step as f64 / steps.max(1) as f64
            }
        };
        self.runs.values().map(|watched| watched.estimated * share(watched)).sum()
    }

    fn share(&self) -> f64 {
        let total = self.total();
        if total > 0.0 { (self.done() / total).min(1.0) } else { 1.0 }
    }

    /// What the attempts that run now have taken so far.
    fn running_seconds(&self) -> f64 {
        self.runs.values().filter_map(|watched| watched.since).map(|since| since.elapsed().as_secs_f64()).sum()
    }

    /// One line of truth.
    fn truth(&self) -> String {
        let finished = self.runs.values().filter(|watched| watched.state.is_final()).count();
        let running = self.runs.values().filter(|watched| watched.state == RunState::Running).count();
        let mut parts = vec![
            // Rounded down: 100 % is said when everything is done.
            format!("{:.0} %", (100.0 * self.share() + 1e-9).floor()),
            format!("{finished}/{} runs, {running} running", self.runs.len()),
            format!("{} device", hours(self.device_seconds + self.running_seconds())),
        ];
        if let Some(eta) = self.remaining() {
            parts.push(format!("ETA {}", duration(eta.ceil())));
        }
        if self.problems > 0 {
            parts.push(count(self.problems, "problem"));
        }
        parts.join(" · ")
    }

    /// Seconds left; none before there is something to go by.
    fn remaining(&self) -> Option<f64> {
        let (estimated, measured) = self.calibration;
        if estimated <= 0.0 || self.began.elapsed() < Duration::from_secs(5) {
            return None;
        }
        Some((self.total() - self.done()) * measured / estimated / self.slots as f64)
    }
}
