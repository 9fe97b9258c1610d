//! The network of a run, whichever family it is of.

use spec::network::Layout;
use spec::run::MemoryFormat;
use tch::{Device, Kind, TchError, Tensor};

use crate::parameters::{Declared, Parameters};
use crate::{nfnet, vit};

/// A network: where each layer finds its parameters.
pub enum Network {
    /// A normaliser-free ConvNet.
    Nfnet(nfnet::Nfnet),
    /// A Vision Transformer.
    Vit(vit::Vit),
}

/// Whether dropout and stochastic depth are on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// A training step.
    Train {
        /// Rate at which the deepest residual branch is left out.
        stochastic_depth: f64,
        /// Rate at which features are left out before the classifier; the network's own where it is not given.
        dropout: Option<f64>,
    },
    /// An evaluation.
    Evaluate,
}

/// The parameters of `layout`, in no particular order.
pub fn declare(layout: &Layout) -> Vec<Declared> {
    match layout {
        Layout::Nfnet(layout) => nfnet::declare(layout),
        Layout::Vit(layout) => vit::declare(layout),
    }
}

impl Network {
    /// Finds the layers of `layout` among `parameters`, which [`declare`] has declared. `None` if one is missing.
    pub fn new(layout: &Layout, parameters: &Parameters, format: MemoryFormat) -> Option<Network> {
        match layout {
            Layout::Nfnet(layout) => nfnet::Nfnet::new(layout, parameters, format).map(Network::Nfnet),
            Layout::Vit(layout) => vit::Vit::new(layout, parameters).map(Network::Vit),
        }
    }

    /// Logits, as 32-bit floats, for pictures of shape [examples, channels, height, width]. Every layer but the classifier works
    /// in the precision of the pictures.
    pub fn forward(&self, parameters: &Parameters, pictures: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        match self {
            Network::Nfnet(network) => network.forward(parameters, pictures, mode),
            Network::Vit(network) => network.forward(parameters, pictures, mode),
        }
    }
}

impl Mode {
    /// The features before the classifier, of which some are left out in training; `own` is the network's rate.
    pub(crate) fn dropped(self, features: Tensor, own: f64) -> Result<Tensor, TchError> {
        let Mode::Train { dropout, .. } = self else { return Ok(features) };
        let rate = dropout.unwrap_or(own);
        if rate > 0.0 { features.f_dropout(rate, true) } else { Ok(features) }
    }

    /// Which of `examples` keep the branch of block `index` (from 0), as a vector of ones and zeros, and the share that is
    /// kept on average; `None` where all are. The rate grows in a straight line from 0 at the first block to its full
    /// height at index `deepest`.
    pub(crate) fn kept(
        self,
        index: usize,
        deepest: usize,
        examples: i64,
        device: Device,
    ) -> Result<Option<(Tensor, f64)>, TchError> {
        let Mode::Train { stochastic_depth, .. } = self else { return Ok(None) };
        let rate = stochastic_depth * index as f64 / deepest.max(1) as f64;
        if rate == 0.0 {
            return Ok(None);
        }
        let kept = Tensor::f_rand([examples], (Kind::Float, device))?.f_ge(rate)?.f_to_kind(Kind::Float)?;
        Ok(Some((kept, 1.0 - rate)))
    }
}
