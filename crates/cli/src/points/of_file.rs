//! Points of a file of any trainer, or of what `scalelaw export` wrote.

use std::collections::BTreeMap;
use std::path::Path;

use fit::Excluded;

use super::names::{self, Absent, Found};
use super::tables::{self, Cell, Table};
use super::{Axes, Needs, Points, REPEATED, Rates, RunPoint, tell_apart};
use crate::args::Columns;
use crate::command::table::count;
use crate::exit::{Failure, say};

/// The points of the file that --points names, if it does.
pub(crate) fn of_file(columns: &Columns, needs: Needs) -> Result<Option<Points>, Failure> {
    columns.points.as_ref().map(|path| read_with(path, columns, needs, Absent::Refused)).transpose()
}

/// The points of another file than that which the flags are for: of its columns, those that have to be there.
pub(crate) fn read(path: &Path, columns: &Columns, needs: Needs) -> Result<Points, Failure> {
    read_with(path, columns, needs, Absent::Said)
}

/// Reads the file at `path` and says what in it was taken for what, as far as the columns have other names than usual.
fn read_with(path: &Path, columns: &Columns, needs: Needs, absent: Absent) -> Result<Points, Failure> {
    let refuse = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let table = tables::read(path).map_err(refuse)?;
    let found = names::find(columns, needs, absent, table.names()).map_err(refuse)?;
    let points = points(&table, &found).map_err(refuse)?;
    let mut said = found.said;
    let dropped = points.left_out.iter().filter(|one| !one.reason.starts_with(REPEATED)).count();
    if dropped > 0 {
        said.push(format!("left out {} that the sweep does not count either", count(dropped, "row")));
    }
    if !said.is_empty() {
        say(&format!("scalelaw: {}: {}", path.display(), said.join("; ")));
    }
    Ok(points)
}

fn points(table: &Table, found: &Found) -> Result<Points, String> {
    let numbers = |column: Option<usize>| column.map(|at| numbers(table, at)).transpose();
    let (compute, loss, lr) = (numbers(found.compute)?, numbers(found.loss)?, numbers(found.lr)?);
    let (parameters, samples, epochs) = (numbers(found.params)?, numbers(found.samples)?, numbers(found.epochs)?);
    let names = |column: Option<usize>| column.map(|at| texts(table, at)).transpose();
    let (seed, model, family) = (numbers(found.seed)?, names(found.model)?, names(found.family)?);
    let name = |names: &Option<Vec<String>>, row: usize| names.as_ref().map(|names| names[row].clone());
    let verdicts = Verdicts::of(table)?;
    let at = |values: &Option<Vec<Option<f64>>>, row: usize| values.as_ref().and_then(|values| values[row]);
    let (mut runs, mut left_out) = (Vec::new(), Vec::new());
    for row in 0..table.rows() {
        if let Some(reason) = verdicts.as_ref().and_then(|verdicts| verdicts.no_point(row)) {
            left_out.push(Excluded { row: row + 1, reason });
            continue;
        }
        runs.push(RunPoint {
            row: row + 1,
            run: None,
            model: name(&model, row).unwrap_or_default(),
            family: name(&family, row).unwrap_or_default(),
            parameters: at(&parameters, row),
            epochs: at(&epochs, row),
            samples: at(&samples, row),
            lr: at(&lr, row),
            seed: at(&seed, row).map(|seed| seed as u64),
            compute: at(&compute, row).unwrap_or(f64::NAN),
            loss: at(&loss, row).filter(|loss| loss.is_finite()),
            verified: true,
        });
    }
    tell_apart(&mut runs);
    left_out.extend(repeats(&mut runs));
    left_out.sort_by_key(|one| one.row);
    let rates = if loss.is_none() { Rates::Optimal } else { Rates::Tried };
    let name = |column: Option<usize>| column.map(|at| table.names()[at].as_str());
    let axes = Axes::of_file(name(found.compute).map(str::to_owned), name(found.loss));
    Ok(Points { runs, left_out, rates, axes, unsteady: None })
}

fn numbers(table: &Table, column: usize) -> Result<Vec<Option<f64>>, String> {
    let cells = table.column(column)?;
    let number = |(index, cell): (usize, Cell)| match cell {
        Cell::Null => Ok(None),
        Cell::Number(number) => Ok(Some(number)),
        Cell::Text(text) => text.parse().map(Some).map_err(|_| {
            let comma = text.replacen(',', ".", 1).parse::<f64>().is_ok();
            let remedy = if comma { "; decimals stand behind a point here" } else { "" };
            format!("row {}, column {:?}: {text:?} is not a number{remedy}", index + 1, table.names()[column])
        }),
    };
    cells.into_iter().enumerate().map(number).collect()
}

fn texts(table: &Table, column: usize) -> Result<Vec<String>, String> {
    let text = |cell| match cell {
        Cell::Null => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => text,
    };
    Ok(table.column(column)?.into_iter().map(text).collect())
}

/// What an export of a sweep says of its rows, in columns that are all there in every version of it.
struct Verdicts {
    state: Vec<String>,
    wanted: Vec<String>,
    pretrained: Option<Vec<String>>,
    excluded: Option<Vec<String>>,
}

impl Verdicts {
    /// `None` of a file that is no export.
    fn of(table: &Table) -> Result<Option<Verdicts>, String> {
        let find = |name: &str| table.names().iter().position(|column| column == name);
        let (Some(_), Some(_), Some(state), Some(wanted)) =
            (find("run_id"), find("cell_key"), find("state"), find("wanted"))
        else {
            return Ok(None);
        };
        let some = |name| find(name).map(|at| texts(table, at)).transpose();
        Ok(Some(Verdicts {
            state: texts(table, state)?,
            wanted: texts(table, wanted)?,
            pretrained: some("pretrained_run_id")?,
            excluded: some("excluded")?,
        }))
    }

    /// Why the sweep itself has no point of the row, in the words that it has for it.
    fn no_point(&self, row: usize) -> Option<String> {
        let some = |texts: &Option<Vec<String>>| {
            texts.as_ref().map(|texts| texts[row].clone()).filter(|text| !text.is_empty())
        };
        if let Some(reason) = some(&self.excluded) {
            return Some(format!("excluded: {reason}"));
        }
        match self.state[row].as_str() {
            _ if !matches!(self.wanted[row].as_str(), "true" | "True") => {
                Some("no longer asked for by the sweep file".to_owned())
            }
            "completed" | "diverged" => some(&self.pretrained).map(|_| "fine-tuning".to_owned()),
            state => Some(format!("not finished: {state}")),
        }
    }
}

/// Takes out rows that say the same as an earlier one: the same run, written twice.
fn repeats(runs: &mut Vec<RunPoint>) -> Vec<Excluded> {
    let (mut first, mut repeats) = (BTreeMap::new(), Vec::new());
    runs.retain(|run| {
        let Some(loss) = run.loss else { return true };
        let numbers = [run.parameters, run.epochs, run.samples, run.lr, Some(run.compute), Some(loss)];
        let key = (run.model.clone(), numbers.map(|number| number.map(f64::to_bits)), run.seed);
        let at = *first.entry(key).or_insert(run.row);
        if at != run.row {
            repeats.push(Excluded { row: run.row, reason: format!("{REPEATED} {at}") });
        }
        at == run.row
    });
    repeats
}
