//! Batches made ahead of time, by threads of their own.
//!
//! A batch is a function of its step, so threads need no common state. Up to two makers make the batches of every other step,
//! and whoever trains takes them in turn; where there are more threads than makers, they share the pictures of each batch. So
//! the batches in memory do not grow with the threads, and the number of threads changes no bit.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::DataError;
use crate::batch::Batch;
use crate::crew::Crew;

/// Batches that wait, for each maker.
const AHEAD: usize = 1;

/// Threads that make a batch each.
const MAKERS: usize = 2;

/// Batches that are in memory at most: two being made, two that wait, and the one that is trained on.
pub const MOST_BATCHES: usize = MAKERS * (AHEAD + 1) + 1;

type Made = Result<Batch, DataError>;
type Make = Arc<dyn Fn(u64, &Crew) -> Made + Send + Sync>;

/// The batches of some steps, in their order.
pub struct Loader {
    make: Make,
    next: u64,
    /// One per maker; none: batches are made when they are asked for.
    makers: Vec<Receiver<Made>>,
    /// The step that the first maker has begun with.
    first: u64,
    waited: Duration,
}

impl Loader {
    /// Makes the batches of `steps` with `make`, on so many threads; on the caller's own with 0.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(
        steps: Range<u64>,
        threads: usize,
        make: impl Fn(u64, &Crew) -> Made + Send + Sync + 'static,
    ) -> std::io::Result<Loader> {
        let make: Make = Arc::new(make);
        let first = steps.start;
        let makers = threads.min(MAKERS);
        let crew = Arc::new(if threads > makers { Crew::of(threads)? } else { Crew::ALONE });
        let receivers = (0..makers).map(|index| {
            let (sender, receiver) = sync_channel(AHEAD);
            let own = (steps.start + index as u64..steps.end).step_by(makers);
            let (make, crew) = (Arc::clone(&make), Arc::clone(&crew));
            std::thread::Builder::new()
                .name(format!("loader {index}"))
                .spawn(move || work(own, &make, &crew, &sender))?;
            Ok(receiver)
        });
        let makers = receivers.collect::<std::io::Result<_>>()?;
        Ok(Loader { makers, make, next: first, first, waited: Duration::ZERO })
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// If it could not be made.
    pub fn take(&mut self) -> Made {
        let began = Instant::now();
        let step = self.next;
        self.next += 1;
        let maker = ((step - self.first) as usize).checked_rem(self.makers.len());
        let made = maker.and_then(|maker| self.makers[maker].recv().ok());
        // A maker that has ended has ended early only by a panic; what it would have made is made here.
        let made = made.unwrap_or_else(|| (self.make)(step, &Crew::ALONE));
        self.waited += began.elapsed();
        made
    }

    /// How long [`Loader::take`] has taken so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// Ends with the steps, or when nobody takes the batches any more.
fn work(steps: impl Iterator<Item = u64>, make: &Make, crew: &Crew, sender: &SyncSender<Made>) {
    for step in steps {
        if sender.send(make(step, crew)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;
    use crate::batch::Shape;

    fn batch(step: u64) -> Batch {
        Batch {
            pixels: vec![step as u8],
            shape: Shape { channels: 1, side: 1 },
            labels: vec![Label::One(0)],
            ids: vec![step],
            partners: Vec::new(),
            weights: Vec::new(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn the_order_does_not_depend_on_the_threads() {
        for threads in [0, 1, 2, 3, 4] {
            let mut loader = Loader::new(5..40, threads, |step, _| {
                // Later steps are often ready first.
                std::thread::sleep(std::time::Duration::from_micros(300 * (step % 4)));
                Ok(batch(step))
            })
            .expect("threads");
            let ids: Vec<u64> = (5..40).flat_map(|_| loader.take().expect("made").ids).collect();
            assert_eq!(ids, (5..40).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn no_more_batches_are_in_memory_than_promised() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        for threads in [1, 2, 5] {
            let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (own, highest) = (Arc::clone(&alive), Arc::clone(&most));
            let make = move |step: u64, _: &Crew| {
                highest.fetch_max(own.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                Ok(batch(step))
            };
            let mut loader = Loader::new(0..60, threads, make).expect("threads");
            for step in 0..60 {
                let taken = loader.take().expect("made");
                assert_eq!(taken.ids, [step]);
                // Slow enough that the makers get as far ahead as they may.
                std::thread::sleep(std::time::Duration::from_millis(1));
                drop(taken);
                alive.fetch_sub(1, Ordering::SeqCst);
            }
            assert!(most.load(Ordering::SeqCst) <= MOST_BATCHES, "{most:?} with {threads} threads");
        }
    }

    #[test]
    fn a_loader_that_is_dropped_ends_its_threads() {
        let alive = Arc::new(());
        for threads in [1, 4] {
            let kept = Arc::clone(&alive);
            let mut loader = Loader::new(0..u64::MAX, threads, move |step, _| {
                let _ = &kept;
                Ok(batch(step))
            })
            .expect("threads");
            assert_eq!(loader.take().expect("made").ids, [0]);
            drop(loader);
        }
        for _ in 0..500 {
            if Arc::strong_count(&alive) == 1 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} threads are left", Arc::strong_count(&alive) - 1);
    }
}
