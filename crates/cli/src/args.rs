//! The command line, as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod export;
mod figures;
mod laws;

pub(crate) use export::{Export, ExportColumns, ExportContent, ExportTable};
pub(crate) use figures::{Compare, Figure, Look, Plot, Report};
pub(crate) use laws::{Aim, Columns, Compute, Fit, How, Intervals, Law, Predict, Stage, Suggest};

/// Runs scaling-law experiments: a sweep file in, a law with intervals out.
#[derive(Parser)]
#[command(name = "scalelaw", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Folder for the database and the runs.
    #[arg(
        long,
        global = true,
        env = "SCALELAW_STATE_DIR",
        hide_env_values = true,
        default_value = ".scalelaw",
        value_name = "DIR"
    )]
    pub(crate) state_dir: PathBuf,
    /// Folder for what runs write, where it is not to lie in the state folder: with Slurm, one that all nodes see.
    #[arg(long, global = true, env = "SCALELAW_RUNS_DIR", hide_env_values = true, value_name = "DIR")]
    pub(crate) runs_dir: Option<PathBuf>,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 some runs failed, 2 usage or sweep-file error, 3 environment unfit, 4 not enough points for a \
fit, 5 budget exhausted, 130 or 143 after SIGINT or SIGTERM.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show every run of a sweep file with its price, and what is new; starts nothing.
    Plan(SweepFile),
    /// Start a sweep, or go on with it; finished runs are never repeated.
    Run(Run),
    /// Try a sweep file with a trainer that only pretends, whose losses follow a planted law; needs no data and no GPU.
    Simulate(Simulate),
    /// How far a sweep has come: one line of truth, then its problems.
    Status(Chosen),
    /// List runs, look at one, try it again, cancel it, put it first.
    Runs(Runs),
    /// Why a run waits or failed, and what can be done.
    Explain(OneRun),
    /// Let a sweep start nothing more; what runs saves its state and stops.
    Pause(Chosen),
    /// Let a paused sweep go on.
    Resume(Chosen),
    /// Leave runs out of every fit and figure, for a reason that is listed there.
    Exclude(Exclude),
    /// Take runs back into fits and figures.
    Include(Selected),
    /// Fit a law to a sweep, or to a file from anywhere.
    Fit(Fit),
    /// Predict the held-out loss of a run, or the best model and epochs for some compute, with intervals.
    Predict(Predict),
    /// Say which runs would narrow a law most for their device hours, and write them as a sweep file.
    Suggest(Suggest),
    /// Draw figures as SVG and PNG, with a CSV of every number drawn.
    Plot(Plot),
    /// Write a report of a sweep as one HTML file and as Markdown, with its figures.
    Report(Report),
    /// Compare two sweeps, or the two families of one, at equal compute, as one HTML file and as Markdown.
    Compare(Compare),
    /// Tell from a finished grid what a search of fewer learning rates would have tried and found.
    Search(Search),
    /// Write the runs of a sweep as CSV, JSON Lines, Parquet or Arrow.
    #[command(subcommand)]
    Export(Export),
    /// Check what a sweep or a run has recorded.
    Verify(Verify),
    /// Get and inspect data sets.
    Data(Data),
    /// Say what this machine has and what is missing.
    Doctor,
    /// Print the JSON Schema of sweep files, or of the journals that trainers write.
    Schema(Schema),
}

#[derive(Args)]
pub(crate) struct Schema {
    /// Of what.
    #[arg(value_enum, default_value_t = Described::Sweep)]
    pub(crate) what: Described,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Described {
    /// Sweep files.
    Sweep,
    /// Lines of journals.
    Journal,
}

#[derive(Args)]
pub(crate) struct Simulate {
    #[command(flatten)]
    pub(crate) run: Run,
    /// How many times as fast as a core of this machine would be; so that all takes some seconds where it is not given.
    #[arg(long, value_parser = positive)]
    pub(crate) speed: Option<f64>,
    /// What goes wrong, with the chance of each in one attempt: crash, oom, hang, silent, preempt, torn, slow, diskfull.
    #[arg(long, default_value = "", value_name = "NAME=CHANCE,...")]
    pub(crate) faults: String,
    /// Other numbers of the law: floor, a, alpha, b, beta, curvature, center, slope, noise, diverges.
    #[arg(long, default_value = "", value_name = "NAME=NUMBER,...")]
    pub(crate) law: String,
    /// Decides when faults strike.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Submit to Slurm where the sweep file says so, instead of using this machine.
    #[arg(long)]
    pub(crate) on_cluster: bool,
}

#[derive(Args)]
pub(crate) struct SweepFile {
    /// The sweep file: TOML, YAML or JSON.
    pub(crate) sweep: PathBuf,
}

#[derive(Args)]
pub(crate) struct Run {
    /// The sweep file: TOML, YAML or JSON.
    pub(crate) sweep: PathBuf,
    /// Runs at the same time; as many as fit on the cores where it is not given here or in the file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,
    /// The worker program; found beside this one where it is not given.
    #[arg(long, env = "SCALELAW_WORKER", hide_env_values = true, value_name = "FILE")]
    pub(crate) worker: Option<PathBuf>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
    pub(crate) progress: ProgressStyle,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// A bar and one line per finished run.
    Bar,
    /// One line per change.
    Plain,
    /// Nothing until the end.
    None,
}

/// A sweep that is in the database.
#[derive(Args)]
pub(crate) struct Chosen {
    /// Name of the sweep, or its file; the newest one where it is not given.
    pub(crate) sweep: Option<String>,
}

const SELECTORS: &str = "Conditions on runs: model=F3 lr>0.8 epochs>=2 seed=0 state=failed failure=oom run=00ab12cd. Those given together must all \
hold; a comma means or, != means not, * in a name stands for anything. The beginning of a run's identity stands for that run. Quote \
< and > in a shell.";

/// Runs of a sweep that is in the database.
#[derive(Args)]
#[command(after_help = SELECTORS)]
pub(crate) struct Selected {
    /// Which runs: conditions such as model=F3 'lr>0.8' state=failed, or identities.
    #[arg(required = true, value_name = "SELECTOR")]
    pub(crate) selector: Vec<String>,
    /// Name of the sweep, or its file; the newest one where it is not given.
    #[arg(long)]
    pub(crate) sweep: Option<String>,
}

#[derive(Args)]
pub(crate) struct Exclude {
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) reason: String,
}

#[derive(Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Subcommand)]
pub(crate) enum RunsCommand {
    /// List the runs of a sweep, the cheapest first.
    Ls(ListRuns),
    /// Show what a run is, where it stands, and its attempts.
    Show(OneRun),
    /// Print what the trainer of a run has written.
    Logs(Logs),
    /// Put runs that failed or were cancelled back into the queue.
    Retry(Change),
    /// Give runs up, at once if they are at work.
    Cancel(Change),
    /// Start runs before others.
    Prioritise(Prioritise),
}

#[derive(Args)]
#[command(after_help = SELECTORS)]
pub(crate) struct ListRuns {
    /// Which runs: conditions such as model=F3 'lr>0.8' state=failed; all where none is given.
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Vec<String>,
    /// Name of the sweep, or its file; the newest one where it is not given.
    #[arg(long)]
    pub(crate) sweep: Option<String>,
}

#[derive(Args)]
pub(crate) struct OneRun {
    /// The identity of the run, or as much of its beginning as tells it from others.
    pub(crate) run: String,
}

#[derive(Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) one: OneRun,
    /// Go on until the attempt has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Of this attempt; the newest where it is not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: Option<u32>,
    /// The journal, which the scheduler reads, instead of the log.
    #[arg(long)]
    pub(crate) journal: bool,
}

#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// Do it without asking; without this, more than one run is only listed.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct Prioritise {
    /// The priority: higher ones start first, 0 is the usual one.
    #[arg(allow_negative_numbers = true)]
    pub(crate) priority: i64,
    #[command(flatten)]
    pub(crate) selected: Selected,
}

#[derive(Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// The strategy, as in search.strategy of a sweep file.
    #[arg(long, value_enum, default_value_t = Searched::TwoTrial)]
    pub(crate) strategy: Searched,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Searched {
    /// From the best rate of the nearest smaller model and shorter budget: that one and the next lower one.
    TwoTrial,
    /// The whole grid, and neighbours where the best rate is at its edge; here only what the grid has.
    Refine,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// What to check.
    #[arg(value_enum)]
    pub(crate) what: Verifiable,
    /// A run by its 16 hexadecimal digits, or a sweep by its name or file; the newest sweep where it is not given.
    #[arg(value_name = "RUN|SWEEP")]
    pub(crate) target: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verifiable {
    /// That every epoch of every run saw each example exactly once.
    Samples,
    /// That the database is whole, and that its rows are what the moves of their runs lead to.
    Database,
}

#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// Put a public data set into the user's cache, verified by hash.
    Fetch {
        /// Its name: fashion-mnist.
        dataset: String,
    },
    /// Open a data set and say what is in it.
    Inspect(DataSet),
    /// Index tar shards, Parquet files or folders of pictures anew; a sweep does it by itself where shards have changed.
    Index(DataSet),
    /// Decode every picture and list the damaged ones.
    Verify(CheckData),
    /// Draw a contact sheet: pictures as they are evaluated and as they are trained on.
    Head(Head),
    /// Measure how many pictures a second can be made ready for training.
    Bench(BenchData),
}

/// A data set, as a sweep names it or by its files.
#[derive(Args)]
pub(crate) struct DataSet {
    /// A sweep file, a folder, the name of a data set, or a pattern of tar or Parquet files such as 'train-{00..99}.tar'.
    pub(crate) dataset: String,
    /// The held-out part, where the data set is given as a pattern; the same files where it is not given.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) heldout: Option<String>,
    /// A file with the name of a class on each line.
    #[arg(long, value_name = "FILE")]
    pub(crate) class_names: Option<PathBuf>,
    /// The field of a JSON file or the column of a Parquet file that holds the label.
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// An example has any number of classes.
    #[arg(long)]
    pub(crate) multi_label: bool,
    /// Of a sweep file, the data of fine-tuning.
    #[arg(long)]
    pub(crate) finetuning: bool,
}

#[derive(Args)]
pub(crate) struct CheckData {
    #[command(flatten)]
    pub(crate) chosen: DataSet,
    /// Threads that decode; as many as there are cores where it is not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}

/// Which part of a data set.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What is trained on.
    Train,
    /// What is held out.
    Heldout,
}

#[derive(Args)]
pub(crate) struct Head {
    #[command(flatten)]
    pub(crate) chosen: DataSet,
    /// Which part.
    #[arg(long, value_enum, default_value_t = Part::Train)]
    pub(crate) part: Part,
    /// Examples on the sheet.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) count: u32,
    /// The first of them, by its number in the data set; with a sweep file, where the order of its first run begins.
    #[arg(long)]
    pub(crate) from: Option<u64>,
    /// Augmented versions of each, one for each of the first epochs; those of the sweep, or a crop of random size and a mirror.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=16))]
    pub(crate) versions: u32,
    /// Height and width in pixels; of a sweep, that of training.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub(crate) resolution: Option<u32>,
    /// The picture to write.
    #[arg(long, default_value = "sheet.png", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct BenchData {
    #[command(flatten)]
    pub(crate) chosen: DataSet,
    /// Threads; as many as there are cores where it is not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Height and width in pixels; of a sweep, that of training.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub(crate) resolution: Option<u32>,
    /// Pictures in a batch.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) batch: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub(crate) seconds: f64,
}

/// A finite number above 0.
fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "expected a number above 0, such as 9.9e14".to_owned())
}
