//! The law of the frontier of every family of models: what figures draw, and what they write beside it.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use fit::{Form, Frontier, LawFit, Refusal, Settings};
use serde_json::{Value, json};

use crate::exit::say;
use crate::laws::{self, Tested};
use crate::points::RunPoint;

/// The frontier of one family.
pub(crate) struct FamilyLaw {
    /// Empty where no family is known.
    pub(crate) family: String,
    /// Its runs.
    pub(crate) points: Vec<RunPoint>,
    pub(crate) found: Result<(Frontier, Box<LawFit>), Refusal>,
    tested: OnceCell<Option<Tested>>,
}

/// Of each family among the points, in the order of their names, the law of its frontier.
pub(crate) fn laws_of_families(points: &[RunPoint]) -> Vec<FamilyLaw> {
    let mut families: BTreeMap<&str, Vec<RunPoint>> = BTreeMap::new();
    for point in points {
        families.entry(&point.family).or_default().push(point.clone());
    }
    let law = |(family, points): (&str, Vec<RunPoint>)| {
        let runs = laws::frontier_runs(&points);
        let found = fit::frontier_law(&runs, Form::Power, &Settings::default());
        let found = found.map(|(frontier, law)| (frontier, Box::new(law)));
        FamilyLaw { family: family.to_owned(), points, found, tested: OnceCell::new() }
    };
    families.into_iter().map(law).collect()
}

impl FamilyLaw {
    /// The law where it surely falls: one that may as well rise says nothing, and its band would hide the points.
    pub(crate) fn law(&self) -> Option<&LawFit> {
        let falls = |law: &&LawFit| law.params.get("alpha").is_some_and(|alpha| alpha.low > 0.0);
        self.found.as_ref().ok().map(|(_, law)| &**law).filter(falls)
    }

    /// The law put to the test on its own largest budgets; once, whoever asks.
    pub(crate) fn tested(&self) -> Option<&Tested> {
        let test = |(frontier, law): &(Frontier, Box<LawFit>)| laws::tested(&self.points, Some(frontier), law);
        self.tested.get_or_init(|| self.found.as_ref().ok().map(test)).as_ref()
    }

    /// Why no law is drawn.
    fn lawless(&self) -> Option<String> {
        match &self.found {
            Ok(_) if self.law().is_some() => None,
            Ok(_) => Some("by its interval the slope may be 0; more runs would narrow it".to_owned()),
            Err(refusal) => Some(format!("{refusal}; to mend it: {}", refusal.mend())),
        }
    }

    fn as_json(&self) -> Value {
        match &self.found {
            Ok((_, law)) if self.law().is_some() => json!(&**law),
            Ok((_, law)) => json!({"not_drawn": "by its interval the slope may be 0", "fit": &**law}),
            Err(refusal) => json!({"refused": refusal.to_string(), "mend": refusal.mend()}),
        }
    }
}

/// Says of which families no law is drawn, and why.
pub(crate) fn say_lawless(laws: &[FamilyLaw]) {
    for (of, why) in laws.iter().filter_map(|law| Some((law, law.lawless()?))) {
        let family = if laws.len() > 1 { format!("{}: ", of.family) } else { String::new() };
        say(&format!("{family}drawn without a law: {why}"));
    }
}

/// What stands beside a figure: the law, or by family where there are several.
pub(crate) fn as_json(laws: &[FamilyLaw]) -> Value {
    of_each(laws, FamilyLaw::as_json)
}

/// A value for the only family, or one for each by its name.
pub(crate) fn of_each(laws: &[FamilyLaw], value: impl Fn(&FamilyLaw) -> Value) -> Value {
    match laws {
        [] => Value::Null,
        [one] => value(one),
        several => {
            let families: serde_json::Map<String, Value> =
                several.iter().map(|law| (law.family.clone(), value(law))).collect();
            json!({"families": families})
        }
    }
}
