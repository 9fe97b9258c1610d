//! What a person sees while data are indexed or checked: a bar on a terminal, nothing elsewhere.

use std::sync::OnceLock;

use data::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::table::grouped;

/// A bar for something that is counted.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(doing: &str, all: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {human_pos} of {human_len}, {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(doing.to_owned());
        Bar(bar)
    }

    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// The bar of an index that is being built; it comes with the first news.
#[derive(Default)]
pub(crate) struct Indexing(OnceLock<Bar>);

impl Indexing {
    pub(crate) fn show(&self, progress: Progress) {
        let Bar(bar) = self.0.get_or_init(|| Bar::new("indexing", progress.of));
        bar.set_length(progress.of);
        bar.set_position(progress.files);
        bar.set_message(format!("{} examples", grouped(progress.examples)));
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        if let Some(bar) = self.0.get() {
            bar.end();
        }
    }
}
