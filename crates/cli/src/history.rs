//! Figures of what happened on the way: losses while they fall, and where device hours went.

use std::collections::BTreeMap;

use report::{Curve, CurveEnd, CurvesFigure, Hours, LedgerDevice, LedgerFigure};
use spec::state::RunState;
use store::{LossCurve, RunRow, Spell};

use crate::figures::Words;

/// Points of a training curve that can be told apart in print.
const POINTS: usize = 300;
const DAY_MS: i64 = 86_400_000;
/// More days than this are not told apart; the last ones are drawn.
const DAYS: i64 = 90;

/// The run of each model whose curve is drawn: of its longest budget the best finished one, or one that still runs.
pub(crate) fn chosen(rows: &[RunRow]) -> Vec<&RunRow> {
    let mut chosen: BTreeMap<(u64, &str), &RunRow> = BTreeMap::new();
    let rank = |row: &RunRow| {
        let loss = row.result.as_ref().map(|result| result.heldout_loss).filter(|loss| loss.is_finite());
        (loss.is_some(), row.spec.train.epochs, -loss.unwrap_or(f64::INFINITY))
    };
    let drawn = |row: &&RunRow| {
        let state = matches!(row.state, RunState::Completed | RunState::Running);
        row.wanted && row.excluded.is_none() && row.spec.pretrained.is_none() && state
    };
    for row in rows.iter().filter(drawn) {
        let best = chosen.entry((row.parameters, row.model.as_str())).or_insert(row);
        let (new, old) = (rank(row), rank(best));
        if new.0.cmp(&old.0).then(new.1.total_cmp(&old.1)).then(new.2.total_cmp(&old.2)).is_gt() {
            *best = row;
        }
    }
    chosen.into_values().collect()
}

/// Training and held-out loss against samples.
pub(crate) fn curves(runs: &[(&RunRow, LossCurve)], words: Words) -> CurvesFigure {
    let curve = |(row, losses): &(&RunRow, LossCurve)| {
        let each = row.samples as f64 / row.steps.max(1) as f64;
        let spots = |points: &[(u64, f64)]| -> Vec<(f64, f64)> {
            let spot = |(step, loss): &(u64, f64)| (*step as f64 * each, *loss);
            points.iter().map(spot).filter(|(x, y)| *x > 0.0 && *y > 0.0 && y.is_finite()).collect()
        };
        let mut held_out = spots(&losses.held_out);
        if let Some(result) = row.result.as_ref().filter(|result| result.heldout_loss > 0.0) {
            held_out.retain(|(x, _)| *x < row.samples as f64 * (1.0 - 1e-9));
            held_out.push((row.samples as f64, result.heldout_loss));
        }
        let end = if row.state == RunState::Running { CurveEnd::Running } else { CurveEnd::Finished };
        Curve { name: row.model.clone(), training: thinned(spots(&losses.training)), held_out, end }
    };
    let Words { title, x_label, y_label } = words;
    let notes = vec!["Of each model the best run of its longest budget.".to_owned()];
    CurvesFigure { title, x_label, y_label, series: runs.iter().map(curve).collect(), notes }
}

/// Means over equal parts of the logarithmic axis, where there are more points than can be seen.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return points };
    let span = (last.0 / first.0).ln();
    if points.len() <= POINTS || span <= 0.0 {
        return points;
    }
    let mut parts: BTreeMap<usize, (f64, f64, f64)> = BTreeMap::new();
    for (x, y) in &points {
        let place = ((x / first.0).ln() / span * (POINTS - 1) as f64) as usize;
        let part = parts.entry(place).or_default();
        *part = (part.0 + x, part.1 + y, part.2 + 1.0);
    }
    parts.into_values().map(|(x, y, count)| (x / count, y / count)).collect()
}

/// Device hours by device and day (UTC). What spans days counts for each by its share.
pub(crate) fn ledger(spells: &[Spell], words: Words) -> LedgerFigure {
    let day = |ms: i64| ms.div_euclid(DAY_MS);
    let last = spells.iter().map(|spell| day(spell.to_ms.max(spell.from_ms))).max().unwrap_or(0);
    let begin = spells.iter().map(|spell| day(spell.from_ms)).min().unwrap_or(0);
    let first = begin.max(last - DAYS + 1);
    let mut devices: BTreeMap<&str, Vec<Hours>> = BTreeMap::new();
    for spell in spells {
        let days = devices.entry(&spell.device).or_insert_with(|| vec![Hours::default(); (last - first + 1) as usize]);
        let length = (spell.to_ms - spell.from_ms) as f64;
        for (i, hours) in days.iter_mut().enumerate() {
            let from = (first + i as i64) * DAY_MS;
            let inside = (spell.to_ms.min(from + DAY_MS) - spell.from_ms.max(from)) as f64;
            let share = match length > 0.0 {
                true => (inside / length).max(0.0),
                false => f64::from(u8::from(day(spell.from_ms) == first + i as i64)),
            };
            hours.useful += share * spell.useful / 3600.0;
            hours.repeated += share * spell.repeated / 3600.0;
            hours.failed += share * spell.failed / 3600.0;
            hours.idle += share * spell.idle / 3600.0;
        }
    }
    let Words { title, x_label, y_label } = words;
    let earlier = (first > begin).then(|| format!("Without the {} days before.", first - begin));
    LedgerFigure {
        title,
        x_label,
        y_label,
        days: (first..=last).map(date).collect(),
        devices: devices.into_iter().map(|(name, hours)| LedgerDevice { name: name.to_owned(), hours }).collect(),
        notes: earlier.into_iter().collect(),
    }
}

/// The date of a day after 1970-01-01 (Hinnant's `civil_from_days`, http://howardhinnant.github.io/date_algorithms.html).
pub(crate) fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_place = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_place + 2) / 5 + 1;
    let month = if month_place < 10 { month_place + 3 } else { month_place - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(device: &str, from_h: f64, to_h: f64, useful: f64, idle: f64) -> Spell {
        let ms = |hours: f64| (hours * 3_600_000.0) as i64;
        let (from_ms, to_ms) = (ms(from_h), ms(to_h));
        Spell { device: device.to_owned(), from_ms, to_ms, useful, repeated: 0.0, failed: 0.0, idle }
    }

    #[test]
    fn what_spans_midnight_is_divided() {
        let words = Words { title: None, x_label: String::new(), y_label: String::new() };
        let spells = [spell("gpu0", 23.0, 26.0, 10_800.0, 0.0), spell("gpu1", 30.0, 30.0, 0.0, 7200.0)];
        let figure = ledger(&spells, words);
        assert_eq!(figure.days, ["1970-01-01", "1970-01-02"]);
        let useful: Vec<f64> = figure.devices[0].hours.iter().map(|hours| hours.useful).collect();
        assert!((useful[0] - 1.0).abs() < 1e-9 && (useful[1] - 2.0).abs() < 1e-9, "{useful:?}");
        assert_eq!(figure.devices[1].hours[1].idle, 2.0);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (19_782, "2024-02-29"), (19_783, "2024-03-01"), (-1, "1969-12-31")];
        days.iter().for_each(|(day, expected)| assert_eq!(date(*day), *expected));
    }

    #[test]
    fn thinning_keeps_ends_and_means() {
        let points: Vec<(f64, f64)> = (1..=100_000).map(|i| (f64::from(i), 2.0)).collect();
        let thin = thinned(points);
        assert!(
            thin.len() <= POINTS && thin.len() > POINTS / 2 && thin.iter().all(|point| (point.1 - 2.0).abs() < 1e-9)
        );
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (1.0, 100_000.0));
    }
}
