//! The figures of a sweep or of a file of points: from what is in the database to what is written.

use std::collections::BTreeMap;

use fit::Isoflop;
use report::{Style, Words};
use serde_json::{Value, json};
use spec::run::RunId;
use store::{RunRow, Store};

use crate::args::{Compute, Figure, How, Law, Look, Plot, Stage};
use crate::asides::{self, Asides};
use crate::command::table::count;
use crate::exit::{Failure, say};
use crate::figure_file::{Drawn, hash};
use crate::frontiers::{self, FamilyLaw, laws_of_families, say_lawless};
use crate::pages::is_simulated;
use crate::pages::sides::Compared;
use crate::plot_command::decisive;
use crate::points::{self, Needs, Points};
use crate::samples::Verdict;
use crate::surfaces::{Cells, Fitted, cells, fit_wide};
use crate::{figures, history, laws, transfer, tuning};

/// A sweep as the database has it.
pub(crate) struct OfSweep<'a> {
    pub(crate) name: &'a str,
    pub(crate) rows: &'a [RunRow],
    pub(crate) verdicts: &'a BTreeMap<RunId, Verdict>,
    /// The newest losses of runs on their way.
    pub(crate) newest: BTreeMap<RunId, (u64, f64)>,
}

/// What figures are drawn from, and how.
pub(crate) struct Drawing<'a> {
    pub(crate) options: &'a Plot,
    /// None: they are drawn from the file of points that the options name.
    pub(crate) sweep: Option<OfSweep<'a>>,
}

impl Drawing<'_> {
    /// `scaling` and `residuals` of the grid, or `transfer`: their laws are the same, and fitted once.
    pub(crate) fn frontier(&self, stage: Stage, wanted: &dyn Fn(Figure) -> bool) -> Result<Vec<Drawn>, Failure> {
        let points = self.take(Needs::ComputeAndLoss, stage)?;
        if points.runs.iter().all(|point| point.loss.is_none()) {
            return Ok(Vec::new());
        }
        let laws = laws_of_families(&points.runs);
        let mut drawn = Vec::new();
        if stage == Stage::Finetuning || wanted(Figure::Scaling) {
            drawn.push(self.scaling(stage, &points, &laws)?);
        }
        if stage == Stage::Pretraining && wanted(Figure::Residuals) {
            drawn.extend(self.residuals(&points, &laws)?);
        }
        Ok(drawn)
    }

    /// Held-out loss of the grid, or top-1 error of fine-tuning, against the compute of pre-training.
    fn scaling(&self, stage: Stage, points: &Points, laws: &[FamilyLaw]) -> Result<Drawn, Failure> {
        say_lawless(laws);
        let (axis, ending) = self.compute_axis(points);
        let (figure, name, axis, loss) = against_compute(stage, &axis);
        let asides = self.sweep.as_ref().map_or_else(Asides::default, |sweep| {
            asides::of_sweep(sweep.rows, &sweep.newest, self.options.compute, stage)
        });
        let columns = &self.options.columns;
        let overlay = self.options.overlay.as_ref().map(|path| points::read(path, columns, Needs::ComputeAndLoss));
        let overlay = overlay.transpose()?.map_or(Vec::new(), |points| points.runs);
        let references = figures::references(&overlay);
        let drawn: usize = references.iter().map(|reference| reference.points.len()).sum();
        if self.options.overlay.is_some() && (drawn < overlay.len() || drawn == 0) {
            let of = overlay.len();
            say(&format!("--overlay: {drawn} of {of} rows drawn; the others have no compute and loss above 0"));
        }
        let mut scaling = figures::scaling(&points.runs, &asides, laws, references, self.words(&axis, loss));
        let flawless = points.left_out.iter().filter(|one| one.reason.starts_with(transfer::FLAWLESS)).count();
        if flawless > 0 {
            scaling.words.notes.push(format!("{} left out for an error of 0.", count(flawless, "run")));
        }
        if stage == Stage::Finetuning {
            of_errors(&mut scaling);
        }
        let data = format!("{}{}{}", hashed(points), asides.fingerprint(), laws::points_hash(&overlay));
        let files = (scaling.svg(&self.style())?, scaling.csv());
        Ok(self.drawn(figure, format!("{name}{ending}"), files, &data, frontiers::as_json(laws)))
    }

    /// Of all figures, `scaling` says why there is no law.
    fn residuals(&self, points: &Points, laws: &[FamilyLaw]) -> Result<Option<Drawn>, Failure> {
        if laws.iter().all(|law| law.found.is_err()) {
            if self.options.figure == Figure::Residuals {
                say_lawless(laws);
            }
            return Ok(None);
        }
        let (axis, ending) = self.compute_axis(points);
        let figure = tuning::residuals(laws, self.words(&axis, "Loss above the law (%)"));
        let fit = frontiers::of_each(laws, |law| {
            let (fit, tested) = (law.found.as_ref().ok().map(|(_, law)| law), law.tested());
            json!({"law": fit, "back_test": tested.map(|tested| &tested.backtest)})
        });
        let files = (figure.svg(&self.style())?, figure.csv());
        Ok(Some(self.drawn(Figure::Residuals, format!("residuals{ending}"), files, &hashed(points), fit)))
    }

    pub(crate) fn optimal_lr(&self) -> Result<Option<Drawn>, Failure> {
        let needs = if self.sweep.is_none() { Needs::LrAndEpochs } else { Needs::LrAndLoss };
        let points = self.take(needs, Stage::Pretraining)?;
        let mut figure = figures::optimal_lr(&points, self.words("Training epochs", "Optimal learning rate"));
        figure.words.notes.extend(points.excluded_note());
        if figure.series.iter().all(|series| series.points.is_empty()) {
            return Ok(None);
        }
        let files = (figure.svg(&self.style())?, figure.csv());
        Ok(Some(self.drawn(Figure::OptimalLr, "optimal-lr".to_owned(), files, &hashed(&points), Value::Null)))
    }

    pub(crate) fn rates(&self) -> Result<Option<Drawn>, Failure> {
        let points = self.take(Needs::LrAndLoss, Stage::Pretraining)?;
        let mut figure = tuning::rates(&points.runs, self.words("Learning rate", "Held-out loss (nats)"));
        figure.words.notes.extend(points.excluded_note());
        if figure.panels.is_empty() {
            return Ok(None);
        }
        let files = (figure.svg(&self.style())?, figure.csv());
        Ok(Some(self.drawn(Figure::Lr, "lr".to_owned(), files, &hashed(&points), Value::Null)))
    }

    /// The three figures of groups of equal compute; a sweep without such groups has none of them.
    pub(crate) fn isoflop(&self, wanted: &dyn Fn(Figure) -> bool) -> Result<Vec<Drawn>, Failure> {
        let points = self.take(Needs::SizeAndLoss, Stage::Pretraining)?;
        let how = How::default();
        let fitted = match fit_wide(Law::Isoflop, &points.runs, &how, None) {
            Ok(wide) => wide.law,
            Err(refusal) => {
                if self.options.figure != Figure::All {
                    say(&format!("no groups of equal compute: {refusal}; to mend it: {}", refusal.mend()));
                }
                return Ok(Vec::new());
            }
        };
        let Fitted::Isoflop(fitted) = fitted else { return Ok(Vec::new()) };
        let cells = cells(&points.runs, &how);
        let (axis, ending) = self.compute_axis(&points);
        let mut drawn = Vec::new();
        for (figure, name) in [
            (Figure::Isoflop, "isoflop"),
            (Figure::SizeVsCompute, "size-vs-compute"),
            (Figure::EpochsVsCompute, "epochs-vs-compute"),
        ] {
            let no_epochs = figure == Figure::EpochsVsCompute && points.runs.iter().any(|point| point.epochs.is_none());
            if no_epochs && self.options.figure == figure {
                say("these points have no epochs: name their column with --epochs-column");
            }
            if wanted(figure) && !no_epochs {
                let files = self.isoflop_figure(figure, &cells, &fitted, &axis)?;
                drawn.push(self.drawn(figure, format!("{name}{ending}"), files, &hashed(&points), json!(&*fitted)));
            }
        }
        Ok(drawn)
    }

    fn isoflop_figure(
        &self,
        figure: Figure,
        cells: &Cells,
        fitted: &Isoflop,
        axis: &str,
    ) -> Result<(String, String), Failure> {
        let look = self.style();
        if figure == Figure::Isoflop {
            let unit = match self.options.compute {
                _ if self.sweep.is_none() => "",
                Compute::Flops => " FLOPs",
                Compute::DeviceHours | Compute::TrainHours => " h",
            };
            let mut words = self.words("Parameters", "Held-out loss (nats)");
            words.notes.extend(unit.is_empty().then(|| format!("Numbers at the curves: {axis}.")));
            let figure = tuning::isoflop(cells, fitted, unit, words);
            return Ok((figure.svg(&look)?, figure.csv()));
        }
        let (unique, label) = match figure {
            Figure::EpochsVsCompute => (Some(cells.unique()), "Best number of epochs"),
            _ => (None, "Best model size (parameters)"),
        };
        let figure = tuning::optimum(fitted, unique, self.words(axis, label));
        Ok((figure.svg(&look)?, figure.csv()))
    }

    pub(crate) async fn curves(&self, store: &Store, rows: &[RunRow]) -> Result<Option<Drawn>, Failure> {
        let mut runs = Vec::new();
        for row in history::chosen(rows) {
            runs.push((row, store.loss_curve(row.run).await?));
        }
        let figure = history::curves(&runs, self.words("Samples seen", "Loss (nats)"));
        if figure.series.iter().all(|curve| curve.training.is_empty() && curve.held_out.is_empty()) {
            return Ok(None);
        }
        let files = (figure.svg(&self.style())?, figure.csv());
        let data = files.1.clone();
        Ok(Some(self.drawn(Figure::Curves, "curves".to_owned(), files, &data, Value::Null)))
    }

    pub(crate) async fn ledger(&self, store: &Store, sweep: i64) -> Result<Option<Drawn>, Failure> {
        let spells = store.spells(sweep).await?;
        if spells.is_empty() {
            return Ok(None);
        }
        let figure = history::ledger(&spells, self.words("Day (UTC)", "Device hours"));
        let files = (figure.svg(&self.style())?, figure.csv());
        let data = format!("{}{}", files.1, figure.words.notes.join(" "));
        Ok(Some(self.drawn(Figure::Ledger, "ledger".to_owned(), files, &data, Value::Null)))
    }

    fn take(&self, needs: Needs, stage: Stage) -> Result<Points, Failure> {
        match &self.sweep {
            Some(sweep) => Ok(points::of_sweep(sweep.rows, sweep.verdicts, self.options.compute, stage)),
            None => points::of_file(&self.options.columns, needs)?
                .ok_or_else(|| Failure::usage("name a sweep, or a file with --points")),
        }
    }

    fn drawn(&self, figure: Figure, name: String, files: (String, String), data: &str, fit: Value) -> Drawn {
        let command = decisive(self.options, figure, self.sweep.as_ref().map(|sweep| sweep.name));
        Drawn { name, command, svg: files.0, csv: files.1, data_hash: hash(data), fit }
    }

    fn style(&self) -> Style {
        match self.options.style {
            Look::Paper => Style::paper(),
            Look::Slides => Style::slides(),
            Look::Dark => Style::dark(),
        }
    }

    /// The axis of the compute, and what the names of files end in where it is not the usual one.
    fn compute_axis(&self, points: &Points) -> (String, &'static str) {
        let (axis, ending) = axis_of(self.options.compute);
        let column = || points.axes.compute_column.clone().unwrap_or_else(|| "compute".to_owned());
        let axis = if self.sweep.is_none() { column() } else { axis.to_owned() };
        (axis, ending)
    }

    fn words(&self, x_label: &str, y_label: &str) -> Words {
        let Plot { title, x_label: x, y_label: y, .. } = self.options;
        Words {
            title: title.clone(),
            x_label: x.clone().unwrap_or_else(|| x_label.to_owned()),
            y_label: y.clone().unwrap_or_else(|| y_label.to_owned()),
            // A figure that leaves its folder must not pass for one of real runs.
            notes: marked(self.sweep.as_ref().is_some_and(|sweep| is_simulated(sweep.rows))),
        }
    }
}

/// The first notes of a figure.
fn marked(simulated: bool) -> Vec<String> {
    if simulated { vec!["Simulated: nothing was trained.".to_owned()] } else { Vec::new() }
}

/// The axis of a compute of sweeps, and what the names of files end in where it is not the usual one.
fn axis_of(compute: Compute) -> (&'static str, &'static str) {
    match compute {
        Compute::Flops => ("Training compute (FLOPs)", "-flops"),
        Compute::DeviceHours => ("Training compute (billed device hours)", "-device-hours"),
        Compute::TrainHours => ("Training compute (hours of training)", ""),
    }
}

/// The figure of a stage against its compute: which, its name, and its axes.
fn against_compute(stage: Stage, axis: &str) -> (Figure, &'static str, String, &'static str) {
    match stage {
        Stage::Pretraining => (Figure::Scaling, "scaling", axis.to_owned(), "Held-out loss (nats)"),
        Stage::Finetuning => {
            let axis = axis.replace("Training compute", "Pre-training compute");
            (Figure::Transfer, "transfer", axis, "Top-1 error (%)")
        }
    }
}

/// The two sides of a comparison in one figure: points and laws by side. `command` draws it again.
pub(crate) fn compared(
    compared: &Compared,
    compute: Compute,
    simulated: bool,
    command: &[String],
) -> Result<Drawn, Failure> {
    let (axis, ending) = axis_of(compute);
    let (_, name, axis, loss) = against_compute(compared.stage, axis);
    say_lawless(&compared.laws);
    let words = Words { title: None, x_label: axis, y_label: loss.to_owned(), notes: marked(simulated) };
    let mut figure = figures::scaling(&compared.runs, &Asides::default(), &compared.laws, Vec::new(), words);
    if compared.stage == Stage::Finetuning {
        of_errors(&mut figure);
    }
    Ok(Drawn {
        name: format!("{name}{ending}"),
        command: command.to_vec(),
        svg: figure.svg(&Style::paper())?,
        csv: figure.csv(),
        data_hash: hash(&laws::points_hash(&compared.runs)),
        fit: frontiers::as_json(&compared.laws),
    })
}

/// What a law of top-1 errors gives is called so.
fn of_errors(figure: &mut report::ScalingFigure) {
    figure.laws.iter_mut().for_each(|law| law.label = law.label.replacen("L = ", "error = ", 1));
}

/// Everything of the points that a figure or its notes can show.
fn hashed(points: &Points) -> String {
    let kind = |reason: &str| reason.split(':').next().unwrap_or_default().to_owned();
    let left_out: Vec<String> =
        points.left_out.iter().map(|one| format!("{} {}", one.row, kind(&one.reason))).collect();
    format!("{} {}", laws::points_hash(&points.runs), left_out.join("; "))
}
