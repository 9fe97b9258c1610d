//! `scalelaw compare`: two sweeps, or the two families of one, at equal compute: a page, its figures and the numbers.

use std::path::Path;

use serde_json::json;

use super::report;
use crate::args::{Compare, Compute};
use crate::drawing;
use crate::exit::{Failure, NO_FIT, print, say};
use crate::figure_file::Drawn;
use crate::pages::comparison;
use crate::pages::sides::{self, Sides};
use crate::pages::{Told, is_simulated};
use crate::place::Place;
use crate::plot_command::word;
use crate::write;

pub(crate) async fn run(place: &Place, options: &Compare) -> Result<u8, Failure> {
    let told = told(place, options).await?;
    let sides = Sides::of(&told, options.compute)?;
    let command = command(&told, options);
    let drawn = figures(&told, &sides, &command)?;
    let warnings = sides::warnings(&told, &sides);
    let name = match &told[..] {
        [only] => format!("{}-families", only.sweep.name),
        _ => sides.names.join("-and-"),
    };
    let folder = options.out.clone().unwrap_or_else(|| Path::new("reports").join(name));
    let typed = format!("scalelaw {}", command.join(" "));
    let page = comparison::document(place, &told, &sides, &warnings, &drawn, &typed)?;
    let mut written = report::save(&folder, &drawn, &page, &told)?;
    let answer = sides.as_json(&warnings);
    let path = folder.join("comparison.json");
    let text = serde_json::to_string_pretty(&answer).map_err(|error| Failure::environment(error.to_string()))?;
    write::atomically(&path, (text + "\n").as_bytes())?;
    written.push(path);
    let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    if place.json {
        print(&json!({"schema_version": 1, "files": paths, "answer": answer}).to_string());
    } else {
        print(&comparison::in_short(&sides).join("\n"));
        print(&paths.join("\n"));
    }
    Ok(if sides.has_answer() { 0 } else { NO_FIT })
}

/// The figures alone, to see whether what they were drawn from has moved.
pub(crate) async fn draw(place: &Place, options: &Compare) -> Result<Vec<Drawn>, Failure> {
    let told = told(place, options).await?;
    figures(&told, &Sides::of(&told, options.compute)?, &command(&told, options))
}

async fn told(place: &Place, options: &Compare) -> Result<Vec<Told>, Failure> {
    let store = place.read().await?;
    let mut told: Vec<Told> = Vec::new();
    for name in std::iter::once(&options.one).chain(&options.other) {
        let sweep = place.choose(&store, Some(name)).await?;
        if told.iter().any(|other| other.sweep.sweep_id == sweep.sweep_id) {
            return Err(Failure::usage(format!(
                "{} is one sweep, and it cannot be compared with itself; its families are: scalelaw compare {}",
                sweep.name, sweep.name
            )));
        }
        told.push(Told::read(&store, sweep).await?);
    }
    store.close().await;
    Ok(told)
}

/// What compares these sweeps again, wherever it is typed.
fn command(told: &[Told], options: &Compare) -> Vec<String> {
    let mut command = vec!["compare".to_owned()];
    command.extend(told.iter().map(|told| told.sweep.name.clone()));
    if options.compute != Compute::Flops {
        command.extend(["--compute".to_owned(), word(options.compute)]);
    }
    command
}

fn figures(told: &[Told], sides: &Sides, command: &[String]) -> Result<Vec<Drawn>, Failure> {
    let simulated = told.iter().any(|told| is_simulated(&told.rows));
    sides.stages.iter().map(|compared| drawing::compared(compared, sides.compute, simulated, command)).collect()
}
