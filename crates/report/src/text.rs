//! Text with superscripts: measured with the embedded font, wrapped, shortened, escaped.
//!
//! `10^3`, `C^-0.043` and `x^{a b}` are superscripts. They are drawn as raised, smaller text, because fonts lack raised
//! signs and points, and such text can still be selected and searched.

use std::sync::LazyLock;
use ttf_parser::Face;

/// The embedded font, which has the metrics of Arial.
pub(crate) static FONT: &[u8] = include_bytes!("../fonts/ScalelawSans-Regular.ttf");
/// Size of a superscript relative to its text.
pub(crate) const SUPER_SIZE: f64 = 0.7;
/// How far a superscript is raised, relative to the size of its text.
pub(crate) const SUPER_RAISE: f64 = 0.36;

static FACE: LazyLock<Option<Face<'static>>> = LazyLock::new(|| Face::parse(FONT, 0).ok());

/// A stretch of text on one level.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) text: String,
    pub(crate) level: Level,
}

/// Whether text stands on the line or is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Base,
    Super,
}

/// Text without markup, as one run. Control characters, which XML forbids, become spaces.
pub(crate) fn plain(text: &str) -> Vec<Run> {
    vec![Run { text: visible(text), level: Level::Base }]
}

/// Text in which `^` raises the number, letter or `{group}` that follows.
pub(crate) fn markup(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut push = |text: String, level| match runs.last_mut() {
        Some(last) if last.level == level => last.text.push_str(&text),
        _ if text.is_empty() => {}
        _ => runs.push(Run { text, level }),
    };
    let text = visible(text);
    let mut rest = text.as_str();
    while let Some(at) = rest.find('^') {
        push(rest[..at].to_owned(), Level::Base);
        let after = &rest[at + 1..];
        let (raised, used) = match after.strip_prefix('{').and_then(|group| group.split_once('}')) {
            Some((group, _)) => (group, group.len() + 2),
            None => {
                let length = exponent_length(after);
                (&after[..length], length)
            }
        };
        if used == 0 {
            push("^".to_owned(), Level::Base);
        } else {
            push(raised.replace('-', "\u{2212}"), Level::Super);
        }
        rest = &after[used..];
    }
    push(rest.to_owned(), Level::Base);
    if runs.is_empty() { plain("") } else { runs }
}

/// A name: plain, but for powers of ten.
pub(crate) fn name(text: &str) -> Vec<Run> {
    let exponent = |at: usize| text[at + 3..].strip_prefix('-').unwrap_or(&text[at + 3..]);
    let power = text.match_indices("10^").any(|(at, _)| exponent(at).starts_with(|c: char| c.is_ascii_digit()));
    if power { markup(text) } else { plain(text) }
}

/// Width of runs set in this size.
pub(crate) fn width(runs: &[Run], size: f64) -> f64 {
    let of = |run: &Run| {
        let scale = if run.level == Level::Super { SUPER_SIZE } else { 1.0 };
        run.text.chars().map(advance).sum::<f64>() * scale * size
    };
    runs.iter().map(of).sum()
}

/// The text cut to a width, with an ellipsis if anything was cut.
pub(crate) fn shortened(text: &str, size: f64, limit: f64) -> String {
    let text = visible(text);
    let fits = |text: &str| text.chars().map(advance).sum::<f64>() * size <= limit;
    if fits(&text) {
        return text;
    }
    let mut kept: String = text;
    while kept.pop().is_some() {
        let candidate = format!("{}…", kept.trim_end());
        if fits(&candidate) {
            return candidate;
        }
    }
    "…".to_owned()
}

/// A name cut to a width in its middle: what tells names apart often stands at their end.
pub(crate) fn abbreviated(text: &str, size: f64, limit: f64) -> String {
    let text = visible(text);
    let fits = |text: &str| text.chars().map(advance).sum::<f64>() * size <= limit;
    if fits(&text) {
        return text;
    }
    let letters: Vec<char> = text.chars().collect();
    for kept in (2..letters.len()).rev() {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let start: String = letters[..head].iter().collect();
        let end: String = letters[letters.len() - tail..].iter().collect();
        let candidate = format!("{}…{}", start.trim_end(), end.trim_start());
        if fits(&candidate) {
            return candidate;
        }
    }
    shortened(&text, size, limit)
}

/// The text in lines, broken at plain spaces and no wider than `limit`, at most `most` of them, the last one shortened if words are left over.
pub(crate) fn wrapped(text: &str, size: f64, limit: f64, most: usize) -> Vec<String> {
    let fits = |line: &str| width(&markup(line), size) <= limit;
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || fits(&longer) {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    if lines.len() > most {
        let rest = lines.split_off(most.max(1) - 1).join(" ");
        lines.push(rest);
    }
    for line in &mut lines {
        if !fits(line) {
            *line = shortened(line, size, limit);
        }
    }
    lines
}

/// Text for the inside of an XML element or attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in visible(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn visible(text: &str) -> String {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if forbidden(c) { ' ' } else { c }).collect()
}

/// Bytes of the exponent at the start of `text`: a sign, then letters and digits, with points and signs between digits.
fn exponent_length(text: &str) -> usize {
    let sign = text.chars().next().filter(|c| matches!(c, '-' | '+' | '\u{2212}')).map_or(0, char::len_utf8);
    let body = &text[sign..];
    let end = body
        .char_indices()
        .find(|(at, c)| {
            let digit_follows = body[at + c.len_utf8()..].starts_with(|next: char| next.is_ascii_digit());
            !(c.is_alphanumeric() || *c == '.' && digit_follows)
        })
        .map_or(body.len(), |(at, _)| at);
    if end == 0 { 0 } else { sign + end }
}

/// Advance of one letter in ems. A letter that the font lacks counts as a full em, the widest a substitute may be.
fn advance(letter: char) -> f64 {
    let glyph = |face: &Face<'_>| {
        let advance = face.glyph_hor_advance(face.glyph_index(letter)?)?;
        Some(f64::from(advance) / f64::from(face.units_per_em()))
    };
    FACE.as_ref().and_then(glyph).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> String {
        let shown = |run: &Run| {
            if run.level == Level::Super { format!("[{}]", run.text) } else { run.text.clone() }
        };
        markup(text).iter().map(shown).collect()
    }

    #[test]
    fn a_caret_raises_what_follows() {
        assert_eq!(levels("L = 3.85 C^-0.043."), "L = 3.85 C[−0.043].");
        assert_eq!(levels("10^3, 10^-2 and x^{a b}y"), "10[3], 10[−2] and x[a b]y");
        assert_eq!(levels("a ^ b^"), "a ^ b^");
        assert_eq!(levels("ε^-x^{"), "ε[−x]^{");
        assert_eq!(levels(""), "");
    }

    #[test]
    fn only_powers_of_ten_are_raised_in_names() {
        assert_eq!(name("2×10^18").len(), 2);
        assert_eq!(name("2×10^-9 h").len(), 3);
        assert_eq!(name("a^2 10^x").len(), 1);
    }

    #[test]
    fn widths_are_those_of_arial() {
        assert!((width(&plain("10"), 1000.0) - 1112.3).abs() < 0.1);
        assert!((width(&markup("10^3"), 1000.0) - (1112.3 + 0.7 * 556.15)).abs() < 0.1);
    }

    #[test]
    fn the_font_has_what_figures_write() {
        for letter in "−·×±→↑↓αβγλ≤≥≈…–⁴²³¹µéß".chars() {
            assert!(FACE.as_ref().is_some_and(|face| face.glyph_index(letter).is_some()), "{letter}");
        }
    }

    #[test]
    fn long_text_is_shortened_or_wrapped() {
        let name = shortened("a model with a very long name", 60.0, 300.0);
        assert!(name.ends_with('…') && width(&plain(&name), 60.0) <= 300.0, "{name}");
        assert_eq!(shortened("F7+", 60.0, 300.0), "F7+");
        let name = abbreviated("a model with a long name, number 17", 60.0, 400.0);
        assert!(name.starts_with("a mo") && name.ends_with("17") && name.contains('…'), "{name}");
        assert!(width(&plain(&name), 60.0) <= 400.0);
        assert_eq!(abbreviated("model 17", 60.0, 10.0), "…");
        let lines = wrapped("one two three four five six seven", 60.0, 400.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| width(&markup(line), 60.0) <= 400.0) && lines[1].ends_with('…'), "{lines:?}");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">&'\u{0}\u{1b}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;  ");
    }
}
