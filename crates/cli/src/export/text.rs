//! CSV, empty where there is nothing, and JSON Lines.

use std::io::{self, Write};

use serde_json::Value;

use super::{Encoder, Field, Out, Rows};

/// Comma-separated, with a header.
pub(crate) struct Csv(csv::Writer<Out>);

impl Csv {
    pub(crate) fn new(fields: &[Field], out: Out) -> io::Result<Csv> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(fields.iter().map(|field| field.name))?;
        Ok(Csv(writer))
    }
}

impl Encoder for Csv {
    fn write(&mut self, rows: &Rows) -> io::Result<()> {
        for row in rows.iter() {
            self.0.write_record(row.cells().map(|(_, value)| as_text(value)))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

fn as_text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// An object a line.
pub(crate) struct JsonLines(pub(crate) Out);

impl Encoder for JsonLines {
    fn write(&mut self, rows: &Rows) -> io::Result<()> {
        for row in rows.iter() {
            serde_json::to_writer(&mut self.0, &row)?;
            self.0.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
