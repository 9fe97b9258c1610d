//! The NFNet that `spec` laid out, in tensors (arXiv 2102.06171, section 3; released code for the order of operations).
//!
//! Two things are written differently from the formulas and give the same function: the gain of an activation and the
//! beta of a block are folded into the weights of the convolutions behind it, and the residual sum is one fused
//! multiply-add. Both save passes over the activations, which is where small networks spend their time on a CPU.

use spec::nfnet::{Architecture, Block, Conv, GELU_GAIN};
use spec::run::MemoryFormat;
use tch::{Device, Kind, TchError, Tensor};

use crate::gelu::gelu;
use crate::layers::Linear;
use crate::network::Mode;
use crate::parameters::{Declared, Init, Parameters, Role};

/// Smallest norm of centred weights that standardisation divides by: the root of the released code's 1e-4.
pub(crate) const SMALLEST_NORM: f64 = 1e-2;

/// Below this many pixels along a side, a convolution of single pixels is faster as a product of matrices.
const MATRIX_SIDE: i64 = 8;

/// The network: where each layer finds its parameters.
pub struct Nfnet {
    stem: Vec<WsConv>,
    blocks: Vec<NfBlock>,
    final_conv: WsConv,
    head: Linear,
    dropout: f64,
    format: MemoryFormat,
}

/// A convolution with scaled weight standardisation.
struct WsConv {
    weight: usize,
    gain: usize,
    bias: usize,
    kernel: u32,
    stride: i64,
    groups: i64,
    /// Constant factor of the input, folded into the weight.
    input_gain: f64,
}

struct NfBlock {
    shortcut: Option<WsConv>,
    pooled: bool,
    convs: [WsConv; 4],
    squeeze: Linear,
    excite: Linear,
    skip_gain: usize,
    alpha: f64,
}

/// The parameters of `layout`, in no particular order.
pub fn declare(layout: &Architecture) -> Vec<Declared> {
    let mut all = Vec::new();
    layout.convolutions().for_each(|conv| declare_conv(conv, &mut all));
    for block in &layout.blocks {
        let (width, squeeze) = (i64::from(block.width()), i64::from(block.squeeze));
        declare_linear(&format!("{}.attn_last.fc1", block.name), width, squeeze, &mut all);
        declare_linear(&format!("{}.attn_last.fc2", block.name), squeeze, width, &mut all);
        all.push(vector(format!("{}.skipinit_gain", block.name), 1, layout.initial_skip_gain));
    }
    let (features, classes) = (i64::from(layout.features()), i64::from(layout.classes));
    all.push(Declared {
        name: "head.fc.weight".to_owned(),
        shape: vec![classes, features],
        role: Role::Classifier,
        init: Init::Normal(0.01),
    });
    all.push(vector("head.fc.bias".to_owned(), classes, 0.0));
    all
}

fn declare_conv(conv: &Conv, all: &mut Vec<Declared>) {
    let (output, kernel) = (i64::from(conv.output), i64::from(conv.kernel));
    all.push(Declared {
        name: format!("{}.weight", conv.name),
        shape: vec![output, i64::from(conv.input / conv.groups), kernel, kernel],
        role: Role::Weight,
        init: Init::Normal(f64::from(conv.fan_in()).sqrt().recip()),
    });
    all.push(vector(format!("{}.gain", conv.name), output, 1.0));
    all.push(vector(format!("{}.bias", conv.name), output, 0.0));
}

fn declare_linear(name: &str, input: i64, output: i64, all: &mut Vec<Declared>) {
    all.push(Declared {
        name: format!("{name}.weight"),
        shape: vec![output, input],
        role: Role::Weight,
        init: Init::Truncated((input as f64).sqrt().recip()),
    });
    all.push(vector(format!("{name}.bias"), output, 0.0));
}

fn vector(name: String, len: i64, value: f64) -> Declared {
    Declared { name, shape: vec![len], role: Role::Vector, init: Init::Constant(value) }
}

impl Nfnet {
    /// Finds the layers of `layout` among `parameters`, which [`declare`] has declared. `None` if one is missing.
    pub fn new(layout: &Architecture, parameters: &Parameters, format: MemoryFormat) -> Option<Nfnet> {
        let stem = layout.stem.iter().enumerate();
        // No activation stands before the first convolution; one before each of the others.
        let stem = stem.map(|(index, conv)| WsConv::new(conv, if index == 0 { 1.0 } else { GELU_GAIN }, parameters));
        let blocks = layout.blocks.iter().map(|block| NfBlock::new(block, layout.alpha, parameters));
        Some(Nfnet {
            stem: stem.collect::<Option<_>>()?,
            blocks: blocks.collect::<Option<_>>()?,
            final_conv: WsConv::new(&layout.final_conv, 1.0, parameters)?,
            head: Linear::new("head.fc", parameters)?,
            dropout: layout.dropout,
            format,
        })
    }

    /// Logits for pictures of shape [examples, channels, height, width].
    pub fn forward(&self, parameters: &Parameters, pictures: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.forward_watched(parameters, pictures, mode, &mut |_| {})
    }

    /// The same, with `watch` called on the output of the stem and of every block: what a signal propagation plot
    /// (arXiv 2101.08692, section 3) is made of.
    pub fn forward_watched(
        &self,
        parameters: &Parameters,
        pictures: &Tensor,
        mode: Mode,
        watch: &mut dyn FnMut(&Tensor),
    ) -> Result<Tensor, TchError> {
        let mut x = pictures.shallow_clone();
        for (index, conv) in self.stem.iter().enumerate() {
            let input = if index == 0 { x } else { gelu(&x)? };
            x = conv.forward(parameters, &input)?;
            if index == 0 && self.format == MemoryFormat::ChannelsLast {
                x = channels_last(&x)?;
            }
        }
        watch(&x);
        // As in the released code: the rate would be reached one block behind the last, and what is kept is not scaled up.
        for (index, block) in self.blocks.iter().enumerate() {
            let kept = mode.kept(index, self.blocks.len(), x.size()[0], x.device())?;
            x = block.forward(parameters, &x, kept.map(|(kept, _)| kept))?;
            watch(&x);
        }
        let x = gelu(&self.final_conv.forward(parameters, &x)?)?;
        let pooled = x.f_mean_dim([2_i64, 3].as_slice(), false, Kind::Float)?.f_mul_scalar(GELU_GAIN)?;
        self.head.forward(parameters, &mode.dropped(pooled, self.dropout)?)
    }
}

/// The same numbers with the channels of a pixel side by side in memory; everything behind keeps this order. It saves a
/// tenth (large networks) to a fifth (small ones) of a step on CPUs with AVX2 or AVX-512. A picture of one channel is
/// in both orders at once and would not pass this one on, so it is called behind the first convolution.
fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

impl NfBlock {
    fn new(block: &Block, alpha: f64, parameters: &Parameters) -> Option<NfBlock> {
        let input_gain = GELU_GAIN * block.beta;
        let [first, second, third, fourth] = &block.convs;
        Some(NfBlock {
            shortcut: match &block.shortcut {
                Some(shortcut) => Some(WsConv::new(shortcut, input_gain, parameters)?),
                None => None,
            },
            pooled: block.stride > 1,
            convs: [
                WsConv::new(first, input_gain, parameters)?,
                WsConv::new(second, GELU_GAIN, parameters)?,
                WsConv::new(third, GELU_GAIN, parameters)?,
                WsConv::new(fourth, GELU_GAIN, parameters)?,
            ],
            squeeze: Linear::new(&format!("{}.attn_last.fc1", block.name), parameters)?,
            excite: Linear::new(&format!("{}.attn_last.fc2", block.name), parameters)?,
            skip_gain: parameters.index(&format!("{}.skipinit_gain", block.name))?,
            alpha,
        })
    }

    /// `kept` says for which examples the residual branch counts.
    fn forward(&self, parameters: &Parameters, x: &Tensor, kept: Option<Tensor>) -> Result<Tensor, TchError> {
        let active = gelu(x)?;
        let shortcut = match &self.shortcut {
            Some(conv) if self.pooled => {
                // SAME average pool: an odd last row or column is averaged over the pixels there are.
                let pooled = active.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None)?;
                conv.forward(parameters, &pooled)?
            }
            Some(conv) => conv.forward(parameters, &active)?,
            None => x.shallow_clone(),
        };
        let [first, second, third, fourth] = &self.convs;
        let out = gelu(&first.forward(parameters, &active)?)?;
        let out = gelu(&second.forward(parameters, &out)?)?;
        let out = gelu(&third.forward(parameters, &out)?)?;
        let out = fourth.forward(parameters, &out)?;
        // Squeeze-excite, twice the sigmoid; with the skip gain and alpha it is one factor per picture and channel.
        // Divided once they are summed: the gradient of a mean is divided for every pixel.
        let pixels = (out.size()[2] * out.size()[3]) as f64;
        let pooled = out.f_sum_dim_intlist([2_i64, 3].as_slice(), false, Kind::Float)?.f_div_scalar(pixels)?;
        let excited = self.excite.forward(parameters, &self.squeeze.forward(parameters, &pooled)?.f_relu()?)?;
        let skip_gain = parameters.views()[self.skip_gain].f_mul_scalar(2.0 * self.alpha)?;
        let factor = excited.f_sigmoid()?.f_mul(&skip_gain)?;
        let factor = match kept {
            Some(kept) => factor.f_mul(&kept.f_unsqueeze(-1)?)?,
            None => factor,
        };
        let factor = factor.f_to_kind(out.f_kind()?)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        shortcut.f_addcmul(&out, &factor)
    }
}

impl WsConv {
    fn new(conv: &Conv, input_gain: f64, parameters: &Parameters) -> Option<WsConv> {
        Some(WsConv {
            weight: parameters.index(&format!("{}.weight", conv.name))?,
            gain: parameters.index(&format!("{}.gain", conv.name))?,
            bias: parameters.index(&format!("{}.bias", conv.name))?,
            kernel: conv.kernel,
            stride: i64::from(conv.stride),
            groups: i64::from(conv.groups),
            input_gain,
        })
    }

    fn forward(&self, parameters: &Parameters, x: &Tensor) -> Result<Tensor, TchError> {
        let views = parameters.views();
        let kind = x.f_kind()?;
        let weight = standardise(&views[self.weight], &views[self.gain], self.input_gain)?.f_to_kind(kind)?;
        let bias = Some(&views[self.bias].f_to_kind(kind)?);
        let (stride, groups) = ([self.stride; 2], self.groups);
        if self.kernel == 1 {
            let pixels = x.f_permute([0, 2, 3, 1])?;
            // Only where they lie in this order, so that nothing is copied.
            if x.size()[2] < MATRIX_SIDE && pixels.is_contiguous() {
                let mixed = pixels.f_linear(&weight.f_flatten(1, 3)?, bias)?;
                return mixed.f_permute([0, 3, 1, 2]);
            }
            return x.f_conv2d(&weight, bias, stride, [0, 0], [1, 1], groups);
        }
        if self.stride == 2 && x.size()[2] % 2 == 0 {
            // SAME padding of an even picture at stride 2: nothing above and left, one row below, one column right.
            return x.f_constant_pad_nd([0, 1, 0, 1])?.f_conv2d(&weight, bias, stride, [0, 0], [1, 1], groups);
        }
        x.f_conv2d(&weight, bias, stride, [1, 1], [1, 1], groups)
    }
}

/// Scaled weight standardisation: gain (W - mean) / sqrt(max(fan-in variance, 1e-4)) per output channel, with the biased
/// variance (arXiv 2102.06171, equation 2; the floor from the released code), times a constant.
///
/// On a CPU a group norm with a group for each channel is the same but for the floor, and fused in both directions. Where a
/// channel is below the floor, the formula is followed step by step.
pub fn standardise(weight: &Tensor, gain: &Tensor, factor: f64) -> Result<Tensor, TchError> {
    // Elsewhere, looking whether a channel is below the floor would make the device wait for each convolution.
    if weight.device() == Device::Cpu
        && let Some(standard) = standardised_by_group_norm(weight, gain, factor)?
    {
        return Ok(standard);
    }
    let centred = weight.f_sub(&weight.f_mean_dim([1_i64, 2, 3].as_slice(), true, Kind::Float)?)?;
    let norm = centred.f_norm_scalaropt_dim(2, [1_i64, 2, 3].as_slice(), true)?;
    let scale = gain.f_mul_scalar(factor)?.f_view([-1, 1, 1, 1])?.f_div(&norm.f_clamp_min(SMALLEST_NORM)?)?;
    centred.f_mul(&scale)
}

/// `None` where a channel is below the floor.
fn standardised_by_group_norm(weight: &Tensor, gain: &Tensor, factor: f64) -> Result<Option<Tensor>, TchError> {
    let channels = gain.numel() as i64;
    let fan_in = weight.numel() as i64 / channels;
    let root = (fan_in as f64).sqrt();
    let scale = gain.f_mul_scalar(factor / root)?;
    let rows = weight.f_view([1, channels, fan_in])?;
    let (standard, _, inverse_std) =
        rows.f_native_group_norm(Some(&scale), None, 1, channels, fan_in, channels, 0.0)?;
    if inverse_std.f_max()?.f_double_value(&[])? <= root / SMALLEST_NORM {
        return Ok(Some(standard.f_view_as(weight)?));
    }
    Ok(None)
}
