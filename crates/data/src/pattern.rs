//! Names of many files in one line: `train-{000..127}.tar`, `{a,b}/x.parquet`, `shards/*.tar`.
//!
//! Braces are expanded as text, in the order in which they are written. A `*` stands for any characters of the last part
//! of a path; it is answered by the folder, sorted by name, and does not match a leading dot.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Files that one pattern may name.
const MOST_FILES: u64 = 1_000_000;
/// Bytes of a pattern, as of a path.
const MOST_TEXT: usize = 4096;
/// Bytes of all names together.
const MOST_NAMES: u64 = 1 << 26;

/// What a pattern names: files below one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The folder that the pattern names literally.
    pub(crate) base: PathBuf,
    /// The files, relative to it.
    pub(crate) names: Vec<String>,
    /// The rest of the pattern, behind the folder.
    pub(crate) rest: String,
}

impl Named {
    /// Where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if self.base.as_os_str().is_empty() { PathBuf::from(name) } else { self.base.join(name) }
    }
}

/// Expands the braces of `pattern` and answers its stars.
pub(crate) fn files(pattern: &str) -> Result<Named, DataError> {
    let wrong = |problem: String| DataError::Pattern { pattern: pattern.to_owned(), problem };
    let trimmed = pattern.trim_end_matches('/');
    // All that is left of the root is the root.
    let pattern = if trimmed.is_empty() { pattern } else { trimmed };
    let expanded = expand(pattern).map_err(wrong)?;
    let literal = &pattern[..pattern.find(['{', '*']).unwrap_or(pattern.len())];
    let split = literal.rfind('/').map_or(0, |at| at + 1);
    let mut names = Vec::new();
    for text in expanded {
        match text.contains('*') {
            true => names.extend(listed(&text).map_err(wrong)?.into_iter().map(|found| found[split..].to_owned())),
            false => names.push(text[split..].to_owned()),
        }
        if names.len() as u64 > MOST_FILES {
            return Err(wrong(format!("more than {MOST_FILES} files")));
        }
    }
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(wrong(format!("names {twice} twice, and every example is to be there once")));
    }
    Ok(Named { base: PathBuf::from(&pattern[..split]), rest: pattern[split..].to_owned(), names })
}

/// Expands the braces of a pattern; stars stay.
///
/// # Errors
/// What is wrong with the pattern.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    if pattern.is_empty() || pattern.len() > MOST_TEXT {
        return Err(format!("{} bytes, expected 1 to {MOST_TEXT}", pattern.len()));
    }
    if pattern.contains('\0') {
        return Err("a null byte".to_owned());
    }
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, brace) = rest.split_at(at);
        let inner = brace.strip_prefix('{').ok_or("a '}' without its '{'")?;
        let end = inner.find('}').ok_or("a '{' without its '}'")?;
        parts.push(Part::One(literal));
        parts.push(part(&inner[..end])?);
        rest = &inner[end + 1..];
    }
    parts.push(Part::One(rest));
    let count = parts.iter().fold(1_u64, |count, part| count.saturating_mul(part.len()));
    if count > MOST_FILES || count.saturating_mul(pattern.len() as u64) > MOST_NAMES {
        return Err(format!("{count} files are too many; at most {MOST_FILES}, with fewer if their names are long"));
    }
    let mut names = Vec::with_capacity(count as usize);
    // Which of its texts each part has; the last part changes first.
    let mut which = vec![0; parts.len()];
    loop {
        let mut name = String::with_capacity(pattern.len());
        parts.iter().zip(&which).for_each(|(part, at)| part.append(&mut name, *at));
        names.push(name);
        let Some(turn) = (0..parts.len()).rfind(|part| which[*part] + 1 < parts[*part].len()) else { break };
        which[turn] += 1;
        which[turn + 1..].fill(0);
    }
    let star_in_folder = |name: &String| name.rfind('/').is_some_and(|slash| name[..slash].contains('*'));
    match names.iter().find(|name| star_in_folder(name)) {
        Some(name) => Err(format!("a '*' is understood in the last part of a path only, not in {name}")),
        None => Ok(names),
    }
}

/// A piece of a pattern.
enum Part<'a> {
    One(&'a str),
    List(Vec<&'a str>),
    Range { first: u64, last: u64, width: usize },
}

impl Part<'_> {
    fn len(&self) -> u64 {
        match self {
            Part::One(_) => 1,
            Part::List(list) => list.len() as u64,
            Part::Range { first, last, .. } => (last - first).saturating_add(1),
        }
    }

    fn append(&self, name: &mut String, at: u64) {
        match self {
            Part::One(text) => name.push_str(text),
            Part::List(list) => name.push_str(list[at as usize]),
            Part::Range { first, width, .. } => {
                // Writing into a text does not fail.
                let _ = write!(name, "{:0width$}", first + at);
            }
        }
    }
}

/// What stands between braces.
fn part(inner: &str) -> Result<Part<'_>, String> {
    if inner.contains('{') {
        return Err("braces inside braces are not understood".to_owned());
    }
    if inner.contains(',') {
        return Ok(Part::List(inner.split(',').collect()));
    }
    let range = inner.split_once("..").filter(|(first, last)| {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        number(first) && number(last)
    });
    let Some((first, last)) = range else {
        return Err(format!("{{{inner}}} is neither a range like {{000..127}} nor a list like {{a,b}}"));
    };
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 1 };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Part::Range { first, last, width }),
        (Ok(_), Ok(_)) => Err(format!("{{{inner}}} runs backwards")),
        _ => Err(format!("{{{inner}}} has numbers that are too large")),
    }
}

/// The files of a folder that match the last part of `text`, sorted.
fn listed(text: &str) -> Result<Vec<String>, String> {
    let split = text.rfind('/').map_or(0, |at| at + 1);
    let (folder, wanted) = text.split_at(split);
    let place = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let entries = std::fs::read_dir(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", place.display()))?;
        // A name that is no text cannot be meant by a pattern, which is.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with('.') && matches(wanted.as_bytes(), name.as_bytes()) {
            found.push(format!("{folder}{name}"));
        }
        if found.len() as u64 > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files"));
        }
    }
    if found.is_empty() {
        return Err(format!("no file in {} matches {wanted}", place.display()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a name is what a text with stars means. Takes as long as the product of the lengths at worst.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, expected: Result<&[&str], &str>) {
        match (expand(pattern), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn braces_are_expanded_in_their_order() {
        check("x.tar", Ok(&["x.tar"]));
        check("x-{08..11}.tar", Ok(&["x-08.tar", "x-09.tar", "x-10.tar", "x-11.tar"]));
        check("x-{8..11}.tar", Ok(&["x-8.tar", "x-9.tar", "x-10.tar", "x-11.tar"]));
        check("x-{0..1}", Ok(&["x-0", "x-1"]));
        check("{b,a}/{0..1}", Ok(&["b/0", "b/1", "a/0", "a/1"]));
        check("{,b}x", Ok(&["x", "bx"]));
        check("{000000..000001}", Ok(&["000000", "000001"]));
        check("a/*.tar", Ok(&["a/*.tar"]));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        check("", Err("0 bytes"));
        check("x-{0..3", Err("without its '}'"));
        check("x-0..3}", Err("without its '{'"));
        check("{a{b,c}}", Err("inside braces"));
        check("{3..1}", Err("backwards"));
        check("{a}", Err("neither a range"));
        check("{a..c}", Err("neither a range"));
        check("{0..99999999999999999999}", Err("too large"));
        check("{0..18446744073709551615}", Err("too many"));
        check("{0..999}{0..999}{0..1}", Err("2000000 files are too many"));
        check("*/x.tar", Err("last part"));
        check("{a*,b}/x.tar", Err("last part"));
        check(&format!("{{0..999999}}{}", "x".repeat(100)), Err("too many"));
    }

    #[test]
    fn stars_are_answered_by_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b-1.tar", "a-2.tar", "a-1.tar", ".a-0.tar", "a-1.tar.part"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let place = folder.path().display();
        let named = |rest: &str| files(&format!("{place}/{rest}"));
        let found = named("*.tar").expect("files");
        assert_eq!(
            (found.names, found.rest),
            (["a-1.tar", "a-2.tar", "b-1.tar"].map(str::to_owned).to_vec(), "*.tar".into())
        );
        assert_eq!(named("{b,a}-*.tar").expect("files").names, ["b-1.tar", "a-1.tar", "a-2.tar"]);
        let error = named("c*").expect_err("no such file").to_string();
        assert!(error.contains("no file in") && error.contains("c*"), "{error}");
        let error = named("{a,*}-1.tar").expect_err("named twice").to_string();
        assert!(error.contains("names a-1.tar twice"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(pattern in "[{},.*/0-9a\\PC]{0,40}") {
            if let Ok(names) = expand(&pattern) {
                prop_assert!(!names.is_empty());
            }
        }

        #[test]
        fn a_range_has_all_its_numbers(first in 0_u64..2000, more in 0_u64..100, width in 4_usize..7) {
            let names = expand(&format!("x{{{first:0width$}..{:0width$}}}", first + more)).expect("a range");
            let expected: Vec<String> = (first..=first + more).map(|at| format!("x{at:0width$}")).collect();
            prop_assert_eq!(names, expected);
        }

        #[test]
        fn stars_match_as_a_plain_search_does(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn plain(pattern: &[u8], name: &[u8]) -> bool {
                match pattern {
                    [] => name.is_empty(),
                    [b'*', rest @ ..] => (0..=name.len()).any(|at| plain(rest, &name[at..])),
                    [byte, rest @ ..] => name.first() == Some(byte) && plain(rest, &name[1..]),
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), plain(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
