//! The law through the frontier: how the best reachable loss falls with compute.

use crate::band::{Band, resample};
use crate::law::{Data, Form, LawFit};
use crate::random::Random;
use crate::stat::distinct;
use crate::{Frontier, FrontierPoint, Point, Refusal, RunPoint, Settings, Side, frontier, power, saturating};

/// Finds the frontier of `runs` and fits a law through its Pareto points.
///
/// Two things make the law uncertain, and every interval is the wider of both. The first is the scatter of the Pareto
/// points about the law, treated as in `power` and `saturating`. The second is that other cells would have given another
/// frontier: the (group, budget) cells, each with its best learning rate, are drawn with replacement
/// `settings.resamples` times, and each time the Pareto points are found and the law is fitted anew. Learning rates and
/// seeds within a cell are not resampled. On a dozen points such a bootstrap alone is too narrow, and the scatter alone
/// does not know about selection; hence both.
///
/// # Errors
/// [`Refusal::FrontierTooShort`] when too few runs beat every cheaper one (3 for [`Form::Power`], 4 for
/// [`Form::Saturating`]), and the refusals of the fit of that form.
pub fn frontier_law(runs: &[RunPoint], form: Form, settings: &Settings) -> Result<(Frontier, LawFit), Refusal> {
    let front = frontier(runs);
    let needed = match form {
        Form::Power => power::NEEDED,
        Form::Saturating => saturating::NEEDED,
    };
    let got = distinct(front.pareto.iter().map(|p| p.compute.ln()));
    if got < needed {
        return Err(Refusal::FrontierTooShort { needed, got, candidates: front.optimal.len() });
    }
    let points: Vec<Point> = front.pareto.iter().map(|p| Point { row: p.rows[0], x: p.compute, y: p.loss }).collect();
    let mut data = Data::of(&points);
    data.warnings.extend(front.pareto.iter().filter_map(edge_warning));

    let mut cells: Vec<(f64, f64)> = front.optimal.iter().map(|p| (p.compute.ln(), p.loss.ln())).collect();
    cells.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    // Its own stream: the bands of one fit must not share their noise.
    let mut random = Random::new(settings.seed ^ 0x66_726f_6e74);
    let draws = resample(&cells, settings.resamples(), &mut random, |sample| {
        let pairs = pareto(sample);
        if distinct(pairs.iter().map(|p| p.0)) < needed {
            return None;
        }
        match form {
            Form::Power => power::curve_of(&pairs),
            Form::Saturating => saturating::curve_of(&pairs),
        }
    });
    if draws.len() * 10 < settings.resamples() * 9 {
        data.warnings.push(format!(
            "{} of {} resampled frontiers were too short to fit: the intervals may be too narrow",
            settings.resamples() - draws.len(),
            settings.resamples()
        ));
    }
    let bands = vec![Band::Draws(draws)];
    let mut fit = match form {
        Form::Power => power::fit(data, bands, settings)?,
        Form::Saturating => saturating::fit(data, bands, settings)?,
    };
    fit.used = front.pareto.iter().flat_map(|p| p.rows.iter().copied()).collect();
    fit.used.sort_unstable();
    fit.excluded = front.excluded.clone();
    Ok((front, fit))
}

/// The pairs (ln compute, ln loss) that improve on every cheaper one.
fn pareto(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut lowest = f64::INFINITY;
    pairs.retain(|(_, loss)| {
        let better = *loss < lowest;
        lowest = lowest.min(*loss);
        better
    });
    pairs
}

fn edge_warning(point: &FrontierPoint) -> Option<String> {
    let (side, direction) = match point.at_edge? {
        Side::Low => ("lowest", "lower"),
        Side::High => ("highest", "higher"),
    };
    Some(format!(
        "the best learning rate of {} is the {side} tried ({:?}): a {direction} one may lower its loss",
        point.name(),
        point.lr.unwrap_or(f64::NAN)
    ))
}
