//! A report: the same parts as one HTML file and as Markdown.

use std::fmt::Write;

use crate::text::escaped;
use crate::webfont;

/// A report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// Stands above it.
    pub title: String,
    /// What it consists of, from the top.
    pub parts: Vec<Part>,
}

/// A part of a report. All text is plain: nothing in it is taken for HTML or Markdown.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// A table: its header and its rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// Text as it is, in letters of one width.
    Verbatim(String),
    /// A figure: the name of its file without an ending, the SVG and what it shows.
    Figure {
        /// Name of its file, for Markdown.
        name: String,
        /// The picture, for HTML.
        svg: String,
        /// What it shows.
        caption: String,
    },
}

/// More headings than this have a table of contents above them.
const FEW: usize = 4;

/// Readable on a screen and on paper; figures keep their printed size.
const CSS: &str = "
:root { color-scheme: light; }
body { font: 15px/1.5 'Liberation Sans', Arial, Helvetica, sans-serif; color: #111; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.7em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ccc; }
figure { margin: 1em 0; } figure svg { width: 100%; max-width: 34em; height: auto; } figcaption { color: #444; font-size: 0.9em; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85em; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.2em 1em 0.2em 0; border-bottom: 1px solid #ddd; vertical-align: top; }
.n { text-align: right; white-space: nowrap; } nav { font-size: 0.9em; line-height: 1.8; } nav a { margin-right: 1em; white-space: nowrap; }
a { color: #0b5394; text-decoration: none; } a:hover { text-decoration: underline; }
pre { background: #f5f5f5; padding: 0.8em; font-size: 0.85em; white-space: pre-wrap; overflow-wrap: anywhere; }
@media screen and (max-width: 50em) { pre { white-space: pre; overflow-x: auto; } }
@media print {
  body { font-size: 9pt; max-width: none; margin: 0; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } figure svg { width: auto; } thead { display: table-header-group; }
  pre { background: none; padding: 0; } .table { overflow: visible; } nav { display: none; }
}
";

impl Document {
    /// One file that needs nothing else: no script, no network.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; font-src data:\">\n\
             <title>{title}</title>\n<style>{}{CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            webfont::css()
        );
        html.push_str(&self.contents());
        let mut headings = 0;
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Heading(text) => {
                    headings += 1;
                    writeln!(html, "<h2 id=\"part{headings}\">{}</h2>", escaped(text))
                }
                Part::Text(text) => writeln!(html, "<p>{}</p>", escaped(text)),
                Part::List(items) => {
                    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
                    writeln!(html, "<ul>\n{items}</ul>")
                }
                Part::Table(header, rows) => {
                    let numbers = numbers(header.len(), rows);
                    let cells = |cells: &[String], tag: &str| -> String {
                        let class = |i: usize| if numbers.get(i) == Some(&true) { " class=\"n\"" } else { "" };
                        let cell =
                            |(i, cell): (usize, &String)| format!("<{tag}{}>{}</{tag}>", class(i), escaped(cell));
                        cells.iter().enumerate().map(cell).collect()
                    };
                    let rows: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row, "td"))).collect();
                    let header = cells(header, "th");
                    let table = format!("<table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>");
                    writeln!(html, "<div class=\"table\">{table}</div>")
                }
                Part::Verbatim(text) => {
                    let lines: Vec<String> = text.lines().map(|line| escaped(&line.replace('\t', "    "))).collect();
                    writeln!(html, "<pre>{}</pre>", lines.join("\n"))
                }
                Part::Figure { svg, caption, .. } => {
                    writeln!(html, "<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>", escaped(caption))
                }
            };
        }
        html.push_str("</body>\n</html>\n");
        html
    }

    /// Links to the headings, where there are enough to lose one's way.
    fn contents(&self) -> String {
        let headings = self.parts.iter().filter_map(|part| match part {
            Part::Heading(text) => Some(text),
            _ => None,
        });
        let links: Vec<String> =
            (1..).zip(headings).map(|(i, text)| format!("<a href=\"#part{i}\">{}</a>", escaped(text))).collect();
        if links.len() > FEW { format!("<nav>{}</nav>\n", links.join("\n")) } else { String::new() }
    }

    /// The same as Markdown; figures are files beside it.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", literal(&self.title));
        for part in &self.parts {
            let _ = match part {
                Part::Heading(heading) => writeln!(text, "\n## {}", literal(heading)),
                Part::Text(words) => writeln!(text, "\n{}", literal(words)),
                Part::List(items) => {
                    let items: String = items.iter().map(|item| format!("- {}\n", literal(item))).collect();
                    write!(text, "\n{items}")
                }
                Part::Table(header, rows) => {
                    let line = |cells: &[String]| {
                        let cells: Vec<String> = cells.iter().map(|cell| literal(cell)).collect();
                        format!("| {} |\n", cells.join(" | "))
                    };
                    let rule = |number: &bool| if *number { "---:|" } else { "---|" };
                    let rule = format!("|{}\n", numbers(header.len(), rows).iter().map(rule).collect::<String>());
                    let rows: String = rows.iter().map(|row| line(row)).collect();
                    write!(text, "\n{}{rule}{rows}", line(header))
                }
                Part::Verbatim(words) => {
                    // Indented, a fence inside cannot end it.
                    let lines: String = words.lines().map(|line| format!("    {line}\n")).collect();
                    write!(text, "\n{lines}")
                }
                Part::Figure { name, caption, .. } => {
                    writeln!(text, "\n![{}]({name}.svg)\n\n{}", literal(caption), literal(caption))
                }
            };
        }
        text
    }
}

/// Which columns are of numbers, and so stand to the right. Identities, which are long, are none.
fn numbers(columns: usize, rows: &[Vec<String>]) -> Vec<bool> {
    let is_number = |cell: &str| {
        let first = cell.split([' ', '/']).next().unwrap_or_default();
        let number = first.trim_start_matches(['-', '+', '>', '<']).trim_end_matches(['k', 'M', 'G', 'T', 'P', 'E']);
        first.len() < 14 && number.parse::<f64>().is_ok()
    };
    let column = |i: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(i)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| is_number(cell))
    };
    (0..columns).map(column).collect()
}

/// Text that Markdown leaves as it is, on one line.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let text = text.split(['\n', '\r']).collect::<Vec<_>>().join(" ");
    let text = text.trim();
    // What would begin a list, a rule or a quotation.
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let listed = number.len() < text.len() && [". ", ") "].iter().any(|end| number.starts_with(end));
    let marked = ["- ", "+ ", "--", ">"].iter().any(|begin| text.starts_with(begin));
    for (at, letter) in text.char_indices() {
        let begins = at == 0 && marked;
        let dot = listed && at == text.len() - number.len();
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            _ if begins || dot => {
                out.push('\\');
                out.push(letter);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let cells = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        Document {
            title: "a <sweep>".to_owned(),
            parts: vec![
                Part::Heading("Runs & more".to_owned()),
                Part::Text("</p><script>alert(1)</script>".to_owned()),
                Part::List(cells(&["one", "two_three"])),
                Part::Table(cells(&["model", "loss"]), vec![cells(&["a|b", "2.5"])]),
                Part::Verbatim("[model]\n```".to_owned()),
                Part::Figure { name: "lr".to_owned(), svg: "<svg></svg>\n".to_owned(), caption: "Rates".to_owned() },
            ],
        }
    }

    #[test]
    fn html_holds_everything_and_nothing_active() {
        let html = document().html();
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(1)"), "{html}");
        let parts = [
            "<title>a &lt;sweep&gt;</title>",
            "<td>a|b</td><td class=\"n\">2.5</td>",
            "<svg></svg>",
            "<pre>[model]\n```</pre>",
            "<h2 id=\"part1\">Runs &amp; more</h2>",
        ];
        for part in parts {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<nav>"), "{html}");
        let long = Document { parts: vec![Part::Heading("h".to_owned()); FEW + 1], ..Document::default() };
        assert!(long.html().contains("<a href=\"#part5\">h</a></nav>"), "{}", long.html());
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains(" src="), "{html}");
    }

    #[test]
    fn markdown_keeps_text_literal() {
        let text = document().markdown();
        for part in
            ["# a &lt;sweep>", "| a\\|b | 2.5 |", "|---|---:|", "- two\\_three", "    ```\n", "![Rates](lr.svg)"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let cases = [
            ("- no list", "\\- no list"),
            ("1. no list", "1\\. no list"),
            ("2023 was", "2023 was"),
            ("> said", "\\> said"),
            ("&lt; ~x~ 0.5", "&amp;lt; \\~x\\~ 0.5"),
            (" a\nb ", "a b"),
            ("-1.5 %", "-1.5 %"),
            ("6.24G", "6.24G"),
        ];
        assert_eq!(cases.map(|case| literal(case.0)), cases.map(|case| case.1));
    }
}
