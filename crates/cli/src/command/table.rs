//! Tables and numbers as people read them.

use std::iter::{once, repeat_n};

use unicode_width::UnicodeWidthStr;

/// A table with these columns, all but the first aligned to the right. A cell may have several lines.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = once(header).chain(rows).collect();
    let mut widths = vec![0; rows[0].len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.split('\n').map(UnicodeWidthStr::width).fold(*width, usize::max);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let breaks = row.iter().map(|cell| cell.matches('\n').count()).max().unwrap_or(0);
        for line in 0..=breaks {
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let part = cell.split('\n').nth(line).unwrap_or_default();
                let blank = width - part.width();
                let (before, after) = if index == 0 { (0, blank) } else { (blank, 0) };
                text.extend(repeat_n(' ', before));
                text.push_str(part);
                text.extend(repeat_n(' ', after + 2));
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
    }
    text
}

/// 1.2k, 3.45M, 6.7G: three digits and a prefix.
pub(crate) fn si(value: f64) -> String {
    let prefixes = [(1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) = prefixes.into_iter().find(|(scale, _)| value.abs() >= 0.9995 * scale).unwrap_or((1.0, ""));
    let scaled = value / scale;
    let digits = if scaled.abs() < 9.995 && !prefix.is_empty() {
        2
    } else if scaled.abs() < 99.95 && !prefix.is_empty() {
        1
    } else {
        0
    };
    format!("{scaled:.digits$}{prefix}")
}

/// 1.2 kFLOPs, 3.45 GFLOPs: a number of these, with a space where the unit begins.
pub(crate) fn si_of(value: f64, unit: &str) -> String {
    let text = si(value);
    let digits = text.trim_end_matches(char::is_alphabetic);
    format!("{digits} {}{unit}", &text[digits.len()..])
}

/// Bytes in powers of 1024.
pub(crate) fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        _ if value >= 1024_f64.powi(4) => format!("{:.1} TiB", value / 1024_f64.powi(4)),
        _ if value >= 1024_f64.powi(3) => format!("{:.1} GiB", value / 1024_f64.powi(3)),
        _ if value >= 1024_f64.powi(2) => format!("{:.0} MiB", value / 1024_f64.powi(2)),
        _ => format!("{:.0} KiB", value / 1024.0),
    }
}

/// Seconds as `42 s`, `3 min 20 s`, `2 h 05 min`, `12 d 3 h`, `14.4 years`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        _ if seconds < 10.0 && seconds.fract() > 0.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {:02} s", whole % 60),
        3600..86_400 => format!("{hours} h {minutes:02} min"),
        86_400..YEAR => format!("{days} d {hours} h"),
        _ => format!("{:.1} years", seconds / YEAR as f64),
    }
}

const YEAR: u64 = 365 * 86_400;

/// Device hours with as many digits as mean something.
pub(crate) fn hours(seconds: f64) -> String {
    let hours = seconds / 3600.0;
    match hours {
        _ if hours >= 1000.0 => format!("{} h", si(hours)),
        _ if hours >= 10.0 => format!("{hours:.1} h"),
        _ if hours >= 0.1 => format!("{hours:.2} h"),
        _ => duration(seconds),
    }
}

/// Milliseconds since 1970 as `2026-11-26 06:45 UTC`.
pub(crate) fn moment(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000);
    let (day, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    format!("{} {:02}:{:02} UTC", crate::history::date(day), minute / 60, minute % 60)
}

/// `1,281,167`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`, `2 crashes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let ending = if noun.ends_with("sh") { "es" } else { "s" };
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}{ending}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_titles() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let shown = table(&["model", "", "loss"], [row(["größe", "1", "0.25"]), row(["模", "two\nlines", "-"])]);
        assert_eq!(shown, "model         loss\ngröße      1  0.25\n模       two     -\n       lines\n");
        assert_eq!(table(&["a"], []), "a\n");
    }

    #[test]
    fn numbers_read_well() {
        let texts: Vec<String> =
            [7.0, 999.0, 1234.0, 23_398.0, 1_780_495.0, 71_489_284.0, 999_999.0, 4e9].iter().map(|x| si(*x)).collect();
        assert_eq!(texts, ["7", "999", "1.23k", "23.4k", "1.78M", "71.5M", "1.00M", "4.00G"]);
        let texts: Vec<String> = [3.21, 59.4, 61.0, 3700.0, 90_000.0, 4.5e8].iter().map(|x| duration(*x)).collect();
        assert_eq!(texts, ["3.2 s", "59 s", "1 min 01 s", "1 h 01 min", "1 d 1 h", "14.3 years"]);
        assert_eq!([0, 999, 1000, 1_281_167].map(grouped), ["0", "999", "1,000", "1,281,167"]);
        assert_eq!([count(1, "crash"), count(2, "crash"), count(0, "run")], ["1 crash", "2 crashes", "0 runs"]);
        assert_eq!(hours(3600.0 * 110_000.0), "110k h");
        assert_eq!(moment(1_795_675_559_000), "2026-11-26 06:45 UTC");
        assert_eq!([si_of(16.7e12, "FLOPs"), si_of(12.0, "FLOPs")], ["16.7 TFLOPs", "12 FLOPs"]);
    }
}
