//! Whole sweeps with all kinds of trouble, from a seed: workers that are killed, hang, are slow or run out of memory, results whose
//! line is torn, exits that are told twice, a machine that sleeps, a full disk, schedulers that are killed anywhere, and people.
//! After every step the promises are checked. `SCALELAW_SEED` replays one seed, `SCALELAW_SEEDS` runs so many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spec::order::mix;
use spec::run::RunId;
use spec::state::{Failure, RunState, Transition};
use store::Outcome;

use super::tests::{RULES, run, waiting};
use super::{Action, Canary, Core, Device, Ending, Event, Over, Rules, Waiting};

/// Seeds of a test run that says nothing else.
const SEEDS: u64 = 1000;

/// Steps of the world with trouble; then it calms down, and everything has to come to its end.
const TROUBLED: u64 = 250;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % bound
    }

    pub(super) fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

/// What a run is like; nobody knows beforehand.
#[derive(Clone, Copy)]
struct Nature {
    steps: u64,
    diverges: bool,
    broken: bool,
    /// Parts that its batch has to be computed in, as a power of two.
    fits_after: u32,
    devices: u32,
    memory: u64,
}

/// The row of a run, as the database has it.
struct Row {
    state: RunState,
    attempt: u32,
    crashes: u32,
    priority: i64,
    halvings: u32,
    moves: Vec<Transition>,
    result: Option<u64>,
}

/// A worker. What it has written survives it.
struct Process {
    attempt: u32,
    devices: Vec<usize>,
    halvings: u32,
    step: u64,
    hangs: bool,
    silent: bool,
    slow: bool,
    asked: bool,
    /// Its result, where it has written it and does not end.
    said: Option<Ending>,
    /// Its end, which the scheduler has not heard of.
    over: Option<Ending>,
}

struct World {
    random: Random,
    natures: Vec<Nature>,
    rows: BTreeMap<RunId, Row>,
    processes: BTreeMap<RunId, Process>,
    checkpoints: BTreeMap<RunId, u64>,
    devices: Vec<Device>,
    rules: Rules,
    core: Core,
    /// When this scheduler began, and now.
    began: u64,
    now: u64,
    spent: f64,
    /// Device seconds that nobody could stop, because the machine slept; and those of the second between two looks.
    unseen: f64,
    paused: bool,
    troubled: bool,
    /// Attempts that have been told to end twice.
    told: Vec<(RunId, u32)>,
}

fn number(run: RunId) -> usize {
    usize::from_str_radix(&run.to_string(), 16).expect("16 digits")
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(mix(seed));
        let devices: Vec<Device> = (0..1 + random.below(4))
            .map(|index| Device {
                name: format!("gpu{index}"),
                memory: Some(8),
                runs: 1 + random.below(3) as u32,
                held: true,
            })
            .collect();
        let runs = 4 + random.below(9);
        let natures: Vec<Nature> = (0..runs)
            .map(|_| Nature {
                steps: 1 + random.below(40),
                diverges: random.one_in(6),
                broken: random.one_in(12),
                fits_after: if random.one_in(6) { 1 + random.below(3) as u32 } else { 0 },
                devices: if random.one_in(5) { 1 + random.below(devices.len() as u64) as u32 } else { 1 },
                memory: 1 + random.below(6),
            })
            .collect();
        let budget = random.one_in(3).then(|| 200.0 + random.below(3000) as f64);
        let rules = Rules {
            retries: random.below(4) as u32,
            failures_in_a_row: 2 + random.below(3) as u32,
            halvings: random.below(3) as u32,
            budget: (budget, 0.0),
            stall: Duration::from_secs(100),
            tells_steps: true,
            ..RULES
        };
        let row = || Row {
            state: RunState::Queued,
            attempt: 0,
            crashes: 0,
            priority: 0,
            halvings: 0,
            moves: Vec::new(),
            result: None,
        };
        let rows = (0..runs).map(|number| (run(number), row())).collect();
        let core = Core::new(rules, devices.clone(), Vec::new());
        let mut world = World {
            random,
            natures,
            rows,
            processes: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            devices,
            rules,
            core,
            began: 0,
            now: 0,
            spent: 0.0,
            unseen: 4.0,
            paused: false,
            troubled: true,
            told: Vec::new(),
        };
        world.begin();
        world
    }

    /// A new scheduler, with nothing but the rows.
    fn begin(&mut self) {
        let canaries = self.random.one_in(4);
        let waiting = |(index, (run, row)): (usize, (&RunId, &Row))| Waiting {
            attempt: row.attempt,
            crashes: row.crashes,
            priority: row.priority,
            halvings: row.halvings,
            devices: self.natures[index].devices,
            memory: self.natures[index].memory,
            seconds: self.natures[index].steps as f64,
            // A chain, as of budgets that share their beginning.
            after: (index % 4 == 3).then(|| super::tests::run(index as u64 - 1)),
            canary: match index {
                0 if canaries => Some(Canary::Result),
                1 if canaries => Some(Canary::Step),
                _ => None,
            },
            run: *run,
            ..super::tests::waiting(0)
        };
        let rows = self.rows.iter().enumerate().filter(|(_, (_, row))| row.state == RunState::Queued);
        let queue = rows.map(waiting).collect();
        self.began = self.now;
        let rules = Rules { budget: (self.rules.budget.0, self.spent), ..self.rules };
        self.core = Core::new(rules, self.devices.clone(), queue);
        self.paused = false;
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.now - self.began)
    }

    fn move_on(&mut self, run: RunId, transition: Transition) {
        let row = self.rows.get_mut(&run).expect("a run of this sweep");
        row.state = row.state.next(transition).expect("a move that the state allows");
        row.moves.push(transition);
    }

    /// One turn of a scheduler. It may be killed before anything is durable, after that, or not at all; or the disk is full.
    fn turn(&mut self, event: Event) {
        let actions = self.core.handle(self.time(), event);
        self.check_time();
        let killed = self.troubled && self.random.one_in(60);
        if killed && self.random.one_in(2) {
            return self.scheduler_dies();
        }
        for action in &actions {
            self.commit(action);
        }
        if killed {
            return self.scheduler_dies();
        }
        for action in actions {
            self.perform(action);
        }
        self.check();
    }

    fn commit(&mut self, action: &Action) {
        match action {
            Action::Start { run, attempt, .. } => {
                self.move_on(*run, Transition::Start);
                let row = self.rows.get_mut(run).expect("there");
                assert_eq!(*attempt, row.attempt + 1, "attempts count up by one");
                row.attempt = *attempt;
            }
            Action::Settle(settled) => {
                self.move_on(settled.run, settled.transition);
                let row = self.rows.get_mut(&settled.run).expect("there");
                assert_eq!(row.attempt, settled.attempt, "only the newest attempt is settled");
                if settled.outcome == Outcome::Crashed && settled.failure != Some(Failure::Oom) {
                    row.crashes += 1;
                }
                if settled.transition == Transition::Complete {
                    row.result = self.checkpoints.get(&settled.run).copied();
                }
                if settled.failure == Some(Failure::Oom) && settled.transition == Transition::Requeue {
                    row.halvings += 1;
                }
                self.spent += settled.device_seconds;
                // Nobody works on it any more.
                self.processes.remove(&settled.run);
            }
            Action::Cancel(run) => self.move_on(*run, Transition::Cancel),
            Action::Pause(why) => self.paused = why.is_some(),
            Action::Quarantine { .. } | Action::Terminate(_) | Action::Kill(_) => {}
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start { run, attempt, devices, halvings } => {
                let step = self.checkpoints.get(&run).copied().unwrap_or(0);
                let (silent, slow) = (self.random.one_in(4), self.random.one_in(8));
                let (hangs, asked, said, over) = (false, false, None, None);
                let process = Process { attempt, devices, halvings, step, hangs, silent, slow, asked, said, over };
                assert!(self.processes.insert(run, process).is_none(), "{run} is worked on twice");
            }
            Action::Terminate(run) => {
                let process = self.processes.get_mut(&run).expect("only what works is told to stop");
                process.asked = true;
            }
            Action::Kill(run) => {
                let process = self.processes.get_mut(&run).expect("only what works is killed");
                let class = Failure::Node;
                let killed = Ending::Crashed { class, message: "killed".to_owned() };
                process.over.get_or_insert(process.said.clone().unwrap_or(killed));
            }
            _ => {}
        }
    }

    /// The scheduler is gone; its workers save their state or not. The next one settles them by their journals.
    fn scheduler_dies(&mut self) {
        let runs: Vec<RunId> = self.rows.keys().copied().collect();
        for run in runs {
            if self.rows[&run].state != RunState::Running {
                continue;
            }
            let process = self.processes.remove(&run);
            let nature = self.natures[number(run)];
            let transition = match process.as_ref().and_then(|process| process.over.clone().or(process.said.clone())) {
                Some(Ending::Completed) => Transition::Complete,
                Some(Ending::Diverged) => Transition::Diverge,
                _ => Transition::Requeue,
            };
            if let Some(process) = process
                && self.random.one_in(2)
            {
                self.checkpoints.insert(run, process.step.min(nature.steps));
            }
            self.move_on(run, transition);
            if transition == Transition::Complete {
                self.rows.get_mut(&run).expect("there").result = self.checkpoints.get(&run).copied();
            }
        }
        self.processes.clear();
        self.spent += self.core.uses().map(|(_, used)| used.busy).sum::<f64>() - self.settled_here();
        self.now += self.random.below(100);
        self.begin();
    }

    /// Device seconds that were settled by the scheduler that works now.
    fn settled_here(&self) -> f64 {
        self.core.budget.spent - self.spent_before()
    }

    fn spent_before(&self) -> f64 {
        self.core.rules.budget.1
    }

    /// A second or more passes: workers work, and things happen.
    fn pass(&mut self) {
        let seconds = match self.troubled && self.random.one_in(100) {
            // The machine sleeps.
            true => 1000,
            false => 1,
        };
        self.now += seconds;
        self.unseen += (seconds - 1) as f64 * self.devices.len() as f64;
        let runs: Vec<RunId> = self.processes.keys().copied().collect();
        for run in runs {
            // The scheduler may be another one by now.
            if !self.processes.contains_key(&run) {
                continue;
            }
            self.work(run);
            let process = &self.processes[&run];
            let is_last = process.said.is_some();
            if process.over.is_none() && (!process.hangs || is_last) {
                let (attempt, step, beats) = (process.attempt, process.step, !process.silent);
                self.turn(Event::Sign { run, attempt, step, beats, is_last });
            }
            if let Some((attempt, ending)) = self
                .processes
                .get(&run)
                .and_then(|process| process.over.clone().map(|ending| (process.attempt, ending)))
            {
                self.turn(Event::Ended { run, attempt, ending });
                self.told.push((run, attempt));
            }
        }
        self.turn(Event::Tick);
    }

    fn work(&mut self, run: RunId) {
        let nature = self.natures[number(run)];
        let troubled = self.troubled;
        let mut one_in = |chance: u64| troubled && self.random.one_in(chance);
        let (killed, torn, hang, fails, lingers) = (one_in(120), one_in(20), one_in(150), one_in(200), one_in(10));
        let (saves, stands) = (self.random.one_in(5), self.random.one_in(3));
        let process = self.processes.get_mut(&run).expect("it works");
        let crashed = |class| Some(Ending::Crashed { class, message: "trouble".to_owned() });
        if process.over.is_some() {
            return;
        }
        process.hangs |= hang;
        if killed {
            process.over = process.said.clone().or(crashed(Failure::Node));
        } else if process.hangs {
            // Only being killed ends it.
        } else if nature.broken {
            process.over = crashed(Failure::Code);
        } else if process.halvings < nature.fits_after {
            process.over = crashed(Failure::Oom);
        } else if fails {
            process.over = crashed(Failure::Node);
        } else if process.asked {
            self.checkpoints.insert(run, process.step);
            process.over = Some(Ending::Preempted);
        } else if !(process.slow && stands) {
            process.step = (process.step + 1).min(nature.steps);
            if saves {
                self.checkpoints.insert(run, process.step);
            }
            if nature.diverges && process.step > nature.steps / 2 {
                process.over = Some(Ending::Diverged);
            } else if process.step >= nature.steps && lingers {
                self.checkpoints.insert(run, process.step);
                (process.said, process.hangs) = (Some(Ending::Completed), true);
            } else if process.step >= nature.steps {
                self.checkpoints.insert(run, process.step);
                // The line with the result is torn: nobody may believe that it is there.
                process.over = if torn { crashed(Failure::Node) } else { Some(Ending::Completed) };
            }
        }
    }

    /// What people and others do.
    fn people(&mut self) {
        let which = run(self.random.below(self.natures.len() as u64));
        match self.random.below(60) {
            0 => self.turn(Event::Pause),
            1..=4 => self.turn(Event::Resume),
            5 => self.turn(Event::Cancel(which)),
            6 => {
                let priority = self.random.below(5) as i64 - 2;
                self.rows.get_mut(&which).expect("there").priority = priority;
                self.turn(Event::Prioritise(which, priority));
            }
            7 => {
                let busy = (0..self.devices.len()).filter(|_| self.random.one_in(3)).collect();
                self.turn(Event::Busy(busy));
            }
            8 => self.turn(Event::Busy(BTreeSet::new())),
            9 | 10 => {
                // An exit is told again.
                if let Some((run, attempt)) = self.told.get(self.random.0 as usize % self.told.len().max(1)).copied()
                    && self.processes.get(&run).is_none_or(|process| process.attempt != attempt)
                {
                    self.turn(Event::Ended { run, attempt, ending: Ending::Completed });
                }
            }
            11 => self.scheduler_dies(),
            12 if matches!(self.rows[&which].state, RunState::Failed(_) | RunState::Cancelled) => self.retry(which),
            _ => {}
        }
    }

    fn retry(&mut self, run: RunId) {
        self.move_on(run, Transition::Retry);
        let row = self.rows.get_mut(&run).expect("there");
        row.crashes = 0;
        let nature = self.natures[number(run)];
        let one = Waiting {
            run,
            attempt: row.attempt,
            devices: nature.devices,
            memory: nature.memory,
            halvings: row.halvings,
            seconds: nature.steps as f64,
            ..waiting(0)
        };
        self.core.add(self.time(), vec![one]);
    }

    fn check_time(&self) {
        let billed: f64 = self.core.working.keys().map(|run| self.core.pool.billed(*run)).sum();
        let busy: f64 = self.core.uses().map(|(_, used)| used.busy).sum();
        let idle: f64 = self.core.uses().map(|(_, used)| used.idle).sum();
        assert!((self.settled_here() + billed - busy).abs() < 1e-6, "what is billed is what devices were busy");
        let held = self.devices.len() as f64 * self.time().as_secs_f64();
        assert!((busy + idle - held).abs() < 1e-6, "busy and idle are all the time");
        if let Some(limit) = self.rules.budget.0 {
            // While the machine sleeps nobody can stop anything, and a process that hangs is killed at the end of its grace.
            let late = self.unseen;
            assert!(self.core.budget.spent + billed <= limit + late, "{} of {limit}", self.core.budget.spent + billed);
        }
    }

    fn check(&self) {
        let mut on: BTreeMap<usize, Vec<RunId>> = BTreeMap::new();
        for (run, process) in &self.processes {
            assert_eq!(self.rows[run].state, RunState::Running, "{run} is at work without a row that says so");
            assert_eq!(self.rows[run].attempt, process.attempt, "an old attempt is at work");
            process.devices.iter().for_each(|device| on.entry(*device).or_default().push(*run));
        }
        for (device, runs) in on {
            assert!(runs.len() <= self.devices[device].runs as usize, "too many runs on a device");
            let memory: u64 = runs.iter().map(|run| self.natures[number(*run)].memory).sum();
            assert!(runs.len() == 1 || Some(memory) <= self.devices[device].memory, "too much memory on a device");
            let alone = runs.iter().all(|run| self.natures[number(*run)].devices == 1);
            assert!(runs.len() == 1 || alone, "a run on several devices shares one");
        }
        for (run, row) in &self.rows {
            assert_eq!(RunState::after(row.moves.iter().copied()), Ok(row.state), "replaying the moves gives the rows");
            let working = self.core.working.contains_key(run);
            assert_eq!(working, row.state == RunState::Running, "{run}");
            assert_eq!(working, self.processes.contains_key(run), "{run}");
            assert_eq!(self.core.queue.contains(*run), row.state == RunState::Queued, "{run} is lost");
            if row.state == RunState::Completed {
                assert_eq!(row.result, Some(self.natures[number(*run)].steps), "a result that nobody has computed");
            }
        }
    }

    /// Without trouble everything comes to its end in a time that can be told.
    fn calm(&mut self) {
        self.troubled = false;
        self.turn(Event::Busy(BTreeSet::new()));
        for _ in 0..4 {
            // Long enough for what hangs to be noticed, for back-off, and for all steps one after the other.
            for _ in 0..3000 {
                if self.core.over().is_some() {
                    break;
                }
                self.pass();
            }
            match self.core.over() {
                Some(Over::Paused(_)) | None if self.paused => self.turn(Event::Resume),
                _ => break,
            }
        }
        match self.core.over() {
            Some(Over::Done) => {
                let open = self.rows.iter().find(|(_, row)| !row.state.is_final());
                assert!(open.is_none(), "{:?} never ended", open.map(|(run, _)| run));
            }
            Some(Over::Budget { .. }) => {
                let limit = self.rules.budget.0.expect("there is one");
                assert!(self.spent > 0.0 || limit < 1000.0, "an unspent budget");
            }
            Some(Over::TooFewDevices | Over::Paused(_)) => assert!(!self.core.quarantined().is_empty() || self.paused),
            other => panic!("{other:?} after all: a run starves"),
        }
    }
}

fn simulate(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..TROUBLED {
        world.pass();
        world.people();
    }
    world.calm();
}

#[test]
#[expect(clippy::print_stderr, reason = "a seed that fails has to be said")]
fn the_promises_hold_in_simulated_sweeps() {
    let read = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    if let Some(seed) = read("SCALELAW_SEED") {
        return simulate(seed);
    }
    for seed in 0..read("SCALELAW_SEEDS").unwrap_or(SEEDS) {
        if let Err(panic) = std::panic::catch_unwind(|| simulate(seed)) {
            eprintln!("seed {seed} fails; replay it with SCALELAW_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
