//! NFNet as numbers: which layers there are, what they cost, and nothing about tensors.
//!
//! Sources: Brock et al., *High-Performance Large-Scale Image Recognition Without Normalization* (arXiv 2102.06171),
//! section 3 and appendix C, and the code released with it; `train` builds exactly what stands here. Layer names are
//! the ones timm gives its `dm_nfnet` models.

use serde::{Deserialize, Serialize};

use crate::cost::Footprint;
use crate::network::Unbuildable;

/// Gain of GELU: 1/std(gelu(z)) for z ~ N(0, 1), the constant of the released code (a Monte-Carlo estimate; the exact
/// value is 1.70093).
pub const GELU_GAIN: f64 = 1.701_504_349_708_557_1;

/// What makes an NFNet this NFNet. All numbers are data: any depth, width, group width and stem can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nfnet {
    /// Blocks in each stage; F0 has 1, 2, 6, 3.
    pub depths: Vec<u32>,
    /// Output channels of each stage; F0 has 256, 512, 1536, 1536.
    pub widths: Vec<u32>,
    /// Stride of the first block of each stage; 1, 2, 2, 2 in the paper.
    pub strides: Vec<u32>,
    /// The convolutions before the first stage; the paper has 16, 32, 64 and half the first width at strides 2, 1, 1, 2.
    pub stem: Vec<StemConv>,
    /// Channels per group of the 3x3 convolutions; 128 in the paper.
    pub group_width: u32,
    /// What happens to a bottleneck that is no multiple of the group width.
    pub bottleneck: Bottleneck,
    /// Scale of the residual branch, alpha; 0.2 in the paper.
    pub alpha: f64,
    /// Where the learnable gain of each residual branch starts; 0 in the paper (SkipInit). AGC holds a gain that starts
    /// at 0 there for some hundred steps, so short runs want 1.
    pub initial_skip_gain: f64,
    /// Share of the pooled features dropped in training; 0 in large-scale pre-training.
    pub dropout: f64,
}

/// One convolution of the stem: 3x3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StemConv {
    /// Output channels.
    pub channels: u32,
    /// 1 or 2.
    pub stride: u32,
}

/// The two readings of the first stage of a '+' model, whose bottleneck of 192 is no multiple of 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bottleneck {
    /// Keep the width and widen the groups: 192 channels in one group. Reproduces the published 527M parameters and
    /// 367B multiply-accumulates of F4+, so it is the default.
    Kept,
    /// Round the width down to whole groups: 128 channels, as the released code does.
    Floored,
}

/// A convolution with scaled weight standardisation: weight, per-channel gain, bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Path of the layer, as in `stages.0.0.conv1`.
    pub name: String,
    /// Input channels.
    pub input: u32,
    /// Output channels.
    pub output: u32,
    /// Height and width of the kernel.
    pub kernel: u32,
    /// 1 or 2.
    pub stride: u32,
    /// Groups; input and output divide by it.
    pub groups: u32,
    /// Height and width of the output picture.
    pub resolution: u32,
}

impl Conv {
    /// Inputs of one output unit: channels per group times kernel area.
    pub fn fan_in(&self) -> u32 {
        (self.input / self.groups).saturating_mul(self.kernel * self.kernel)
    }

    /// Weight, gain and bias.
    pub fn parameters(&self) -> u64 {
        u64::from(self.output) * (u64::from(self.fan_in()) + 2)
    }

    /// Multiply-accumulates for one example.
    pub fn macs(&self) -> u64 {
        let weights = u64::from(self.output) * u64::from(self.fan_in());
        weights.saturating_mul(u64::from(self.resolution).pow(2))
    }
}

/// A residual block: 1x1, two grouped 3x3, 1x1, squeeze-excite, gain, sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Path of the block, as in `stages.2.5`.
    pub name: String,
    /// 1/expected standard deviation of the input: what the branch divides by.
    pub beta: f64,
    /// Stride of the block.
    pub stride: u32,
    /// Present in the first block of a stage whose stride or width changes.
    pub shortcut: Option<Conv>,
    /// The four convolutions of the branch, in order.
    pub convs: [Conv; 4],
    /// Width of the squeeze-excite bottleneck.
    pub squeeze: u32,
}

impl Block {
    /// Output channels.
    pub fn width(&self) -> u32 {
        self.convs[3].output
    }

    fn convolutions(&self) -> impl Iterator<Item = &Conv> {
        self.shortcut.iter().chain(&self.convs)
    }
}

/// A network laid out for one input shape: every layer with its shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The stem; an activation stands between its convolutions, none after the last.
    pub stem: Vec<Conv>,
    /// All blocks of all stages, in order.
    pub blocks: Vec<Block>,
    /// The 1x1 convolution that doubles the last width.
    pub final_conv: Conv,
    /// Classes of the head.
    pub classes: u32,
    /// Gain of every residual branch at the start.
    pub initial_skip_gain: f64,
    /// Scale of the residual branch.
    pub alpha: f64,
    /// Share of pooled features dropped in training.
    pub dropout: f64,
}

/// Names of the presets in order of size.
pub const PRESETS: [&str; 16] =
    ["F0", "F0+", "F1", "F1+", "F2", "F2+", "F3", "F3+", "F4", "F4+", "F5", "F5+", "F6", "F6+", "F7", "F7+"];

impl Nfnet {
    /// F0 to F7 and F0+ to F7+ with the paper's values (table 1 and appendix C; F7 and '+' from the released code), and
    /// none of the ImageNet regularisation: the scaling experiment does not use it.
    pub fn preset(name: &str) -> Option<Nfnet> {
        if !PRESETS.contains(&name) {
            return None;
        }
        let plus = name.ends_with('+');
        let size: u32 = name.trim_start_matches('F').trim_end_matches('+').parse().ok()?;
        let widths = if plus { vec![384, 768, 2048, 2048] } else { vec![256, 512, 1536, 1536] };
        Some(Nfnet {
            depths: [1, 2, 6, 3].iter().map(|depth| depth * (size + 1)).collect(),
            stem: paper_stem(widths[0]),
            widths,
            strides: vec![1, 2, 2, 2],
            group_width: 128,
            bottleneck: Bottleneck::Kept,
            alpha: 0.2,
            initial_skip_gain: 0.0,
            dropout: 0.0,
        })
    }

    /// Lays the network out for pictures of `channels` x `resolution` x `resolution`.
    pub fn layout(&self, channels: u32, resolution: u32, classes: u32) -> Result<Architecture, Unbuildable> {
        self.check()?;
        let mut builder = Builder { resolution, asked: resolution };
        let mut stem = Vec::new();
        let mut width = channels;
        for (index, conv) in self.stem.iter().enumerate() {
            let name = format!("stem.conv{}", index + 1);
            stem.push(builder.conv(name, width, conv.channels, Shape { kernel: 3, stride: conv.stride, groups: 1 })?);
            width = conv.channels;
        }
        let mut blocks = Vec::new();
        let mut expected_std = 1.0_f64;
        let stages = self.depths.iter().zip(&self.widths).zip(&self.strides);
        for (stage, ((depth, stage_width), stage_stride)) in stages.enumerate() {
            let (bottleneck, groups) = self.groups(*stage_width)?;
            for index in 0..*depth {
                let name = format!("stages.{stage}.{index}");
                let stride = if index == 0 { *stage_stride } else { 1 };
                let transition = index == 0;
                blocks.push(builder.block(
                    name,
                    width,
                    *stage_width,
                    bottleneck,
                    groups,
                    stride,
                    1.0 / expected_std,
                )?);
                // The expected variance grows by alpha^2 with each block and starts again at a transition.
                if transition {
                    expected_std = 1.0;
                }
                expected_std = (expected_std * expected_std + self.alpha * self.alpha).sqrt();
                width = *stage_width;
            }
        }
        let final_conv = builder.conv(
            "final_conv".to_owned(),
            width,
            width.saturating_mul(2),
            Shape { kernel: 1, stride: 1, groups: 1 },
        )?;
        Ok(Architecture {
            stem,
            blocks,
            final_conv,
            classes,
            initial_skip_gain: self.initial_skip_gain,
            alpha: self.alpha,
            dropout: self.dropout,
        })
    }

    fn check(&self) -> Result<(), Unbuildable> {
        if self.depths.len() != self.widths.len() || self.depths.len() != self.strides.len() {
            return Err(Unbuildable::Lengths {
                depths: self.depths.len(),
                widths: self.widths.len(),
                strides: self.strides.len(),
            });
        }
        for (what, list) in [("depths", &self.depths), ("widths", &self.widths), ("strides", &self.strides)] {
            if list.is_empty() || list.contains(&0) {
                return Err(Unbuildable::Empty(what));
            }
        }
        if self.stem.is_empty() || self.stem.iter().any(|conv| conv.channels == 0 || conv.stride == 0) {
            return Err(Unbuildable::Empty("stem"));
        }
        if self.group_width == 0 {
            return Err(Unbuildable::Empty("group_width"));
        }
        Ok(())
    }

    /// Bottleneck width and number of groups of a stage.
    fn groups(&self, width: u32) -> Result<(u32, u32), Unbuildable> {
        if width % 2 == 1 {
            return Err(Unbuildable::OddWidth(width));
        }
        let bottleneck = width / 2;
        let groups = bottleneck / self.group_width;
        let refusal = Unbuildable::Groups { width, bottleneck, group_width: self.group_width };
        match self.bottleneck {
            _ if groups == 0 => Err(refusal),
            Bottleneck::Floored => Ok((groups * self.group_width, groups)),
            Bottleneck::Kept if bottleneck.is_multiple_of(groups) => Ok((bottleneck, groups)),
            Bottleneck::Kept => Err(refusal),
        }
    }
}

/// The stem of the paper for a given first width.
pub fn paper_stem(first_width: u32) -> Vec<StemConv> {
    let conv = |channels, stride| StemConv { channels, stride };
    vec![conv(16, 2), conv(32, 1), conv(64, 1), conv(first_width / 2, 2)]
}

struct Shape {
    kernel: u32,
    stride: u32,
    groups: u32,
}

/// Follows the height of the picture through the layers.
struct Builder {
    resolution: u32,
    asked: u32,
}

impl Builder {
    fn conv(&mut self, name: String, input: u32, output: u32, shape: Shape) -> Result<Conv, Unbuildable> {
        if self.resolution == 0 || (self.resolution == 1 && shape.stride > 1) {
            return Err(Unbuildable::TooSmall { resolution: self.asked, layer: name });
        }
        self.resolution = self.resolution.div_ceil(shape.stride);
        let Shape { kernel, stride, groups } = shape;
        Ok(Conv { name, input, output, kernel, stride, groups, resolution: self.resolution })
    }

    #[expect(clippy::too_many_arguments, reason = "the numbers of one block, used once")]
    fn block(
        &mut self,
        name: String,
        input: u32,
        output: u32,
        bottleneck: u32,
        groups: u32,
        stride: u32,
        beta: f64,
    ) -> Result<Block, Unbuildable> {
        let one = |stride| Shape { kernel: 1, stride, groups: 1 };
        let before = self.resolution;
        let shortcut = if stride > 1 || input != output {
            // The picture is pooled first, so the 1x1 convolution itself has stride 1.
            let mut conv = self.conv(format!("{name}.downsample.conv"), input, output, one(stride))?;
            conv.stride = 1;
            Some(conv)
        } else {
            None
        };
        self.resolution = before;
        let three = |stride| Shape { kernel: 3, stride, groups };
        let convs = [
            self.conv(format!("{name}.conv1"), input, bottleneck, one(1))?,
            self.conv(format!("{name}.conv2"), bottleneck, bottleneck, three(stride))?,
            self.conv(format!("{name}.conv2b"), bottleneck, bottleneck, three(1))?,
            self.conv(format!("{name}.conv3"), bottleneck, output, one(1))?,
        ];
        Ok(Block { name, beta, stride, shortcut, convs, squeeze: output / 2 })
    }
}

impl Architecture {
    /// Features that the head sees: twice the last width.
    pub fn features(&self) -> u32 {
        self.final_conv.output
    }

    /// All convolutions, in the order of the forward pass.
    pub fn convolutions(&self) -> impl Iterator<Item = &Conv> {
        let blocks = self.blocks.iter().flat_map(Block::convolutions);
        self.stem.iter().chain(blocks).chain(std::iter::once(&self.final_conv))
    }

    /// Parameters without the classifier.
    pub fn parameters_without_head(&self) -> u64 {
        let convs: u64 = self.convolutions().map(Conv::parameters).sum();
        let squeezes: u64 =
            self.blocks.iter().map(|block| squeeze_macs(block) + u64::from(block.width() + block.squeeze)).sum();
        convs + squeezes + self.blocks.len() as u64
    }

    /// All parameters.
    pub fn parameters(&self) -> u64 {
        self.parameters_without_head() + (u64::from(self.features()) + 1) * u64::from(self.classes)
    }

    /// Multiply-accumulates of one forward pass for one example: what the NFNet paper calls FLOPs. Convolutions,
    /// squeeze-excite and classifier count; element-wise work does not.
    pub fn macs(&self) -> u64 {
        let convs = self.convolutions().map(Conv::macs);
        let squeezes = self.blocks.iter().map(squeeze_macs);
        let head = u64::from(self.features()) * u64::from(self.classes);
        // An absurd network costs the largest number there is; it must not bring down who only asks for its price.
        convs.chain(squeezes).fold(head, u64::saturating_add)
    }

    /// Numbers that the layers put out for one example: what memory traffic is made of.
    pub fn activations(&self) -> u64 {
        let outputs = self.convolutions().map(|conv| u64::from(conv.output) * u64::from(conv.resolution).pow(2));
        outputs.fold(0, u64::saturating_add)
    }

    /// What a plan has to know.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            parameters: self.parameters(),
            parameters_without_head: self.parameters_without_head(),
            macs: self.macs(),
            activations: self.activations(),
            layers: self.convolutions().count() as u64,
        }
    }

    /// The betas of all blocks.
    pub fn betas(&self) -> Vec<f64> {
        self.blocks.iter().map(|block| block.beta).collect()
    }
}

fn squeeze_macs(block: &Block) -> u64 {
    2 * u64::from(block.width()) * u64::from(block.squeeze)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str, bottleneck: Bottleneck) -> Nfnet {
        Nfnet { bottleneck, ..Nfnet::preset(name).expect("a preset") }
    }

    #[track_caller]
    fn check_parameters(name: &str, bottleneck: Bottleneck, parameters: u64) {
        let layout = preset(name, bottleneck).layout(3, 224, 1000).expect("buildable");
        assert_eq!(layout.parameters(), parameters, "{name}");
    }

    #[track_caller]
    fn check_macs(name: &str, resolution: u32, giga: f64) {
        let layout = preset(name, Bottleneck::Kept).layout(3, resolution, 1000).expect("buildable");
        let found = layout.macs() as f64 / 1e9;
        assert!((found - giga).abs() < 0.006, "{name} at {resolution}: {found}G, expected {giga}G");
    }

    #[test]
    fn parameters_are_the_published_ones() {
        let published = [
            ("F0", 71_489_284),
            ("F1", 132_634_256),
            ("F2", 193_779_228),
            ("F3", 254_924_200),
            ("F4", 316_069_172),
            ("F5", 377_214_144),
            ("F6", 438_359_116),
            ("F7", 499_504_088),
        ];
        for (name, parameters) in published {
            check_parameters(name, Bottleneck::Kept, parameters);
        }
        check_parameters("F3+", Bottleneck::Floored, 423_421_992);
        check_parameters("F3+", Bottleneck::Kept, 425_082_408);
        check_parameters("F4+", Bottleneck::Floored, 524_954_484);
        check_parameters("F4+", Bottleneck::Kept, 527_033_076);
        check_parameters("F7+", Bottleneck::Floored, 829_551_960);
        check_parameters("F7+", Bottleneck::Kept, 832_885_080);
    }

    #[test]
    fn multiply_accumulates_are_the_published_ones() {
        let published = [
            ("F0", 256, 12.38),
            ("F1", 320, 35.54),
            ("F2", 352, 62.59),
            ("F3", 416, 114.76),
            ("F4", 512, 215.24),
            ("F5", 544, 289.76),
            ("F6", 576, 377.28),
            ("F7", 608, 478.78),
            ("F4+", 512, 367.41),
            ("F0", 224, 9.49),
            ("F3+", 224, 56.92),
            ("F7+", 224, 111.18),
        ];
        for (name, resolution, giga) in published {
            check_macs(name, resolution, giga);
        }
    }

    #[test]
    fn betas_restart_after_each_transition() {
        let betas = preset("F0", Bottleneck::Kept).layout(3, 224, 1000).expect("buildable").betas();
        let expected = [1.0, 0.9806, 0.9806, 0.9623, 0.9806, 0.9623, 0.9449, 0.9285, 0.9129, 0.8980, 0.9806, 0.9623];
        assert_eq!(betas.len(), expected.len());
        for (found, expected) in betas.iter().zip(expected) {
            assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_group_width_that_does_not_fit_is_refused_by_name() {
        let nfnet = Nfnet { group_width: 120, ..preset("F0", Bottleneck::Kept) };
        assert!(nfnet.layout(3, 224, 10).is_ok(), "each bottleneck stays whole in wider groups");
        let nfnet = Nfnet { group_width: 256, ..preset("F0", Bottleneck::Kept) };
        let refusal = nfnet.layout(3, 224, 10).expect_err("no group fits");
        assert_eq!(refusal, Unbuildable::Groups { width: 256, bottleneck: 128, group_width: 256 });
    }

    #[test]
    fn a_resolution_that_runs_out_of_pixels_is_refused() {
        let refusal = preset("F0", Bottleneck::Kept).layout(3, 8, 10).expect_err("too small");
        assert!(matches!(refusal, Unbuildable::TooSmall { resolution: 8, .. }), "{refusal}");
    }
}
