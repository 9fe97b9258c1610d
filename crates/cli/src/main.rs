//! `scalelaw`: everything a person types. Data go to standard output, messages to standard error.

mod answer;
mod args;
mod asides;
mod bound;
mod command;
mod drawing;
mod exit;
mod export;
mod figure_file;
mod figures;
mod frontiers;
mod growth;
mod history;
mod indexing;
mod laws;
mod pages;
mod place;
mod plot_command;
mod points;
mod progress;
mod samples;
mod selection;
mod simulated;
mod surfaces;
mod surroundings;
mod sweepfile;
mod transfer;
mod tuning;
mod wide_answer;
mod write;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    // Started for every attempt, so they come before all that a person's command needs.
    let mut given = std::env::args_os().skip(1);
    match given.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("bound") => return bound::run(given),
        Some("simulated-attempt") => return simulated::run(given),
        _ => {}
    }
    let arguments = Arguments::parse();
    // One thread: workers are bound to the thread that starts them, and nothing here computes for long.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Failure::environment(format!("cannot start: {error}"))),
    };
    match runtime.block_on(perform(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => exit::report(&failure),
    }
}

async fn perform(arguments: Arguments) -> Result<u8, Failure> {
    let place = place::Place::new(&arguments.state_dir, arguments.runs_dir.as_deref(), arguments.json);
    match arguments.command {
        Command::Plan(options) => command::plan::run(&place, &options).await,
        Command::Run(options) => command::run::run(&place, &options).await,
        Command::Simulate(options) => command::simulate::run(place, &options).await,
        Command::Status(options) => command::status::run(&place, &options).await,
        Command::Runs(options) => command::runs::run(&place, &options.command).await,
        Command::Pause(options) => command::wishes::pause(&place, &options).await,
        Command::Resume(options) => command::wishes::resume(&place, &options).await,
        Command::Exclude(options) => command::exclude::exclude(&place, &options).await,
        Command::Include(options) => command::exclude::include(&place, &options).await,
        Command::Fit(options) => command::fit::run(&place, &options).await,
        Command::Predict(options) => command::predict::run(&place, &options).await,
        Command::Suggest(options) => command::suggest::run(&place, &options).await,
        Command::Plot(options) => command::plot::run(&place, &options).await,
        Command::Compare(options) => command::compare::run(&place, &options).await,
        Command::Report(options) => command::report::run(&place, &options).await,
        Command::Explain(options) => command::explain::run(&place, &options).await,
        Command::Search(options) => command::search::run(&place, &options).await,
        Command::Export(options) => command::export::run(&place, &options).await,
        Command::Verify(options) => command::verify::run(&place, &options).await,
        Command::Data(options) => command::data::run(&place, &options),
        Command::Doctor => command::doctor::run(&place).await,
        Command::Schema(options) => command::schema(&options),
    }
}
