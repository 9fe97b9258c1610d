//! Who talks to Slurm: submits what is gathered, looks at the queue for all jobs at once, and tells what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use spec::run::RunId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use super::{Exit, Happening, How};
use crate::slurm::{Cause, JobId, Shape, Slurm, SlurmError, Status, Task, Verdict};

/// Attempts that are submitted together.
pub(super) struct Batch {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Tasks that have a number here already.
    pub(super) reserved: u32,
    pub(super) tasks: Vec<Task>,
    pub(super) excluded: BTreeSet<String>,
    /// The first task that was not submitted, and so many are at most submitted at once.
    next: u32,
    most: u32,
    /// Not before this time, and how long to wait after the next refusal.
    not_before: Option<Instant>,
    wait: Duration,
}

impl Batch {
    pub(super) fn new(name: String, shape: Shape) -> Batch {
        let (tasks, excluded) = (Vec::new(), BTreeSet::new());
        let (next, most) = (0, u32::MAX);
        Batch { name, shape, reserved: 0, tasks, excluded, next, most, not_before: None, wait: Duration::ZERO }
    }

    /// Whether this job is still to be submitted.
    fn holds(&self, job: &JobId) -> bool {
        self.name == job.batch && job.task >= self.next
    }

    /// The tasks to submit now.
    fn part(&self) -> Range<u32> {
        self.next..(self.tasks.len() as u32).min(self.next.saturating_add(self.most))
    }

    /// The first ones are submitted. False if these were all.
    fn advance(&mut self, to: u32) -> bool {
        (self.next, self.wait, self.not_before) = (to, Duration::ZERO, None);
        self.next < self.tasks.len() as u32
    }

    /// Slurm does not want it now: perhaps it would take fewer, since a limit on jobs refuses an array as a whole.
    fn refused(&mut self, shortest: Duration, longest: Duration) {
        let part = self.part();
        self.most = ((part.end - part.start) / 2).max(1);
        self.wait = if part.end - part.start > 1 { shortest } else { (2 * self.wait).clamp(shortest, longest) };
        self.not_before = Some(Instant::now() + self.wait);
    }
}

/// What the scheduler wants.
pub(super) enum Order {
    Submit(Batch),
    Adopt {
        job: JobId,
        run: RunId,
        attempt: u32,
    },
    Stop {
        job: JobId,
        kill: bool,
    },
    /// What a job came to is written down.
    Forget(JobId),
}

/// A job whose end has not been told.
struct Job {
    run: RunId,
    attempt: u32,
    is_placed: bool,
    /// Since when Slurm knows nothing of it.
    gone: Option<Instant>,
    asked: Option<Asked>,
}

#[derive(Clone, Copy, PartialEq)]
struct Asked {
    kill: bool,
    is_done: bool,
}

/// How soon the queue is looked at after something was asked of it.
const SOON: Duration = Duration::from_secs(1);
/// Longest wait before a batch that was refused for now is submitted again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A job that has left the queue without a word may take so many looks to come back.
const LOOKS: u32 = 3;

struct Watcher {
    slurm: Slurm,
    words: UnboundedSender<Happening>,
    jobs: BTreeMap<JobId, Job>,
    /// Tasks of each batch that are not forgotten.
    left: BTreeMap<String, BTreeSet<u32>>,
    unsent: Vec<Batch>,
    poll: Duration,
    /// Until the next look at the queue; longer from look to look while nothing is asked.
    pause: Duration,
    next_look: Instant,
    /// What was told of the queue, and of batches, that do not work now.
    trouble: [Option<String>; 2],
}

/// Works until nobody gives orders any more.
pub(super) async fn watch(
    slurm: Slurm,
    poll: Duration,
    mut orders: UnboundedReceiver<Order>,
    words: UnboundedSender<Happening>,
) {
    let now = Instant::now();
    let (jobs, left, unsent) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let trouble = [None, None];
    let mut watcher = Watcher { slurm, words, jobs, left, unsent, poll, pause: poll, next_look: now, trouble };
    loop {
        let wake = watcher.wake();
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(order) => {
                    watcher.take(order);
                    while let Ok(order) = orders.try_recv() {
                        watcher.take(order);
                    }
                }
            },
            () = tokio::time::sleep_until(wake) => {}
        }
        watcher.work().await;
    }
}

impl Watcher {
    fn wake(&self) -> Instant {
        // A batch that has not been tried is not waited for.
        let due = self.unsent.iter().filter_map(|batch| batch.not_before).min();
        let look = (!self.jobs.is_empty()).then_some(self.next_look);
        let idle = Instant::now() + LONGEST_WAIT;
        [due, look].into_iter().flatten().min().unwrap_or(idle)
    }

    /// The queue is worth a look.
    fn soon(&mut self) {
        self.pause = SOON.min(self.poll);
        self.next_look = self.next_look.min(Instant::now() + self.pause);
    }

    fn tell(&self, happening: Happening) {
        // Where nobody listens, the orders end as well.
        let _ = self.words.send(happening);
    }

    /// Tells a trouble once, and that it is over.
    fn tell_trouble(&mut self, which: usize, now: Option<String>, over: &str) {
        if self.trouble[which] == now {
            return;
        }
        let text = now.clone().unwrap_or_else(|| over.to_owned());
        self.trouble[which] = now;
        self.tell(Happening::Told(text));
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Submit(batch) => {
                for (task, one) in (0..).zip(&batch.tasks) {
                    self.know(JobId { batch: batch.name.clone(), task }, one.run, one.attempt);
                }
                self.unsent.push(batch);
            }
            Order::Adopt { job, run, attempt } => self.know(job, run, attempt),
            Order::Stop { job, kill } => {
                if let Some(known) = self.jobs.get_mut(&job)
                    && known.asked.is_none_or(|asked| kill && !asked.kill)
                {
                    known.asked = Some(Asked { kill, is_done: false });
                }
            }
            Order::Forget(job) => {
                self.jobs.remove(&job);
                let is_empty =
                    self.left.get_mut(&job.batch).is_some_and(|left| left.remove(&job.task) && left.is_empty());
                if is_empty {
                    self.left.remove(&job.batch);
                    self.slurm.clear(&job.batch);
                }
            }
        }
        self.soon();
    }

    fn know(&mut self, job: JobId, run: RunId, attempt: u32) {
        self.left.entry(job.batch.clone()).or_default().insert(job.task);
        self.jobs.insert(job, Job { run, attempt, is_placed: false, gone: None, asked: None });
    }

    async fn work(&mut self) {
        self.withdraw();
        let now = Instant::now();
        // Slurm may have taken in what it could not say that it has.
        let tries_again = self.unsent.iter().any(|batch| batch.not_before.is_some_and(|at| at <= now));
        if !self.jobs.is_empty() && (self.next_look <= now || tries_again) {
            self.look().await;
        }
        self.submit().await;
        self.stop().await;
    }

    /// What is to stop and was not submitted is not started.
    fn withdraw(&mut self) {
        let is_unsent = |job: &JobId| self.unsent.iter().any(|batch| batch.holds(job));
        let asked = self.jobs.iter().filter(|(job, known)| known.asked.is_some() && is_unsent(job));
        let asked: Vec<JobId> = asked.map(|(job, _)| job.clone()).collect();
        for job in asked {
            // Where it has started after all, it is told like others.
            if self.slurm.claim(&job) {
                self.end(&job, Cause::Stopped, String::new());
            }
        }
        let jobs = &self.jobs;
        self.unsent.retain(|batch| jobs.keys().any(|job| batch.holds(job)));
    }

    async fn submit(&mut self) {
        let now = Instant::now();
        while let Some(index) = self.unsent.iter().position(|batch| batch.not_before.is_none_or(|at| at <= now)) {
            let mut batch = self.unsent.remove(index);
            let part = batch.part();
            match self.slurm.submit(&batch.name, &batch.shape, &batch.tasks, part.clone(), &batch.excluded).await {
                Ok(()) => {
                    self.tell_trouble(1, None, "Slurm takes jobs again");
                    if batch.advance(part.end) {
                        self.unsent.push(batch);
                    }
                }
                Err(error @ SlurmError::NotNow { .. }) => {
                    let text = format!("{error}; what cannot be submitted now is submitted later");
                    self.tell_trouble(1, Some(text), "");
                    batch.refused(self.poll.min(Duration::from_secs(5)), LONGEST_WAIT);
                    self.unsent.push(batch);
                }
                Err(error) => {
                    let of_batch = |job: &JobId, _: &mut Job| batch.holds(job);
                    let refused = self.jobs.extract_if(.., of_batch).map(|(_, known)| (known.run, known.attempt));
                    let refused = refused.collect();
                    self.tell(Happening::Refused(refused, error));
                }
            }
        }
    }

    async fn stop(&mut self) {
        for kill in [false, true] {
            let wanted = Some(Asked { kill, is_done: false });
            let jobs: Vec<JobId> =
                self.jobs.iter().filter(|(_, known)| known.asked == wanted).map(|(job, _)| job.clone()).collect();
            if jobs.is_empty() {
                continue;
            }
            let done = if kill { self.slurm.cancel(&jobs).await } else { self.slurm.terminate(&jobs).await };
            match done {
                Ok(()) => {
                    for job in &jobs {
                        if let Some(known) = self.jobs.get_mut(job) {
                            known.asked = Some(Asked { kill, is_done: true });
                        }
                    }
                }
                // It is tried again with the next look.
                Err(error) => self.tell_trouble(0, Some(format!("cannot stop jobs: {error}")), ""),
            }
            self.soon();
        }
    }

    async fn look(&mut self) {
        let jobs: Vec<JobId> = self.jobs.keys().cloned().collect();
        let found = self.slurm.poll(&jobs).await;
        self.pause = (2 * self.pause).min(self.poll);
        self.next_look = Instant::now() + self.pause;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let text = format!("{error}; what runs goes on, and the queue is asked again");
                return self.tell_trouble(0, Some(text), "");
            }
        };
        self.tell_trouble(0, None, "Slurm answers again");
        // What Slurm could not say that it has taken in.
        self.unsent.retain_mut(|batch| {
            let seen = found.iter().filter(|(job, status)| batch.holds(job) && status.verdict != Verdict::Gone);
            seen.map(|(job, _)| job.task).max().is_none_or(|last| batch.advance(last + 1))
        });
        for (job, status) in found {
            self.seen(&job, status).await;
        }
    }

    async fn seen(&mut self, job: &JobId, status: Status) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        let (run, attempt) = (known.run, known.attempt);
        if status.verdict != Verdict::Gone {
            known.gone = None;
        }
        let is_over = matches!(status.verdict, Verdict::Ended(_));
        let has_begun = is_over || !matches!(status.verdict, Verdict::Waiting | Verdict::Gone);
        // With its end once more, for how long it worked.
        let place = status.node.clone().filter(|_| has_begun && (is_over || !known.is_placed));
        known.is_placed |= place.is_some();
        if let Some(node) = place {
            self.tell(Happening::Placed { run, attempt, node, seconds: status.seconds });
        }
        match status.verdict {
            Verdict::Waiting | Verdict::Working | Verdict::Ending => {}
            Verdict::Suspended => self.tell(Happening::Suspended { run, attempt }),
            Verdict::Ended(cause) => {
                if cause == Cause::Requeued {
                    // It would only end at once when its turn comes; where this cannot be asked for now, it does that.
                    let _ = self.slurm.cancel(std::slice::from_ref(job)).await;
                }
                self.end(job, cause, status.reason);
            }
            Verdict::Gone => self.gone(job),
        }
    }

    fn gone(&mut self, job: &JobId) {
        if self.unsent.iter().any(|batch| batch.holds(job)) {
            return;
        }
        let (now, poll) = (Instant::now(), self.poll);
        let Some(known) = self.jobs.get_mut(job) else { return };
        let since = *known.gone.get_or_insert(now);
        if now.duration_since(since) >= LOOKS * poll.max(SOON) {
            // From now on it cannot start; where it had not, it has come to nothing.
            let cause = if self.slurm.claim(job) { Cause::NotStarted } else { Cause::Lost };
            self.end(job, cause, String::new());
        }
    }

    fn end(&mut self, job: &JobId, cause: Cause, reason: String) {
        let Some(Job { run, attempt, .. }) = self.jobs.remove(job) else { return };
        // What Slurm says of an exit is that there was one; why the program was not even begun, the script of the batch says.
        let reason = match cause {
            Cause::Exited(_) | Cause::Signalled(_) => self.slurm.said(job),
            _ => reason,
        };
        self.tell(Happening::Ended(Exit { run, attempt, how: How::Job(cause, reason) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_is_refused_as_a_whole_is_submitted_in_parts() {
        let mut batch = Batch::new("b".to_owned(), Shape { cpus: 1, gpus: 0, memory_bytes: None });
        let task = |number: u64| Task {
            run: format!("{number:016x}").parse().expect("16 digits"),
            attempt: 1,
            program: "true".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            lock: None,
            log: "log".into(),
        };
        batch.tasks = (0..100).map(task).collect();
        // A limit of thirty jobs.
        let (mut taken, mut refusals) = (Vec::new(), 0);
        let second = Duration::from_secs(1);
        while batch.next < 100 {
            let part = batch.part();
            if part.len() > 30 {
                batch.refused(second, LONGEST_WAIT);
                assert!(batch.not_before.is_some() && batch.wait == second);
                refusals += 1;
            } else {
                taken.push(part.clone());
                assert_eq!(batch.advance(part.end), part.end < 100);
            }
        }
        assert_eq!((refusals, taken), (2, vec![0..25, 25..50, 50..75, 75..100]));
        let job = |task| JobId { batch: "b".to_owned(), task };
        batch.next = 50;
        assert!(!batch.holds(&job(49)) && batch.holds(&job(50)));
        // Nothing goes any more: one at a time, later and later.
        for _ in 0..20 {
            batch.refused(second, LONGEST_WAIT);
        }
        assert_eq!((batch.part(), batch.wait), (50..51, LONGEST_WAIT));
    }
}
