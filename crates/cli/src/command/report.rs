//! `scalelaw report`: what a sweep asked, what happened and what came of it, in one file that needs nothing else.

use std::path::{Path, PathBuf};

use report::Document;

use super::{export, plot};
use crate::args::Report;
use crate::exit::Failure;
use crate::figure_file::Drawn;
use crate::pages::{self, Told};
use crate::place::Place;
use crate::plot_command::{typed, word};
use crate::write;

pub(crate) async fn run(place: &Place, options: &Report) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let folder = options.out.clone().unwrap_or_else(|| Path::new("reports").join(&sweep.name));
    let command = plot_command(&sweep.name, options);
    let typed = typed(&command).map_err(|error| Failure::usage(error.to_string()))?;
    let told = Told::read(&store, sweep).await?;
    let drawn = plot::draw_sweep(&store, &told.sweep, &told.rows, &told.verdicts, &typed).await?;
    store.close().await;
    let document = pages::sweep::document(place, &told, &drawn, options.compute)?;
    let written = save(&folder, &drawn, &document, &[told])?;
    place.print_files(&written);
    Ok(0)
}

/// Writes figures, the page that shows them and the runs behind it, and names all files.
pub(crate) fn save(folder: &Path, drawn: &[Drawn], page: &Document, told: &[Told]) -> Result<Vec<PathBuf>, Failure> {
    let mut written: Vec<PathBuf> = Vec::new();
    for figure in drawn {
        written.extend(figure.save(folder, false)?);
    }
    for (name, text) in [("report.html", page.html()), ("report.md", page.markdown())] {
        let path = folder.join(name);
        write::atomically(&path, text.as_bytes())?;
        written.push(path);
    }
    for one in told {
        let name = if told.len() == 1 { "runs.csv".to_owned() } else { format!("runs-{}.csv", one.sweep.name) };
        let path = folder.join(name);
        export::csv(one, &path)?;
        written.push(path);
    }
    Ok(written)
}

/// The command that draws the figures of the report.
fn plot_command(sweep: &str, options: &Report) -> Vec<String> {
    ["plot", "all", sweep, "--compute", &word(options.compute)].map(str::to_owned).to_vec()
}
