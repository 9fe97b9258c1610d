//! Where numbers come from: what worked, from which state of the sources, and how to do it again.

use std::collections::{BTreeMap, BTreeSet};

use report::Part;

use super::{Told, heading, table};
use crate::command::table::{count, hours, moment};
use crate::surroundings::{Git, Surroundings};

/// Hardware, versions and the state of the sources.
pub(crate) fn parts(told: &Told) -> Vec<Part> {
    let mut parts = vec![heading("Hardware, versions and sources")];
    let sessions = sessions(told);
    let mut lines = Vec::new();
    if sessions.is_empty() {
        lines.push(
            "Nothing is noted of how its runs were started: an older version did it, or another sweep that has the same runs.".to_owned(),
        );
    }
    let hosts: BTreeSet<&str> = sessions.iter().map(|(_, session)| session.host.as_str()).collect();
    for (description, times) in grouped(&sessions, hosts.len() > 1) {
        let (first, last) = (times[0], times[times.len() - 1]);
        let when = if times.len() == 1 {
            format!("on {}", moment(first))
        } else {
            format!("{} times from {} to {}", times.len(), moment(first), moment(last))
        };
        lines.push(format!("Started {when}: {description}"));
    }
    parts.push(Part::List(lines));
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "not said".to_owned());
    let worked = told.worked.iter().map(|worked| {
        vec![said(&worked.hardware), said(&worked.software), worked.attempts.to_string(), hours(worked.seconds)]
    });
    if !told.worked.is_empty() {
        parts.push(Part::Text("What the attempts said that they worked with:".to_owned()));
        parts.push(table(&["hardware", "software", "attempts", "device time"], worked.collect()));
    }
    parts
}

/// How to do it again; `page` is the command that wrote the page.
pub(crate) fn reproduce(told: &Told, page: &str) -> Vec<Part> {
    let name = &told.sweep.name;
    let commits: BTreeSet<String> =
        sessions(told).iter().filter_map(|(_, session)| session.git.as_ref().map(Git::text)).collect();
    let sources = match commits.len() {
        0 => String::new(),
        1 => format!("The sources were at {}. ", commits.into_iter().collect::<String>()),
        _ => {
            format!("The sources were at {}. ", commits.into_iter().collect::<Vec<_>>().join(", later or earlier at "))
        }
    };
    let text = format!(
        "{sources}Save the sweep file above as {name}.toml. Written by scalelaw {}; the table of runs beside this page has every run, and the CSV beside \
         a figure every number drawn. Seeds stand in that table: on the same hardware, versions and number of threads each run ends with the same \
         weights, and scalelaw export csv has their hash.",
        env!("CARGO_PKG_VERSION")
    );
    let commands = format!("scalelaw run {name}.toml\nscalelaw verify samples {name}\n{page}");
    vec![heading("How to reproduce"), Part::Text(text), Part::Verbatim(commands)]
}

/// What can be read of the sessions; a newer scalelaw may have written others.
fn sessions(told: &Told) -> Vec<(i64, Surroundings)> {
    let read = |session: &store::Session| Some((session.began_ms, serde_json::from_str(&session.surroundings).ok()?));
    told.sessions.iter().filter_map(read).collect()
}

/// Sessions that were alike, with the moments when they began.
fn grouped(sessions: &[(i64, Surroundings)], with_hosts: bool) -> Vec<(String, Vec<i64>)> {
    let mut groups: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (began_ms, session) in sessions {
        groups.entry(description(session, with_hosts)).or_default().push(*began_ms);
    }
    let mut groups: Vec<(String, Vec<i64>)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, times)| times[0]);
    groups
}

fn description(session: &Surroundings, with_host: bool) -> String {
    let host = if with_host { format!("{}, ", session.host) } else { String::new() };
    let sources = session
        .git
        .as_ref()
        .map_or("the sweep file was not under version control".to_owned(), |git| format!("sources at {}", git.text()));
    format!("{host}{}; scalelaw {}; {sources}.", session.machine(), session.scalelaw)
}

/// When the runs of the sweep were worked on, where that is known.
pub(crate) fn span(told: &Told) -> Option<String> {
    let first = told.work.values().filter_map(|work| work.started_ms).min()?;
    let last = told.work.values().filter_map(|work| work.ended_ms).max()?;
    let starts = told.sessions.len();
    let starts = if starts > 1 { format!(", by scalelaw run in {}", count(starts, "start")) } else { String::new() };
    Some(format!("Worked on from {} to {}{starts}.", moment(first), moment(last)))
}
