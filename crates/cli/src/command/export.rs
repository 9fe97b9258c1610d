//! `scalelaw export`: the runs of a sweep, or what they recorded on their way, as a table for other programs.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use store::{RunRow, Store};

use crate::args::{Export, ExportColumns, ExportContent, ExportTable};
use crate::exit::{Failure, print};
use crate::export::{self, ArrowFile, Column, Csv, Encoder, Entry, Field, JsonLines, Out, ParquetFile, Rows, Run};
use crate::pages::Told;
use crate::place::Place;
use crate::write::Partial;

/// Rows that are held in memory at once, of the table that may be long.
const AT_ONCE: usize = 100_000;

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Jsonl,
    Parquet,
    Arrow,
}

pub(crate) async fn run(place: &Place, options: &Export) -> Result<u8, Failure> {
    match options {
        Export::Csv(table) => write(place, Format::Csv, table).await,
        Export::Jsonl(table) => write(place, Format::Jsonl, table).await,
        Export::Parquet(table) => write(place, Format::Parquet, table).await,
        Export::Arrow(table) => write(place, Format::Arrow, table).await,
        Export::Columns(content) => Ok(list(place, content)),
    }
}

async fn write(place: &Place, format: Format, options: &ExportTable) -> Result<u8, Failure> {
    refuse(place, format, options)?;
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let rows = store.runs(sweep.sweep_id).await?;
    if options.content.metrics {
        let mut file = File::begin(format, options.out.as_deref(), &fields(&export::entries()))?;
        metrics(&store, &rows, &mut file).await?;
        return file.end(place);
    }
    let columns = columns(options.content.columns);
    let work = store.work(sweep.sweep_id).await?;
    let mut runs = export::runs(&sweep.name, &rows, work, options.peak_flops);
    if options.content.columns == ExportColumns::Chinchilla {
        runs.retain(Run::is_point);
    }
    let table = Rows::of(&columns, &runs);
    if place.json && options.out.is_none() {
        let runs: Result<Vec<Value>, _> = table.iter().map(serde_json::to_value).collect();
        let runs = runs.map_err(|error| Failure::environment(error.to_string()))?;
        print(&json!({"schema_version": 1, "sweep": sweep.name, "runs": runs}).to_string());
        return Ok(0);
    }
    let mut file = File::begin(format, options.out.as_deref(), &fields(&columns))?;
    file.write(&table)?;
    file.end(place)
}

fn columns<'a>(which: ExportColumns) -> Vec<Column<Run<'a>>> {
    match which {
        ExportColumns::All => export::columns(),
        ExportColumns::Chinchilla => export::chinchilla(),
    }
}

/// The table of all runs as a CSV file beside a report.
pub(crate) fn csv(told: &Told, path: &Path) -> Result<(), Failure> {
    let columns = export::columns();
    let runs = export::runs(&told.sweep.name, &told.rows, told.work.clone(), None);
    let mut file = File::begin(Format::Csv, Some(path), &fields(&columns))?;
    file.write(&Rows::of(&columns, &runs))?;
    file.keep()?;
    Ok(())
}

/// What cannot be done is said before anything is read.
fn refuse(place: &Place, format: Format, options: &ExportTable) -> Result<(), Failure> {
    let to_stdout = options.out.is_none();
    let binary = matches!(format, Format::Parquet | Format::Arrow);
    if to_stdout && place.json && (format != Format::Csv || options.content.metrics) {
        return Err(Failure::usage("--json prints the table of `export csv`; leave it out, or name a file with --out"));
    }
    if to_stdout && binary && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "this format is not for a terminal: write it to a file with --out FILE, or into a pipe",
        ));
    }
    Ok(())
}

fn fields<R>(columns: &[Column<R>]) -> Vec<Field> {
    columns.iter().map(Column::field).collect()
}

/// The columns instead of a table.
fn list(place: &Place, content: &ExportContent) -> u8 {
    let fields = if content.metrics { fields(&export::entries()) } else { fields(&columns(content.columns)) };
    if place.json {
        let columns: Vec<Value> = fields
            .iter()
            .map(|field| json!({"name": field.name, "type": field.kind.word(), "description": field.about}))
            .collect();
        print(&json!({"schema_version": 1, "columns": columns}).to_string());
        return 0;
    }
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let lines = fields.iter().map(|field| format!("{:width$}  {:9}  {}", field.name, field.kind.word(), field.about));
    print(&lines.collect::<Vec<_>>().join("\n"));
    0
}

/// Writes what the runs recorded, piece by piece, so that no more of it is in memory than is written at once.
async fn metrics(store: &Store, rows: &[RunRow], file: &mut File) -> Result<(), Failure> {
    let columns = export::entries();
    let mut waiting: Vec<Entry<'_>> = Vec::new();
    for row in rows {
        let mut last = None;
        loop {
            let room = AT_ONCE - waiting.len();
            let recorded = store.recorded(row.run, last.as_ref(), room).await?;
            let is_all = recorded.len() < room;
            last = recorded.last().cloned();
            waiting.extend(recorded.into_iter().map(|recorded| Entry { row, recorded }));
            if is_all {
                break;
            }
            file.write(&Rows::of(&columns, &waiting))?;
            waiting.clear();
        }
    }
    file.write(&Rows::of(&columns, &waiting))
}

/// A table that is being written: to a file that appears when it is whole, or to standard output.
struct File {
    encoder: Box<dyn Encoder>,
    partial: Option<Partial>,
}

impl File {
    fn begin(format: Format, path: Option<&Path>, fields: &[Field]) -> Result<File, Failure> {
        let partial = path.map(Partial::begin).transpose()?;
        let out: Out = match &partial {
            Some(partial) => Box::new(io::BufWriter::new(partial.file()?)),
            None => Box::new(io::BufWriter::new(Pipe)),
        };
        let encoder: io::Result<Box<dyn Encoder>> = match format {
            Format::Csv => Csv::new(fields, out).map(|it| Box::new(it) as Box<dyn Encoder>),
            Format::Jsonl => Ok(Box::new(JsonLines(out))),
            Format::Parquet => ParquetFile::new(fields, out).map(|it| Box::new(it) as Box<dyn Encoder>),
            Format::Arrow => ArrowFile::new(fields, out).map(|it| Box::new(it) as Box<dyn Encoder>),
        };
        Ok(File { encoder: encoder.map_err(|error| cannot_write(path, &error))?, partial })
    }

    fn path(&self) -> Option<&Path> {
        self.partial.as_ref().map(Partial::path)
    }

    /// No rows are no piece of the table.
    fn write(&mut self, rows: &Rows) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        self.encoder.write(rows).map_err(|error| cannot_write(self.path(), &error))
    }

    /// Writes what is left, and names the file where it is one.
    fn keep(self) -> Result<Option<PathBuf>, Failure> {
        let File { encoder, partial } = self;
        let path = partial.as_ref().map(Partial::path);
        encoder.finish().map_err(|error| cannot_write(path, &error))?;
        let path = path.map(Path::to_owned);
        partial.map_or(Ok(()), Partial::keep)?;
        Ok(path)
    }

    fn end(self, place: &Place) -> Result<u8, Failure> {
        if let Some(path) = self.keep()? {
            place.print_files(&[path]);
        }
        Ok(0)
    }
}

fn cannot_write(path: Option<&Path>, error: &io::Error) -> Failure {
    let to = path.map_or_else(|| "to standard output".to_owned(), |path| path.display().to_string());
    Failure::environment(format!("cannot write {to}: {error}"))
}

/// Standard output. A reader that has gone away wants no more of it, which is no error.
struct Pipe;

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).inspect_err(leave)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().inspect_err(leave)
    }
}

fn leave(error: &io::Error) {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
}
