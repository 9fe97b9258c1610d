//! What happens to a picture before it is trained on.

use serde::{Deserialize, Serialize};

/// Augmentation of training pictures. What is drawn depends on the seed, the epoch and the example alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Zero pixels added on each side before a random crop of the original size.
    pub crop_padding: u32,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
    /// Crops of random size and shape, brought to the resolution of training (arXiv 1409.4842): at least this share of the
    /// picture's area, 0.08 in the papers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_crop: Option<f64>,
    /// Random operations on every picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Pictures mixed with others of the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
    /// How often each example of a batch stands in it, each time augmented anew (arXiv 2105.13343). The number of pictures
    /// trained on stays, so an epoch budget of 8 with a multiplicity of 4 goes through the data twice.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub multiplicity: u32,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_once(multiplicity: &u32) -> bool {
    *multiplicity == 1
}

impl Augment {
    /// Pictures as they are.
    pub const NONE: Augment = Augment {
        crop_padding: 0,
        flip: false,
        inception_crop: None,
        rand_augment: None,
        mixing: None,
        multiplicity: 1,
    };
}

/// RandAugment (arXiv 1909.13719): so many operations, drawn from a list, on every picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Operations per picture.
    pub layers: u32,
    /// How strong they are, from 0 to 30; 10 is the middle of what the papers use.
    pub magnitude: f64,
}

/// MixUp (arXiv 1710.09412) and CutMix (arXiv 1905.04899): a picture and its label are mixed with those of another of the
/// batch. Where both are on, each has a half of the batch (arXiv 2102.06171, appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mixing {
    /// The weighted mean of two pictures; the weight is drawn from Beta(alpha, alpha).
    Mixup {
        /// Both parameters of the Beta distribution.
        alpha: f64,
    },
    /// A rectangle of another picture; its share of the area is drawn from Beta(alpha, alpha).
    Cutmix {
        /// Both parameters of the Beta distribution.
        alpha: f64,
    },
    /// MixUp for the first half of the batch, CutMix for the second.
    Both {
        /// Of MixUp.
        mixup: f64,
        /// Of CutMix.
        cutmix: f64,
    },
}
