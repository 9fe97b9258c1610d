//! Fits the surface to a CSV file of size, samples, loss: the program that `make bench-fit` times.
//!
//! `surface FILE fit COUNT` fits it so many times, `surface FILE bootstrap COUNT` once with so many resamples, both with
//! Huber's delta 1e-3 as published. Prints E, A, B, alpha, beta and the 95 % interval of the exponent a.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that is timed, not the library")]

use fit::{Intervals, Loss, SurfacePoint, SurfaceSettings, parametric};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, mode, count] = arguments.as_slice() else {
        return Err("usage: surface FILE fit|bootstrap COUNT".into());
    };
    let count: usize = count.parse()?;
    let mut points = Vec::new();
    for (row, line) in std::fs::read_to_string(path)?.lines().skip(1).enumerate() {
        let numbers = line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [size, samples, loss] = numbers[..] else {
            return Err(format!("row {row} has not three columns").into());
        };
        points.push(SurfacePoint { row, size, samples, epochs: 1.0, loss, cell: row as u64 });
    }
    let (resamples, times) = if mode == "bootstrap" { (Some(count), 1) } else { (None, count) };
    let settings = SurfaceSettings {
        loss: Loss::Huber(1e-3),
        intervals: if resamples.is_some() { Intervals::Runs } else { Intervals::Delta },
        resamples: resamples.unwrap_or(0),
        ..SurfaceSettings::default()
    };
    let mut fitted = parametric(&points, &settings)?;
    for _ in 1..times {
        fitted = parametric(&points, &settings)?;
    }
    for name in ["E", "A", "B", "alpha", "beta"] {
        println!("{name} {:.6}", fitted.summary.params[name].value);
    }
    println!(
        "a {:.6} {:.6} {:.6}",
        fitted.summary.params["a"].value, fitted.summary.params["a"].low, fitted.summary.params["a"].high
    );
    println!("starts {} reached_best {}", fitted.summary.convergence.starts, fitted.summary.convergence.reached_best);
    Ok(())
}
