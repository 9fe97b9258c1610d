//! A `[model]` table of NFNets: presets by name, or sizes spelled out.

use super::Model;
use crate::document::{Node, Place};
use crate::fields::{Fields, Problems, Range, suggestion};
use crate::network::ModelSpec;
use crate::nfnet::{Bottleneck, Nfnet, PRESETS, StemConv, paper_stem};

pub(crate) const MODEL_KEYS: [&str; 14] = [
    "family",
    "presets",
    "sizes",
    "lr",
    "finetune_lr",
    "strides",
    "stem_channels",
    "stem_strides",
    "group_width",
    "bottleneck",
    "alpha",
    "initial_skip_gain",
    "dropout",
    "depths",
];
pub(crate) const SIZE_KEYS: [&str; 11] = [
    "name",
    "depths",
    "widths",
    "strides",
    "stem_channels",
    "stem_strides",
    "group_width",
    "bottleneck",
    "alpha",
    "initial_skip_gain",
    "dropout",
];

/// Settings that stand in `[model]` for all sizes, or in one size for itself.
struct Settings {
    depths: Option<Vec<u32>>,
    strides: Option<Vec<u32>>,
    stem: Option<Vec<StemConv>>,
    group_width: Option<u32>,
    bottleneck: Option<Bottleneck>,
    alpha: Option<f64>,
    initial_skip_gain: Option<f64>,
    dropout: Option<f64>,
}

/// Reads the models of one table.
pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Vec<Model> {
    let fields = Fields::of(node, path, &MODEL_KEYS, problems);
    let common = read_settings(&fields, problems);
    if !fields.has("presets") && !fields.has("sizes") {
        let message = format!("{path}: name some presets ({}) or spell out sizes", PRESETS.join(", "));
        problems.add(fields.place(), message);
    }
    if fields.has("depths") && !fields.has("sizes") {
        let message = format!("{path}.depths: a preset has its own depths; spell out sizes instead");
        problems.add(fields.place_of("depths"), message);
    }
    let mut models = Vec::new();
    for (name, place) in fields.texts("presets", problems).unwrap_or_default() {
        match Nfnet::preset(&name) {
            Some(preset) => models.push(Model {
                spec: ModelSpec::Nfnet(common.over(preset)),
                name,
                lr: None,
                finetune_lr: None,
                place,
            }),
            None => {
                problems.add(place, format!("{path}.presets: unknown preset {name:?}{}", suggestion(&name, &PRESETS)))
            }
        }
    }
    for (index, node) in fields.tables("sizes", problems).iter().enumerate() {
        models.extend(read_size(node, &format!("{path}.sizes[{index}]"), &common, problems));
    }
    models
}

fn read_size(node: &Node, path: &str, common: &Settings, problems: &mut Problems) -> Option<Model> {
    let fields = Fields::of(node, path, &SIZE_KEYS, problems);
    fields.require("name", "what figures call this model", problems);
    fields.require("widths", "output channels of each stage", problems);
    if common.depths.is_none() {
        fields.require("depths", "blocks in each stage", problems);
    }
    let own = read_settings(&fields, problems);
    let name = fields.text("name", problems)?;
    let widths = wholes(&fields, "widths", 1 << 20, problems)?;
    let depths = own.depths.clone().or_else(|| common.depths.clone())?;
    let strides: Vec<u32> = (0..depths.len()).map(|stage| if stage == 0 { 1 } else { 2 }).collect();
    let paper = Nfnet {
        depths,
        stem: paper_stem(widths[0]),
        widths,
        strides,
        group_width: 128,
        bottleneck: Bottleneck::Kept,
        alpha: 0.2,
        initial_skip_gain: 0.0,
        dropout: 0.0,
    };
    let mut common = common.over(paper);
    common.depths = own.depths.clone().unwrap_or(common.depths);
    Some(Model { name, spec: ModelSpec::Nfnet(own.over(common)), lr: None, finetune_lr: None, place: fields.place() })
}

impl Settings {
    /// `nfnet` with everything that is set here; depths are read where they belong.
    fn over(&self, nfnet: Nfnet) -> Nfnet {
        Nfnet {
            strides: self.strides.clone().unwrap_or(nfnet.strides),
            stem: self.stem.clone().unwrap_or(nfnet.stem),
            group_width: self.group_width.unwrap_or(nfnet.group_width),
            bottleneck: self.bottleneck.unwrap_or(nfnet.bottleneck),
            alpha: self.alpha.unwrap_or(nfnet.alpha),
            initial_skip_gain: self.initial_skip_gain.unwrap_or(nfnet.initial_skip_gain),
            dropout: self.dropout.unwrap_or(nfnet.dropout),
            depths: nfnet.depths,
            widths: nfnet.widths,
        }
    }
}

fn read_settings(fields: &Fields<'_>, problems: &mut Problems) -> Settings {
    let bottlenecks = [("kept", Bottleneck::Kept), ("floored", Bottleneck::Floored)];
    Settings {
        depths: wholes(fields, "depths", 4096, problems),
        strides: wholes(fields, "strides", 2, problems),
        stem: read_stem(fields, problems),
        group_width: fields.whole("group_width", 1, 1 << 20, problems).map(|width| width as u32),
        bottleneck: fields.word("bottleneck", &bottlenecks, problems),
        alpha: fields.number("alpha", Range::Positive, problems),
        initial_skip_gain: fields.number("initial_skip_gain", Range::NotNegative, problems),
        dropout: fields.number("dropout", Range::From(0.0, 1.0), problems),
    }
}

fn read_stem(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<StemConv>> {
    let channels = wholes(fields, "stem_channels", 1 << 20, problems);
    let strides = wholes(fields, "stem_strides", 2, problems);
    match (channels, strides) {
        (Some(channels), Some(strides)) if channels.len() == strides.len() => {
            let convs = channels.into_iter().zip(strides);
            Some(convs.map(|(channels, stride)| StemConv { channels, stride }).collect())
        }
        (None, None) => None,
        (Some(_), Some(_)) => {
            let message = format!("{}: needs as many values as stem_channels", fields.key_path("stem_strides"));
            refuse(problems, fields.place_of("stem_strides"), message)
        }
        (channels, _) => {
            let (there, missing) =
                if channels.is_some() { ("stem_channels", "stem_strides") } else { ("stem_strides", "stem_channels") };
            if fields.has(missing) {
                return None;
            }
            refuse(problems, fields.place_of(there), format!("{}: needs {missing} beside it", fields.key_path(there)))
        }
    }
}

fn refuse<T>(problems: &mut Problems, place: Place, message: String) -> Option<T> {
    problems.add(place, message);
    None
}

fn wholes(fields: &Fields<'_>, key: &str, high: u64, problems: &mut Problems) -> Option<Vec<u32>> {
    let list = fields.wholes(key, 1, high, problems)?;
    Some(list.into_iter().map(|value| value as u32).collect())
}
