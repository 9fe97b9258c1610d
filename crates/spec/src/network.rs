//! The network of a run, whichever family it is of: the numbers that make it, and the same laid out for an input shape.

use serde::{Deserialize, Serialize};

use crate::cost::Footprint;
use crate::custom::Custom;
use crate::nfnet::{self, Nfnet};
use crate::vit::{self, Vit};

/// The network, by family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum ModelSpec {
    /// A normaliser-free ConvNet.
    Nfnet(Nfnet),
    /// A Vision Transformer.
    Vit(Vit),
    /// A network that only the trainer knows.
    Custom(Custom),
}

/// A network laid out for one input shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// A normaliser-free ConvNet.
    Nfnet(nfnet::Architecture),
    /// A Vision Transformer.
    Vit(vit::Architecture),
}

impl ModelSpec {
    /// Name of its family, as in a sweep file.
    pub fn family(&self) -> &'static str {
        match self {
            ModelSpec::Nfnet(_) => "nfnet",
            ModelSpec::Vit(_) => "vit",
            ModelSpec::Custom(_) => "custom",
        }
    }

    /// Lays the network out for pictures of `channels` x `resolution` x `resolution`.
    pub fn layout(&self, channels: u32, resolution: u32, classes: u32) -> Result<Layout, Unbuildable> {
        match self {
            ModelSpec::Nfnet(nfnet) => nfnet.layout(channels, resolution, classes).map(Layout::Nfnet),
            ModelSpec::Vit(vit) => vit.layout(channels, resolution, classes).map(Layout::Vit),
            ModelSpec::Custom(_) => Err(Unbuildable::Custom),
        }
    }

    /// What a plan has to know of the network, for such pictures.
    pub fn footprint(&self, channels: u32, resolution: u32, classes: u32) -> Result<Footprint, Unbuildable> {
        match self {
            ModelSpec::Custom(custom) => Ok(custom.footprint()),
            ModelSpec::Nfnet(_) | ModelSpec::Vit(_) => {
                self.layout(channels, resolution, classes).map(|layout| layout.footprint())
            }
        }
    }
}

impl Layout {
    /// What a plan has to know.
    pub fn footprint(&self) -> Footprint {
        match self {
            Layout::Nfnet(nfnet) => nfnet.footprint(),
            Layout::Vit(vit) => vit.footprint(),
        }
    }
}

/// Why a network cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbuildable {
    /// A network that is none of ours.
    #[error(
        "only a trainer of its own knows networks of the family custom; say with trainer.command how it is started"
    )]
    Custom,
    /// Lists of different lengths.
    #[error("depths, widths and strides need the same length, found {depths}, {widths} and {strides}")]
    Lengths {
        /// Number of depths.
        depths: usize,
        /// Number of widths.
        widths: usize,
        /// Number of strides.
        strides: usize,
    },
    /// A stage without blocks or channels, or a stem without convolutions.
    #[error("{0} must not be empty or hold a 0")]
    Empty(&'static str),
    /// A stage width that cannot be halved.
    #[error("width {0} is odd, and the bottleneck is half the width")]
    OddWidth(u32),
    /// The bottleneck does not split into groups.
    #[error(
        "a bottleneck of {bottleneck} channels (half of width {width}) does not split into groups of {group_width}; take a group width that divides {bottleneck}"
    )]
    Groups {
        /// The stage's output width.
        width: u32,
        /// Half of it.
        bottleneck: u32,
        /// As asked for.
        group_width: u32,
    },
    /// Heads that do not share the width evenly.
    #[error("a width of {width} does not split into {heads} heads; take a number of heads that divides it")]
    Heads {
        /// Channels of a token.
        width: u32,
        /// As asked for.
        heads: u32,
    },
    /// Patches that do not fill the picture.
    #[error(
        "a picture of {resolution} pixels does not split into patches of {patch}; take a resolution that is a multiple"
    )]
    Patches {
        /// The resolution asked for.
        resolution: u32,
        /// Height and width of a patch.
        patch: u32,
    },
    /// The picture has shrunk to one pixel before the last stride.
    #[error(
        "{resolution} pixels are too few: {layer} halves a picture of one pixel; take a larger resolution or fewer strides of 2"
    )]
    TooSmall {
        /// The resolution asked for.
        resolution: u32,
        /// The layer that has nothing left to halve.
        layer: String,
    },
}
