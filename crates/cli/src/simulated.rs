//! `scalelaw simulated-attempt`: one attempt of a run that only pretends to train. It honours the run folder as any trainer does.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use spec::cost::Speed;
use spec::journal::{Event, Finished, JOURNAL_SCHEMA, Line, Usage};
use spec::order::{Digest, epochs};
use spec::run::{RunSpec, SpecFile};
use spec::simulation::{Fault, Faults, Simulation};
use spec::state::Failure;
use spec::trainer::Trainer;
use spec::trunk::Trunk;
use spec::units::Loss;

use crate::bound::bind_to;
use crate::exit::say;
use crate::growth::now_ms;

/// Lines of progress in a whole run.
const SLICES: u64 = 20;

/// Larger training sets have their digests left out: they would take longer than the pretence.
const LARGEST_DIGEST: u64 = 2_000_000;

/// What hangs ends by itself after this, if nobody is left to end it.
const LONGEST_HANG: Duration = Duration::from_secs(3600);

/// File in the folder of a run with the step that it can be gone on from.
const STATE: &str = "simulated.step";

/// Returns when the attempt is over.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments.filter_map(|text| text.into_string().ok()).collect();
    let variable = |name| std::env::var(name).unwrap_or_default();
    let folder = PathBuf::from(variable("SCALELAW_RUN_DIR"));
    let accumulate = variable("SCALELAW_ACCUMULATE").parse().unwrap_or(1_u32);
    let numbers =
        variable("SCALELAW_ATTEMPT").parse::<u32>().ok().zip(arguments.get(1).and_then(|speed| speed.parse().ok()));
    let faults =
        arguments.get(3).zip(arguments.get(2)).and_then(|(list, seed)| Faults::read(list, seed.parse().ok()?).ok());
    let (Some((attempt, speed)), Some(faults)) = (numbers, faults) else {
        say("scalelaw: simulated-attempt is started by scalelaw simulate");
        return ExitCode::from(2);
    };
    let parent = arguments[0].parse().ok().and_then(Pid::from_raw);
    if parent.is_some_and(|parent| !bind_to(parent)) {
        return ExitCode::from(sched::PREEMPTED);
    }
    let trunk = arguments.get(4).zip(arguments.get(5));
    let trunk = trunk.and_then(|(run, step)| Some(Trunk { run: run.parse().ok()?, step: step.parse().ok()? }));
    match Attempt::open(&folder, attempt, speed).and_then(|mut one| one.go(&faults, accumulate, trunk)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("scalelaw: simulated attempt: {error}"));
            ExitCode::FAILURE
        }
    }
}

struct Attempt {
    run_id: String,
    spec: RunSpec,
    law: Simulation,
    parameters: u64,
    /// Seconds of the whole run.
    seconds: f64,
    number: u32,
    state: PathBuf,
    journal: File,
    seq: u64,
    stop: Arc<AtomicBool>,
}

impl Attempt {
    fn open(folder: &Path, number: u32, speed: f64) -> std::io::Result<Attempt> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let file: SpecFile = serde_json::from_slice(&fs::read(folder.join("spec.json"))?)?;
        let spec = file.run;
        let Some(Trainer::Simulated { law }) = spec.trainer else {
            return Err(std::io::Error::other("this run is not simulated"));
        };
        let data = &spec.data;
        let footprint = spec.model.footprint(data.channels, data.resolution, data.classes);
        let footprint = footprint.map_err(std::io::Error::other)?;
        let journal = folder.join("attempts").join(number.to_string()).join("journal.jsonl");
        let mut attempt = Attempt {
            run_id: file.run_id.to_string(),
            law,
            parameters: footprint.parameters,
            seconds: Speed::CPU_CORE.run_seconds(&footprint, &spec) / speed,
            number,
            state: folder.join(STATE),
            journal: OpenOptions::new().append(true).create_new(true).open(journal)?,
            seq: 0,
            stop,
            spec,
        };
        let pid = std::process::id();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        attempt.write(Event::Header { schema: JOURNAL_SCHEMA, run_id: file.run_id, attempt: number, pid, host })?;
        Ok(attempt)
    }

    fn write(&mut self, event: Event) -> std::io::Result<()> {
        let at_ms = now_ms();
        let durable = event.is_last() || matches!(event, Event::Checkpoint { .. });
        let mut line = serde_json::to_vec(&Line { seq: self.seq, at_ms, event })?;
        line.push(b'\n');
        self.journal.write_all(&line)?;
        self.seq += 1;
        if durable { self.journal.sync_data() } else { Ok(()) }
    }

    /// The step that an earlier attempt has left.
    fn saved(&self) -> u64 {
        saved(&self.state)
    }

    /// Whether the run that this one may branch off lies beside it and has come so far.
    fn has(&self, trunk: Trunk) -> bool {
        let run = self.state.parent().map(|folder| folder.with_file_name(trunk.run.to_string()));
        run.is_some_and(|run| saved(&run.join(STATE)) >= trunk.step)
    }

    fn save(&mut self, step: u64) -> std::io::Result<()> {
        let partial = self.state.with_extension("tmp");
        let mut file = File::create(&partial)?;
        write!(file, "{step}")?;
        file.sync_all()?;
        fs::rename(&partial, &self.state)?;
        self.write(Event::Checkpoint { step })
    }

    fn go(&mut self, faults: &Faults, accumulate: u32, trunk: Option<Trunk>) -> std::io::Result<u8> {
        let steps = self.spec.steps();
        let saved = self.saved().min(steps);
        let trunk = trunk.filter(|trunk| saved == 0 && self.has(*trunk));
        let mut step = trunk.map_or(saved, |trunk| trunk.step);
        let device = "simulated".to_owned();
        let started =
            Event::Started { resumed_step: step, device, hardware: None, software: None, notes: Vec::new(), trunk };
        self.write(started)?;
        if trunk.is_some() {
            self.end_epochs(0, step)?;
        }
        let fault =
            faults.strike(&self.run_id, self.number).filter(|(fault, _)| *fault != Fault::Oom || accumulate < 2);
        let strikes = fault.map_or(u64::MAX, |(_, share)| step + (share * (steps - step) as f64) as u64);
        let slow = if fault.is_some_and(|(fault, _)| fault == Fault::Slow) { 5.0 } else { 1.0 };
        let (began, slice) = (Instant::now(), steps.div_ceil(SLICES));
        let mut lines = 0;
        while step < steps {
            let next = (step + slice).min(steps);
            if let Some((fault, _)) = fault.filter(|_| strikes < next)
                && let Some(code) = self.strike(fault, step)?
            {
                return Ok(code);
            }
            let until =
                Instant::now() + Duration::from_secs_f64(slow * self.seconds * (next - step) as f64 / steps as f64);
            while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)));
            }
            if self.stop.load(Ordering::Relaxed) {
                self.save(step)?;
                self.write(Event::Preempted { step })?;
                return Ok(sched::PREEMPTED);
            }
            self.end_epochs(step, next)?;
            step = next;
            lines += 1;
            let samples = (step * self.spec.train.batch).min(self.spec.samples());
            let Some(loss) = self.loss(samples) else {
                self.write(Event::Diverged { step })?;
                return Ok(0);
            };
            let (lr, seconds) = (Some(self.spec.train.lr), Some(began.elapsed().as_secs_f64()));
            self.write(Event::Progress { step, samples: Some(samples), loss, lr, seconds })?;
            if lines % 4 == 0 {
                self.write(Event::Heartbeat { step })?;
                self.save(step)?;
            }
        }
        self.finish(step, fault.is_some_and(|(fault, _)| fault == Fault::Torn))
    }

    fn loss(&self, samples: u64) -> Option<Loss> {
        Loss::new(self.law.loss(&self.spec, self.parameters, samples)?)
    }

    fn finish(&mut self, step: u64, torn: bool) -> std::io::Result<u8> {
        let Some(heldout_loss) = self.loss(self.spec.samples()) else {
            self.write(Event::Diverged { step })?;
            return Ok(0);
        };
        if torn {
            self.journal.write_all(b"{\"seq\":9,\"event\":\"finished\",\"heldout_l")?;
            kill_self();
        }
        self.write(Event::Usage(Usage { gradient_seconds: self.seconds, ..Usage::default() }))?;
        let finished = Finished {
            step,
            heldout_loss,
            accuracy: Some((-heldout_loss.nats()).exp()),
            top5_accuracy: None,
            step_seconds: Some(self.seconds / step.max(1) as f64),
            state_hash: None,
        };
        self.write(Event::Finished(finished))?;
        Ok(0)
    }

    /// What ends the attempt, or does not.
    fn strike(&mut self, fault: Fault, step: u64) -> std::io::Result<Option<u8>> {
        match fault {
            Fault::Slow | Fault::Torn => return Ok(None),
            Fault::Crash => kill_self(),
            Fault::Oom => say("simulated: out of memory"),
            Fault::DiskFull => {
                let message = "simulated: No space left on device".to_owned();
                self.write(Event::Failed { class: Failure::Node, message })?;
            }
            Fault::Preempt => {
                self.save(step)?;
                self.write(Event::Preempted { step })?;
                return Ok(Some(sched::PREEMPTED));
            }
            Fault::Hang => {
                for _ in 0..LONGEST_HANG.as_secs() {
                    self.write(Event::Heartbeat { step })?;
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            Fault::Silent => {
                self.write(Event::Heartbeat { step })?;
                std::thread::sleep(LONGEST_HANG);
            }
        }
        Ok(Some(1))
    }

    /// Records the epochs that end between two steps, and the open one at the end, as a real trainer does.
    fn end_epochs(&mut self, from: u64, to: u64) -> std::io::Result<()> {
        let (draws, examples) = (self.spec.draws(), self.spec.data.train_examples);
        let Some(order) = self.spec.order().filter(|_| examples <= LARGEST_DIGEST) else { return Ok(()) };
        let drawn = |step: u64| (step * self.spec.train.batch / self.spec.multiplicity()).min(draws);
        let (before, after) = (drawn(from), drawn(to));
        let mut end = 0;
        let mut ended = Vec::new();
        for (epoch, samples) in epochs(draws, examples) {
            end += samples;
            if before < end && end <= after {
                ended.push((epoch, samples));
            }
        }
        for (epoch, samples) in ended {
            let digest = Digest::expected(&order, epoch, samples).to_string();
            self.write(Event::Epoch { epoch, samples, digest })?;
        }
        Ok(())
    }
}

/// The step in such a file; 0 where there is none.
fn saved(state: &Path) -> u64 {
    fs::read_to_string(state).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// As the machine does when it runs out of memory: nothing more is written.
fn kill_self() {
    let _ = kill_process(getpid(), Signal::KILL);
}
