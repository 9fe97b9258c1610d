//! Which form to extrapolate with: the one that predicted the largest runs best from the smaller ones. How well a form
//! describes the points it was fitted to says nothing of that; the richer one always describes them better.

use serde::Serialize;

use crate::backtest::{Backtest, backtest_curve, backtest_repeated, backtest_surface};
use crate::{
    CurveForm, CurveSettings, NOISE_FLOOR, Point, Refusal, Summary, SurfacePoint, SurfaceSettings, curve, parametric,
    repeated,
};

/// A richer form has to beat a simpler one by this factor in the root mean square error, to which its noise about the
/// points is added as squares are: errors below the noise tell nothing.
const MARGIN: f64 = 0.8;

/// A form of a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SurfaceForm {
    /// E + A N^-alpha + B D^-beta.
    Parametric,
    /// The same with the decaying worth of repeated samples.
    Repeated,
}

/// A form and how it extrapolated.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate<F> {
    /// The form.
    pub form: F,
    /// Its parameters, in number.
    pub parameters: usize,
    /// How it predicted the largest budgets.
    pub backtest: Backtest,
    /// Root mean square of its errors over the steps of the back-test that every form in the contest could take: what
    /// they are compared by.
    pub error: Option<f64>,
    /// Why it is out of the contest, where it is.
    pub refusal: Option<String>,
    /// Why it is not the winner, where its error is lower.
    pub behind: Option<&'static str>,
}

/// The forms in the order of their merit.
#[derive(Clone, Debug, Serialize)]
pub struct Choice<F> {
    /// The best one.
    pub winner: F,
    /// Points that were fitted.
    pub used: usize,
    /// Every form, the winner first, refused ones last.
    pub candidates: Vec<Candidate<F>>,
}

/// Chooses among the curves in one variable.
///
/// # Errors
/// The refusal of the simplest form when no form can be fitted, and [`Refusal::NotIdentified`] when none could be fitted
/// without the largest budget.
pub fn choose_curve(
    points: &[Point],
    settings: &CurveSettings,
    seed_noise: Option<f64>,
) -> Result<Choice<CurveForm>, Refusal> {
    rank(
        CurveForm::ALL.map(|form| {
            let backtest = backtest_curve(points, form, settings, seed_noise);
            (form, form.parameters(), backtest, curve(points, form, settings).map(|fit| told(&fit.summary)))
        }),
        seed_noise,
    )
}

/// Chooses between fresh and repeated data's surfaces.
///
/// # Errors
/// As [`choose_curve`].
pub fn choose_surface(
    points: &[SurfacePoint],
    settings: &SurfaceSettings,
    seed_noise: Option<f64>,
) -> Result<Choice<SurfaceForm>, Refusal> {
    rank(
        [
            (
                SurfaceForm::Parametric,
                5,
                backtest_surface(points, settings, seed_noise),
                parametric(points, settings).map(|fit| told(&fit.summary)),
            ),
            (
                SurfaceForm::Repeated,
                6,
                backtest_repeated(points, settings, seed_noise),
                repeated(points, settings).map(|fit| told(&fit.summary)),
            ),
        ],
        seed_noise,
    )
}

/// The noise about a fit, and its points.
type Told = (f64, usize);

fn told(summary: &Summary) -> Told {
    (summary.noise, summary.used.len())
}

/// Ranks forms that come simplest first.
fn rank<F: Copy + PartialEq, const K: usize>(
    tested: [(F, usize, Backtest, Result<Told, Refusal>); K],
    seed_noise: Option<f64>,
) -> Result<Choice<F>, Refusal> {
    let first = tested[0].3.clone().err();
    let noise = |own: f64| own.max(seed_noise.unwrap_or(0.0)).max(NOISE_FLOOR);
    let noises: Vec<f64> = tested.iter().map(|form| noise(form.3.as_ref().map_or(0.0, |fit| fit.0))).collect();
    let used = tested.iter().filter_map(|form| Some(form.3.as_ref().ok()?.1)).max().unwrap_or(0);
    let mut candidates: Vec<Candidate<F>> = tested
        .into_iter()
        .map(|(form, parameters, backtest, fitted)| {
            let refusal = fitted.err().map(|refusal| refusal.to_string());
            Candidate { form, parameters, backtest, error: None, refusal, behind: None }
        })
        .collect();
    // Errors are compared over the steps that every form in the contest could take.
    let steps = candidates.iter().map(|c| c.backtest.steps.len()).max().unwrap_or(0);
    let took = |c: &Candidate<F>, i: usize| c.backtest.steps.get(i).is_some_and(|step| step.refusal.is_none());
    let taken: Vec<usize> =
        (0..steps).filter(|i| candidates.iter().any(|c| c.refusal.is_none() && took(c, *i))).collect();
    let Some(&nearest) = taken.first() else {
        return Err(first.unwrap_or(Refusal::NotIdentified {
            what: "the form",
            why: "no form can be fitted without the largest budget".to_owned(),
            mend: "add runs at more budgets",
        }));
    };
    for candidate in &mut candidates {
        if candidate.refusal.is_none() && !took(candidate, nearest) {
            candidate.refusal = Some("it cannot be fitted without the largest budget".to_owned());
        }
    }
    let shared: Vec<usize> =
        taken.into_iter().filter(|i| candidates.iter().all(|c| c.refusal.is_some() || took(c, *i))).collect();
    let error = |c: &Candidate<F>| {
        let misses: Vec<f64> =
            shared.iter().flat_map(|i| &c.backtest.steps[*i].misses).map(|miss| miss.error.powi(2)).collect();
        let error = (misses.iter().sum::<f64>() / misses.len() as f64).sqrt();
        if c.refusal.is_some() || error.is_nan() { f64::INFINITY } else { error }
    };
    let winner = candidates.iter().enumerate().fold(None, |best: Option<(usize, f64)>, (i, c)| match best {
        Some((_, least)) if error(c).hypot(noises[i]) >= MARGIN * least.hypot(noises[i]) => best,
        _ => Some((i, error(c))),
    });
    let winner = winner.map_or(0, |(i, _)| i);
    let name = candidates[winner].form;
    let least = error(&candidates[winner]);
    let errors: Vec<f64> = candidates.iter().map(error).collect();
    for (candidate, error) in candidates.iter_mut().zip(errors) {
        candidate.error = Some(error).filter(|error| error.is_finite());
        candidate.behind =
            (error < least).then_some("not better than a simpler form by more than the noise and a fifth");
    }
    candidates.sort_by(|a, b| {
        let key = |c: &Candidate<F>| (c.form != name, c.error.unwrap_or(f64::INFINITY));
        key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)).then(a.parameters.cmp(&b.parameters))
    });
    Ok(Choice { winner: name, used, candidates })
}
