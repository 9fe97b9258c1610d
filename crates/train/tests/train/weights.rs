//! Starting from the weights that another run has left.

use spec::network::ModelSpec;
use spec::run::{MemoryFormat, RunId};
use spec::vit::{Pooling, Vit};
use tch::Device;
use train::network::{Mode, Network, declare};
use train::parameters::Parameters;
use train::weights::{self, Origin, Weights};

use crate::{check_close, numbers, small_model, tensor, values};

fn id(text: &str) -> RunId {
    text.parse().expect("16 digits")
}

fn parameters(model: &ModelSpec, resolution: u32, classes: u32, seed: u64) -> (Network, Parameters) {
    let layout = model.layout(1, resolution, classes).expect("buildable");
    let parameters = Parameters::new(declare(&layout), seed, Device::Cpu).expect("memory");
    (Network::new(&layout, &parameters, MemoryFormat::ChannelsLast).expect("declared"), parameters)
}

fn models() -> [ModelSpec; 3] {
    let vit = |pooling| ModelSpec::Vit(Vit { patch: 4, width: 8, depth: 1, mlp: 16, heads: 2, pooling });
    [ModelSpec::Nfnet(small_model(1.0)), vit(Pooling::Map), vit(Pooling::ClassToken)]
}

#[test]
fn everything_but_the_classifier_is_taken_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for model in models() {
        let (_, mut from) = parameters(&model, 16, 3, 1);
        // A network that has just begun has many parameters at the same value.
        let all = tensor(&numbers(from.len() as usize, 7), &[from.len()]);
        from.load(&all).expect("as many numbers");
        weights::write(folder.path(), id("00000000000000aa"), &from, Origin::Trained).expect("space");
        let (_, mut to) = parameters(&model, 16, 5, 2);
        let untouched = to.copied().expect("memory");
        Weights::read(folder.path(), id("00000000000000aa"))
            .expect("just written")
            .start(&mut to)
            .expect("the same network");
        for (index, one) in to.declared().iter().enumerate() {
            let head = one.name.starts_with("head");
            let expected =
                if head { &untouched.views()[index] } else { &from.views()[from.index(&one.name).expect("there")] };
            assert_eq!(values(&to.views()[index]), values(expected), "{}", one.name);
        }
    }
}

#[test]
fn positions_are_resampled_as_they_are_for_an_evaluation_in_that_resolution() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for model in &models()[1..] {
        let (network, mut from) = parameters(model, 16, 3, 1);
        from.load(&tensor(&numbers(from.len() as usize, 7), &[from.len()])).expect("as many numbers");
        weights::write(folder.path(), id("00000000000000aa"), &from, Origin::Trained).expect("space");
        let (larger, mut to) = parameters(model, 24, 3, 2);
        Weights::read(folder.path(), id("00000000000000aa"))
            .expect("just written")
            .start(&mut to)
            .expect("the same network");
        // The classifier is new: with the old one both networks are one function.
        for name in ["head.weight", "head.bias"] {
            let (mut new, old) =
                (to.views()[to.index(name).expect("there")].detach(), &from.views()[from.index(name).expect("there")]);
            new.copy_(&old.detach());
        }
        let pictures = tensor(&numbers(2 * 24 * 24, 3), &[2, 1, 24, 24]);
        let before = network.forward(&from, &pictures, Mode::Evaluate).expect("patches fit");
        let after = larger.forward(&to, &pictures, Mode::Evaluate).expect("patches fit");
        check_close(&values(&after), &values(&before), 1e-5, "logits at 24 pixels");
    }
}

#[test]
fn weights_of_another_network_or_run_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [nfnet, vit, token] = models();
    let (_, from) = parameters(&nfnet, 16, 3, 1);
    weights::write(folder.path(), id("00000000000000aa"), &from, Origin::Trained).expect("space");
    let refused = |model: &ModelSpec| {
        let (_, mut to) = parameters(model, 16, 3, 2);
        let before = to.flat().copy();
        let weights = Weights::read(folder.path(), id("00000000000000aa")).expect("just written");
        let said = weights.start(&mut to).expect_err("another architecture").to_string();
        assert_eq!(values(to.flat()), values(&before), "what is refused changes nothing");
        said
    };
    let wider = ModelSpec::Nfnet(spec::nfnet::Nfnet { widths: vec![16, 16], ..small_model(1.0) });
    assert!(refused(&wider).contains("weights of another architecture: "), "{}", refused(&wider));
    assert!(refused(&vit).contains("the network to train has no "), "{}", refused(&vit));
    weights::write(folder.path(), id("00000000000000aa"), &parameters(&vit, 16, 3, 1).1, Origin::Trained)
        .expect("space");
    assert!(refused(&token).contains("attn_pool"), "{}", refused(&token));
    let other = Weights::read(folder.path(), id("00000000000000ab")).err().expect("another run").to_string();
    assert!(other.contains("weights of run 00000000000000aa, expected those of 00000000000000ab"), "{other}");
}
