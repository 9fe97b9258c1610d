//! Sweep files and what becomes of them.

mod finetune;
mod journals;
mod mistakes;
mod plan;
mod schedules;
mod search;
mod searched;
mod selectors;
mod shipped;
mod slurm;
mod trainers;
mod trunks;

use spec::document::Format;
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::PerChannel;
use spec::sweep::Sweep;

/// A small good sweep, as short as one can be.
const GOOD: &str = r#"name = "s"
[data]
dataset = "d"
directory = "data"
[model]
family = "nfnet"
stem_channels = [4]
stem_strides = [1]
depths = [1, 1]
group_width = 4
sizes = [{ name = "a", widths = [8, 16] }, { name = "b", widths = [16, 32] }]
[grid]
epochs = [0.5, 1]
lr = [0.1, 0.2]
[train]
batch = 10
"#;

fn facts() -> DatasetFacts {
    DatasetFacts {
        fingerprint: "f".to_owned(),
        train_examples: 100,
        heldout_examples: 10,
        channels: 1,
        resolution: Some(8),
        classes: 4,
        mean: PerChannel::All(0.1),
        std: PerChannel::All(0.5),
        multi_label: false,
        per_class: Vec::new(),
    }
}

/// The problems as a person sees them.
fn problems(text: &str, format: Format) -> Vec<String> {
    match Sweep::parse(text, format) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn planned(text: &str) -> Plan {
    let sweep = Sweep::parse(text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:?}"));
    Plan::expand(&sweep, &facts(), &Outcomes::new()).unwrap_or_else(|problems| panic!("{problems:?}"))
}
