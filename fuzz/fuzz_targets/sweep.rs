//! Sweep files: the first character says whether the rest is YAML (`y`), JSON (`j`) or TOML (any other).
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::document::Format;
use spec::plan::{DatasetFacts, Plan};
use spec::run::PerChannel;
use spec::sweep::Sweep;

fuzz_target!(|text: &str| {
    let mut rest = text.chars();
    let format = match rest.next() {
        Some('y') => Format::Yaml,
        Some('j') => Format::Json,
        _ => Format::Toml,
    };
    let Ok(sweep) = Sweep::parse(rest.as_str(), format) else { return };
    let facts = DatasetFacts {
        fingerprint: "0".repeat(32),
        train_examples: 1000,
        heldout_examples: 100,
        channels: 1,
        resolution: Some(28),
        classes: 10,
        mean: PerChannel::All(0.3),
        std: PerChannel::All(0.3),
        per_class: vec![[100, 10]; 10],
        multi_label: false,
    };
    if let Ok(plan) = Plan::expand(&sweep, &facts) {
        assert!(!plan.runs.is_empty());
        assert_eq!(Plan::expand(&sweep, &facts), Ok(plan));
    }
});
