//! Against timm 1.0.31 and PyTorch 2.11: logits, gradients and one step, by timm's names. `scripts/parity_fixtures.py` wrote
//! the fixtures and says where the released code of NFNet is followed instead of timm.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::SafeTensors;
use spec::network::ModelSpec;
use spec::nfnet::{Bottleneck, Nfnet, StemConv};
use spec::run::{Agc, MemoryFormat, OptimizerSpec};
use spec::vit::{Pooling, Vit};
use tch::{Device, Kind, Reduction, Tensor};
use train::network::{Mode, Network, declare};
use train::optimizer::{self, Optimizer};
use train::parameters::Parameters;

use crate::{check_close, values};

/// The tensors of a file, by name.
struct Fixture(Vec<u8>);

impl Fixture {
    fn read(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"));
        Fixture(std::fs::read(path).expect("part of the repository"))
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).expect("written by safetensors")
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = view.data().chunks_exact(4);
        bytes.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
    }

    /// What it says of each parameter, in our order; shapes of one pixel are written differently by timm.
    fn of_parameters(&self, part: &str, parameters: &Parameters) -> Vec<Vec<f64>> {
        let of = |name: &str| self.floats(&format!("{part}/{name}")).into_iter().map(f64::from).collect();
        parameters.declared().iter().map(|one| of(&one.name)).collect()
    }

    fn shape(&self, name: &str) -> Vec<i64> {
        let tensors = self.tensors();
        tensors.tensor(name).expect("there").shape().iter().map(|size| *size as i64).collect()
    }
}

fn check(name: &str, model: &ModelSpec, resolution: u32, optimizer: OptimizerSpec, rate: f64) {
    let fixture = Fixture::read(name);
    let layout = model.layout(3, resolution, 5).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), 0, Device::Cpu).expect("memory");
    let tensors = fixture.tensors();
    let theirs: BTreeSet<&str> = tensors.names().into_iter().filter_map(|name| name.strip_prefix("weight/")).collect();
    let ours: BTreeSet<&str> = parameters.declared().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(ours, theirs, "{name}: the same parameters by name");
    let weights: Vec<f64> = fixture.of_parameters("weight", &parameters).concat();
    parameters.load(&Tensor::from_slice(&weights).to_kind(Kind::Float)).expect("as many numbers");

    let network = Network::new(&layout, &parameters, MemoryFormat::ChannelsLast).expect("declared");
    let pictures = Tensor::from_slice(&fixture.floats("input")).reshape(fixture.shape("input"));
    let logits = network.forward(&parameters, &pictures, Mode::Evaluate).expect("the right shape");
    let expected: Vec<f64> = fixture.floats("logits").into_iter().map(f64::from).collect();
    check_close(&values(&logits), &expected, 1e-4, &format!("{name}: logits"));

    let labels = Tensor::from_slice(&[1_i64, 4, 0]);
    let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
    let gradients = optimizer::gradients(&parameters, &loss).expect("a graph");
    let expected = fixture.of_parameters("gradient", &parameters);
    for ((one, found), expected) in parameters.declared().iter().zip(&gradients).zip(&expected) {
        check_close(&values(found), expected, 1e-3, &format!("{name}: gradient of {}", one.name));
    }

    let mut optimizer = Optimizer::new(optimizer, None, &parameters).expect("memory");
    optimizer.step(&parameters, gradients, rate, 0).expect("shapes fit");
    let expected = fixture.of_parameters("after", &parameters);
    for ((one, found), expected) in parameters.declared().iter().zip(parameters.views()).zip(&expected) {
        check_close(&values(found), expected, 1e-5, &format!("{name}: {} after a step", one.name));
    }
}

#[test]
fn an_nfnet_is_timms() {
    let nfnet = Nfnet {
        depths: vec![1, 2, 2, 1],
        widths: vec![16, 16, 32, 32],
        strides: vec![1, 2, 2, 2],
        stem: [(2, 2), (4, 1), (8, 1), (16, 2)].map(|(channels, stride)| StemConv { channels, stride }).to_vec(),
        group_width: 8,
        bottleneck: Bottleneck::Kept,
        alpha: 0.2,
        initial_skip_gain: 0.0,
        dropout: 0.0,
    };
    let sgd = OptimizerSpec::Sgd { momentum: 0.9, weight_decay: 0.02, agc: Agc { lambda: 0.05, eps: 1e-3 } };
    check("nfnet", &ModelSpec::Nfnet(nfnet), 36, sgd, 0.1);
}

#[test]
fn a_vision_transformer_is_timms() {
    for (name, pooling) in [("vit-map", Pooling::Map), ("vit-token", Pooling::ClassToken)] {
        let vit = Vit { patch: 4, width: 16, depth: 2, mlp: 32, heads: 2, pooling };
        let adamw = OptimizerSpec::Adamw { beta1: 0.9, beta2: 0.99, eps: 1e-4, weight_decay: 0.1, clip_norm: 0.5 };
        check(name, &ModelSpec::Vit(vit), 12, adamw, 0.01);
    }
}
