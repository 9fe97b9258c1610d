//! What `scalelaw export` writes: a table whose columns have a type and a description, given piece by piece to an encoder.

mod arrow;
mod metrics;
mod parquet;
mod runs;
mod text;

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub(crate) use arrow::ArrowFile;
pub(crate) use metrics::{Entry, entries};
pub(crate) use parquet::ParquetFile;
pub(crate) use runs::{Run, chinchilla, columns, runs};
pub(crate) use text::{Csv, JsonLines};

/// A column of a table of `R`. Its type is that of what it takes from a record.
pub(crate) struct Column<R> {
    pub(crate) name: &'static str,
    /// What it is, in a line.
    pub(crate) about: &'static str,
    take: Take<R>,
}

/// What a column takes from a record; `None` is null.
enum Take<R> {
    Text(fn(&R) -> Option<String>),
    Whole(fn(&R) -> Option<i64>),
    Number(fn(&R) -> Option<f64>),
    Flag(fn(&R) -> Option<bool>),
    /// Milliseconds since 1970.
    Time(fn(&R) -> Option<i64>),
}

impl<R> Column<R> {
    fn text(name: &'static str, about: &'static str, take: fn(&R) -> Option<String>) -> Column<R> {
        Column { name, about, take: Take::Text(take) }
    }

    fn whole(name: &'static str, about: &'static str, take: fn(&R) -> Option<i64>) -> Column<R> {
        Column { name, about, take: Take::Whole(take) }
    }

    fn number(name: &'static str, about: &'static str, take: fn(&R) -> Option<f64>) -> Column<R> {
        Column { name, about, take: Take::Number(take) }
    }

    fn flag(name: &'static str, about: &'static str, take: fn(&R) -> Option<bool>) -> Column<R> {
        Column { name, about, take: Take::Flag(take) }
    }

    fn time(name: &'static str, about: &'static str, take: fn(&R) -> Option<i64>) -> Column<R> {
        Column { name, about, take: Take::Time(take) }
    }

    pub(crate) fn field(&self) -> Field {
        let kind = match self.take {
            Take::Text(_) => Kind::Text,
            Take::Whole(_) => Kind::Whole,
            Take::Number(_) => Kind::Number,
            Take::Flag(_) => Kind::Flag,
            Take::Time(_) => Kind::Time,
        };
        Field { name: self.name, kind, about: self.about }
    }

    fn values(&self, records: &[R]) -> Values {
        match self.take {
            Take::Text(take) => Values::Text(records.iter().map(take).collect()),
            Take::Whole(take) => Values::Whole(records.iter().map(take).collect()),
            // JSON has no others.
            Take::Number(take) => {
                Values::Number(records.iter().map(|one| take(one).filter(|number| number.is_finite())).collect())
            }
            Take::Flag(take) => Values::Flag(records.iter().map(take).collect()),
            Take::Time(take) => Values::Time(records.iter().map(take).collect()),
        }
    }
}

/// A column as encoders know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) about: &'static str,
}

/// The type of a column. Every column may have nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// 64-bit signed integers.
    Whole,
    /// 64-bit floats, all of them finite.
    Number,
    Flag,
    /// Milliseconds since 1970, UTC; ISO 8601 where there is only text.
    Time,
}

impl Kind {
    /// The word for it in `scalelaw export columns`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Whole => "integer",
            Kind::Number => "float",
            Kind::Flag => "boolean",
            Kind::Time => "timestamp",
        }
    }
}

/// The values of one column in some rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Text(Vec<Option<String>>),
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
    Time(Vec<Option<i64>>),
}

impl Values {
    fn json(&self, row: usize) -> Value {
        match self {
            Values::Text(values) => json!(values[row]),
            Values::Whole(values) => json!(values[row]),
            Values::Number(values) => json!(values[row]),
            Values::Flag(values) => json!(values[row]),
            Values::Time(values) => json!(values[row].map(iso_8601)),
        }
    }
}

/// Some rows of a table.
#[derive(Debug)]
pub(crate) struct Rows {
    fields: Vec<Field>,
    values: Vec<Values>,
    count: usize,
}

impl Rows {
    pub(crate) fn of<R>(columns: &[Column<R>], records: &[R]) -> Rows {
        Rows {
            fields: columns.iter().map(Column::field).collect(),
            values: columns.iter().map(|column| column.values(records)).collect(),
            count: records.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One by one, as JSON objects whose keys have the order of the columns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.count).map(|row| Row { rows: self, row })
    }
}

pub(crate) struct Row<'a> {
    rows: &'a Rows,
    row: usize,
}

impl Row<'_> {
    fn cells(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let columns = self.rows.fields.iter().zip(&self.rows.values);
        columns.map(|(field, values)| (field.name, values.json(self.row)))
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.cells())
    }
}

/// Writes a table in some format.
pub(crate) trait Encoder {
    fn write(&mut self, rows: &Rows) -> io::Result<()>;
    /// Writes what stands behind the rows, and all of it out.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Where encoders write.
pub(crate) type Out = Box<dyn Write + Send>;

/// 2026-11-26T06:38:20.123Z.
fn iso_8601(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let of_day = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms_of_second) = (of_day / 1000 % 60, of_day % 1000);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{ms_of_second:03}Z", crate::history::date(ms.div_euclid(DAY_MS)))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::samples;
