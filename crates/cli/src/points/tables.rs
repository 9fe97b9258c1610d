//! Tables of points in files: comma-, tab- or semicolon-separated, JSON, Parquet, Arrow. The content says which it is.

mod arrow;
mod json;
mod text;

use std::path::Path;

pub(super) use data::parquet::Scalar as Cell;

/// A table; the cells of columns that nobody asks for need not be readable.
pub(super) struct Table {
    names: Vec<String>,
    rows: usize,
    cells: Cells,
}

enum Cells {
    /// Column by column.
    Read(Vec<Vec<Cell>>),
    Parquet(data::parquet::Flat),
    Arrow(arrow::Batches),
}

impl Table {
    fn new(names: Vec<String>, rows: usize, columns: Vec<Vec<Cell>>) -> Table {
        Table { names, rows, cells: Cells::Read(columns) }
    }

    /// Names of the columns, in their order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// All cells of the column with this number, as many as there are rows; text without blanks around it.
    pub(super) fn column(&self, column: usize) -> Result<Vec<Cell>, String> {
        let cells = match &self.cells {
            Cells::Read(columns) => Ok(columns[column].clone()),
            Cells::Parquet(file) => file.read(column),
            Cells::Arrow(batches) => batches.read(column),
        };
        let named = |problem| format!("column {:?}: {problem}", self.names[column]);
        let cells: Vec<Cell> = cells.map_err(named)?.into_iter().map(trimmed).collect();
        if cells.len() == self.rows { Ok(cells) } else { Err(named(format!("{} of {} rows", cells.len(), self.rows))) }
    }
}

fn trimmed(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) if text.trim().is_empty() => Cell::Null,
        Cell::Text(text) if text.trim().len() < text.len() => Cell::Text(text.trim().to_owned()),
        other => other,
    }
}

/// Reads a file in any of the formats.
pub(super) fn read(path: &Path) -> Result<Table, String> {
    let content = std::fs::read(path).map_err(|error| error.to_string())?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    parse(content, &ending)
}

/// The same of its content and the ending of its name, which says what it was meant to be where the content does not.
fn parse(content: Vec<u8>, ending: &str) -> Result<Table, String> {
    match &content[..] {
        [b'P', b'A', b'R', b'1', ..] => {
            let file = data::parquet::Flat::open(content)?;
            Ok(Table { names: file.columns(), rows: file.rows(), cells: Cells::Parquet(file) })
        }
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => {
            let batches = arrow::Batches::open(content)?;
            Ok(Table { names: batches.names(), rows: batches.rows(), cells: Cells::Arrow(batches) })
        }
        [0xff, 0xff, 0xff, 0xff, ..] => Err("an Arrow stream; Arrow's file format is read here".to_owned()),
        [b'F', b'E', b'A', b'1', ..] => Err("Feather version 1; write it anew as version 2".to_owned()),
        [0x1f, 0x8b, ..] => Err("compressed; unpack it with gunzip first".to_owned()),
        _ => match ending {
            "parquet" | "pq" => Err("not a Parquet file, which begins with PAR1".to_owned()),
            "arrow" | "feather" | "ipc" => Err("not an Arrow file, which begins with ARROW1".to_owned()),
            _ => of_text(&content, ending),
        },
    }
}

fn of_text(content: &[u8], ending: &str) -> Result<Table, String> {
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line}: this is not UTF-8")
    })?;
    // Some programs put a mark of their byte order before it.
    let text = text.trim_start_matches('\u{feff}');
    let is_json = text.trim_start().starts_with(['{', '[']) || matches!(ending, "json" | "jsonl" | "ndjson");
    if is_json { json::read(text) } else { text::read(text) }
}

#[cfg(test)]
mod tests;
