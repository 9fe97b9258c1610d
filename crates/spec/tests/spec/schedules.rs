//! Stops, kills, restarts with other numbers of ranks and threads: whatever happens, what is left of a run has seen each example
//! exactly once in every epoch.

use std::collections::VecDeque;
use std::ops::Range;

use spec::order::{Blocks, Digest, SampleOrder, epochs, mix, share};
use spec::samples::{Known, Promise, SeenEpoch, Skipped, check};

const SCHEDULES: u64 = 100_000;

/// Batches that each loader thread may be ahead, and the one that it is making.
const AHEAD: usize = 2;

/// A mistake that is put into the run on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A step trains on one example twice and not at all on another.
    Lossy,
    /// After a kill it goes on one step too late.
    StepLost,
    /// After a kill it goes on one step too early.
    StepTwice,
    /// An example is passed over and nobody is told.
    Silent,
}

/// Random numbers of one schedule.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What is trained.
struct Plan {
    order: SampleOrder,
    batch: u64,
    draws: u64,
    /// A share of the examples is damaged: those whose hash is a multiple of this; 0: none.
    damaged: u64,
}

impl Plan {
    fn draw(random: &mut Random) -> Plan {
        let examples = 1 + random.below(24);
        let seed = random.next();
        let order = if random.one_in(2) {
            SampleOrder::new(seed, examples)
        } else {
            let blocks = Blocks { examples: 1 + random.below(7), open: 1 + random.below(4) };
            SampleOrder::in_blocks(seed, examples, blocks)
        };
        let damaged = if random.one_in(4) { 2 + random.below(9) } else { 0 };
        let draws = 1 + random.below(examples * 3);
        Plan { order: order.expect("not empty"), batch: 1 + random.below(9), draws, damaged }
    }

    fn steps(&self) -> u64 {
        self.draws.div_ceil(self.batch)
    }

    fn samples(&self, step: u64) -> Range<u64> {
        (step * self.batch).min(self.draws)..((step + 1) * self.batch).min(self.draws)
    }

    fn is_damaged(&self, id: u64) -> bool {
        self.damaged > 0 && mix(id).is_multiple_of(self.damaged)
    }
}

/// All that a checkpoint keeps; `weights` stands for the weights: how often each example of each epoch has entered them.
#[derive(Clone)]
struct State {
    step: u64,
    digest: Digest,
    weights: Vec<u8>,
}

/// What the journal has said, as the database keeps it.
#[derive(Default)]
struct Recorded {
    epochs: Vec<SeenEpoch>,
    /// With the steps after which it was said.
    skipped: Vec<(u64, Skipped)>,
}

/// Threads that make batches ahead of time, each as far as chance has let it come; a batch is one part per rank.
struct Loader {
    first: u64,
    made: Vec<VecDeque<Vec<u64>>>,
    ranks: u64,
}

impl Loader {
    fn new(first: u64, random: &mut Random) -> Loader {
        let made = vec![VecDeque::new(); random.below(4) as usize];
        Loader { first, made, ranks: 1 + random.below(8) }
    }

    fn take(&mut self, plan: &Plan, step: u64, random: &mut Random) -> Vec<u64> {
        let threads = self.made.len() as u64;
        let Some(turn) = (step - self.first).checked_rem(threads) else { return self.make(plan, step) };
        for _ in 0..random.below(3) {
            let lucky = random.below(threads);
            // The step that this thread makes next: it has given away those before this turn.
            let given = (step - self.first) / threads + u64::from(lucky < turn);
            let next = self.first + (given + self.made[lucky as usize].len() as u64) * threads + lucky;
            if self.made[lucky as usize].len() < AHEAD && next < plan.steps() {
                let batch = self.make(plan, next);
                self.made[lucky as usize].push_back(batch);
            }
        }
        self.made[turn as usize].pop_front().unwrap_or_else(|| self.make(plan, step))
    }

    fn make(&self, plan: &Plan, step: u64) -> Vec<u64> {
        let samples = plan.samples(step);
        let parts = (0..self.ranks).map(|rank| share(samples.clone(), rank, self.ranks));
        parts.flatten().map(|sample| plan.order.example(sample)).collect()
    }
}

/// Trains to the end of the budget through all that happens.
fn train(plan: &Plan, fault: Fault, random: &mut Random) -> (State, Recorded) {
    let examples = plan.order.examples();
    let room = (plan.draws.div_ceil(examples) * examples) as usize;
    let mut state = State { step: 0, digest: Digest::default(), weights: vec![0; room] };
    let (mut saved, mut recorded) = (state.clone(), Recorded::default());
    // Once, somewhere in the run; what is repeated after a kill is spoilt again.
    let spoilt = random.below(plan.steps());
    let mut kills = random.below(4);
    loop {
        let mut loader = Loader::new(state.step, random);
        let patience = random.below(plan.steps() + 1);
        let attempt = state.step;
        while state.step < plan.steps() && (kills == 0 || state.step < attempt + patience) {
            let mut ids = loader.take(plan, state.step, random);
            if fault == Fault::Lossy && state.step == spoilt {
                ids[0] = *ids.last().expect("no step is empty");
            }
            step(plan, &mut state, &mut recorded, &ids, fault == Fault::Silent);
            if random.one_in(5) {
                saved = state.clone();
            }
        }
        if state.step == plan.steps() {
            return (state, recorded);
        }
        kills -= 1;
        state = saved.clone();
        // As the database does when an attempt says where it begins.
        recorded.skipped.retain(|(step, _)| *step <= state.step);
        recorded.epochs.retain(|one| one.epoch * examples + one.samples <= state.step * plan.batch);
        match fault {
            Fault::StepLost => state.step += 1,
            Fault::StepTwice => state.step = state.step.saturating_sub(1),
            _ => {}
        }
    }
}

/// One step, as the trainer counts it.
fn step(plan: &Plan, state: &mut State, recorded: &mut Recorded, ids: &[u64], silent: bool) {
    let examples = plan.order.examples();
    for (sample, id) in plan.samples(state.step).zip(ids) {
        let epoch = sample / examples;
        if plan.is_damaged(*id) {
            let skipped = Skipped { epoch, example: *id, reason: String::new() };
            recorded.skipped.retain(|(_, one)| *one != skipped);
            recorded.skipped.extend(Some((state.step + 1, skipped)).filter(|_| !silent));
        } else {
            state.digest.add(*id);
            state.weights[(epoch * examples + id) as usize] += 1;
        }
        if (sample + 1).is_multiple_of(examples) || sample + 1 == plan.draws {
            let (samples, digest) = (sample % examples + 1, std::mem::take(&mut state.digest).to_string());
            recorded.epochs.retain(|one| one.epoch != epoch);
            recorded.epochs.push(SeenEpoch { epoch, samples, digest });
        }
    }
    state.step += 1;
}

/// Whether the weights have what they should, by counting; the digest is not asked.
fn is_exact(plan: &Plan, weights: &[u8]) -> bool {
    let mut expected = vec![0; weights.len()];
    let examples = plan.order.examples();
    for (epoch, positions) in epochs(plan.draws, examples) {
        let ids = (0..positions).map(|position| plan.order.in_epoch(epoch, position));
        ids.filter(|id| !plan.is_damaged(*id)).for_each(|id| expected[(epoch * examples + id) as usize] = 1);
        if positions == examples {
            let whole = &expected[(epoch * examples) as usize..][..examples as usize];
            assert!(whole.iter().zip(0..).all(|(count, id)| *count == u8::from(!plan.is_damaged(id))));
        }
    }
    weights == expected
}

fn verdict(plan: &Plan, recorded: Recorded, known: &mut Known) -> Result<(), spec::samples::Wrong> {
    let promise = Promise { order: plan.order, draws: plan.draws, skippable: u64::MAX, ended_early: false };
    let skipped: Vec<Skipped> = recorded.skipped.into_iter().map(|(_, skipped)| skipped).collect();
    check(&promise, &recorded.epochs, &skipped, known)
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "the seed of a random test")]
fn seed() -> u64 {
    let seed = std::env::var("SCALELAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    println!("SCALELAW_SEED={seed}");
    seed
}

#[test]
fn a_hundred_thousand_schedules_see_each_example_exactly_once() {
    let seed = seed();
    for schedule in 0..SCHEDULES {
        let mut random = Random(mix(seed ^ mix(schedule)));
        let plan = Plan::draw(&mut random);
        let (state, recorded) = train(&plan, Fault::None, &mut random);
        let place = format!("schedule {schedule}, SCALELAW_SEED={seed}");
        assert!(is_exact(&plan, &state.weights), "{place}: {:?}", state.weights);
        if plan.damaged == 0 {
            for one in &recorded.epochs {
                let expected = Digest::expected(&plan.order, one.epoch, one.samples);
                assert_eq!(one.digest, expected.to_string(), "{place}");
            }
        }
        assert_eq!(verdict(&plan, recorded, &mut Known::default()), Ok(()), "{place}");
    }
}

#[test]
fn every_mistake_that_changes_the_weights_is_found() {
    let seed = seed();
    let mut found = [0; 4];
    for schedule in 0..SCHEDULES / 5 {
        let faults = [Fault::Lossy, Fault::StepLost, Fault::StepTwice, Fault::Silent];
        for (fault, found) in faults.into_iter().zip(&mut found) {
            let mut random = Random(mix(seed ^ mix(schedule)));
            let plan = Plan::draw(&mut random);
            // What is repeated leaves no trace if it makes up a whole epoch, which three kills cannot bring about here.
            if 6 * plan.batch >= plan.order.examples() {
                continue;
            }
            let (state, recorded) = train(&plan, fault, &mut random);
            let verdict = verdict(&plan, recorded, &mut Known::default());
            let exact = is_exact(&plan, &state.weights);
            // Damaged examples that are listed wrongly are wrong even where the weights are not.
            let right = exact && (plan.damaged == 0 || verdict.is_ok());
            assert_eq!(verdict.is_ok(), right, "schedule {schedule}, SCALELAW_SEED={seed}: {verdict:?}");
            *found += u64::from(verdict.is_err());
        }
    }
    assert!(found.iter().all(|found| *found > 200), "hardly anything was spoilt: {found:?}");
}
