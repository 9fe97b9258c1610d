//! The gradient of a batch: forward and backward, in parts where that is asked for, uphill first with sharpness-aware
//! minimisation.

use spec::run::{Regularisation, TrainSpec};
use tch::{Device, Reduction, TchError, Tensor};

use crate::network::{Mode, Network};
use crate::optimizer::{ascend, gradients};
use crate::parameters::Parameters;

/// A batch as the network sees it.
pub struct Examples {
    /// [examples, channels, height, width], in the precision of the activations.
    pub pictures: Tensor,
    /// What the logits are compared with.
    pub target: Target,
}

/// What the logits of a batch are compared with.
pub enum Target {
    /// [examples]: the class of each.
    Classes(Tensor),
    /// [examples, classes]: the shares of the classes, whose sum is 1.
    Shares(Tensor),
    /// [examples, classes]: 1 for each class that an example has, or something between where pictures are mixed.
    Sets(Tensor),
}

impl Target {
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Target, TchError> {
        Ok(match self {
            Target::Classes(target) => Target::Classes(change(target)?),
            Target::Shares(target) => Target::Shares(change(target)?),
            Target::Sets(target) => Target::Sets(change(target)?),
        })
    }

    pub(crate) fn to_device(&self, device: Device) -> Result<Target, TchError> {
        self.map(|target| target.f_to_device(device))
    }

    /// The loss of `logits`: softmax cross-entropy, or the sum over the classes of the sigmoid cross-entropy.
    pub(crate) fn loss(&self, logits: &Tensor, smoothing: f64, over: Reduction) -> Result<Tensor, TchError> {
        match self {
            Target::Classes(target) | Target::Shares(target) => {
                logits.f_cross_entropy_loss::<Tensor>(target, None, over, -100, smoothing)
            }
            Target::Sets(target) => {
                let none = None::<Tensor>;
                let sum =
                    logits.f_binary_cross_entropy_with_logits(target, none.as_ref(), none.as_ref(), Reduction::Sum)?;
                match over {
                    Reduction::Mean => sum.f_div_scalar(logits.size()[0].max(1) as f64),
                    _ => Ok(sum),
                }
            }
        }
    }
}

impl Examples {
    fn part(&self, from: i64, length: i64) -> Result<Examples, TchError> {
        let part = |all: &Tensor| all.f_narrow(0, from, length);
        Ok(Examples { pictures: part(&self.pictures)?, target: self.target.map(part)? })
    }

    fn len(&self) -> i64 {
        self.pictures.size()[0]
    }
}

/// The mean training loss of a batch, computed in `parts`, and its gradient, one tensor per parameter. The parameters are left as
/// they were.
pub fn loss_and_gradient(
    network: &Network,
    parameters: &mut Parameters,
    batch: &Examples,
    train: &TrainSpec,
    parts: u32,
) -> Result<(Tensor, Vec<Tensor>), TchError> {
    let Some(sam) = train.regularisation.sam else { return in_parts(network, parameters, batch, train, parts) };
    let first = batch.part(0, sam.examples(batch.len() as u64) as i64)?;
    let (_, uphill) = in_parts(network, parameters, &first, train, parts)?;
    let before = ascend(parameters, &uphill, sam.rho)?;
    let found = in_parts(network, parameters, batch, train, parts)?;
    parameters.load(&before)?;
    Ok(found)
}

/// Computes a batch in as many parts as asked for; what comes out is what the whole would give, up to rounding and to what is
/// drawn in between.
fn in_parts(
    network: &Network,
    parameters: &Parameters,
    batch: &Examples,
    train: &TrainSpec,
    parts: u32,
) -> Result<(Tensor, Vec<Tensor>), TchError> {
    let (examples, parts) = (batch.len(), i64::from(parts.max(1)));
    let length = (examples + parts - 1) / parts;
    if length >= examples {
        let loss = mean_loss(network, parameters, batch, train)?;
        let gradient = gradients(parameters, &loss)?;
        return Ok((loss.f_detach()?, gradient));
    }
    let mut sum: Option<(Tensor, Vec<Tensor>)> = None;
    for from in (0..examples).step_by(length as usize) {
        let part = batch.part(from, length.min(examples - from))?;
        let share = part.len() as f64 / examples as f64;
        let loss = mean_loss(network, parameters, &part, train)?.f_mul_scalar(share)?;
        let gradient = gradients(parameters, &loss)?;
        sum = Some(match sum {
            None => (loss.f_detach()?, gradient),
            Some((total, mut all)) => {
                // Not in place: where a part is one example, two gradients may be views of one tensor.
                for (all, one) in all.iter_mut().zip(&gradient) {
                    *all = all.f_add(one)?;
                }
                (total.f_add(&loss.f_detach()?)?, all)
            }
        });
    }
    sum.ok_or_else(|| TchError::Shape("a batch without examples".to_owned()))
}

fn mean_loss(
    network: &Network,
    parameters: &Parameters,
    batch: &Examples,
    train: &TrainSpec,
) -> Result<Tensor, TchError> {
    let Regularisation { stochastic_depth, dropout, .. } = train.regularisation;
    let mode = Mode::Train { stochastic_depth, dropout };
    let logits = network.forward(parameters, &batch.pictures, mode)?;
    batch.target.loss(&logits, train.label_smoothing, Reduction::Mean)
}
