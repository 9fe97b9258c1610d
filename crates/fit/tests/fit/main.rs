//! What the fits promise: planted truth, covered intervals, published points, and no panic on anything.

#![allow(clippy::print_stdout, reason = "a test shows what it measured")]

mod claims;
mod coverage;
mod curve;
mod decide;
mod honesty;
mod hostile;
mod hostile_surface;
mod isoflop;
mod learning_rate;
mod order;
mod planted;
mod reference;
mod repeated;
mod surface;

use fit::Point;

/// Points in the order given, rows counted from 0.
fn points(xy: impl IntoIterator<Item = (f64, f64)>) -> Vec<Point> {
    xy.into_iter().enumerate().map(|(row, (x, y))| Point { row, x, y }).collect()
}

/// A seeded source of normal noise, apart from the crate's own.
struct Noise(u64);

impl Noise {
    /// Neighbouring seeds must not give related streams.
    fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn uniform(&mut self) -> f64 {
        // xorshift64* (Vigna 2016)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Whether two numbers agree to `tolerance`, relative to the larger.
#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let scale = found.abs().max(expected.abs()).max(f64::MIN_POSITIVE);
    assert!((found - expected).abs() <= tolerance * scale, "found {found}, expected {expected}");
}
