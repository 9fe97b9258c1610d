//! Reading the tree of a sweep file into typed values, collecting every problem instead of stopping at the first.

use crate::document::{Entry, Node, Place, Problem, Value};

/// The problems found so far.
#[derive(Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.list.push(Problem { place, message: message.into() });
    }

    /// `value` if nothing was wrong, otherwise everything that was, in the order of the file.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.list.is_empty() {
            return Ok(value);
        }
        self.list.sort();
        self.list.dedup();
        Err(self.list)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// One table of the file, read key by key. Every method that reads reports what it cannot accept and goes on.
pub(crate) struct Fields<'a> {
    path: String,
    place: Place,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    /// The table in `node`, whatever its keys.
    pub(crate) fn unchecked(node: &'a Node, path: &str) -> Fields<'a> {
        let entries: &[Entry] = match &node.value {
            Value::Table(entries) => entries,
            _ => &[],
        };
        Fields { path: path.to_owned(), place: node.place, entries }
    }

    /// The table in `node`; keys outside `allowed` are problems that name the nearest allowed one.
    pub(crate) fn of(node: &'a Node, path: &str, allowed: &[&str], problems: &mut Problems) -> Fields<'a> {
        let fields = Fields::unchecked(node, path);
        if !matches!(node.value, Value::Table(_)) {
            let keys = allowed.join(", ");
            let message = format!("{path}: found {}, expected a table with the keys {keys}", node.describe());
            problems.add(node.place, message);
        }
        for entry in fields.entries {
            if !allowed.contains(&entry.key.as_str()) {
                let path = fields.key_path(&entry.key);
                problems.add(entry.key_place, format!("{path}: unknown key{}", suggestion(&entry.key, allowed)));
            }
        }
        fields
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Where `key` stands, or the table where it is missing.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.get(key).map_or(self.place, |node| node.place)
    }

    pub(crate) fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Reports that `key` must be there.
    pub(crate) fn require(&self, key: &str, what: &str, problems: &mut Problems) {
        if !self.has(key) {
            problems.add(self.place, format!("{}: missing; {what}", self.key_path(key)));
        }
    }

    pub(crate) fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => self.refuse(key, node, "a string", problems),
        }
    }

    /// One word out of `allowed`.
    pub(crate) fn word<T: Copy>(&self, key: &str, allowed: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let words: Vec<&str> = allowed.iter().map(|(word, _)| *word).collect();
        let node = self.get(key)?;
        let Value::Text(text) = &node.value else {
            return self.refuse(key, node, &format!("one of {}", words.join(", ")), problems);
        };
        let found = allowed.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        if found.is_none() {
            let path = self.key_path(key);
            problems.add(node.place, format!("{path}: unknown value {text:?}{}", suggestion(text, &words)));
        }
        found
    }

    pub(crate) fn flag(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.refuse(key, node, "true or false", problems),
        }
    }

    /// A number in `range`.
    pub(crate) fn number(&self, key: &str, range: Range, problems: &mut Problems) -> Option<f64> {
        number(&self.key_path(key), self.get(key)?, range, problems)
    }

    /// A whole number in `low..=high`.
    pub(crate) fn whole(&self, key: &str, low: u64, high: u64, problems: &mut Problems) -> Option<u64> {
        whole(&self.key_path(key), self.get(key)?, low, high, problems)
    }

    /// A list with at least one number, each in `range`.
    pub(crate) fn numbers(&self, key: &str, range: Range, problems: &mut Problems) -> Option<Vec<f64>> {
        let path = self.key_path(key);
        let items = self.items(key, "a list of numbers", problems)?;
        let numbers = items.iter().enumerate();
        numbers.map(|(index, node)| number(&format!("{path}[{index}]"), node, range, problems)).collect()
    }

    /// A list with at least one whole number, each in `low..=high`.
    pub(crate) fn wholes(&self, key: &str, low: u64, high: u64, problems: &mut Problems) -> Option<Vec<u64>> {
        let path = self.key_path(key);
        let items = self.items(key, "a list of whole numbers", problems)?;
        let numbers = items.iter().enumerate();
        numbers.map(|(index, node)| whole(&format!("{path}[{index}]"), node, low, high, problems)).collect()
    }

    /// A list with at least one string.
    pub(crate) fn texts(&self, key: &str, problems: &mut Problems) -> Option<Vec<(String, Place)>> {
        let items = self.items(key, "a list of strings", problems)?;
        let mut texts = Vec::new();
        for (index, node) in items.iter().enumerate() {
            match &node.value {
                Value::Text(text) => texts.push((text.clone(), node.place)),
                _ => {
                    let path = format!("{}[{index}]", self.key_path(key));
                    problems.add(node.place, format!("{path}: found {}, expected a string", node.describe()));
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// The tables of a list such as `[[skip]]`; empty where the key is missing.
    pub(crate) fn tables(&self, key: &str, problems: &mut Problems) -> &'a [Node] {
        match self.get(key) {
            None => &[],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                let _: Option<()> = self.refuse(key, node, "a list of tables", problems);
                &[]
            }
        }
    }

    fn items(&self, key: &str, what: &str, problems: &mut Problems) -> Option<&'a [Node]> {
        let node = self.get(key)?;
        match &node.value {
            Value::List(items) if !items.is_empty() => Some(items),
            Value::List(_) => self.refuse_with(key, node, "an empty list", what, problems),
            _ => self.refuse(key, node, what, problems),
        }
    }

    fn refuse<T>(&self, key: &str, node: &Node, expected: &str, problems: &mut Problems) -> Option<T> {
        self.refuse_with(key, node, &node.describe(), expected, problems)
    }

    fn refuse_with<T>(
        &self,
        key: &str,
        node: &Node,
        found: &str,
        expected: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        problems.add(node.place, format!("{}: found {found}, expected {expected}", self.key_path(key)));
        None
    }
}

/// What a number may be.
#[derive(Clone, Copy)]
pub(crate) enum Range {
    /// Above zero.
    Positive,
    /// Above zero, and at most this.
    Above0(f64),
    /// Zero or above.
    NotNegative,
    /// At least the first, below the second.
    From(f64, f64),
}

impl Range {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Range::Positive => value > 0.0,
                Range::Above0(high) => value > 0.0 && value <= high,
                Range::NotNegative => value >= 0.0,
                Range::From(low, high) => low <= value && value < high,
            }
    }

    fn describe(self) -> String {
        match self {
            Range::Positive => "a number above 0".to_owned(),
            Range::Above0(high) => format!("a number above 0, at most {high}"),
            Range::NotNegative => "a number of at least 0".to_owned(),
            Range::From(low, high) => format!("a number of at least {low} and below {high}"),
        }
    }
}

pub(crate) fn number(path: &str, node: &Node, range: Range, problems: &mut Problems) -> Option<f64> {
    let value = match node.value {
        Value::Float(value) => Some(value),
        Value::Integer(value) => Some(value as f64),
        _ => None,
    };
    match value {
        Some(value) if range.holds(value) => Some(value),
        _ => {
            problems.add(node.place, format!("{path}: found {}, expected {}", node.describe(), range.describe()));
            None
        }
    }
}

pub(crate) fn whole(path: &str, node: &Node, low: u64, high: u64, problems: &mut Problems) -> Option<u64> {
    let value = match node.value {
        Value::Integer(value) => u64::try_from(value).ok(),
        _ => None,
    };
    match value {
        Some(value) if low <= value && value <= high => Some(value),
        _ => {
            let expected = if high == u64::MAX {
                format!("a whole number of at least {low}")
            } else {
                format!("a whole number from {low} to {high}")
            };
            problems.add(node.place, format!("{path}: found {}, expected {expected}", node.describe()));
            None
        }
    }
}

/// `; did you mean X?` where X is near, and what is allowed.
pub fn suggestion(found: &str, allowed: &[&str]) -> String {
    let nearest = allowed
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&found.to_lowercase(), &word.to_lowercase()), *word))
        .min();
    let list = allowed.join(", ");
    match nearest {
        Some((distance, word)) if distance <= 2 || distance * 3 <= word.len() => {
            format!("; did you mean {word}? (allowed: {list})")
        }
        _ => format!(" (allowed: {list})"),
    }
}
