//! `config.json`: what to ask timm for, what it computes differently, and the run that the weights are of.

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use spec::network::{Layout, ModelSpec};
use spec::nfnet::{Bottleneck, Nfnet};
use spec::run::SpecFile;
use spec::vit::{Pooling, Vit};

use super::{Exported, channels_below};
use crate::nfnet::SMALLEST_NORM;

/// What timm adds to the variance of weights; small enough to leave no trace, since nothing is added here.
const STD_CONV_EPS: f64 = 1e-12;

/// From this stride on, timm dilates unless told otherwise.
const OUTPUT_STRIDE: u64 = 32;

/// Shapes that timm has by name: patch, width, depth, mlp, heads.
const VITS: [(&str, [u32; 5]); 9] = [
    ("vit_tiny_patch16_224", [16, 192, 12, 768, 3]),
    ("vit_small_patch32_224", [32, 384, 12, 1536, 6]),
    ("vit_small_patch16_224", [16, 384, 12, 1536, 6]),
    ("vit_base_patch32_224", [32, 768, 12, 3072, 12]),
    ("vit_base_patch16_224", [16, 768, 12, 3072, 12]),
    ("vit_large_patch16_224", [16, 1024, 24, 4096, 16]),
    ("vit_huge_patch14_224", [14, 1280, 32, 5120, 16]),
    ("vit_giant_patch14_224", [14, 1408, 40, 6144, 16]),
    ("vit_gigantic_patch14_224", [14, 1664, 48, 8192, 16]),
];

/// The name of a network of timm and what to override of it. An override that says what is so anyway does no harm, so all that
/// makes the network is said.
struct Timm {
    architecture: String,
    model_args: Map<String, Value>,
}

/// The content of `config.json`, and what a person should hear of it.
pub(super) fn describe(file: &SpecFile, layout: &Layout, tensors: &SafeTensors<'_>) -> (Value, Exported) {
    let (run, data) = (&file.run, &file.run.data);
    let found = match &run.model {
        ModelSpec::Nfnet(nfnet) => timm_nfnet(nfnet),
        ModelSpec::Vit(vit) => Ok(timm_vit(vit, data.resolution)),
        ModelSpec::Custom(_) => Err("timm has no such network".to_owned()),
    };
    let (timm, obstacle) = match found {
        Ok(mut timm) => {
            timm.model_args.insert("in_chans".to_owned(), json!(data.channels));
            (Some(timm), None)
        }
        Err(why) => (None, Some(why)),
    };
    let mut differences = Vec::new();
    let (features, pool, first, classifier) = match (layout, &run.model) {
        (Layout::Nfnet(nfnet), _) => {
            differences.push(
                "GELU: timm's NFNets know only the exact one, the weights were trained with its tanh form; scripts/load_in_timm.py \
                 sets it"
                    .to_owned(),
            );
            let small = channels_below(layout, tensors, SMALLEST_NORM);
            if small > 0 {
                differences.push(format!(
                    "standardised weights: {small} channels have weights of a norm below {SMALLEST_NORM}, which timm scales up to \
                     1 and the network that was trained does not"
                ));
            }
            let first = if nfnet.stem.len() == 1 { "stem.conv" } else { "stem.conv1" };
            (nfnet.features(), "avg", first, "head.fc")
        }
        (Layout::Vit(vit), _) => {
            if data.heldout_resolution != data.resolution {
                differences.push(format!(
                    "resolution: the run was evaluated at {} pixels with resampled position embeddings; timm takes {}",
                    data.heldout_resolution, data.resolution
                ));
            }
            (vit.vit.width, pool(vit.vit.pooling), "patch_embed.proj", "head")
        }
    };
    if obstacle.is_some() {
        differences.clear();
    }
    let input = |side: u32| json!([data.channels, side, side]);
    let fixed = matches!(layout, Layout::Vit(_));
    let config = json!({
        "architecture": timm.as_ref().map(|timm| &timm.architecture),
        "num_classes": data.classes,
        "num_features": features,
        "global_pool": pool,
        "model_args": timm.map(|timm| timm.model_args).unwrap_or_default(),
        "differences": &differences,
        "pretrained_cfg": {
            "custom_load": false,
            "input_size": input(data.resolution),
            "test_input_size": input(if fixed { data.resolution } else { data.heldout_resolution }),
            "fixed_input_size": fixed,
            "interpolation": "bicubic",
            "crop_pct": data.centre_crop.unwrap_or(1.0),
            "mean": data.mean.each(data.channels as usize),
            "std": data.std.each(data.channels as usize),
            "num_classes": data.classes,
            "first_conv": first,
            "classifier": classifier,
        },
        "scalelaw": { "run_id": file.run_id, "dataset": data.dataset, "model": model(&run.model) },
    });
    (config, Exported { obstacle, differences })
}

/// The network as the specification has it, but for what only matters in training.
pub(super) fn model(spec: &ModelSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("initial_skip_gain");
        fields.remove("dropout");
    }
    value
}

fn timm_vit(vit: &Vit, resolution: u32) -> Timm {
    let numbers = [vit.patch, vit.width, vit.depth, vit.mlp, vit.heads];
    let known = VITS.iter().find(|(_, shape)| *shape == numbers);
    let args = json!({
        "img_size": resolution,
        "patch_size": vit.patch,
        "embed_dim": vit.width,
        "depth": vit.depth,
        "num_heads": vit.heads,
        "mlp_ratio": mlp_ratio(vit.width, vit.mlp),
        "class_token": vit.pooling == Pooling::ClassToken,
        "global_pool": pool(vit.pooling),
        "act_layer": "gelu_tanh",
    });
    Timm { architecture: known.map_or("vit_base_patch16_224", |(name, _)| name).to_owned(), model_args: object(args) }
}

fn pool(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Map => "map",
        Pooling::ClassToken => "token",
    }
}

/// A ratio from which timm, which cuts off what is behind the point, computes this very `mlp`.
fn mlp_ratio(width: u32, mlp: u32) -> f64 {
    let (width, mlp) = (f64::from(width), f64::from(mlp));
    let exact = mlp / width;
    if (width * exact).trunc() == mlp { exact } else { (mlp + 0.5) / width }
}

/// What makes timm's `dm_nfnet_f0` this network, or why nothing does.
fn timm_nfnet(nfnet: &Nfnet) -> Result<Timm, String> {
    let mut obstacles = Vec::new();
    let stem = timm_stem(nfnet);
    if stem.is_none() {
        let convs: Vec<String> =
            nfnet.stem.iter().map(|conv| format!("{} at stride {}", conv.channels, conv.stride)).collect();
        obstacles
            .push(format!("a stem of {} is none of its stems (3x3, deep, deep_tiered, deep_quad)", convs.join(", ")));
    }
    // Behind a stem of stride 4, timm's first stage keeps the resolution; all others halve it.
    let stem_stride: u32 = nfnet.stem.iter().map(|conv| conv.stride).fold(1, u32::saturating_mul);
    let expected = |stage: usize| if stage == 0 && stem_stride > 2 { 1 } else { 2 };
    if stem.is_some() && nfnet.strides.iter().enumerate().any(|(stage, stride)| *stride != expected(stage)) {
        let all: Vec<u32> = (0..nfnet.strides.len()).map(expected).collect();
        obstacles.push(format!("its stages behind such a stem have strides {all:?}, not {:?}", nfnet.strides));
    }
    let divisor = timm_divisor(nfnet);
    if divisor.is_none() {
        let group = nfnet.group_width;
        let kept = nfnet.widths.iter().map(|width| width / 2).find(|bottleneck| bottleneck % group != 0);
        let kept = kept.unwrap_or_default();
        obstacles.push(format!("it rounds a bottleneck of {kept} channels to groups of {group}, which is kept here"));
    }
    let (Some((stem_type, stem_chs)), Some(divisor), true) = (stem, divisor, obstacles.is_empty()) else {
        return Err(obstacles.join("; "));
    };
    let mut args = object(json!({
        "depths": nfnet.depths,
        "channels": nfnet.widths,
        "stem_type": stem_type,
        "stem_chs": stem_chs,
        "group_size": nfnet.group_width,
        "ch_div": divisor,
        "num_features": nfnet.widths.last().map(|width| 2 * u64::from(*width)),
        "attn_kwargs": { "rd_ratio": 0.5, "rd_divisor": 1 },
        "alpha": nfnet.alpha,
        "std_conv_eps": STD_CONV_EPS,
    }));
    let strides = nfnet.strides.iter().map(|stride| u64::from(*stride));
    let stride = strides.fold(u64::from(stem_stride), u64::saturating_mul);
    if stride > OUTPUT_STRIDE {
        args.insert("output_stride".to_owned(), json!(stride));
    }
    Ok(Timm { architecture: format!("dm_nfnet_f{}", timm_size(nfnet)), model_args: args })
}

/// F0 to F6, where the shape is one of theirs, so that the name says what it is; else F0.
fn timm_size(nfnet: &Nfnet) -> u32 {
    let stock = |size: &u32| {
        let preset = Nfnet::preset(&format!("F{size}"));
        preset.is_some_and(|preset| preset.depths == nfnet.depths && preset.widths == nfnet.widths)
    };
    (0..=6).find(stock).unwrap_or(0)
}

/// Which of timm's stems it is, and its last width.
fn timm_stem(nfnet: &Nfnet) -> Option<(&'static str, u32)> {
    let last = nfnet.stem.last()?.channels;
    let stems = [
        ("3x3", vec![(last, 2)]),
        ("deep", vec![(last / 2, 2), (last / 2, 1), (last, 1)]),
        ("deep_tiered", vec![(last.saturating_mul(3) / 8, 2), (last / 2, 1), (last, 1)]),
        ("deep_quad", vec![(last / 8, 2), (last / 4, 1), (last / 2, 1), (last, 2)]),
    ];
    let ours: Vec<(u32, u32)> = nfnet.stem.iter().map(|conv| (conv.channels, conv.stride)).collect();
    stems.into_iter().find(|(_, stem)| *stem == ours).map(|(name, _)| (name, last))
}

/// What timm is to round channels to, so that its bottlenecks are these. It rounds them down to whole groups where the divisor
/// divides the group width (1 always does) and keeps them where it does not; no other channels may change.
fn timm_divisor(nfnet: &Nfnet) -> Option<u32> {
    let whole = nfnet.widths.iter().all(|width| (width / 2).is_multiple_of(nfnet.group_width));
    if whole || nfnet.bottleneck == Bottleneck::Floored {
        return Some(1);
    }
    let stem = nfnet.stem.last()?.channels;
    let common = nfnet.widths.iter().fold(stem, |common, width| gcd(common, width / 2));
    (!nfnet.group_width.is_multiple_of(common)).then_some(common)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timm_has_the_models_of_the_paper_but_for_the_wider_ones() {
        for name in spec::nfnet::PRESETS {
            let found = timm_nfnet(&Nfnet::preset(name).expect("a preset"));
            match (name, found) {
                // F7 has no name of its own among timm's models with DeepMind's formulas.
                ("F7", Ok(timm)) => assert_eq!(timm.architecture, "dm_nfnet_f0"),
                (plus, Err(why)) => {
                    assert!(plus.ends_with('+') && why.contains("64 at stride 1, 192 at stride 2"), "{plus}: {why}");
                    assert!(why.contains("a bottleneck of 192 channels to groups of 128"), "{plus}: {why}");
                }
                (stock, Ok(timm)) => assert_eq!(timm.architecture, format!("dm_nfnet_{}", stock.to_lowercase())),
            }
        }
    }

    #[test]
    fn the_ratio_gives_back_the_hidden_width_when_it_is_cut_off() {
        for width in 1..300 {
            for mlp in 1..300 {
                assert_eq!((f64::from(width) * mlp_ratio(width, mlp)) as u32, mlp, "{mlp} / {width}");
            }
        }
    }
}
