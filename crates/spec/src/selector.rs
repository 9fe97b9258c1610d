//! Which runs are meant: `model=F3 lr>0.8 state=failed`.
//!
//! Terms are joined by *and*; a comma between values means *or*; `*` in a name stands for anything; the beginning of an
//! identity stands for the run. Numbers are equal where they are shown alike, to four significant digits.

use std::fmt;

use crate::fields::suggestion;
use crate::run::{RunId, short};
use crate::state::{Failure, RunState};

/// What a selector asks of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// Its identity.
    pub run: RunId,
    /// What the sweep calls the model.
    pub model: &'a str,
    /// Its epoch budget.
    pub epochs: f64,
    /// Its peak learning rate.
    pub lr: f64,
    /// Its seed.
    pub seed: u64,
    /// Where it stands.
    pub state: RunState,
}

/// A condition on runs; the empty one holds for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq)]
enum Term {
    /// `true`: one of these; `false`: none of them.
    Word(Field, bool, Vec<String>),
    Number(Field, Comparison, Vec<f64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Run,
    Model,
    State,
    Failure,
    Epochs,
    Lr,
    Seed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Different,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

/// Why a text selects nothing that could be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither a condition nor the identity of a run.
    #[error(
        "{0:?} is no condition; expected one such as model=F3, lr>0.8, state=failed, or at least four of the digits of a run"
    )]
    NoCondition(String),
    /// A text without a condition: perhaps a variable that is not set.
    #[error("an empty condition, which would mean every run; model=* says so")]
    Empty,
    /// A field that runs do not have, and what they have.
    #[error("{0:?}: runs have no such field{1}")]
    UnknownField(String, String),
    /// Nothing behind the sign, or between two commas.
    #[error("{0:?}: a value is missing")]
    NoValue(String),
    /// A number is wanted.
    #[error("{term:?}: {value:?} is not a number")]
    NotANumber {
        /// The whole condition.
        term: String,
        /// Its value.
        value: String,
    },
    /// A word that the field does not take.
    #[error("{term:?}: {value:?} is unknown{known}")]
    UnknownWord {
        /// The whole condition.
        term: String,
        /// Its value.
        value: String,
        /// What the field can be.
        known: String,
    },
    /// An order of what has none, or an order against several values.
    #[error("{0:?}: only epochs, lr and seed have an order, and only against one number")]
    NoOrder(String),
}

const STATES: [&str; 6] = ["queued", "running", "completed", "diverged", "failed", "cancelled"];
const FAILURES: [&str; 5] = ["oom", "node", "code", "data", "timeout"];

/// Digits that the beginning of an identity has to have where it stands alone, so that it is not taken for a slip.
const FEWEST_DIGITS: usize = 4;

impl Selector {
    /// Reads conditions, each in a text of its own or several in one, separated by blanks. Identities that stand alone mean any of
    /// those runs.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Selector, SelectorError> {
        let mut terms = Vec::new();
        let mut runs = Vec::new();
        for text in texts {
            if text.as_ref().trim().is_empty() {
                return Err(SelectorError::Empty);
            }
            for word in joined(text.as_ref()).split_whitespace() {
                match word.find(['=', '<', '>', '!']) {
                    Some(at) => terms.push(term(word, at)?),
                    None if is_beginning(word) && word.len() >= FEWEST_DIGITS => runs.push(word.to_owned()),
                    None => return Err(SelectorError::NoCondition(word.to_owned())),
                }
            }
        }
        if !runs.is_empty() {
            terms.push(Term::Word(Field::Run, true, runs));
        }
        Ok(Selector(terms))
    }

    /// Whether it holds for all runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The beginning of an identity, where nothing else is asked.
    pub fn only_run(&self) -> Option<&str> {
        match &self.0[..] {
            [Term::Word(Field::Run, true, runs)] if runs.len() == 1 => Some(&runs[0]),
            _ => None,
        }
    }

    /// Whether the run is meant.
    pub fn matches(&self, run: &Candidate<'_>) -> bool {
        self.0.iter().all(|term| term.matches(run))
    }
}

/// Without blanks around signs and commas, so that `lr > 0.8` is one word.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let is_sign = |letter: char| matches!(letter, '=' | '<' | '>' | '!' | ',');
    for word in text.split_whitespace() {
        if !joined.is_empty() && !joined.ends_with(is_sign) && !word.starts_with(is_sign) {
            joined.push(' ');
        }
        joined += word;
    }
    joined
}

fn is_beginning(word: &str) -> bool {
    (1..=16).contains(&word.len()) && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn term(word: &str, at: usize) -> Result<Term, SelectorError> {
    let (name, rest) = word.split_at(at);
    let signs = [
        ("!=", Comparison::Different),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::MoreOrEqual),
        ("=", Comparison::Equal),
        ("<", Comparison::Less),
        (">", Comparison::More),
    ];
    let sign = signs.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
    let Some((values, comparison)) = sign else { return Err(SelectorError::NoCondition(word.to_owned())) };
    let field = Field::named(name).ok_or_else(|| {
        SelectorError::UnknownField(name.to_owned(), suggestion(name, &Field::ALL.map(|(_, name)| name)))
    })?;
    let values: Vec<&str> = values.split(',').collect();
    if values.contains(&"") {
        return Err(SelectorError::NoValue(word.to_owned()));
    }
    let ordered = !matches!(comparison, Comparison::Equal | Comparison::Different);
    if ordered && (!field.is_number() || values.len() > 1) {
        return Err(SelectorError::NoOrder(word.to_owned()));
    }
    if field.is_number() {
        let number = |value: &&str| {
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| SelectorError::NotANumber { term: word.to_owned(), value: (*value).to_owned() })
        };
        return Ok(Term::Number(field, comparison, values.iter().map(number).collect::<Result<_, _>>()?));
    }
    for value in &values {
        if let Some(known) = field.refuses(value) {
            return Err(SelectorError::UnknownWord { term: word.to_owned(), value: (*value).to_owned(), known });
        }
    }
    Ok(Term::Word(field, comparison == Comparison::Equal, values.into_iter().map(str::to_owned).collect()))
}

impl Field {
    const ALL: [(Field, &'static str); 7] = [
        (Field::Run, "run"),
        (Field::Model, "model"),
        (Field::State, "state"),
        (Field::Failure, "failure"),
        (Field::Epochs, "epochs"),
        (Field::Lr, "lr"),
        (Field::Seed, "seed"),
    ];

    fn named(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|(_, known)| *known == name).map(|(field, _)| field)
    }

    fn is_number(self) -> bool {
        matches!(self, Field::Epochs | Field::Lr | Field::Seed)
    }

    /// What the field can be, where it cannot be `value`.
    fn refuses(self, value: &str) -> Option<String> {
        match self {
            Field::State if !STATES.contains(&value) => Some(suggestion(value, &STATES)),
            Field::Failure if value.parse::<Failure>().is_err() => Some(suggestion(value, &FAILURES)),
            Field::Run if !is_beginning(value) => Some(": up to 16 of the digits 0-9 and a-f".to_owned()),
            _ => None,
        }
    }
}

impl Term {
    fn matches(&self, run: &Candidate<'_>) -> bool {
        match self {
            Term::Word(field, wanted, values) => {
                let is = |value: &String| match field {
                    Field::Run => run.run.to_string().starts_with(value.as_str()),
                    Field::State => run.state.word() == value,
                    Field::Failure => run.state.failure().is_some_and(|failure| failure.as_str() == value),
                    _ => is_like(run.model, value),
                };
                values.iter().any(is) == *wanted
            }
            Term::Number(field, comparison, values) => {
                let own = match field {
                    Field::Epochs => run.epochs,
                    Field::Lr => run.lr,
                    _ => run.seed as f64,
                };
                let alike = |value: &f64| own == *value || (*field != Field::Seed && short(own) == short(*value));
                let any = |test: &dyn Fn(&f64) -> bool| values.iter().any(test);
                match comparison {
                    Comparison::Equal => any(&alike),
                    Comparison::Different => !any(&alike),
                    Comparison::Less => any(&|value| own < *value && !alike(value)),
                    Comparison::LessOrEqual => any(&|value| own < *value || alike(value)),
                    Comparison::More => any(&|value| own > *value && !alike(value)),
                    Comparison::MoreOrEqual => any(&|value| own > *value || alike(value)),
                }
            }
        }
    }
}

/// Whether `name` is `pattern`, in which `*` stands for anything.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self.0.iter().map(Term::to_string).collect();
        formatter.write_str(&terms.join(" "))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |field: &Field| Field::ALL.iter().find(|(known, _)| known == field).map_or("", |(_, name)| name);
        match self {
            Term::Word(field, wanted, values) => {
                write!(formatter, "{}{}{}", name(field), if *wanted { "=" } else { "!=" }, values.join(","))
            }
            Term::Number(field, comparison, values) => {
                let sign = match comparison {
                    Comparison::Equal => "=",
                    Comparison::Different => "!=",
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::More => ">",
                    Comparison::MoreOrEqual => ">=",
                };
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                write!(formatter, "{}{sign}{}", name(field), values.join(","))
            }
        }
    }
}
