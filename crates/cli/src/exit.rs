//! What went wrong, and the exit code for it: one documented table.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Why a command ends without doing what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

/// Some runs failed.
pub(crate) const SOME_FAILED: u8 = 1;
/// The budget of the sweep is spent.
pub(crate) const BUDGET: u8 = 5;
/// The data cannot carry a fit.
pub(crate) const NO_FIT: u8 = 4;

impl Failure {
    /// 2: something typed or written in a sweep file cannot be accepted.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }

    /// 3: this machine lacks something.
    pub(crate) fn environment(message: impl Into<String>) -> Failure {
        Failure { code: 3, message: message.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Failure {
        Failure::environment(error.to_string())
    }
}

impl From<sched::SchedError> for Failure {
    fn from(error: sched::SchedError) -> Failure {
        Failure::environment(error.to_string())
    }
}

impl From<data::DataError> for Failure {
    fn from(error: data::DataError) -> Failure {
        Failure::environment(error.to_string())
    }
}

impl From<report::Error> for Failure {
    fn from(error: report::Error) -> Failure {
        Failure::usage(format!("cannot draw: {error}"))
    }
}

/// Says what went wrong.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    say(&format!("scalelaw: {failure}"));
    ExitCode::from(failure.code)
}

/// A message to a person, on standard error. A reader that has gone away or a full disk must not stop a sweep.
pub(crate) fn say(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

/// Data, on standard output. A reader that has gone away is not an error; a table that is cut off is one, and the process
/// ends with it, so that nobody goes on with half a table.
pub(crate) fn print(data: &str) {
    let mut out = std::io::stdout().lock();
    let end = if data.ends_with('\n') { "" } else { "\n" };
    let written =
        out.write_all(data.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        say(&format!("scalelaw: cannot write to standard output: {error}"));
        std::process::exit(3);
    }
}
