//! Vision Transformer as numbers: which layers there are and what they cost.
//!
//! Sources: Dosovitskiy et al. (arXiv 2010.11929) for the network, Zhai et al., *Scaling Vision Transformers* (arXiv
//! 2106.04560), table 2 and section 3, for shapes and the attention-pooling head, Alabdulmohsin et al. (arXiv 2305.13035)
//! for SoViT. Pre-norm, learned position embeddings, biases everywhere.

use serde::{Deserialize, Serialize};

use crate::cost::Footprint;
use crate::network::Unbuildable;

/// What makes a Vision Transformer this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Height and width of a patch in pixels; the resolution must be a multiple.
    pub patch: u32,
    /// Channels of a token.
    pub width: u32,
    /// Blocks.
    pub depth: u32,
    /// Hidden channels of the perceptron of a block.
    pub mlp: u32,
    /// Attention heads; they share the width evenly.
    pub heads: u32,
    /// How tokens become features.
    pub pooling: Pooling,
}

/// How the tokens of the last block become the features that the classifier sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Multi-head attention with one learned query, then a perceptron (arXiv 2106.04560, section 3.4).
    Map,
    /// A learned token that stands before the patches.
    ClassToken,
}

/// A preset: name, patch, width, depth, mlp, heads.
type Preset = (&'static str, u32, u32, u32, u32, u32);

/// Shapes by name, smallest first.
const SHAPES: [Preset; 13] = [
    ("s/28", 28, 256, 6, 1024, 8),
    ("s/16", 16, 256, 6, 1024, 8),
    ("Ti/16", 16, 192, 12, 768, 3),
    ("S/32", 32, 384, 12, 1536, 6),
    ("S/16", 16, 384, 12, 1536, 6),
    ("B/32", 32, 768, 12, 3072, 12),
    ("B/28", 28, 768, 12, 3072, 12),
    ("B/16", 16, 768, 12, 3072, 12),
    ("L/16", 16, 1024, 24, 4096, 16),
    ("So400m/14", 14, 1152, 27, 4304, 16),
    ("H/14", 14, 1280, 32, 5120, 16),
    ("g/14", 14, 1408, 40, 6144, 16),
    ("G/14", 14, 1664, 48, 8192, 16),
];

/// Names of the presets.
pub const PRESETS: [&str; 13] = {
    let mut names = [""; 13];
    let mut index = 0;
    while index < 13 {
        names[index] = SHAPES[index].0;
        index += 1;
    }
    names
};

/// A Vision Transformer laid out for one resolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Its numbers.
    pub vit: Vit,
    /// Channels of a picture.
    pub channels: u32,
    /// Patches along one side of the training picture.
    pub side: u32,
    /// Classes of the head.
    pub classes: u32,
}

impl Vit {
    /// Ti, S, B, L, H, g, G and SoViT-400m with the published shapes, and attention pooling as in arXiv 2106.04560.
    pub fn preset(name: &str) -> Option<Vit> {
        let shape = SHAPES.iter().find(|shape| shape.0 == name)?;
        let &(_, patch, width, depth, mlp, heads) = shape;
        Some(Vit { patch, width, depth, mlp, heads, pooling: Pooling::Map })
    }

    /// Lays the network out for pictures of `channels` x `resolution` x `resolution`.
    pub fn layout(&self, channels: u32, resolution: u32, classes: u32) -> Result<Architecture, Unbuildable> {
        if [self.patch, self.width, self.depth, self.mlp, self.heads].contains(&0) {
            return Err(Unbuildable::Empty("patch, width, depth, mlp and heads"));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Unbuildable::Heads { width: self.width, heads: self.heads });
        }
        if resolution < self.patch || !resolution.is_multiple_of(self.patch) {
            return Err(Unbuildable::Patches { resolution, patch: self.patch });
        }
        Ok(Architecture { vit: self.clone(), channels, side: resolution / self.patch, classes })
    }
}

impl Architecture {
    /// Tokens of a picture of the training resolution: its patches, and the class token where there is one.
    pub fn tokens(&self) -> u64 {
        u64::from(self.side).pow(2) + u64::from(self.vit.pooling == Pooling::ClassToken)
    }

    /// Numbers of one patch.
    pub fn patch_inputs(&self) -> u64 {
        u64::from(self.channels) * u64::from(self.vit.patch).pow(2)
    }

    /// Parameters without the classifier.
    pub fn parameters_without_head(&self) -> u64 {
        let Vit { width, depth, pooling, .. } = self.vit;
        let (w, depth) = (u64::from(width), u64::from(depth));
        let norm = 2 * w;
        let embedding = self.patch_inputs() * w + w + self.tokens() * w;
        let block = self.attention_parameters() + self.mlp_parameters() + 2 * norm;
        let pooled = match pooling {
            // The query, attention, and a perceptron with its norm.
            Pooling::Map => w + self.attention_parameters() + self.mlp_parameters() + norm,
            Pooling::ClassToken => w,
        };
        embedding + depth * block + norm + pooled
    }

    fn attention_parameters(&self) -> u64 {
        let w = u64::from(self.vit.width);
        4 * w * w + 4 * w
    }

    fn mlp_parameters(&self) -> u64 {
        let (w, mlp) = (u64::from(self.vit.width), u64::from(self.vit.mlp));
        2 * w * mlp + mlp + w
    }

    /// All parameters.
    pub fn parameters(&self) -> u64 {
        self.parameters_without_head() + (u64::from(self.vit.width) + 1) * u64::from(self.classes)
    }

    /// Multiply-accumulates of one forward pass for one example. Papers on ViTs count two operations for each (arXiv
    /// 2106.04560, table 2), papers on NFNets one; here it is always the multiply-accumulate.
    pub fn macs(&self) -> u64 {
        let Vit { width, depth, mlp, pooling, .. } = self.vit;
        let (n, w, mlp) = (u128::from(self.tokens()), u128::from(width), u128::from(mlp));
        let patches = u128::from(self.side).pow(2) * u128::from(self.patch_inputs()) * w;
        // Queries, keys, values and output; scores and their use; the perceptron.
        let block = 4 * w * w * n + 2 * n * n * w + 2 * w * mlp * n;
        let pooled = match pooling {
            Pooling::Map => 2 * w * w * n + 2 * w * w + 2 * n * w + 2 * w * mlp,
            Pooling::ClassToken => 0,
        };
        let all = patches + u128::from(depth) * block + pooled + w * u128::from(self.classes);
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// What a plan has to know.
    pub fn footprint(&self) -> Footprint {
        let Vit { width, depth, mlp, .. } = self.vit;
        // Outputs of the linear layers: queries, keys and values, attention, output, perceptron.
        let per_token = u64::from(depth) * (6 * u64::from(width) + u64::from(mlp)) + u64::from(width);
        Footprint {
            parameters: self.parameters(),
            parameters_without_head: self.parameters_without_head(),
            macs: self.macs(),
            activations: self.tokens().saturating_mul(per_token),
            layers: 6 * u64::from(depth) + 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(name: &str, pooling: Pooling, resolution: u32) -> Architecture {
        let vit = Vit { pooling, ..Vit::preset(name).expect("a preset") };
        vit.layout(3, resolution, 1000).expect("buildable")
    }

    /// Without classifier, as timm counts them (class token; SoViT with its pooling head).
    #[test]
    fn parameters_are_the_published_ones() {
        let class_token = [
            ("Ti/16", 5.52),
            ("S/32", 22.5),
            ("S/16", 21.67),
            ("B/32", 87.46),
            ("B/16", 85.80),
            ("L/16", 303.30),
            ("H/14", 630.76),
            ("g/14", 1011.20),
            ("G/14", 1842.78),
        ];
        for (name, millions) in class_token {
            let found = layout(name, Pooling::ClassToken, 224).parameters_without_head() as f64 / 1e6;
            assert!((found - millions).abs() < 0.006 || (found / millions - 1.0).abs() < 2e-3, "{name}: {found}M");
        }
        assert_eq!(layout("So400m/14", Pooling::Map, 224).parameters_without_head(), 427_680_704);
        let exact = layout("H/14", Pooling::ClassToken, 224).parameters_without_head();
        assert_eq!(exact, 630_764_800);
    }

    /// Table 2 of arXiv 2106.04560 counts two operations per multiply-accumulate.
    #[test]
    fn operations_are_the_published_ones() {
        for (name, resolution, giga) in [
            ("Ti/16", 224, 2.5),
            ("S/32", 224, 2.3),
            ("S/16", 224, 9.2),
            ("B/32", 224, 8.7),
            ("B/28", 224, 11.3),
            ("B/16", 224, 35.1),
            ("L/16", 224, 122.9),
            ("g/14", 224, 533.1),
            ("G/14", 224, 965.3),
            ("B/16", 384, 111.3),
            ("L/16", 384, 382.8),
        ] {
            let found = 2.0 * layout(name, Pooling::ClassToken, resolution).macs() as f64 / 1e9;
            assert!((found / giga - 1.0).abs() < 0.03, "{name} at {resolution}: {found:.1}G, expected {giga}G");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let vit = Vit { heads: 5, ..Vit::preset("Ti/16").expect("a preset") };
        assert_eq!(vit.layout(3, 224, 10), Err(Unbuildable::Heads { width: 192, heads: 5 }));
        let vit = Vit::preset("Ti/16").expect("a preset");
        assert_eq!(vit.layout(3, 100, 10), Err(Unbuildable::Patches { resolution: 100, patch: 16 }));
    }
}
