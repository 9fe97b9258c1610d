//! Parquet files of plain columns: tables of numbers and words, such as what runs came to.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use ::parquet::column::reader::ColumnReaderImpl;
use ::parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use ::parquet::file::serialized_reader::SerializedPageReader;
use ::parquet::schema::types::ColumnDescriptor;
use bytes::Bytes;

use super::guard::{Counted, Limited};
use super::scalar::{MOST_ROWS, Scalar, Scalars};
use super::{check_footer, checked, every_row, guarded, shown};

/// A Parquet file in memory whose footer has been read.
#[derive(Debug)]
pub struct Flat {
    content: Bytes,
    metadata: ParquetMetaData,
    rows: usize,
}

impl Flat {
    /// Reads the footer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(content: Vec<u8>) -> Result<Flat, String> {
        let content = Bytes::from(content);
        guarded(|| {
            check_footer(&content)?;
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&content).map_err(shown)?;
            let rows = checked(&metadata, content.len() as u64)?.last().copied().unwrap_or_default();
            if rows > MOST_ROWS {
                return Err(format!("it has {rows} rows; at most {MOST_ROWS} are read"));
            }
            Ok(Flat { content: content.clone(), metadata, rows: rows as usize })
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Names of the columns; of those within others, with a point between.
    pub fn columns(&self) -> Vec<String> {
        let schema = self.metadata.file_metadata().schema_descr();
        schema.columns().iter().map(|column| column.path().string()).collect()
    }

    /// All values of the column with this number.
    ///
    /// # Errors
    /// What is wrong with it, or that its values are neither numbers nor text.
    pub fn read(&self, column: usize) -> Result<Vec<Scalar>, String> {
        let schema = self.metadata.file_metadata().schema_descr();
        let described = schema.columns().get(column).ok_or_else(|| format!("there is no column {column}"))?;
        if described.max_rep_level() > 0 {
            return Err("its values are lists".to_owned());
        }
        let mut values = Scalars::default();
        for group in 0..self.metadata.num_row_groups() {
            guarded(|| self.read_group(group, column, described, &mut values))?;
        }
        Ok(values.into_values())
    }

    fn read_group(
        &self,
        group: usize,
        column: usize,
        described: &ColumnDescriptor,
        values: &mut Scalars,
    ) -> Result<(), String> {
        match described.physical_type() {
            Physical::BOOLEAN => {
                self.each::<BoolType>(group, column, values, |values, flag| values.add_flag(Some(*flag)))
            }
            Physical::INT32 => {
                let convert = integers(described)?;
                self.numbers::<Int32Type>(group, column, values, |value| convert.of_32(*value))
            }
            Physical::INT64 => {
                let convert = integers(described)?;
                self.numbers::<Int64Type>(group, column, values, |value| convert.of_64(*value))
            }
            Physical::FLOAT => self.numbers::<FloatType>(group, column, values, |value| f64::from(*value)),
            Physical::DOUBLE => self.numbers::<DoubleType>(group, column, values, |value| *value),
            Physical::BYTE_ARRAY => self.each::<ByteArrayType>(group, column, values, |values, value| {
                let text = std::str::from_utf8(value.data()).map_err(|_| "a text that is not UTF-8".to_owned())?;
                values.add_text(Some(text))
            }),
            other => Err(format!("its values are of type {other}: write it as double")),
        }
    }

    fn numbers<T: DataType>(
        &self,
        group: usize,
        column: usize,
        values: &mut Scalars,
        convert: impl Fn(&T::T) -> f64,
    ) -> Result<(), String> {
        self.each::<T>(group, column, values, |values, value| {
            values.add(Some(convert(value)));
            Ok(())
        })
    }

    fn each<T: DataType>(
        &self,
        group: usize,
        column: usize,
        values: &mut Scalars,
        add: impl Fn(&mut Scalars, &T::T) -> Result<(), String>,
    ) -> Result<(), String> {
        let rows = self.metadata.row_group(group);
        let (chunk, count) = (rows.column(column), rows.num_rows() as usize);
        let file = Limited { file: Arc::new(self.content.clone()), located: false };
        let pages = SerializedPageReader::new(Arc::new(file), chunk, count, None).map_err(shown)?;
        let pages = Counted::new(pages, chunk.column_descr());
        let reader = ColumnReaderImpl::<T>::new(chunk.column_descr_ptr(), Box::new(pages));
        every_row(reader, chunk.column_descr(), count, |row| match row.first() {
            Some(value) => add(values, value),
            None => {
                values.add(None);
                Ok(())
            }
        })
    }
}

/// What integers of a column stand for.
#[derive(Clone, Copy)]
enum Integers {
    Signed,
    Unsigned,
    /// Divided by this power of ten.
    Decimal(i32),
}

impl Integers {
    fn of_32(self, value: i32) -> f64 {
        match self {
            Integers::Unsigned => f64::from(value.cast_unsigned()),
            _ => self.of_64(i64::from(value)),
        }
    }

    fn of_64(self, value: i64) -> f64 {
        match self {
            Integers::Signed => value as f64,
            Integers::Unsigned => value.cast_unsigned() as f64,
            Integers::Decimal(scale) => value as f64 / 10_f64.powi(scale),
        }
    }
}

fn integers(column: &ColumnDescriptor) -> Result<Integers, String> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) if !integer.is_signed => Ok(Integers::Unsigned),
        (None, ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64) => {
            Ok(Integers::Unsigned)
        }
        (Some(LogicalType::Decimal(decimal)), _) => Ok(Integers::Decimal(decimal.scale)),
        (None, ConvertedType::DECIMAL) => Ok(Integers::Decimal(column.type_scale())),
        (Some(LogicalType::Integer(_)), _)
        | (
            None,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64,
        ) => Ok(Integers::Signed),
        _ => Err("its values are times".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    const SCHEMA: &str = "message schema {
        required int32 unsigned (UINT_32); optional int64 price (DECIMAL(9, 2)); required float narrow; required boolean flag;
        optional group run { optional binary name (UTF8); } required int64 at (TIMESTAMP_MILLIS); repeated int32 many; }";

    fn written(name: &[u8]) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("a writer");
        let mut group = writer.next_row_group().expect("a row group");
        for column in 0..7 {
            let mut writer = group.next_column().expect("no error").expect("a column");
            match column {
                0 => writer.typed::<Int32Type>().write_batch(&[7, -1], None, None),
                1 => writer.typed::<Int64Type>().write_batch(&[1250], Some(&[1, 0]), None),
                2 => writer.typed::<FloatType>().write_batch(&[0.5, f32::NAN], None, None),
                3 => writer.typed::<BoolType>().write_batch(&[true, false], None, None),
                4 => writer.typed::<ByteArrayType>().write_batch(&[name.to_vec().into()], Some(&[2, 0]), None),
                5 => writer.typed::<Int64Type>().write_batch(&[0, 1], None, None),
                _ => writer.typed::<Int32Type>().write_batch(&[1, 2, 3], Some(&[1, 1, 1]), Some(&[0, 1, 0])),
            }
            .expect("values");
            writer.close().expect("a column");
        }
        group.close().expect("a row group");
        writer.into_inner().expect("a file")
    }

    #[test]
    fn columns_of_numbers_and_words_are_read_and_others_named() {
        let flat = Flat::open(written(b"wide")).expect("whole");
        let names = ["unsigned", "price", "narrow", "flag", "run.name", "at", "many"];
        assert_eq!((flat.columns(), flat.rows()), (names.map(str::to_owned).to_vec(), 2));
        let text = |text: &str| Scalar::Text(text.to_owned());
        assert_eq!(flat.read(0), Ok(vec![Scalar::Number(7.0), Scalar::Number(4_294_967_295.0)]));
        assert_eq!(flat.read(1), Ok(vec![Scalar::Number(12.5), Scalar::Null]));
        assert!(matches!(flat.read(2).as_deref(), Ok([Scalar::Number(0.5), Scalar::Number(nan)]) if nan.is_nan()));
        assert_eq!(flat.read(3), Ok(vec![text("true"), text("false")]));
        assert_eq!(flat.read(4), Ok(vec![text("wide"), Scalar::Null]));
        assert_eq!(flat.read(5), Err("its values are times".to_owned()));
        assert_eq!(flat.read(6), Err("its values are lists".to_owned()));
        assert_eq!(flat.read(7), Err("there is no column 7".to_owned()));
        let refused = |name: &[u8]| Flat::open(written(name)).expect("whole").read(4).expect_err("no word");
        assert_eq!(refused(&[0xff]), "a text that is not UTF-8");
        assert_eq!(refused(&[b'a'; 5000]), "a text of 5000 bytes; at most 4096 are read");
    }
}
