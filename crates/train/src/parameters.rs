//! All parameters of a network in one flat tensor, each visible as a tensor of its own.
//!
//! One buffer makes the optimiser a handful of operations over all parameters, whatever their number, and a checkpoint
//! a copy of two buffers.

use tch::{Device, Kind, TchError, Tensor, no_grad};

use spec::order::mix;

/// What the optimiser does with a parameter ([DM] optim.py; arXiv 2102.06171 section 4 and appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weight of a convolution or of squeeze-excite: clipped per output unit, decayed.
    Weight,
    /// Weight of the classifier: not clipped, decayed.
    Classifier,
    /// Gain, bias, skip gain, token or position: clipped as a whole, not decayed.
    Vector,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same number everywhere.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Normal with this standard deviation, nothing beyond two of them.
    Truncated(f64),
    /// Uniform between minus this and this.
    Uniform(f64),
}

/// A parameter before it exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Path, as timm names it.
    pub name: String,
    /// Shape; output units first.
    pub shape: Vec<i64>,
    /// What the optimiser does with it.
    pub role: Role,
    /// How it starts.
    pub init: Init,
}

impl Declared {
    fn len(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// The parameters of one network.
pub struct Parameters {
    declared: Vec<Declared>,
    flat: Tensor,
    views: Vec<Tensor>,
    decayed: i64,
    vectors: i64,
    vector_of: Tensor,
}

impl Parameters {
    /// Lays the parameters out, those that decay first, and draws their initial values from `seed`.
    pub fn new(mut declared: Vec<Declared>, seed: u64, device: Device) -> Result<Parameters, TchError> {
        declared.sort_by_key(|one| one.role == Role::Vector);
        let mut values: Vec<f32> = Vec::with_capacity(declared.iter().map(|one| one.len() as usize).sum());
        for one in &declared {
            draw(one, seed, &mut values);
        }
        let flat = Tensor::f_from_slice(&values)?.f_to_device(device)?;
        Parameters::over(declared, flat)
    }

    /// The same parameters with the same values in a memory of their own.
    pub fn copied(&self) -> Result<Parameters, TchError> {
        let flat = no_grad(|| self.flat.f_detach_copy())?;
        Parameters::over(self.declared.clone(), flat)
    }

    fn over(declared: Vec<Declared>, flat: Tensor) -> Result<Parameters, TchError> {
        let decayed = declared.iter().filter(|one| one.role != Role::Vector).map(Declared::len).sum();
        let mut views = Vec::new();
        no_grad(|| {
            let mut at = 0;
            for one in &declared {
                let view = flat.f_narrow(0, at, one.len())?.f_view(one.shape.as_slice())?;
                views.push(view.f_set_requires_grad(true)?);
                at += one.len();
            }
            Ok::<(), TchError>(())
        })?;
        let vectors = declared.iter().filter(|one| one.role == Role::Vector);
        let vector_of = vectors.clone().zip(0_i64..).flat_map(|(one, index)| (0..one.len()).map(move |_| index));
        let vector_of = Tensor::f_from_slice(&vector_of.collect::<Vec<i64>>())?.f_to_device(flat.device())?;
        let vectors = vectors.count() as i64;
        Ok(Parameters { declared, flat, views, decayed, vectors, vector_of })
    }

    /// What they are, in the order of the views.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// Each parameter as a leaf of the graph.
    pub fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// All of them as one vector; shares its memory with the views.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// How many numbers at the front of the vector decay.
    pub fn decayed(&self) -> i64 {
        self.decayed
    }

    /// How many parameters are vectors; they are the last.
    pub fn vectors(&self) -> i64 {
        self.vectors
    }

    /// For each number of the vectors, in which of them it is.
    pub fn vector_of(&self) -> &Tensor {
        &self.vector_of
    }

    /// Numbers in all.
    pub fn len(&self) -> i64 {
        self.declared.iter().map(Declared::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty()
    }

    /// Where the parameter `name` stands in the views.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.declared.iter().position(|one| one.name == name)
    }

    /// Overwrites all values.
    pub fn load(&mut self, values: &Tensor) -> Result<(), TchError> {
        no_grad(|| self.flat.f_copy_(values))
    }
}

/// Initial values from a counter-based generator: they depend on the seed and the parameter's name, not on the version
/// of libtorch nor on the other parameters.
fn draw(one: &Declared, seed: u64, values: &mut Vec<f32>) {
    let key = one.name.bytes().fold(mix(seed ^ 0x5ca1_e1a3), |key, byte| mix(key ^ u64::from(byte)));
    let mut counter = 0_u64;
    let mut uniform = || {
        counter += 1;
        // 53 bits, never 0, so that its logarithm exists.
        ((mix(key ^ counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    for _ in 0..one.len() {
        let value = match one.init {
            Init::Constant(value) => value,
            Init::Uniform(limit) => limit * (2.0 * uniform() - 1.0),
            Init::Normal(std) => std * normal(&mut uniform),
            Init::Truncated(std) => loop {
                let value = normal(&mut uniform);
                if value.abs() <= 2.0 {
                    break std * value;
                }
            },
        };
        values.push(value as f32);
    }
}

/// Box and Muller 1958.
fn normal(uniform: &mut impl FnMut() -> f64) -> f64 {
    (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// The bytes of a vector of 32-bit floats.
pub fn bytes(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let numbers = tensor.numel();
    let mut bytes = vec![0; numbers * 4];
    tensor.f_copy_data_u8(&mut bytes, numbers)?;
    Ok(bytes)
}
