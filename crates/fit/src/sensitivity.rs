//! How the answer moves with choices that the data do not make: one table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    CurveForm, CurveSettings, Estimate, Intervals, IsoPoint, IsoSettings, Isoflop, Loss, Point, Refusal, SurfaceForm,
    SurfacePoint, SurfaceSettings, curve, isoflop, parametric, repeated,
};

/// The fit under one set of choices.
#[derive(Clone, Debug, Serialize)]
pub struct Variant {
    /// What is different from the first line of the table, in words.
    pub choice: String,
    /// Points that were fitted.
    pub used: usize,
    /// The parameters; none where the fit was refused.
    pub params: BTreeMap<&'static str, Estimate>,
    /// The loss predicted at the place that was asked for.
    pub prediction: Option<Estimate>,
    /// Why there was no fit.
    pub refusal: Option<String>,
}

/// What a fit gives to the table.
type Answer = Result<(usize, BTreeMap<&'static str, Estimate>, Option<Estimate>), Refusal>;

fn variant(choice: impl Into<String>, answer: Answer) -> Variant {
    let choice = choice.into();
    match answer {
        Ok((used, params, prediction)) => Variant { choice, used, params, prediction, refusal: None },
        Err(refusal) => {
            Variant { choice, used: 0, params: BTreeMap::new(), prediction: None, refusal: Some(refusal.to_string()) }
        }
    }
}

/// The losses that are tried, but for the one that was chosen.
fn losses(chosen: Loss) -> impl Iterator<Item = (String, Loss)> {
    [Loss::Squares, Loss::Robust, Loss::Huber(1e-3), Loss::Huber(1e-2)].into_iter().filter(move |l| *l != chosen).map(
        |loss| {
            let name = match loss {
                Loss::Squares => "least squares".to_owned(),
                Loss::Robust => "Huber, delta from the residuals".to_owned(),
                Loss::Huber(delta) => format!("Huber, delta {delta}"),
            };
            (name, loss)
        },
    )
}

/// The points without those at the smallest and at the largest of a quantity.
fn without_ends<P: Copy>(points: &[P], what: &str, read: impl Fn(&P) -> f64) -> Vec<(String, Vec<P>)> {
    let finite: Vec<f64> = points.iter().map(&read).filter(|x| *x > 0.0 && x.is_finite()).collect();
    let (low, high) = finite.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    let keep = |keep: &dyn Fn(f64) -> bool| points.iter().filter(|p| keep(read(p))).copied().collect::<Vec<P>>();
    vec![
        (format!("without the smallest {what}"), keep(&|x| x > low * 1.15)),
        (format!("without the largest {what}"), keep(&|x| x < high / 1.15)),
    ]
}

/// The table for a surface, which repeated samples may be worth less in. `at` is a size and a number of samples whose loss each line predicts. `alternatives` are the same
/// runs counted otherwise, with their names: sizes with or without embeddings or head, operations instead of parameters.
pub fn sensitivity_surface(
    points: &[SurfacePoint],
    form: SurfaceForm,
    settings: &SurfaceSettings,
    at: Option<(f64, f64)>,
    alternatives: &[(String, Vec<SurfacePoint>)],
) -> Vec<Variant> {
    let fitted = settings;
    let settings = SurfaceSettings { resamples: 0, intervals: Intervals::Delta, ..*settings };
    let by = |form: SurfaceForm, points: &[SurfacePoint], settings: &SurfaceSettings| -> Answer {
        let (summary, prediction) = match form {
            SurfaceForm::Parametric => {
                let fit = parametric(points, settings)?;
                let prediction = at.map(|(size, samples)| fit.predict(size, samples));
                (fit.summary, prediction)
            }
            SurfaceForm::Repeated => {
                let fit = repeated(points, settings)?;
                let prediction = at.map(|(size, samples)| fit.predict(size, samples, 1.0));
                (fit.summary, prediction)
            }
        };
        Ok((summary.used.len(), summary.params, prediction))
    };
    let with = |points: &[SurfacePoint], settings: &SurfaceSettings| by(form, points, settings);
    let mut table = vec![variant("as fitted", with(points, fitted))];
    table.extend(
        losses(settings.loss).map(|(name, loss)| variant(name, with(points, &SurfaceSettings { loss, ..settings }))),
    );
    let ends = [
        without_ends(points, "budget", |p| p.size * p.samples),
        without_ends(points, "size", |p| p.size),
        without_ends(points, "number of samples", |p| p.samples),
    ];
    table.extend(ends.into_iter().flatten().map(|(name, kept)| variant(name, with(&kept, &settings))));
    if points.iter().any(|p| p.epochs > 1.0) {
        let (name, other) = match form {
            SurfaceForm::Parametric => ("repeated samples worth less", SurfaceForm::Repeated),
            SurfaceForm::Repeated => ("repeated samples taken for fresh", SurfaceForm::Parametric),
        };
        table.push(variant(name, by(other, points, &settings)));
    }
    // A prediction at a place of the first counting means nothing in another.
    let elsewhere = |points: &[SurfacePoint]| with(points, &settings).map(|(used, params, _)| (used, params, None));
    table.extend(alternatives.iter().map(|(name, points)| variant(name.clone(), elsewhere(points))));
    table
}

/// The table for groups of equal compute.
pub fn sensitivity_isoflop(
    points: &[IsoPoint],
    settings: &IsoSettings,
    alternatives: &[(String, Vec<IsoPoint>)],
) -> Vec<Variant> {
    let with = |points: &[IsoPoint], settings: &IsoSettings| -> Answer {
        isoflop(points, settings).map(|found| (found.used.len(), found.params(), None))
    };
    let mut table = vec![variant("as fitted", with(points, settings))];
    let ends = [without_ends(points, "budget", |p| p.compute), without_ends(points, "size", |p| p.point.size)];
    table.extend(ends.into_iter().flatten().map(|(name, kept)| variant(name, with(&kept, settings))));
    let runs: Vec<SurfacePoint> = points.iter().map(|p| p.point).collect();
    let surface = SurfaceSettings { resamples: 0, ..SurfaceSettings::default() };
    let law = parametric(&runs, &surface).map(|fit| {
        let growth = fit.summary.params.into_iter().filter(|(name, _)| matches!(*name, "a" | "b"));
        (fit.summary.used.len(), growth.collect(), None)
    });
    table.push(variant("by the parametric law", law));
    table.extend(alternatives.iter().map(|(name, points)| variant(name.clone(), with(points, settings))));
    table
}

impl Isoflop {
    /// "a" of N* = G C^a with its "G", "b" of the samples, and "A" and "alpha" of the lowest loss A C^-alpha.
    pub fn params(&self) -> BTreeMap<&'static str, Estimate> {
        let Estimate { value, low, high } = self.loss.exponent;
        BTreeMap::from([
            ("a", self.size.exponent),
            ("G", self.size.coefficient),
            ("b", self.samples.exponent),
            ("alpha", Estimate { value: -value, low: -high, high: -low }),
            ("A", self.loss.coefficient),
        ])
    }
}

/// The table for a curve in one variable. `at` is an x whose y each line predicts; `alternatives` are the same runs over
/// another x, with its name: hours instead of operations.
pub fn sensitivity_curve(
    points: &[Point],
    form: CurveForm,
    settings: &CurveSettings,
    at: Option<f64>,
    alternatives: &[(String, Vec<Point>)],
) -> Vec<Variant> {
    let fitted = settings;
    let settings = CurveSettings { intervals: Intervals::Delta, ..*settings };
    let with = |points: &[Point], form: CurveForm, settings: &CurveSettings| -> Answer {
        let fit = curve(points, form, settings)?;
        let prediction = at.map(|x| fit.predict(x));
        Ok((fit.summary.used.len(), fit.summary.params, prediction))
    };
    let mut table = vec![variant("as fitted", with(points, form, fitted))];
    for (name, loss) in losses(settings.loss) {
        table.push(variant(name, with(points, form, &CurveSettings { loss, ..settings })));
    }
    for (name, kept) in without_ends(points, "x", |p| p.x) {
        table.push(variant(name, with(&kept, form, &settings)));
    }
    for end_weight in [0.0, 1.0, 2.0].into_iter().filter(|weight| *weight != settings.end_weight) {
        let name = format!("points weighted by x^{end_weight}");
        table.push(variant(name, with(points, form, &CurveSettings { end_weight, ..settings })));
    }
    for other in CurveForm::ALL.into_iter().filter(|other| *other != form) {
        table.push(variant(format!("form {}", other.name()), with(points, other, &settings)));
    }
    for (name, points) in alternatives {
        let answer = curve(points, form, &settings).map(|fit| (fit.summary.used.len(), fit.summary.params, None));
        table.push(variant(name.clone(), answer));
    }
    table
}
