//! Arrow's file format, also called Feather version 2. The description of a column is in its metadata, under `description`.

use std::io;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef, TimeUnit};

use super::{Encoder, Field, Kind, Out, Rows, Values};

/// A record batch for each piece of the table, not compressed.
pub(crate) struct ArrowFile {
    schema: SchemaRef,
    writer: FileWriter<Out>,
}

impl ArrowFile {
    pub(crate) fn new(fields: &[Field], out: Out) -> io::Result<ArrowFile> {
        let schema = Arc::new(Schema::new(fields.iter().map(column).collect::<Vec<_>>()));
        let writer = FileWriter::try_new(out, &schema).map_err(as_io)?;
        Ok(ArrowFile { schema, writer })
    }
}

fn column(field: &Field) -> arrow_schema::Field {
    let kind = match field.kind {
        Kind::Text => DataType::Utf8,
        Kind::Whole => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Flag => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
    };
    let about = [("description".to_owned(), field.about.to_owned())];
    arrow_schema::Field::new(field.name, kind, true).with_metadata(about)
}

impl Encoder for ArrowFile {
    fn write(&mut self, rows: &Rows) -> io::Result<()> {
        let columns = rows.values.iter().map(array).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        batch.and_then(|batch| self.writer.write(&batch)).map_err(as_io)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.finish().and_then(|()| self.writer.flush()).map_err(as_io)
    }
}

fn array(values: &Values) -> ArrayRef {
    match values {
        Values::Text(values) => Arc::new(StringArray::from_iter(values)),
        Values::Whole(values) => Arc::new(Int64Array::from_iter(values)),
        Values::Number(values) => Arc::new(Float64Array::from_iter(values)),
        Values::Flag(values) => Arc::new(BooleanArray::from_iter(values)),
        Values::Time(values) => Arc::new(TimestampMillisecondArray::from_iter(values).with_timezone("UTC")),
    }
}

fn as_io(error: ArrowError) -> io::Error {
    io::Error::other(error.to_string())
}
