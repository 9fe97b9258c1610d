//! A sweep file as a tree of values that know where they stand.
//!
//! TOML, YAML and JSON come in through one door, so everything behind it, the error messages above all, is the same
//! for the three. Positions are kept on every value because a message without line and column is half a message.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a sweep file: a thousand times those of a large one.
const MOST_BYTES: usize = 1 << 20;
/// Lists and tables within each other; a sweep file has six.
const DEEPEST: usize = 64;

/// The three spellings of a sweep file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The usual one.
    Toml,
    /// YAML 1.2: `1e-3` is a number, `no` is a string.
    Yaml,
    /// Strict JSON.
    Json,
}

impl Format {
    /// The format that a file name asks for; TOML where the ending is unknown.
    pub fn of_file_name(name: &str) -> Format {
        match name.rsplit('.').next() {
            Some("yaml" | "yml") => Format::Yaml,
            Some("json") => Format::Json,
            _ => Format::Toml,
        }
    }
}

/// A place in the file, counted from 1 as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Something in the sweep file that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{}:{}: {message}", .place.line, .place.column)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// Which key, what was found, what would be accepted.
    pub message: String,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// The value itself.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One `key = value` of a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// The value as a reader of the file would call it.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(value) => format!("{value:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

/// Parses `text`; a syntax error is the only problem then.
pub(crate) fn parse(text: &str, format: Format) -> Result<Node, Vec<Problem>> {
    if text.len() > MOST_BYTES {
        let message = format!("{} bytes; a sweep file has at most {MOST_BYTES}", text.len());
        return Err(vec![Problem { place: Place { line: 1, column: 1 }, message }]);
    }
    match format {
        Format::Toml => parse_toml(text),
        Format::Yaml => parse_yaml(text).map_err(|problem| vec![problem]),
        Format::Json => {
            // JSON is a subset of YAML, which is how it gets its positions; strictness comes from a JSON parser.
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
                let place = Place { line: error.line().max(1), column: error.column().max(1) };
                return Err(vec![Problem { place, message: format!("not JSON: {error}") }]);
            }
            parse_yaml(text).map_err(|problem| vec![problem])
        }
    }
}

fn parse_toml(text: &str) -> Result<Node, Vec<Problem>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: toml::de::Error| Problem {
            place: lines.place(error.span().map_or(0, |span| span.start)),
            message: format!("not TOML: {}", error.message().replace('\n', ", ")),
        };
        return Err(errors.into_iter().map(problem).collect());
    }
    let mut problems = Vec::new();
    let node = Node {
        place: Place { line: 1, column: 1 },
        value: Value::Table(toml_entries(table.get_ref(), &lines, &mut problems)),
    };
    if problems.is_empty() { Ok(node) } else { Err(problems) }
}

fn toml_entries(table: &DeTable<'_>, lines: &Lines, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: lines.place(key.span().start),
            node: toml_node(value, lines, problems),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_place);
    entries
}

fn toml_node(value: &Spanned<DeValue<'_>>, lines: &Lines, problems: &mut Vec<Problem>) -> Node {
    let place = lines.place(value.span().start);
    let mut refuse = |message: String| {
        problems.push(Problem { place, message });
        Value::Null
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => refuse(format!("{} does not fit into 64 bits", integer.as_str())),
        },
        DeValue::Float(float) => match float.as_str().parse() {
            Ok(value) => Value::Float(value),
            Err(_) => refuse(format!("{} is not a number", float.as_str())),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(value) => refuse(format!("{value} is a date, and no key takes one")),
        DeValue::Array(items) => Value::List(items.iter().map(|item| toml_node(item, lines, problems)).collect()),
        DeValue::Table(table) => Value::Table(toml_entries(table, lines, problems)),
    };
    Node { place, value }
}

/// Refuses lists and tables that are too deep within each other: everything behind goes down into them, and so would the stack.
fn refuse_deep_yaml(text: &str) -> Result<(), Problem> {
    let mut depth = 0_usize;
    // A mistake in the text is told by who reads it whole.
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            let place = Place { line: span.start.line(), column: span.start.col() + 1 };
            return Err(Problem { place, message: format!("more than {DEEPEST} lists and tables within each other") });
        }
    }
    Ok(())
}

fn parse_yaml(text: &str) -> Result<Node, Problem> {
    refuse_deep_yaml(text)?;
    let documents = MarkedYaml::load_from_str(text).map_err(|error| Problem {
        place: Place { line: error.marker().line(), column: error.marker().col() + 1 },
        message: format!("not YAML: {}", error.info()),
    })?;
    let start = Place { line: 1, column: 1 };
    match documents.as_slice() {
        [] => Ok(Node { place: start, value: Value::Table(Vec::new()) }),
        [document] => yaml_node(document),
        [_, second, ..] => {
            let place = yaml_place(second);
            Err(Problem { place, message: "a second YAML document; a sweep file holds one".to_owned() })
        }
    }
}

fn yaml_place(node: &MarkedYaml<'_>) -> Place {
    Place { line: node.span.start.line(), column: node.span.start.col() + 1 }
}

fn yaml_node(node: &MarkedYaml<'_>) -> Result<Node, Problem> {
    let place = yaml_place(node);
    let value = match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(value)) => Value::Bool(*value),
        YamlData::Value(Scalar::Integer(value)) => Value::Integer(*value),
        YamlData::Value(Scalar::FloatingPoint(value)) => Value::Float(value.into_inner()),
        YamlData::Value(Scalar::String(value)) => Value::Text(value.to_string()),
        YamlData::Sequence(items) => Value::List(items.iter().map(yaml_node).collect::<Result<_, _>>()?),
        YamlData::Mapping(mapping) => {
            let mut entries = Vec::new();
            for (key, value) in mapping {
                let YamlData::Value(Scalar::String(name)) = &key.data else {
                    return Err(Problem { place: yaml_place(key), message: "a key must be a word".to_owned() });
                };
                entries.push(Entry { key: name.to_string(), key_place: yaml_place(key), node: yaml_node(value)? });
            }
            Value::Table(entries)
        }
        _ => {
            return Err(Problem {
                place,
                message: "YAML tags and aliases are not taken here; write the value out".to_owned(),
            });
        }
    };
    Ok(Node { place, value })
}

/// Where lines begin, so that a byte offset becomes line and column.
struct Lines<'text> {
    text: &'text str,
    starts: Vec<usize>,
}

impl<'text> Lines<'text> {
    fn of(text: &'text str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_or_too_long_is_refused() {
        for (text, format) in [
            ("- ".repeat(50_000), Format::Yaml),
            ("? ".repeat(50_000), Format::Yaml),
            ("[".repeat(50_000), Format::Yaml),
            ("{a: ".repeat(50_000), Format::Yaml),
            ("[".repeat(50_000), Format::Json),
            (format!("{}{}", "[".repeat(100), "]".repeat(100)), Format::Json),
            (format!("a = {}", "[".repeat(50_000)), Format::Toml),
            (format!("[{}]", vec!["a"; 50_000].join(".")), Format::Toml),
            ("#".repeat(2 << 20), Format::Toml),
        ] {
            assert!(parse(&text, format).is_err(), "{}", &text[..20]);
        }
    }
}
