//! Ticks for logarithmic axes of any range, from a thousandth of a decade to hundreds of decades.
//!
//! plotters gives no ticks at all inside one decade, so every axis takes its ticks from here. Labels use the markup of
//! [`crate::text`].

/// A tick; the ones without a label are drawn shorter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: Option<String>,
}

/// How numbers of a base-2 axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// `1/4`, `1/2`, `1`, `2`.
    Fraction,
    /// `0.25`, `0.5`, `1`, `2`.
    Decimal,
}

/// A learning-rate axis beyond this ratio shows decades where its doublings have labels longer than the longest.
const MOST_DOUBLINGS: f64 = 128.0;
const LONGEST_DOUBLING: usize = 5;

/// Ticks from `low` to `high` on an axis that shows decades, with at most about `room` labels and at least two.
pub(crate) fn decades(low: f64, high: f64, room: usize) -> Vec<Tick> {
    let span = high.log10() - low.log10();
    if span >= 2.0 {
        whole_decades(low, high, room)
    } else if span >= 0.9 {
        one_two_five(low, high, room)
    } else {
        linear(low, high, room)
    }
}

/// Ticks at `anchor` times powers of two; evenly spaced ones where the range holds fewer than two of those.
pub(crate) fn doublings(low: f64, high: f64, anchor: f64, notation: Notation, room: usize) -> Vec<Tick> {
    let first = (low / anchor).log2().ceil() as i32 - 1;
    let last = (high / anchor).log2().floor() as i32 + 1;
    let values: Vec<f64> = (first..=last).map(|k| anchor * 2f64.powi(k)).filter(|v| inside(*v, low, high)).collect();
    if values.len() < 2 {
        return linear(low, high, room);
    }
    // 0.0078125 is a number that nobody knows.
    let unknown = |value: &f64| doubling_label(*value, notation).len() > LONGEST_DOUBLING;
    if notation == Notation::Decimal && high / low >= MOST_DOUBLINGS && values.iter().any(unknown) {
        return decades(low, high, room);
    }
    let every = values.len().div_ceil(room.max(2));
    let label = |i: usize, value: f64| (i.is_multiple_of(every)).then(|| doubling_label(value, notation));
    values.iter().enumerate().map(|(i, value)| Tick { value: *value, label: label(i, *value) }).collect()
}

/// A number of epochs as people say it: `1/4`, `1/2`, `3`.
pub fn epochs_label(epochs: f64) -> String {
    doubling_label(epochs, Notation::Fraction)
}

fn whole_decades(low: f64, high: f64, room: usize) -> Vec<Tick> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades: Vec<i32> = (first..=last).filter(|k| inside(10f64.powi(*k), low, high)).collect();
    let every = decades.len().div_ceil(room.max(2));
    let decimals = low >= 1e-3 && high < 1e3;
    let label = |k: i32| if decimals { fixed(10f64.powi(k), (-k).max(0) as usize) } else { format!("10^{k}") };
    let mut ticks: Vec<Tick> = decades
        .iter()
        .enumerate()
        .map(|(i, k)| Tick { value: 10f64.powi(*k), label: (i.is_multiple_of(every)).then(|| label(*k)) })
        .collect();
    // Nine ticks in each of many decades would be a grey bar.
    if last - first <= 8 {
        let between = (first..=last).flat_map(|k| (2..=9).map(move |m| f64::from(m) * 10f64.powi(k)));
        ticks.extend(between.filter(|v| inside(*v, low, high)).map(|value| Tick { value, label: None }));
    }
    ticks.sort_by(|a, b| a.value.total_cmp(&b.value));
    ticks
}

fn one_two_five(low: f64, high: f64, room: usize) -> Vec<Tick> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let labelled = |m: i32, k: i32| matches!(m, 1 | 2 | 5) && inside(f64::from(m) * 10f64.powi(k), low, high);
    let all: Vec<(i32, i32)> = (first..=last).flat_map(|k| (1..=9).map(move |m| (m, k))).collect();
    let count = all.iter().filter(|(m, k)| labelled(*m, *k)).count();
    let every = count.div_ceil(room.max(2));
    // Decimals and powers of ten are not mixed on one axis.
    let decimals = low >= 1e-3 && high < 1e4;
    let mut seen = 0;
    let mut ticks = Vec::new();
    for (m, k) in all {
        let value = f64::from(m) * 10f64.powi(k);
        if !inside(value, low, high) {
            continue;
        }
        let mut label = None;
        if labelled(m, k) {
            label = (seen % every == 0).then(|| match (decimals, m) {
                (true, _) => fixed(value, (-k).max(0) as usize),
                (false, 1) => format!("10^{k}"),
                (false, _) => format!("{m}×10^{k}"),
            });
            seen += 1;
        }
        ticks.push(Tick { value, label });
    }
    ticks
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten: inside one decade a logarithmic axis is nearly linear.
fn linear(low: f64, high: f64, room: usize) -> Vec<Tick> {
    let room = room.clamp(2, 9);
    let largest = high.log10().ceil() as i32;
    let steps = (0..32).flat_map(|down| [5, 2, 1].map(|m| (m, largest - 1 - down)));
    let mut chosen = None;
    for (m, k) in steps {
        let count = multiples(low, high, m, k).len();
        if count > room && chosen.is_some() {
            break;
        }
        if count >= 2 {
            chosen = Some((m, k));
        }
        if count > room {
            break;
        }
    }
    let Some((m, k)) = chosen else {
        return [low, high].map(|value| Tick { value, label: Some(format!("{value}")) }).to_vec();
    };
    let exponent = high.log10().floor() as i32;
    let label = |value: f64| {
        if (-3..4).contains(&exponent) {
            fixed(value, (-k).max(0) as usize)
        } else {
            let digits = (exponent - k).max(0) as usize;
            format!("{}×10^{exponent}", fixed(value / 10f64.powi(exponent), digits))
        }
    };
    let values = multiples(low, high, m, k);
    let every = values.len().div_ceil(room);
    let shown = |i: usize, value: f64| (i.is_multiple_of(every)).then(|| label(value));
    values.iter().enumerate().map(|(i, value)| Tick { value: *value, label: shown(i, *value) }).collect()
}

/// Ticks of a linear axis from `low` to `high`, at multiples of 1, 2 or 5 times a power of ten; at least two.
pub(crate) fn level(low: f64, high: f64, room: usize) -> Vec<Tick> {
    let room = room.max(2) as f64;
    let top = ((high - low) / room).log10().floor() as i32 + 1;
    let steps = (top - 3..=top).flat_map(|k| [1, 2, 5].map(|m| (m, k)));
    let count = |m: i32, k: i32| {
        let step = f64::from(m) * 10f64.powi(k);
        (high / step).floor() - (low / step).ceil() + 1.0
    };
    let fine: Vec<(i32, i32)> = steps.filter(|(m, k)| count(*m, *k) >= 2.0).collect();
    let chosen = fine.iter().find(|(m, k)| count(*m, *k) <= room).or(fine.last());
    let Some((m, k)) = chosen.copied() else {
        return [low, high].map(|value| Tick { value, label: Some(format!("{value}")) }).to_vec();
    };
    let step = f64::from(m) * 10f64.powi(k);
    let first = (low / step).ceil();
    let largest = low.abs().max(high.abs()).log10().floor() as i32;
    let label = |value: f64| match (-3..5).contains(&largest) {
        true => fixed(value, (-k).max(0) as usize),
        false if value == 0.0 => "0".to_owned(),
        false => format!("{}×10^{largest}", fixed(value / 10f64.powi(largest), (largest - k).max(0) as usize)),
    };
    let value = |i: u32| {
        let times = (first + f64::from(i)) * f64::from(m);
        // No negative zero, and dividing keeps 2.4 at 2.4.
        0.0 + if k < 0 { times / 10f64.powi(-k) } else { times * 10f64.powi(k) }
    };
    (0..count(m, k) as u32).map(value).map(|value| Tick { value, label: Some(label(value)) }).collect()
}

/// A tick for each name, at 0, 1, 2, ...; with about `room` labels.
pub(crate) fn named(names: &[String], room: usize) -> Vec<Tick> {
    let every = names.len().div_ceil(room.max(2)).max(1);
    let label = |i: usize, name: &String| i.is_multiple_of(every).then(|| name.clone());
    names.iter().enumerate().map(|(i, name)| Tick { value: i as f64, label: label(i, name) }).collect()
}

fn multiples(low: f64, high: f64, m: i32, k: i32) -> Vec<f64> {
    let step = f64::from(m) * 10f64.powi(k);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    if !(last - first).is_finite() || last - first > 1000.0 {
        return Vec::new();
    }
    // Dividing by 10^-k keeps 2.4 at 2.4 and not at 2.4000000000000004.
    let value = |i: f64| {
        if k < 0 { i * f64::from(m) / 10f64.powi(-k) } else { i * step }
    };
    let count = (last - first) as u32;
    (0..=count).map(|i| value(first + f64::from(i))).filter(|v| inside(*v, low, high)).collect()
}

fn inside(value: f64, low: f64, high: f64) -> bool {
    value >= low && value <= high
}

fn fixed(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").replace('-', "\u{2212}")
}

fn doubling_label(value: f64, notation: Notation) -> String {
    let inverse = (1.0 / value).round();
    let unit_fraction = (1.0 / value - inverse).abs() < 1e-9 * inverse && (2.0..=1024.0).contains(&inverse);
    if notation == Notation::Fraction && unit_fraction {
        return format!("1/{inverse}");
    }
    if !(1e-3..1e5).contains(&value) {
        let exponent = value.log10().floor() as i32;
        let mantissa = trimmed(format!("{:.3}", value / 10f64.powi(exponent)));
        return format!("{mantissa}×10^{exponent}");
    }
    let digits = (3 - value.log10().floor() as i32).max(0) as usize;
    trimmed(format!("{value:.digits$}"))
}

fn trimmed(number: String) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    fn check(low: f64, high: f64, expected: &[&str]) {
        assert_eq!(labels(&decades(low, high, 7)), expected, "{low} to {high}");
    }

    #[test]
    fn decades_have_the_labels_of_a_good_paper() {
        check(320.0, 1.2e5, &["10^3", "10^4", "10^5"]);
        check(2.32, 3.01, &["2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "3.0"]);
        check(9.4, 14.2, &["10", "11", "12", "13", "14"]);
        check(19.0, 63.0, &["20", "30", "40", "50", "60"]);
        check(500.0, 3.8e5, &["10^3", "10^4", "10^5"]);
        check(2e12, 1e15, &["10^13", "10^14", "10^15"]);
        check(0.011, 0.9, &["0.02", "0.05", "0.1", "0.2", "0.5"]);
        check(2e19, 9e20, &["2×10^19", "5×10^19", "10^20", "2×10^20", "5×10^20"]);
        check(2.05e19, 3.1e19, &["2.2×10^19", "2.4×10^19", "2.6×10^19", "2.8×10^19", "3.0×10^19"]);
        check(2.71805, 2.71845, &["2.7181", "2.7182", "2.7183", "2.7184"]);
        check(1e-3, 1e9, &["10^-3", "10^-1", "10^1", "10^3", "10^5", "10^7", "10^9"]);
    }

    #[test]
    fn doublings_follow_the_grid() {
        let ticks = doublings(0.2, 9.0, 1.0, Notation::Fraction, 8);
        assert_eq!(labels(&ticks), ["1/4", "1/2", "1", "2", "4", "8"]);
        let ticks = doublings(0.35, 1.9, 0.4, Notation::Decimal, 8);
        assert_eq!(labels(&ticks), ["0.4", "0.8", "1.6"]);
        let ticks = doublings(1.1, 1.6, 1.0, Notation::Decimal, 8);
        assert_eq!(labels(&ticks), ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
    }

    #[test]
    fn a_linear_axis_has_round_numbers() {
        assert_eq!(labels(&level(-3.2, 4.9, 5)), ["−2", "0", "2", "4"]);
        assert_eq!(labels(&level(0.0, 0.37, 5)), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&level(0.0, 2.5e6, 3)), ["0", "1×10^6", "2×10^6"]);
        assert_eq!(labels(&doublings(0.0016, 0.31, 0.0016, Notation::Decimal, 8)), ["0.01", "0.1"]);
    }

    fn sound(ticks: &[Tick], low: f64, high: f64) -> Result<(), TestCaseError> {
        let shown = labels(ticks);
        prop_assert!(ticks.iter().all(|t| t.value >= low && t.value <= high), "{ticks:?}");
        prop_assert!(ticks.windows(2).all(|pair| pair[0].value < pair[1].value), "{ticks:?}");
        prop_assert!(shown.len() >= 2, "{low} to {high}: {ticks:?}");
        let mut distinct = shown.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), shown.len(), "{} to {}: {:?}", low, high, shown);
        prop_assert!(ticks.len() <= 1300);
        Ok(())
    }

    proptest! {
        #[test]
        fn every_range_has_two_distinct_labels(
            start in -190.0..190.0f64, wide in -2.7..2.3f64, room in 2usize..12, anchor in 0.5..2.0f64
        ) {
            let low = 10f64.powf(start);
            let high = 10f64.powf(start + 10f64.powf(wide).min(198.0 - start));
            sound(&decades(low, high, room), low, high)?;
            sound(&doublings(low, high, low * anchor, Notation::Decimal, room), low, high)?;
            sound(&doublings(low, high, 1.0, Notation::Fraction, room), low, high)?;
            if start.abs() < 90.0 {
                sound(&level(-low, high, room), -low, high)?;
                sound(&level(low, high, room), low, high)?;
            }
        }

        #[test]
        fn no_more_labels_than_there_is_room_for(start in -9.0..20.0f64, wide in -2.0..1.2f64, room in 2usize..12) {
            let (low, high) = (10f64.powf(start), 10f64.powf(start + 10f64.powf(wide)));
            prop_assert!(labels(&decades(low, high, room)).len() <= room);
        }
    }
}
