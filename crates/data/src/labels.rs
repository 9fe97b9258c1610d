//! Labels as data sets write them: numbers, names of classes, lists.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::DataError;

/// The highest label.
pub const HIGHEST_LABEL: u32 = 10_000_000;

/// How labels are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelling {
    /// The name of each class, in the order of their numbers, instead of those that the data have.
    pub class_names: Option<Vec<String>>,
    /// The field of `.json` members or the column of Parquet files that has the label.
    pub label_field: Option<String>,
    /// Whether an example may have several labels.
    pub multi_label: bool,
}

/// The label of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// Of data with one label per example.
    One(u32),
    /// Of data with several: at least one, none twice.
    Many(Vec<u32>),
}

/// The labels that a member of a shard has whose name ends in `cls`, `json` or `txt`; none if it has no label.
///
/// # Errors
/// What is wrong with it.
pub fn parse_label(ending: &str, content: &[u8], labelling: &Labelling) -> Result<Option<Vec<u32>>, String> {
    let classes = Classes::new(labelling);
    match ending {
        "cls" => classes.cls(content).map(Some),
        "json" => classes.json(content),
        "txt" => classes.txt(content).map(Some),
        _ => Ok(None),
    }
}

/// The classes and how labels are read.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) names: Vec<String>,
    numbers: HashMap<String, u32>,
    pub(crate) field: Option<String>,
    pub(crate) many: bool,
}

/// Where `.json` members and Parquet files have their label, unless a field is given.
pub(crate) const FIELDS: [&str; 4] = ["label", "labels", "fine_label", "cls"];

impl Classes {
    /// As `labelling` says.
    pub(crate) fn new(labelling: &Labelling) -> Classes {
        let names = labelling.class_names.clone().unwrap_or_default();
        let (field, many) = (labelling.label_field.clone(), labelling.multi_label);
        Classes { names: Vec::new(), numbers: HashMap::new(), field, many }.named(names)
    }

    /// The same with other names.
    pub(crate) fn named(self, names: Vec<String>) -> Classes {
        let numbers = names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        Classes { names, numbers, ..self }
    }

    /// A label as a number.
    pub(crate) fn number(&self, label: i64) -> Result<u32, String> {
        let label = u32::try_from(label).ok().filter(|label| *label <= HIGHEST_LABEL);
        let label = label.ok_or_else(|| format!("a label is to be from 0 to {HIGHEST_LABEL}"))?;
        match self.names.len() {
            count if count > 0 && label as usize >= count => {
                Err(format!("label {label}, but there are {count} class names"))
            }
            _ => Ok(label),
        }
    }

    /// A label as the name of a class.
    pub(crate) fn name(&self, name: &str) -> Result<u32, String> {
        match self.numbers.get(name) {
            Some(number) => Ok(*number),
            None if self.names.is_empty() => Err(format!("the label {name:?} is a name, and no class names are given")),
            None => Err(format!("the label {name:?} is not among the {} class names", self.names.len())),
        }
    }

    /// The content of a `.cls` member.
    pub(crate) fn cls(&self, content: &[u8]) -> Result<Vec<u32>, String> {
        let text = std::str::from_utf8(content).map_err(|_| "its .cls is no text".to_owned())?;
        let words = text.split(|char: char| char.is_whitespace() || char == ',').filter(|word| !word.is_empty());
        let number = |word: &str| {
            let number = word.parse().map_err(|_| format!("its .cls has {:?}, expected an integer", shorten(word)))?;
            self.number(number)
        };
        self.checked(words.map(number).collect::<Result<_, _>>()?)
    }

    /// The content of a `.txt` member.
    pub(crate) fn txt(&self, content: &[u8]) -> Result<Vec<u32>, String> {
        let text = std::str::from_utf8(content).map_err(|_| "its .txt is no text".to_owned())?;
        Ok(vec![self.name(text.trim())?])
    }

    /// The content of a `.json` member; none if it has no label.
    pub(crate) fn json(&self, content: &[u8]) -> Result<Option<Vec<u32>>, String> {
        let value: Value = serde_json::from_slice(content).map_err(|error| format!("its .json: {error}"))?;
        let field = match &self.field {
            Some(field) => value.get(field),
            None => FIELDS[..2].iter().find_map(|field| value.get(field)),
        };
        let labels = match field {
            None => return Ok(None),
            // None of the classes is an answer; no field is none.
            Some(Value::Array(list)) if list.is_empty() && self.many => return Ok(Some(Vec::new())),
            Some(Value::Array(list)) => list.iter().map(|value| self.value(value)).collect::<Result<_, _>>()?,
            Some(value) => vec![self.value(value)?],
        };
        self.checked(labels).map(Some)
    }

    fn value(&self, value: &Value) -> Result<u32, String> {
        match value {
            Value::String(name) => self.name(name),
            Value::Number(number) if number.is_i64() => self.number(number.as_i64().unwrap_or(-1)),
            other => Err(format!("the label {} is neither an integer nor a name", shorten(&other.to_string()))),
        }
    }

    /// What an example has: exactly one label, or with several at least one and none twice.
    pub(crate) fn checked(&self, mut labels: Vec<u32>) -> Result<Vec<u32>, String> {
        if !self.many && labels.len() > 1 {
            return Err(format!("{} labels, expected one; set multi_label if examples have several", labels.len()));
        }
        let mut seen = std::collections::HashSet::new();
        labels.retain(|label| seen.insert(*label));
        if labels.is_empty() { Err("no label".to_owned()) } else { Ok(labels) }
    }
}

/// So that a message stays readable whatever the data have.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The lines of a file of class names.
pub(crate) fn read_names(path: &Path) -> Result<Vec<String>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let malformed = |problem: String| DataError::Malformed { path: path.to_owned(), problem };
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if names.len() > HIGHEST_LABEL as usize + 1 {
        return Err(malformed(format!("{} class names are too many", names.len())));
    }
    let mut seen = HashMap::new();
    for (name, line) in names.iter().zip(1_u64..) {
        if name.is_empty() {
            return Err(malformed(format!("line {line} has no class name")));
        }
        if let Some(first) = seen.insert(name, line) {
            return Err(malformed(format!("the class {name:?} is on line {first} and again on line {line}")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str], many: bool) -> Classes {
        let classes = Classes::new(&Labelling { multi_label: many, ..Labelling::default() });
        classes.named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn labels_in_all_their_forms() {
        let (one, many) = (classes(&["cat", "dog"], false), classes(&["cat", "dog"], true));
        assert_eq!(one.cls(b" 1\n"), Ok(vec![1]));
        assert_eq!(many.cls(b"1,0 1\n"), Ok(vec![1, 0]));
        assert_eq!(one.json(br#"{"label": 1}"#), Ok(Some(vec![1])));
        assert_eq!(one.json(br#"{"labels": ["dog"]}"#), Ok(Some(vec![1])));
        assert_eq!(many.json(br#"{"labels": ["dog", 0]}"#), Ok(Some(vec![1, 0])));
        assert_eq!(one.json(br#"{"caption": "a dog"}"#), Ok(None));
        assert_eq!(one.txt(b"dog\n"), Ok(vec![1]));
        let free = classes(&[], false);
        assert_eq!(free.cls(b"10000000"), Ok(vec![10_000_000]));
    }

    #[test]
    fn wrong_labels_are_refused() {
        let (one, many, free) = (classes(&["cat", "dog"], false), classes(&["cat"], true), classes(&[], false));
        for (result, expected) in [
            (one.cls(b"2"), "there are 2 class names"),
            (one.cls(b"-1"), "from 0 to"),
            (one.cls(b"1 0"), "2 labels, expected one"),
            (one.cls(b""), "no label"),
            (one.cls(b"cat"), "expected an integer"),
            (one.cls(b"99999999999999999999"), "expected an integer"),
            (one.cls(b"\xff"), "no text"),
            (many.cls(b" "), "no label"),
            (free.cls(b"10000001"), "from 0 to"),
            (free.txt(b"cat"), "no class names are given"),
            (one.txt(b"cow"), "not among the 2"),
            (one.json(b"{").map(Option::unwrap_or_default), "its .json"),
            (one.json(br#"{"label": 1.5}"#).map(Option::unwrap_or_default), "neither an integer"),
            (one.json(br#"{"label": []}"#).map(Option::unwrap_or_default), "no label"),
            (one.json(br#"{"label": 18446744073709551615}"#).map(Option::unwrap_or_default), "neither an integer"),
        ] {
            let error = result.expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn class_names_are_one_per_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names");
        for (content, expected) in [
            ("cat\n dog \n\n", Ok(2)),
            ("cat\n\ndog", Err("line 2")),
            ("cat\ndog\ncat", Err("on line 1 and again on line 3")),
        ] {
            std::fs::write(&path, content).expect("a file");
            match (read_names(&path), expected) {
                (Ok(names), Ok(count)) => assert_eq!(names.len(), count),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }
}
