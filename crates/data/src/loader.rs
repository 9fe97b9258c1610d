//! Batches made ahead of time, by threads of their own.
//!
//! A batch is a function of its step, so threads need no common state: of n threads, thread i makes the batches of the steps i,
//! i + n, i + 2n and so on, and whoever trains takes them in turn. The number of threads changes no bit.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::batch::Batch;

/// Batches that each thread may be ahead.
const AHEAD: usize = 1;

/// The batches of some steps, in their order.
pub struct Loader {
    make: Arc<dyn Fn(u64) -> Batch + Send + Sync>,
    next: u64,
    /// One per thread; none: batches are made when they are asked for.
    threads: Vec<Receiver<Batch>>,
    /// The step that the first thread has begun with.
    first: u64,
}

impl Loader {
    /// Makes the batches of `steps` with `make`, on so many threads; on the caller's own with 0.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(
        steps: Range<u64>,
        threads: usize,
        make: impl Fn(u64) -> Batch + Send + Sync + 'static,
    ) -> std::io::Result<Loader> {
        let make: Arc<dyn Fn(u64) -> Batch + Send + Sync> = Arc::new(make);
        let first = steps.start;
        let receivers = (0..threads).map(|index| {
            let (sender, receiver) = sync_channel(AHEAD);
            let (own, make) = ((steps.start + index as u64..steps.end).step_by(threads), Arc::clone(&make));
            std::thread::Builder::new().name(format!("loader {index}")).spawn(move || work(own, &*make, &sender))?;
            Ok(receiver)
        });
        Ok(Loader { threads: receivers.collect::<std::io::Result<_>>()?, make, next: first, first })
    }

    /// The batch of the next step.
    pub fn take(&mut self) -> Batch {
        let step = self.next;
        self.next += 1;
        let thread = ((step - self.first) as usize).checked_rem(self.threads.len());
        let made = thread.and_then(|thread| self.threads[thread].recv().ok());
        // A thread that has ended has ended early only by a panic; what it would have made is made here.
        made.unwrap_or_else(|| (self.make)(step))
    }
}

/// Ends with the steps, or when nobody takes the batches any more.
fn work(steps: impl Iterator<Item = u64>, make: &dyn Fn(u64) -> Batch, sender: &SyncSender<Batch>) {
    for step in steps {
        if sender.send(make(step)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Shape;

    fn batch(step: u64) -> Batch {
        Batch {
            pixels: vec![step as u8],
            shape: Shape { channels: 1, side: 1 },
            labels: vec![0],
            ids: vec![step],
            partners: Vec::new(),
            weights: Vec::new(),
        }
    }

    #[test]
    fn the_order_does_not_depend_on_the_threads() {
        for threads in [0, 1, 2, 3, 4] {
            let mut loader = Loader::new(5..40, threads, |step| {
                // Later steps are often ready first.
                std::thread::sleep(std::time::Duration::from_micros(300 * (step % 4)));
                batch(step)
            })
            .expect("threads");
            let ids: Vec<u64> = (5..40).flat_map(|_| loader.take().ids).collect();
            assert_eq!(ids, (5..40).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn a_loader_that_is_dropped_ends_its_threads() {
        let alive = Arc::new(());
        for threads in [1, 4] {
            let kept = Arc::clone(&alive);
            let mut loader = Loader::new(0..u64::MAX, threads, move |step| {
                let _ = &kept;
                batch(step)
            })
            .expect("threads");
            assert_eq!(loader.take().ids, [0]);
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
