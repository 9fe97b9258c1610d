//! What an experiment *is*, without doing any of it.
//!
//! A **sweep** is one sweep file and everything that came of it. It expands into **cells**, the points of the grid
//! (model x epoch budget x learning rate), each with a key that is the hash of its configuration. A **run** is a cell
//! with a seed and has a held-out loss at its end. An **attempt** is one process that worked on a run.
//!
//! This crate knows no files, no clock, no process and no database: the same input gives the same output.

pub mod cost;
pub mod custom;
pub mod document;
pub mod estimate;
mod fields;
pub mod files;
pub mod hardware;
pub mod journal;
pub mod network;
pub mod nfnet;
pub mod order;
pub mod plan;
pub mod run;
pub mod samples;
pub mod schedule;
pub mod schema;
pub mod search;
pub mod selector;
pub mod simulation;
pub mod state;
pub mod sweep;
pub mod trainer;
pub mod trunk;
pub mod units;
pub mod vit;

pub use fields::suggestion;
