//! Parquet. Descriptions of columns are in the metadata of the file, under `scalelaw.columns`, as a JSON object.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::Type;

use super::{Encoder, Field, Kind, Out, Rows, Values};

/// A row group for each piece of the table, compressed by Zstandard.
pub(crate) struct ParquetFile(SerializedFileWriter<Out>);

impl ParquetFile {
    pub(crate) fn new(fields: &[Field], out: Out) -> io::Result<ParquetFile> {
        let columns: Result<Vec<_>, _> = fields.iter().map(|field| column(field).map(Arc::new)).collect();
        let schema = columns.and_then(|columns| Type::group_type_builder("schema").with_fields(columns).build());
        let about: BTreeMap<&str, &str> = fields.iter().map(|field| (field.name, field.about)).collect();
        let about = KeyValue::new("scalelaw.columns".to_owned(), serde_json::to_string(&about)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("scalelaw version {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![about]))
            .build();
        let writer = schema.and_then(|schema| SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)));
        Ok(ParquetFile(writer.map_err(as_io)?))
    }
}

fn column(field: &Field) -> Result<Type, ParquetError> {
    let (physical, logical) = match field.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Whole => (Physical::INT64, None),
        Kind::Number => (Physical::DOUBLE, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    let builder = Type::primitive_type_builder(field.name, physical);
    builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()
}

impl Encoder for ParquetFile {
    fn write(&mut self, rows: &Rows) -> io::Result<()> {
        let mut group = self.0.next_row_group().map_err(as_io)?;
        for values in &rows.values {
            let column = group.next_column().map_err(as_io)?;
            let column = column.ok_or_else(|| io::Error::other("more columns than the header has"))?;
            match values {
                Values::Text(values) => put::<ByteArrayType, _>(column, values, |text| ByteArray::from(text.as_str())),
                Values::Whole(values) | Values::Time(values) => put::<Int64Type, _>(column, values, |value| *value),
                Values::Number(values) => put::<DoubleType, _>(column, values, |value| *value),
                Values::Flag(values) => put::<BoolType, _>(column, values, |value| *value),
            }
            .map_err(as_io)?;
        }
        group.close().map(drop).map_err(as_io)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.close().map(drop).map_err(as_io)
    }
}

/// Writes a column: a level for each row that says whether there is a value, and the values that there are.
fn put<T: DataType, V>(
    mut column: SerializedColumnWriter<'_>,
    values: &[Option<V>],
    as_stored: impl Fn(&V) -> T::T,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let there: Vec<T::T> = values.iter().flatten().map(as_stored).collect();
    column.typed::<T>().write_batch(&there, Some(&levels), None)?;
    column.close()
}

fn as_io(error: ParquetError) -> io::Error {
    io::Error::other(error.to_string())
}
