//! Arrow's file format.
//!
//! The `arrow-ipc` crate makes room for what a file announces before it looks at what is there, so that is compared first; a panic in
//! it is taken for what it is here, a damaged file.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_ipc::{Block, root_as_footer, root_as_message};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::Cell;

/// Rows of a record batch, and bytes of all that is unpacked from one.
const MOST_ROWS: i64 = 4_000_000;
const MOST_UNPACKED: i64 = 1 << 30;

/// The record batches of a file.
pub(super) struct Batches {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Batches {
    pub(super) fn open(content: Vec<u8>) -> Result<Batches, String> {
        guarded(|| {
            check(&content).ok_or("damaged: its footer or a record batch cannot be")?;
            let refused = |error: ArrowError| format!("cannot be read: {error}");
            let reader = FileReader::try_new(Cursor::new(&content), None).map_err(refused)?;
            let schema = reader.schema();
            let batches: Result<Vec<_>, _> = reader.collect();
            Ok(Batches { schema, batches: batches.map_err(refused)? })
        })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    pub(super) fn read(&self, column: usize) -> Result<Vec<Cell>, String> {
        guarded(|| {
            let mut values = Vec::with_capacity(self.rows());
            for batch in &self.batches {
                values.extend(cells(batch.column(column).as_ref())?);
            }
            Ok(values)
        })
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("damaged: its reader gave up".to_owned()))
}

fn cells(array: &dyn Array) -> Result<Vec<Cell>, String> {
    let text = |value: Option<&str>| value.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
    Ok(match array.data_type() {
        DataType::Null => vec![Cell::Null; array.len()],
        DataType::Boolean => {
            let flag = |value: Option<bool>| value.map_or(Cell::Null, |value| Cell::Text(value.to_string()));
            array.as_boolean().iter().map(flag).collect()
        }
        DataType::Int8 => numbers::<Int8Type>(array, f64::from),
        DataType::Int16 => numbers::<Int16Type>(array, f64::from),
        DataType::Int32 => numbers::<Int32Type>(array, f64::from),
        DataType::Int64 => numbers::<Int64Type>(array, |value| value as f64),
        DataType::UInt8 => numbers::<UInt8Type>(array, f64::from),
        DataType::UInt16 => numbers::<UInt16Type>(array, f64::from),
        DataType::UInt32 => numbers::<UInt32Type>(array, f64::from),
        DataType::UInt64 => numbers::<UInt64Type>(array, |value| value as f64),
        DataType::Float16 => numbers::<Float16Type>(array, f64::from),
        DataType::Float32 => numbers::<Float32Type>(array, f64::from),
        DataType::Float64 => numbers::<Float64Type>(array, |value| value),
        DataType::Utf8 => array.as_string::<i32>().iter().map(text).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(text).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(text).collect(),
        DataType::Dictionary(..) => {
            let array = array.as_any_dictionary();
            let values = cells(array.values().as_ref())?;
            let keys = cells(array.keys())?;
            let value = |key: &Cell| match key {
                Cell::Number(key) => values.get(*key as usize).cloned().ok_or_else(|| "damaged: a key".to_owned()),
                _ => Ok(Cell::Null),
            };
            return keys.iter().map(value).collect();
        }
        other => return Err(format!("its values are of type {other}: write them as float64")),
    })
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array, convert: impl Fn(T::Native) -> f64) -> Vec<Cell> {
    array
        .as_primitive::<T>()
        .iter()
        .map(|value| value.map_or(Cell::Null, |value| Cell::Number(convert(value))))
        .collect()
}

/// Whether all that the file announces is there and of a size that can be held.
fn check(content: &[u8]) -> Option<()> {
    let end = content.len().checked_sub(10)?;
    let (length, mark) = content.get(end..)?.split_first_chunk::<4>()?;
    let start = end.checked_sub(usize::try_from(i32::from_le_bytes(*length)).ok()?)?;
    let footer = root_as_footer(content.get(start..end).filter(|_| mark == b"ARROW1")?).ok()?;
    footer.schema()?;
    let blocks = [footer.dictionaries(), footer.recordBatches()];
    let mut rows = 0_i64;
    for block in blocks.into_iter().flatten().flatten() {
        rows = rows.checked_add(check_block(content, block)?).filter(|rows| *rows <= MOST_ROWS)?;
    }
    Some(())
}

/// The rows of a block, where its numbers can be.
fn check_block(content: &[u8], block: &Block) -> Option<i64> {
    let start = usize::try_from(block.offset()).ok()?;
    let (head, body) = (usize::try_from(block.metaDataLength()).ok()?, usize::try_from(block.bodyLength()).ok()?);
    let all = content.get(start..)?.get(..head.checked_add(body)?)?;
    let (head, body) = all.split_at(head);
    // Newer files have a mark before the length of the message.
    let behind_mark = head.strip_prefix(&[0xff; 4]).unwrap_or(head);
    let message = root_as_message(behind_mark.get(4..)?).ok()?;
    let of_dictionary = || message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    let batch = message.header_as_record_batch().or_else(of_dictionary)?;
    let mut unpacked = 0_i64;
    for buffer in batch.buffers()? {
        let at = usize::try_from(buffer.offset()).ok()?;
        let bytes = body.get(at..)?.get(..usize::try_from(buffer.length()).ok()?)?;
        if let (Some(_), Some(length)) = (batch.compression(), bytes.first_chunk::<8>()) {
            unpacked = unpacked.checked_add(i64::from_le_bytes(*length).max(0)).filter(|all| *all <= MOST_UNPACKED)?;
        }
    }
    Some(batch.length()).filter(|rows| *rows >= 0)
}
