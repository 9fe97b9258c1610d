//! How many pictures a second become training batches here, and how many the decoder alone would give.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use spec::order::SampleOrder;
use spec::run::PerChannel;

use crate::batch::{self, Batch, Recipe};
use crate::crew::Crew;
use crate::loader::Loader;
use crate::{DataError, Dataset};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Pictures a second, from the file to normalised floats.
    pub pictures_per_second: f64,
    /// Pictures a second of reading and decoding alone, on as many threads; `None` where nothing is decoded.
    pub decoded_per_second: Option<f64>,
    /// Bytes of a batch, as the loader hands it over.
    pub batch_bytes: usize,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What is done to pictures.
    pub recipe: Recipe,
    /// Pictures in a batch.
    pub batch: u64,
    /// Threads.
    pub threads: usize,
    /// How long each of the two measurements takes.
    pub duration: Duration,
}

/// Measures both. The pictures are taken in the order of training, epoch by epoch; normalisation is done by the same threads,
/// as other loaders do it.
///
/// # Errors
/// If the data cannot be read, or there are none. Damaged pictures are left out.
pub fn measure(dataset: &Arc<Dataset>, trial: &Trial) -> Result<Speed, DataError> {
    let order = SampleOrder::new(1, dataset.train.len()).ok_or(DataError::NoExample(0))?;
    let Trial { recipe, batch, threads, duration } = trial.clone();
    let (mean, std) = (dataset.facts.mean.clone(), dataset.facts.std.clone());
    let own = Arc::clone(dataset);
    let make = move |step: u64, crew: &Crew| {
        let made = batch::training(&own.train, &order, &recipe, step * batch..(step + 1) * batch, crew)?;
        FLOATS.with_borrow_mut(|floats| {
            normalised(&made, &mean, &std, floats);
            std::hint::black_box(&floats[..]);
        });
        Ok(made)
    };
    let io = |source| DataError::Io { path: "threads".into(), source };
    let mut loader = Loader::new(0..u64::MAX / batch.max(1), threads, make).map_err(io)?;
    // The first batches pay for what is set up once.
    let first = loader.take()?;
    let batch_bytes = first.pixels.len();
    loader.take()?;
    let (began, mut pictures) = (Instant::now(), 0);
    while began.elapsed() < duration {
        pictures += loader.take()?.ids.len();
    }
    let pictures_per_second = pictures as f64 / began.elapsed().as_secs_f64();
    drop(loader);
    let decoded_per_second = match dataset.train.is_encoded() {
        true => Some(decoding(dataset, &order, threads, duration)?),
        false => None,
    };
    Ok(Speed { pictures_per_second, decoded_per_second, batch_bytes })
}

/// Pictures a second of reading and decoding alone.
fn decoding(dataset: &Dataset, order: &SampleOrder, threads: usize, duration: Duration) -> Result<f64, DataError> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let work = || -> Result<(), DataError> {
        while began.elapsed() < duration {
            batch::look(&dataset.train, order.example(next.fetch_add(1, Ordering::Relaxed)))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err(DataError::NoExample(0))))
    })?;
    Ok(next.into_inner() as f64 / began.elapsed().as_secs_f64())
}

thread_local! {
    /// Used again from batch to batch, as the memory of tensors is.
    static FLOATS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Floats as the network takes them.
fn normalised(batch: &Batch, mean: &PerChannel, std: &PerChannel, floats: &mut Vec<f32>) {
    floats.clear();
    for (at, plane) in batch.pixels.chunks_exact(batch.shape.plane().max(1)).enumerate() {
        let channel = at % batch.shape.channels;
        let (scale, offset) = (1.0 / (255.0 * std.of(channel)), mean.of(channel) / std.of(channel));
        let (scale, offset) = (scale as f32, offset as f32);
        floats.extend(plane.iter().map(|pixel| f32::from(*pixel) * scale - offset));
    }
}
