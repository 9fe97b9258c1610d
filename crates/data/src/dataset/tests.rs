use super::*;
use proptest::prelude::*;

use crate::Label;

/// Pictures of two pixels by two, each of a grey level of its own.
fn dataset(train: &[u8], heldout: &[u8]) -> Dataset {
    let split = |labels: &[u8]| {
        Split::raw(Raw {
            pixels: (0..labels.len()).flat_map(|at| [at as u8; 4]).collect(),
            labels: labels.to_vec(),
            shape: Shape { channels: 1, side: 2 },
        })
    };
    let facts = DatasetFacts {
        fingerprint: "f".to_owned(),
        train_examples: train.len() as u64,
        heldout_examples: heldout.len() as u64,
        channels: 1,
        resolution: Some(2),
        classes: 10,
        mean: PerChannel::All(0.5),
        std: PerChannel::All(0.2),
        per_class: per_class(train, heldout),
        multi_label: false,
    };
    Dataset { train: split(train), heldout: split(heldout), facts, class_names: Vec::new() }
}

/// Class and grey level of every example.
fn content(split: &Split) -> Vec<(u32, u8)> {
    let batch = crate::batch::evaluation(split, 2, 1.0, 0..split.len(), &crate::crew::Crew::ALONE).expect("in memory");
    let classes = batch.labels.iter().map(|label| match label {
        Label::One(class) => *class,
        Label::Many(_) => panic!("one class each"),
    });
    classes.zip(batch.pixels.chunks_exact(4).map(|pixels| pixels[3])).collect()
}

#[test]
fn kept_classes_are_numbered_as_they_are_listed() {
    let mut kept = dataset(&[0, 3, 1, 3, 9, 0], &[9, 1, 3, 3]);
    let before = kept.facts.clone();
    kept.keep(&[3, 0, 9]).expect("classes that are there");
    assert_eq!(content(&kept.train), [(1, 0), (0, 1), (0, 3), (2, 4), (1, 5)]);
    assert_eq!(content(&kept.heldout), [(2, 0), (0, 2), (0, 3)]);
    let expected = DatasetFacts {
        train_examples: 5,
        heldout_examples: 3,
        classes: 3,
        per_class: vec![[2, 2], [2, 0], [1, 1]],
        ..before
    };
    assert_eq!(kept.facts, expected);
}

#[test]
fn classes_that_cannot_be_kept_change_nothing() {
    for (classes, why) in [
        (vec![0, 2], "keep_classes: the training set has no class 2"),
        (vec![0, 4_000_000_000], "keep_classes: the training set has no class 4000000000"),
        (vec![1, 0, 1], "keep_classes: class 1 is named twice"),
    ] {
        let mut kept = dataset(&[0, 1, 1], &[2, 0]);
        let before = (content(&kept.train), content(&kept.heldout), kept.facts.clone());
        assert_eq!(kept.keep(&classes).map_err(|error| error.to_string()), Err(why.to_owned()));
        assert_eq!((content(&kept.train), content(&kept.heldout), kept.facts), before);
    }
}

proptest! {
    #[test]
    fn what_is_kept_is_what_has_the_class(
        labels in proptest::collection::vec(0_u8..4, 0..40), classes in Just(vec![0_u32, 1, 2, 3]).prop_shuffle(), count in 0_usize..5,
    ) {
        let classes = &classes[..count];
        let there = |class: &u32| labels.iter().any(|label| u32::from(*label) == *class);
        let mut kept = dataset(&labels, &labels);
        let result = kept.keep(classes);
        prop_assert_eq!(result.is_ok(), classes.iter().all(there));
        prop_assume!(result.is_ok());
        let expected: Vec<(u32, u8)> = labels
            .iter()
            .zip(0_u8..)
            .filter_map(|(label, at)| Some((classes.iter().position(|class| *class == u32::from(*label))? as u32, at)))
            .collect();
        prop_assert_eq!(content(&kept.train), expected);
        prop_assert_eq!(content(&kept.train), content(&kept.heldout));
    }
}
