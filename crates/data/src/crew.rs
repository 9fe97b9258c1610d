//! Threads that share the work of one batch.

use rayon::ThreadPool;
use rayon::prelude::*;

/// Threads that share the work of one batch; without any, whoever asks does it.
#[derive(Debug, Default)]
pub struct Crew(Option<ThreadPool>);

impl Crew {
    /// Nobody: whoever asks does the work.
    pub const ALONE: Crew = Crew(None);

    /// So many threads.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn of(threads: usize) -> std::io::Result<Crew> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("decoder {index}"));
        pool.build().map(|pool| Crew(Some(pool))).map_err(std::io::Error::other)
    }

    /// Calls `make` with the number and the memory of each slot of so many bytes; what comes back is in their order.
    pub(crate) fn fill<R: Send>(
        &self,
        slots: &mut [u8],
        bytes: usize,
        make: impl Fn(usize, &mut [u8]) -> R + Sync,
    ) -> Vec<R> {
        let make = |(at, slot): (usize, &mut [u8])| make(at, slot);
        match &self.0 {
            Some(pool) => pool.install(|| slots.par_chunks_exact_mut(bytes).enumerate().map(make).collect()),
            None => slots.chunks_exact_mut(bytes).enumerate().map(make).collect(),
        }
    }

    /// Calls `make` with each number below `count`; what comes back is in their order.
    pub fn each<R: Send>(&self, count: usize, make: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        match &self.0 {
            Some(pool) => pool.install(|| (0..count).into_par_iter().map(make).collect()),
            None => (0..count).map(make).collect(),
        }
    }
}
