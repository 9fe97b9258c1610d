//! From points to laws in one variable and optimal learning rates.

use std::collections::BTreeMap;

use fit::{
    Backtest, Claim, CurveFit, CurveForm, CurveSettings, Form, Frontier, LawFit, LrLaw, LrPoint, Optimum, Refusal,
    SeedNoise, Settings, Step, Trial, TriedCell, Variant,
};

use crate::args::{How, Law};
use crate::points::RunPoint;
use crate::surfaces::{Otherwise, Wide, fit_wide, least_squares_table};

/// A fit, or why there is none.
pub(crate) enum Answer {
    /// A law in one variable, with the frontier it goes through where it goes through one, and its checks where they were asked for.
    Curve(Option<Frontier>, Box<LawFit>, Option<Checks>),
    /// Optimal learning rates, their law, and the noise between seeds that their intervals rest on, where it is known.
    Rates(Vec<Group>, Result<LrLaw, Refusal>, Option<SeedNoise>),
    /// A robust curve, or a law of several variables.
    Wide(Box<Wide>),
    /// The data cannot carry it.
    Refused(Refusal),
}

/// What shows how far a law is to be trusted: how it extrapolates within its points, and the table of choices where that was
/// asked.
pub(crate) struct Checks {
    pub(crate) backtest: Backtest,
    pub(crate) sensitivity: Option<Vec<Variant>>,
}

/// A law without its largest budgets, put to the test on them.
pub(crate) struct Tested {
    pub(crate) backtest: Backtest,
    /// The step that leaves out most, with its law.
    pub(crate) step: Option<(Step, CurveFit)>,
}

/// The learning rates of one model and epoch budget.
pub(crate) struct Group {
    pub(crate) model: String,
    pub(crate) parameters: Option<f64>,
    pub(crate) epochs: Option<f64>,
    pub(crate) optimum: Result<Optimum, Refusal>,
}

/// Fits `law`. Points of a sweep go through its frontier; points of a file are all used by `power` and `saturating`.
/// With `otherwise`, the same runs counted otherwise, comes the table of choices.
pub(crate) fn fit_law(law: Law, points: &[RunPoint], how: &How, otherwise: Option<&Otherwise>) -> Answer {
    let robust = how.huber_delta.is_some() || how.end_weight != 0.0;
    let curve = matches!(law, Law::Power | Law::Saturating | Law::Frontier);
    if law == Law::Lr || (curve && !robust) {
        return match fit_curve(law, points, &how.of_settings()) {
            Answer::Curve(frontier, mut fitted, _) => {
                let backtest = backtest(points, frontier.as_ref(), &fitted);
                fitted.warnings.extend(backtest.warning());
                let sensitivity = otherwise.map(|all| least_squares_table(law, &fitted, points, how, all));
                Answer::Curve(frontier, fitted, Some(Checks { backtest, sensitivity }))
            }
            answer => answer,
        };
    }
    fit_wide(law, points, how, otherwise).map_or_else(Answer::Refused, |wide| Answer::Wide(Box::new(wide)))
}

/// Fits a law in one variable by least squares, or the learning rates.
pub(crate) fn fit_curve(law: Law, points: &[RunPoint], settings: &Settings) -> Answer {
    let from_sweep = points.iter().any(|point| point.run.is_some());
    let form = if law == Law::Saturating { Form::Saturating } else { Form::Power };
    match law {
        Law::Lr => rates(points),
        Law::Power | Law::Saturating if !from_sweep => {
            let all: Vec<fit::Point> = points
                .iter()
                .map(|point| fit::Point { row: point.row, x: point.compute, y: point.loss.unwrap_or(f64::NAN) })
                .collect();
            let fitted = if form == Form::Power { fit::power(&all, settings) } else { fit::saturating(&all, settings) };
            fitted.map_or_else(Answer::Refused, |fitted| Answer::Curve(None, Box::new(fitted), None))
        }
        _ => {
            let fitted = fit::frontier_law(&frontier_runs(points), form, settings);
            fitted.map_or_else(Answer::Refused, |(frontier, fitted)| {
                Answer::Curve(Some(frontier), Box::new(fitted), None)
            })
        }
    }
}

/// The law fitted without its largest budgets, by least squares as itself, and put to the test on them.
pub(crate) fn backtest(points: &[RunPoint], frontier: Option<&Frontier>, fitted: &LawFit) -> Backtest {
    tested(points, frontier, fitted).backtest
}

/// The same with the law of the step that leaves out most.
pub(crate) fn tested(points: &[RunPoint], frontier: Option<&Frontier>, fitted: &LawFit) -> Tested {
    let point = |row, x, y| fit::Point { row, x, y };
    let used: Vec<fit::Point> = match frontier {
        Some(frontier) => {
            frontier.pareto.iter().enumerate().map(|(row, one)| point(row, one.compute, one.loss)).collect()
        }
        None => {
            let used = points.iter().filter(|one| fitted.used.contains(&one.row));
            used.map(|one| point(one.row, one.compute, one.loss.unwrap_or(f64::NAN))).collect()
        }
    };
    let form = if fitted.form == Form::Saturating { CurveForm::Saturating } else { CurveForm::Power };
    let settings = CurveSettings { loss: fit::Loss::Squares, ..CurveSettings::default() };
    let backtest = fit::backtest_curve(&used, form, &settings, noise(points).map(|noise| noise.sd));
    let step = backtest.steps.iter().rev().find_map(|step| {
        let first = step.misses.first()?.compute;
        let kept: Vec<fit::Point> = used.iter().filter(|point| point.x < first).copied().collect();
        Some((step.clone(), fit::curve(&kept, form, &settings).ok()?))
    });
    Tested { backtest, step }
}

/// The points as the frontier wants them.
pub(crate) fn frontier_runs<'a>(points: impl IntoIterator<Item = &'a RunPoint>) -> Vec<fit::RunPoint> {
    let run = |point: &RunPoint| fit::RunPoint {
        row: point.row,
        group: point.model.clone(),
        budget: point.epochs,
        compute: point.compute,
        loss: point.loss,
        lr: point.lr,
        seed: point.seed,
    };
    points.into_iter().map(run).collect()
}

/// Cells whose mean loss lies further than this above the best of their model and epoch budget say nothing of the noise at the optimum:
/// seeds differ most where training is about to diverge.
const NEAR_THE_BEST: f64 = 1.1;

/// The noise of ln loss between seeds, over all cells near the best of their model and epoch budget that have several.
pub(crate) fn noise(points: &[RunPoint]) -> Option<SeedNoise> {
    let mut cells: BTreeMap<(&str, Option<u64>, u64), Vec<f64>> = BTreeMap::new();
    for point in points {
        if let (Some(lr), Some(loss)) = (point.lr, point.loss) {
            cells.entry((&point.model, point.epochs.map(f64::to_bits), lr.to_bits())).or_default().push(loss);
        }
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let mut best: BTreeMap<(&str, Option<u64>), f64> = BTreeMap::new();
    for ((model, epochs, _), losses) in &cells {
        let best = best.entry((model, *epochs)).or_insert(f64::INFINITY);
        *best = best.min(mean(losses));
    }
    let near =
        cells.iter().filter(|((model, epochs, _), losses)| mean(losses) <= NEAR_THE_BEST * best[&(*model, *epochs)]);
    fit::seed_noise(near.map(|(_, losses)| losses.as_slice()))
}

/// The optimum of every model and epoch budget, models in the order of their size and then of their first point.
pub(crate) fn groups(points: &[RunPoint]) -> Vec<Group> {
    let mut cells: BTreeMap<(usize, Option<u64>), Vec<&RunPoint>> = BTreeMap::new();
    let order = models(points);
    let noise = noise(points).map(|noise| noise.for_intervals());
    for point in points {
        let model = order.iter().position(|name| *name == point.model).unwrap_or(0);
        cells.entry((model, point.epochs.map(f64::to_bits))).or_default().push(point);
    }
    let group = |points: Vec<&RunPoint>| {
        let trials: Vec<Trial> = points.iter().map(|point| trial(point)).collect();
        Group {
            model: points[0].model.clone(),
            parameters: points[0].parameters,
            epochs: points[0].epochs,
            optimum: fit::optimal_lr(&trials, noise),
        }
    };
    cells.into_values().map(group).collect()
}

/// The models, smallest first where sizes are known.
pub(crate) fn models(points: &[RunPoint]) -> Vec<String> {
    let mut models: Vec<(f64, String)> = Vec::new();
    for point in points {
        if !models.iter().any(|(_, name)| *name == point.model) {
            models.push((point.parameters.unwrap_or(0.0), point.model.clone()));
        }
    }
    models.sort_by(|a, b| a.0.total_cmp(&b.0));
    models.into_iter().map(|(_, name)| name).collect()
}

/// What is said of learning rates, put to the test on these; nothing where the sizes of the models are not known.
pub(crate) fn claims(points: &[RunPoint], groups: &[Group]) -> Vec<Claim> {
    if groups.iter().all(|group| group.parameters.is_none()) {
        return Vec::new();
    }
    let optima = optima(groups);
    let cell = |group: &Group| {
        let of_cell = points.iter().filter(|point| point.model == group.model && point.epochs == group.epochs);
        TriedCell {
            size: group.parameters.unwrap_or(f64::NAN),
            budget: group.epochs.unwrap_or(f64::NAN),
            trials: of_cell.map(trial).collect(),
        }
    };
    let cells: Vec<TriedCell> = groups.iter().map(cell).collect();
    let noise = noise(points).map(|noise| noise.for_intervals());
    vec![
        fit::common_at_small_budgets(&optima),
        fit::slow_monotone_fall(&optima),
        fit::faster_for_larger(&optima),
        fit::two_trials_suffice(&cells, noise),
    ]
}

fn trial(point: &RunPoint) -> Trial {
    Trial { row: point.row, lr: point.lr.unwrap_or(f64::NAN), loss: point.loss }
}

fn optima(groups: &[Group]) -> Vec<LrPoint> {
    let optima = groups.iter().enumerate().filter_map(|(index, group)| {
        let optimum = *group.optimum.as_ref().ok()?;
        Some(LrPoint { row: index + 1, budget: group.epochs.unwrap_or(f64::NAN), size: group.parameters, optimum })
    });
    optima.collect()
}

fn rates(points: &[RunPoint]) -> Answer {
    let groups = groups(points);
    let optima = optima(&groups);
    match (optima.is_empty(), groups.iter().find_map(|group| group.optimum.as_ref().err())) {
        (true, Some(refusal)) => Answer::Refused(refusal.clone()),
        _ => Answer::Rates(groups, fit::lr_law(&optima), noise(points)),
    }
}

/// A hash of the points, so that a stored fit, or a figure, can be told from one of other data.
pub(crate) fn points_hash(points: &[RunPoint]) -> String {
    let mut hasher = blake3::Hasher::new();
    for point in points {
        let numbers = [
            point.epochs.unwrap_or(f64::NAN),
            point.lr.unwrap_or(f64::NAN),
            point.compute,
            point.loss.unwrap_or(f64::NAN),
            point.parameters.unwrap_or(f64::NAN),
            point.samples.unwrap_or(f64::NAN),
            point.seed.map_or(f64::NAN, |seed| seed as f64),
            f64::from(u8::from(point.verified)),
        ];
        for name in [&point.model, &point.family] {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
        }
        numbers.iter().for_each(|number| {
            hasher.update(&number.to_le_bytes());
        });
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_a_figure_decides_the_hash() {
        let point = RunPoint {
            row: 1,
            run: None,
            model: "F0".to_owned(),
            family: "NFNet".to_owned(),
            parameters: Some(1e6),
            epochs: Some(1.0),
            samples: Some(5e4),
            lr: Some(0.1),
            seed: Some(0),
            compute: 1e15,
            loss: Some(2.5),
            verified: true,
        };
        let changes: [fn(&mut RunPoint); 10] = [
            |point| point.model = "F1".to_owned(),
            |point| point.family = "ViT".to_owned(),
            |point| point.parameters = None,
            |point| point.epochs = Some(2.0),
            |point| point.samples = Some(6e4),
            |point| point.lr = Some(0.2),
            |point| point.seed = Some(1),
            |point| point.compute = 2e15,
            |point| point.loss = None,
            |point| point.verified = false,
        ];
        let mut hashes = vec![points_hash(std::slice::from_ref(&point)), points_hash(&[])];
        for change in changes {
            let mut other = point.clone();
            change(&mut other);
            hashes.push(points_hash(&[other]));
        }
        hashes.sort();
        assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]), "{hashes:?}");
    }
}
