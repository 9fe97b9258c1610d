//! Separated values with a header.

use super::{Cell, Table};

/// Reads a text whose columns are separated by tabs, semicolons or commas, as its header is.
pub(super) fn read(text: &str) -> Result<Table, String> {
    let delimiter = delimiter(text.lines().next().unwrap_or_default());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(delimiter).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
    let mut columns: Vec<Vec<Cell>> = names.iter().map(|_| Vec::new()).collect();
    let mut rows = 0;
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        rows += 1;
        for (column, text) in columns.iter_mut().zip(&record) {
            column.push(Cell::Text(text.to_owned()));
        }
    }
    Ok(Table::new(names, rows, columns))
}

/// What separates the columns of a header: the most frequent of the three, outside quotation marks.
fn delimiter(header: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header.bytes() {
        quoted ^= byte == b'"';
        counts.iter_mut().filter(|(delimiter, _)| *delimiter == byte && !quoted).for_each(|(_, count)| *count += 1);
    }
    // Of equals the last: names have commas within them rather than tabs.
    counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count).map_or(b',', |(byte, _)| byte)
}
