//! The network of a run, whichever family it is of.

use spec::network::Layout;
use tch::{TchError, Tensor};

use crate::parameters::{Declared, Parameters};
use crate::{nfnet, vit};

/// A network: where each layer finds its parameters.
pub enum Network {
    /// A normaliser-free ConvNet.
    Nfnet(nfnet::Nfnet),
    /// A Vision Transformer.
    Vit(vit::Vit),
}

/// Whether dropout is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A training step.
    Train,
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
    pub fn new(layout: &Layout, parameters: &Parameters) -> Option<Network> {
        match layout {
            Layout::Nfnet(layout) => nfnet::Nfnet::new(layout, parameters).map(Network::Nfnet),
            Layout::Vit(layout) => vit::Vit::new(layout, parameters).map(Network::Vit),
        }
    }

    /// Logits for pictures of shape [examples, channels, height, width].
    pub fn forward(&self, parameters: &Parameters, pictures: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        match self {
            Network::Nfnet(network) => network.forward(parameters, pictures, mode),
            Network::Vit(network) => network.forward(parameters, pictures),
        }
    }
}
