//! The two programs, driven as a person would: real sweeps, real workers, real kills.
//!
//! Needs the worker beside `scalelaw` (`make test` builds it). Where it is missing the tests that train say so and pass,
//! unless SCALELAW_REQUIRE_WORKER is set.

#![expect(clippy::print_stdout, reason = "what a test could not do here has to be said")]

mod disk;
mod disturbed;
mod extend;
mod finetune;
mod fits;
mod pages;
mod paper;
mod pictures;
mod plots;
mod screens;
mod scripted;
mod search;
mod slurm;
mod soak;
mod support;
mod sweep;
mod tables;
mod trainers;
mod trunk;
mod verify;
mod wishes;
mod wrong_input;
