//! Selectors: what they mean, what they refuse, and that they read what they write.

use proptest::prelude::*;
use spec::run::RunId;
use spec::selector::{Candidate, Selector, SelectorError};
use spec::state::{Failure, RunState};

fn candidate(lr: f64, state: RunState) -> Candidate<'static> {
    let run: RunId = "00ab12cd34ef5678".parse().expect("16 digits");
    Candidate { run, model: "NF-F3+", epochs: 4.0, lr, seed: 1, state }
}

fn holds(text: &str) -> bool {
    let selector = Selector::parse(&[text]).unwrap_or_else(|error| panic!("{text}: {error}"));
    selector.matches(&candidate(0.2 * 2.0_f64.sqrt(), RunState::Failed(Failure::Oom)))
}

#[test]
fn conditions_mean_what_they_say() {
    for text in [
        "model=NF-F3+",
        "model=a,NF*",
        "model=*F3*",
        "model=N*-*+",
        "model!=F3",
        "lr=0.2828",
        "lr<=0.2828 lr>=0.2828",
        "lr > 0.1",
        "state=failed",
        "failure=oom,node epochs>=2 seed=0,1",
        "run=00ab",
        "00ab12cd34ef5678",
        "ffff 00ab",
    ] {
        assert!(holds(text), "{text:?}");
    }
    for text in
        ["model=F3", "model=*F4*", "model=NF-F3+*+", "lr<0.2828", "lr>0.2828", "state!=failed", "failure=code", "ffff"]
    {
        assert!(!holds(text), "{text:?}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let error = |text: &str| Selector::parse(&[text]).expect_err(text);
    assert_eq!(error("F3"), SelectorError::NoCondition("F3".to_owned()));
    assert_eq!(error("a!b"), SelectorError::NoCondition("a!b".to_owned()));
    assert!(error("modle=ok").to_string().contains("did you mean model?"), "{}", error("modle=ok"));
    assert!(error("state=complete").to_string().contains("did you mean completed?"), "{}", error("state=complete"));
    assert_eq!(Selector::parse(&["  "]), Err(SelectorError::Empty));
    assert_eq!(error("lr="), SelectorError::NoValue("lr=".to_owned()));
    assert_eq!(error("seed=1,,2"), SelectorError::NoValue("seed=1,,2".to_owned()));
    assert!(matches!(error("lr=high"), SelectorError::NotANumber { .. }));
    assert!(matches!(error("lr<nan"), SelectorError::NotANumber { .. }));
    assert!(matches!(error("state=dead"), SelectorError::UnknownWord { .. }));
    assert!(matches!(error("run=xyz"), SelectorError::UnknownWord { .. }));
    assert_eq!(error("model>F3"), SelectorError::NoOrder("model>F3".to_owned()));
    assert_eq!(error("lr>1,2"), SelectorError::NoOrder("lr>1,2".to_owned()));
}

fn term() -> impl Strategy<Value = String> {
    let number = (0.0..4.0_f64).prop_map(|value| value.to_string());
    let words = prop_oneof![
        "(run=|run!=)[0-9a-f]{1,16}",
        "model(=|!=)[A-Z*+-]{1,6}(,[a-z*]{1,6})?",
        "state(=|!=)(queued|failed|completed)(,running)?",
        "failure=(oom|node)",
    ];
    let numbers = ("(lr|epochs|seed)(=|!=|<=|>=|<|>)", number).prop_map(|(start, value)| start + &value);
    prop_oneof![words, numbers]
}

proptest! {
    #[test]
    fn a_selector_reads_what_it_writes(terms in prop::collection::vec(term(), 1..5)) {
        let selector = Selector::parse(&terms).expect("built by the grammar");
        prop_assert_eq!(Selector::parse(&[selector.to_string()]), Ok(selector));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ a-z0-9=<>!,*.é-]{0,24}") {
        if let Ok(selector) = Selector::parse(&[text]) {
            selector.matches(&candidate(0.1, RunState::Queued));
        }
    }

    #[test]
    fn signs_that_exclude_each_other_never_both_hold(lr in 1e-6..10.0_f64, bound in 1e-6..10.0_f64) {
        let run = candidate(lr, RunState::Queued);
        let says = |sign: &str| Selector::parse(&[format!("lr{sign}{bound}")]).expect("a condition").matches(&run);
        prop_assert_eq!(says("="), !says("!="));
        prop_assert_eq!(says("<"), !says(">="));
        prop_assert_eq!(says(">"), !says("<="));
        prop_assert_eq!(u8::from(says("<")) + u8::from(says("=")) + u8::from(says(">")), 1);
    }

    #[test]
    fn a_star_stands_for_anything(a in "[a-z*]{0,4}", b in "[a-z]{0,4}", c in "[a-z]{0,4}") {
        let a = a.replace('*', "x");
        let name = format!("{a}{b}{c}");
        let selector = Selector::parse(&[format!("model={a}*{c}")]).expect("a condition");
let run = Candidate { model: &name, ..candidate(1.0, RunState::Queued) };
        prop_assert!(selector.matches(&run));
    }
}
