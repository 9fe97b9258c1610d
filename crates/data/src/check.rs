//! Looks at every example of a part: whether its bytes can be read and decoded, and its label is one of the classes.

use crate::batch;
use crate::crew::Crew;
use crate::{DataError, Label, Split};

/// An example that cannot be trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub id: u64,
    /// As people find it.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Examples looked at between two calls of `progress`.
const AT_ONCE: u64 = 512;

/// Decodes every example and calls `broken` for those that give no picture, in the order of their numbers. `progress` is told
/// how many have been looked at.
///
/// # Errors
/// If a file is gone, or is not what it was when it was indexed.
pub fn every_example(
    split: &Split,
    classes: u32,
    crew: &Crew,
    mut broken: impl FnMut(Broken),
    mut progress: impl FnMut(u64),
) -> Result<(), DataError> {
    let mut from = 0;
    while from < split.len() {
        let count = AT_ONCE.min(split.len() - from);
        let looked = crew.each(count as usize, |at| {
            let id = from + at as u64;
            Ok::<_, DataError>((split.label(id)?, batch::look(split, id)?))
        });
        for (id, looked) in (from..).zip(looked) {
            let (label, damage) = looked?;
            let of_example = match &label {
                Label::One(class) => std::slice::from_ref(class),
                Label::Many(classes) => classes,
            };
            let wrong = of_example.iter().find(|class| **class >= classes);
            let wrong = wrong.map(|class| format!("class {class}, and there are {classes}"));
            if let Some(problem) = damage.map(|damage| damage.to_string()).or(wrong) {
                broken(Broken { id, name: split.name(id)?, problem });
            }
        }
        from += count;
        progress(from);
    }
    Ok(())
}
