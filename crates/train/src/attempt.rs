//! One attempt: restore, train, evaluate, and leave a journal that says what happened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data::batch::{self, Batch, Recipe};
use data::loader::Loader;
use data::{Dataset, Opening};
use spec::files::DataFiles;
use spec::journal::{Event, Finished, Usage};
use spec::order::{Digest, mix};
use spec::run::{RunId, RunSpec, SpecFile};
use spec::schedule::Schedule;
use spec::units::Loss;
use tch::{Device, Tensor, no_grad};

use crate::TrainError;
use crate::branch;
use crate::checkpoint::{Checkpoints, Progress, state_hash};
use crate::device;
use crate::evaluate::{Evaluation, evaluate};
use crate::gradient::{Examples, loss_and_gradient};
use crate::input;
use crate::journal::Journal;
use crate::measure::{elapsed, peak_memory_bytes};
use crate::network::{self, Network};
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use crate::shim;
use crate::tally::{self, Tally};
use crate::weights::{self, Origin, Weights};

/// Lines of progress in a whole run.
const LINES_OF_PROGRESS: u64 = 100;

/// What an attempt needs beside the spec.
pub struct Setting {
    /// The run directory.
    pub run: PathBuf,
    /// Where the data set lies.
    pub data: DataFiles,
    /// The user's cache, for indices of data that nothing can be written beside.
    pub cache: Option<PathBuf>,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Threads that make batches ahead of time; 0: the training thread makes them.
    pub loader_threads: usize,
    /// The run to branch off, where the run has no state of its own yet; its directory lies beside this one.
    pub trunk: Option<RunId>,
    /// Whether other runs will branch off this one.
    pub keep_trunk: bool,
    /// Parts of a batch, where memory ran out with those of the run's specification.
    pub accumulate: Option<u32>,
    /// Raised when the attempt is to save its state and stop.
    pub stop: Arc<AtomicBool>,
    /// The last finished step, for the heartbeat.
    pub step: Arc<AtomicU64>,
}

/// How an attempt ended without failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run has its result: a held-out loss or a divergence.
    Result,
    /// The state is saved; another attempt goes on from there.
    Preempted,
}

/// The state of a run between two steps.
struct Trainer<'a> {
    run_id: RunId,
    spec: &'a RunSpec,
    setting: &'a Setting,
    journal: &'a Journal,
    dataset: Arc<Dataset>,
    loader: Loader,
    /// The next batch, where it is already on its way to a GPU.
    ready: Option<(Batch, Examples)>,
    schedule: Schedule,
    network: Network,
    parameters: Parameters,
    optimizer: Optimizer,
    checkpoints: Checkpoints,
    step: u64,
    tally: Tally,
    loss_sum: Tensor,
    losses: u64,
    step_seconds: Vec<f32>,
    earlier_step_seconds: f64,
    usage: Usage,
    started: Instant,
}

/// Runs the attempt to its end. What goes wrong is returned; the caller writes it into the journal.
pub fn run(file: &SpecFile, setting: &Setting, journal: &Journal) -> Result<Ending, TrainError> {
    let spec = &file.run;
    let device = device::prepare(&spec.train.arithmetic)?;
    tch::set_num_threads(spec.train.threads as i32);
    let dataset = Arc::new(open_data(spec, setting)?);
    let mut trainer = Trainer::restore(file, setting, journal, dataset, device)?;
    let evaluation_steps = spec.evaluation_steps();
    let progress_every = spec.steps().div_ceil(LINES_OF_PROGRESS);
    let mut saved = (trainer.step, Instant::now());
    loop {
        // Asked before anything is done: a worker whose scheduler is gone before its first step must leave no trace, for a
        // new scheduler may have settled this attempt already.
        if setting.stop.load(Ordering::Relaxed) {
            if trainer.step > saved.0 {
                trainer.save()?;
            }
            trainer.end(Event::Preempted { step: trainer.step })?;
            return Ok(Ending::Preempted);
        }
        if setting.keep_trunk && trainer.step == spec.trunk_steps() {
            trainer.keep_trunk()?;
        }
        // An attempt that goes on from a step whose evaluation is due does it (again): it changes nothing but time.
        if evaluation_steps.contains(&trainer.step) {
            let found = match trainer.evaluate() {
                Ok(found) => found,
                // What has been trained is not the fault of a picture that cannot be evaluated.
                Err(error) => {
                    trainer.save()?;
                    return Err(error);
                }
            };
            let Some(found) = found else { continue };
            let Some(loss) = Loss::new(found.loss) else { return trainer.diverged() };
            let (accuracy, top5_accuracy) = (Some(found.accuracy), found.top5_accuracy);
            journal.write(Event::Evaluated { step: trainer.step, loss, accuracy, top5_accuracy })?;
            if trainer.step == trainer.schedule.steps {
                return trainer.finished(loss, found);
            }
        }
        if saved.1.elapsed() >= setting.checkpoint_every {
            trainer.save()?;
            saved = (trainer.step, Instant::now());
        }
        trainer.train_step()?;
        let last = trainer.step == trainer.schedule.steps;
        if (trainer.step.is_multiple_of(progress_every) || last) && !trainer.report()? {
            return trainer.diverged();
        }
    }
}

/// Opens the data set and refuses one that is not the one the run was planned for.
fn open_data(spec: &RunSpec, setting: &Setting) -> Result<Dataset, TrainError> {
    let opening = Opening {
        cache: setting.cache.as_deref(),
        ..Opening::quietly("was the data set removed after the sweep was planned?")
    };
    let mut dataset = Dataset::open(&setting.data, &opening)?;
    let (found, planned) = (&dataset.facts, &spec.data);
    if found.fingerprint != planned.fingerprint {
        let problem = format!(
            "the data have changed: fingerprint {}, the run was planned for {}",
            found.fingerprint, planned.fingerprint
        );
        return Err(data::DataError::Malformed { path: setting.data.to_argument().into(), problem }.into());
    }
    if let Some(classes) = &planned.keep_classes {
        dataset.keep(classes)?;
    }
    let found = &dataset.facts;
    if planned.train_examples > found.train_examples || planned.heldout_examples > found.heldout_examples {
        return Err(TrainError::Spec("the spec asks for more examples than the data set has".to_owned()));
    }
    Ok(dataset)
}

impl<'a> Trainer<'a> {
    fn restore(
        file: &'a SpecFile,
        setting: &'a Setting,
        journal: &'a Journal,
        dataset: Arc<Dataset>,
        device: Device,
    ) -> Result<Trainer<'a>, TrainError> {
        let spec = &file.run;
        let layout = spec.model.layout(spec.data.channels, spec.data.resolution, spec.data.classes)?;
        let mut parameters = Parameters::new(network::declare(&layout), spec.seed, device)?;
        let missing = || TrainError::Spec("the network asks for a parameter that was not declared".to_owned());
        let network = Network::new(&layout, &parameters, spec.train.arithmetic.memory_format).ok_or_else(missing)?;
        let ema = spec.train.regularisation.ema;
        let mut optimizer = Optimizer::new(spec.train.optimizer, ema, &parameters)?;
        let checkpoints = Checkpoints::of(&setting.run, file.run_id);
        let (progress, mut notes) = checkpoints.restore(&mut parameters, &mut optimizer)?;
        let mut progress = progress;
        let (mut trunk, mut epochs) = (None, Vec::new());
        if let (None, Some(other)) = (&progress, setting.trunk) {
            match branch::off(other, file, &setting.run, &mut parameters, &mut optimizer) {
                Ok(branched) => {
                    progress = Some(branched.progress);
                    (trunk, epochs) = (Some(branched.trunk), branched.epochs);
                }
                Err(why) => notes.push(format!("trained from its first step on: {why}")),
            }
        }
        if let (None, Some(parent)) = (&progress, spec.pretrained) {
            let weights = Weights::read(&setting.run.with_file_name(parent.to_string()), parent)?;
            weights.start(&mut parameters)?;
            if weights.origin == Origin::Imported {
                notes.push(format!("starts from imported weights, not from those that run {parent} has trained"));
            }
            // Its average begins with the weights.
            optimizer = Optimizer::new(spec.train.optimizer, ema, &parameters)?;
        }
        let progress =
            progress.unwrap_or_else(|| Progress { digest: Digest::default().to_string(), ..Progress::default() });
        setting.step.store(progress.step, Ordering::Relaxed);
        if let Some(parts) = setting.accumulate {
            notes.push(format!("computes a batch in {parts} parts, because memory ran out before"));
        }
        journal.write(Event::Started {
            resumed_step: progress.step,
            device: device::name(device),
            hardware: device::hardware(device),
            software: Some(format!("libtorch {}", device::LIBTORCH)),
            notes,
            trunk,
        })?;
        for epoch in epochs {
            journal.write(epoch)?;
        }
        let empty = || TrainError::Spec("the training set is empty".to_owned());
        let order = spec.order().ok_or_else(empty)?;
        let (own, recipe) = (Arc::clone(&dataset), Recipe::of(spec));
        let (batch, samples, copies, first) = (spec.train.batch, spec.samples(), spec.multiplicity(), progress.step);
        let make = move |step: u64, crew: &data::crew::Crew| {
            let from = step * batch;
            let draws = from / copies..(from + batch).min(samples) / copies;
            data::ahead::announce(&own.train, &order, draws, step == first);
            batch::training(&own.train, &order, &recipe, from..(from + batch).min(samples), crew)
        };
        let loader = Loader::new(progress.step..spec.steps(), setting.loader_threads, make)
            .map_err(|source| TrainError::Io { what: "starting threads that load data".to_owned(), source })?;
        let digest = progress.digest.parse();
        let digest = digest.map_err(|_| TrainError::Spec("the checkpoint's digest is not a number".to_owned()))?;
        Ok(Trainer {
            run_id: file.run_id,
            spec,
            setting,
            journal,
            dataset,
            loader,
            ready: None,
            schedule: spec.schedule(),
            network,
            parameters,
            optimizer,
            checkpoints,
            step: progress.step,
            tally: Tally::new(spec, order, digest, progress.skipped),
            loss_sum: Tensor::f_from_slice(&[f32::from_bits(progress.loss_sum_bits)])?.f_to_device(device)?,
            losses: progress.losses,
            step_seconds: Vec::new(),
            earlier_step_seconds: progress.step_seconds,
            usage: Usage::default(),
            started: Instant::now(),
        })
    }

    /// Parts that a batch is computed in.
    fn parts(&self) -> u32 {
        self.setting.accumulate.unwrap_or(self.spec.train.arithmetic.accumulate)
    }

    fn samples(&self) -> u64 {
        (self.step * self.spec.train.batch).min(self.spec.samples())
    }

    fn train_step(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let mut lap = began;
        let spec = self.spec;
        let from = self.samples();
        let device = self.parameters.flat().device();
        let (batch, examples) = match self.ready.take() {
            Some(ready) => ready,
            None => self.next_batch()?,
        };
        self.usage.data_seconds += elapsed(&mut lap);
        // Dropout draws from libtorch's generator; seeding it by the step leaves no generator state to save.
        tch::manual_seed((mix(spec.seed ^ mix(self.step)) >> 1) as i64);
        let parts = self.parts();
        let (loss, downhill) = loss_and_gradient(&self.network, &mut self.parameters, &examples, &spec.train, parts)?;
        self.usage.gradient_seconds += elapsed(&mut lap);
        self.optimizer.step(&self.parameters, downhill, self.schedule.rate(self.step), self.step)?;
        if device.is_cuda() && self.step + 1 < self.schedule.steps {
            // While the GPU is at this step, the next batch is made and copied beside it.
            self.usage.optimizer_seconds += elapsed(&mut lap);
            self.ready = Some(shim::aside(device, || self.next_batch())?);
            self.usage.data_seconds += elapsed(&mut lap);
        }
        device::wait(device);
        self.usage.optimizer_seconds += elapsed(&mut lap);
        let _ = no_grad(|| self.loss_sum.f_add_(&loss))?;
        self.losses += 1;
        self.step += 1;
        self.setting.step.store(self.step, Ordering::Relaxed);
        self.step_seconds.push(began.elapsed().as_secs_f32());
        let samples = from..self.samples();
        self.tally.count(self.step, samples, &batch, &self.dataset, self.journal)
    }

    /// The next batch, and as the network wants it.
    fn next_batch(&mut self) -> Result<(Batch, Examples), TrainError> {
        let batch = self.loader.take()?;
        self.usage.wait_seconds = self.loader.waited().as_secs_f64();
        #[cfg(test)]
        let batch = crate::lossy::spoilt(batch, self.step);
        // Without any picture there is nothing to train on, whatever may be left out.
        let none_may = self.spec.skippable() == 0 || batch.ids.is_empty();
        if let Some(first) = batch.skipped.first().filter(|_| none_may) {
            let remedy = match self.spec.skippable() {
                0 if self.spec.data.skip_damaged.is_some() => {
                    "and the share of data.skip_damaged comes to no example at all"
                }
                0 => "mend or remove it, or let data.skip_damaged leave out a share of them",
                _ => "and so is every other one of this step, which leaves nothing to train on",
            };
            return Err(tally::damaged(&self.dataset, first, remedy)?);
        }
        let examples = input::examples(&batch, self.spec, self.parameters.flat().device())?;
        Ok((batch, examples))
    }

    /// Writes a line of progress; false if the run has diverged.
    fn report(&mut self) -> Result<bool, TrainError> {
        let mean = self.loss_sum.f_double_value(&[0])? / self.losses.max(1) as f64;
        let limit = self.spec.train.divergence * self.spec.loss_of_guessing();
        let Some(loss) = Loss::new(mean).filter(|loss| loss.nats() <= limit) else {
            return Ok(false);
        };
        let _ = self.loss_sum.f_zero_()?;
        self.losses = 0;
        let lr = self.schedule.rate(self.step - 1);
        let seconds = self.started.elapsed().as_secs_f64();
        let (samples, lr, seconds) = (Some(self.samples()), Some(lr), Some(seconds));
        self.journal.write(Event::Progress { step: self.step, samples, loss, lr, seconds })?;
        Ok(true)
    }

    /// `None` if the attempt was told to stop meanwhile.
    fn evaluate(&mut self) -> Result<Option<Evaluation>, TrainError> {
        let mut lap = Instant::now();
        let weights = self.optimizer.evaluated(&self.parameters);
        let (threads, stop) = (self.setting.loader_threads, &self.setting.stop);
        let found = evaluate(&self.network, weights, &self.dataset, self.spec, threads, stop)?;
        self.usage.evaluation_seconds += elapsed(&mut lap);
        Ok(found)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let mut lap = Instant::now();
        self.checkpoints.save(&self.parameters, &self.optimizer, &self.progress()?)?;
        self.usage.checkpoint_seconds += elapsed(&mut lap);
        self.journal.write(Event::Checkpoint { step: self.step })
    }

    /// Saves the state that other runs go on from.
    fn keep_trunk(&mut self) -> Result<(), TrainError> {
        let mut lap = Instant::now();
        let trunk = Checkpoints::of_trunk(&self.setting.run, self.run_id);
        trunk.save(&self.parameters, &self.optimizer, &self.progress()?)?;
        self.usage.checkpoint_seconds += elapsed(&mut lap);
        Ok(())
    }

    fn progress(&self) -> Result<Progress, TrainError> {
        Ok(Progress {
            step: self.step,
            digest: self.tally.digest().to_string(),
            skipped: self.tally.skipped(),
            loss_sum_bits: (self.loss_sum.f_double_value(&[0])? as f32).to_bits(),
            losses: self.losses,
            step_seconds: self.median_step_seconds(),
        })
    }

    /// Writes the line that ends the attempt, and before it what the attempt took.
    fn end(&self, last: Event) -> Result<(), TrainError> {
        self.journal.write(Event::Usage(Usage { peak_memory_bytes: peak_memory_bytes(), ..self.usage }))?;
        self.journal.write(last)
    }

    fn finished(&self, heldout_loss: Loss, found: Evaluation) -> Result<Ending, TrainError> {
        weights::write(&self.setting.run, self.run_id, self.optimizer.evaluated(&self.parameters), Origin::Trained)?;
        let state_hash = Some(state_hash(&self.parameters, &self.optimizer)?);
        let (step, step_seconds) = (self.step, Some(self.median_step_seconds()));
        let (accuracy, top5_accuracy) = (Some(found.accuracy), found.top5_accuracy);
        self.end(Event::Finished(Finished { step, heldout_loss, accuracy, top5_accuracy, step_seconds, state_hash }))?;
        self.checkpoints.drop_all();
        Ok(Ending::Result)
    }

    fn diverged(&self) -> Result<Ending, TrainError> {
        self.end(Event::Diverged { step: self.step })?;
        self.checkpoints.drop_all();
        Ok(Ending::Result)
    }

    /// Median over this attempt's steps; where they are few, what the attempts before had measured.
    fn median_step_seconds(&self) -> f64 {
        let mut seconds = self.step_seconds.clone();
        if seconds.len() < 20 && self.earlier_step_seconds > 0.0 {
            return self.earlier_step_seconds;
        }
        if seconds.is_empty() {
            return 0.0;
        }
        let middle = seconds.len() / 2;
        let (_, median, _) = seconds.select_nth_unstable_by(middle, f32::total_cmp);
        f64::from(*median)
    }
}
