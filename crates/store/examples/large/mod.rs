//! A sweep of any size, planned without data.

use spec::plan::DatasetFacts;
use spec::run::PerChannel;

/// So many models, epoch budgets and learning rates; `seeds` goes into the grid, and `more` behind everything.
pub(crate) fn text([models, budgets, rates]: [u32; 3], seeds: &str, more: &str) -> String {
    let size = |index: u32| {
        let widths = [16, 32, 96, 96].map(|width| width * (1 + index));
        format!("{{ name = \"m{index}\", depths = [1, 1, 2, 1], widths = {widths:?}, group_width = 8 }}")
    };
    let sizes = (0..models).map(size).collect::<Vec<_>>().join(", ");
    let epochs: Vec<f64> = (1..=budgets).map(|eighth| f64::from(eighth) / 8.0).collect();
    format!(
        "name = \"large\"\ndata = {{ dataset = \"d\", directory = \"d\" }}\n\
         model = {{ family = \"nfnet\", stem_strides = [2], stem_channels = [8], strides = [2, 2, 2, 2], sizes = [{sizes}] }}\n\
         grid = {{ epochs = {epochs:?}, lr = {{ center = 0.14, factor = 1.2, num = {rates} }}{seeds} }}\n\
         train = {{ batch = 64 }}\n{more}"
    )
}

/// A data set as it would be found.
pub(crate) fn facts() -> DatasetFacts {
    DatasetFacts {
        fingerprint: "blake3:0123456789abcdef".to_owned(),
        train_examples: 60_000,
        heldout_examples: 10_000,
        channels: 1,
        resolution: Some(28),
        classes: 10,
        mean: PerChannel::All(0.286),
        std: PerChannel::All(0.353),
        per_class: Vec::new(),
        multi_label: false,
    }
}
