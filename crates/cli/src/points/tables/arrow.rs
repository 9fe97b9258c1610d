//! Arrow's file format.
//!
//! The `arrow-ipc` crate makes room for what a file announces before it looks at what is there, so that is compared first; a panic in
//! it is taken for what it is here, a damaged file.

use std::io::Cursor;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{AnyDictionaryArray, Array, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_ipc::{Block, Footer, root_as_footer, root_as_message};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use data::parquet::{MOST_ROWS, Scalars};

use super::Cell;

/// Bytes by which all that is unpacked from a file may be more than the file has.
const MOST_UNPACKED: u64 = 1 << 30;

/// The record batches of a file.
pub(super) struct Batches {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Batches {
    pub(super) fn open(content: Vec<u8>) -> Result<Batches, String> {
        guarded(|| {
            check(&content)?;
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
            let mut values = Scalars::default();
            for batch in &self.batches {
                add(&mut values, batch.column(column).as_ref())?;
            }
            Ok(values.into_values())
        })
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("damaged: its reader gave up".to_owned()))
}

fn add(values: &mut Scalars, array: &dyn Array) -> Result<(), String> {
    match array.data_type() {
        DataType::Null => (0..array.len()).for_each(|_| values.add(None)),
        DataType::Boolean => array.as_boolean().iter().try_for_each(|flag| values.add_flag(flag))?,
        DataType::Int8 => numbers::<Int8Type>(values, array, f64::from),
        DataType::Int16 => numbers::<Int16Type>(values, array, f64::from),
        DataType::Int32 => numbers::<Int32Type>(values, array, f64::from),
        DataType::Int64 => numbers::<Int64Type>(values, array, |value| value as f64),
        DataType::UInt8 => numbers::<UInt8Type>(values, array, f64::from),
        DataType::UInt16 => numbers::<UInt16Type>(values, array, f64::from),
        DataType::UInt32 => numbers::<UInt32Type>(values, array, f64::from),
        DataType::UInt64 => numbers::<UInt64Type>(values, array, |value| value as f64),
        DataType::Float16 => numbers::<Float16Type>(values, array, f64::from),
        DataType::Float32 => numbers::<Float32Type>(values, array, f64::from),
        DataType::Float64 => numbers::<Float64Type>(values, array, |value| value),
        DataType::Utf8 => array.as_string::<i32>().iter().try_for_each(|text| values.add_text(text))?,
        DataType::LargeUtf8 => array.as_string::<i64>().iter().try_for_each(|text| values.add_text(text))?,
        DataType::Utf8View => array.as_string_view().iter().try_for_each(|text| values.add_text(text))?,
        DataType::Dictionary(..) => chosen(values, array.as_any_dictionary())?,
        other => return Err(format!("its values are of type {other}: write them as float64")),
    }
    Ok(())
}

fn numbers<T: ArrowPrimitiveType>(values: &mut Scalars, array: &dyn Array, convert: impl Fn(T::Native) -> f64) {
    array.as_primitive::<T>().iter().for_each(|value| values.add(value.map(&convert)));
}

/// The values of a dictionary that the keys of the rows name.
fn chosen(values: &mut Scalars, array: &dyn AnyDictionaryArray) -> Result<(), String> {
    let (mut known, mut keys) = (Scalars::default(), Scalars::default());
    add(&mut known, array.values().as_ref())?;
    add(&mut keys, array.keys())?;
    let known = known.into_values();
    for key in keys.into_values() {
        let value = match key {
            Cell::Number(key) => known.get(key as usize).ok_or("damaged: a key")?,
            _ => &Cell::Null,
        };
        match value {
            Cell::Null => values.add(None),
            Cell::Number(number) => values.add(Some(*number)),
            Cell::Text(text) => values.add_text(Some(text))?,
        }
    }
    Ok(())
}

/// Refuses a file that announces what is not there, or more than can be held.
fn check(content: &[u8]) -> Result<(), String> {
    let damaged = "damaged: its footer or a record batch cannot be";
    let footer = footer(content).ok_or(damaged)?;
    let dictionaries = footer.dictionaries().into_iter().flatten().map(|block| (block, false));
    let batches = footer.recordBatches().into_iter().flatten().map(|block| (block, true));
    let (mut sum, mut places) = (Size::default(), Vec::new());
    for (block, has_rows) in dictionaries.chain(batches) {
        let place = place(content, block).ok_or(damaged)?;
        let size = size(&content[place.clone()], block.metaDataLength() as usize).ok_or(damaged)?;
        sum.unpacked = sum.unpacked.saturating_add(size.unpacked);
        // Those of a dictionary stand in the rows that name them.
        sum.rows = sum.rows.saturating_add(if has_rows { size.rows } else { 0 });
        if sum.rows.max(size.rows) > MOST_ROWS {
            return Err(format!("it has {} rows or more; at most {MOST_ROWS} are read", sum.rows.max(size.rows)));
        }
        if sum.unpacked > MOST_UNPACKED.saturating_add(content.len() as u64) {
            return Err(format!("unpacked it has {MOST_UNPACKED} bytes more than packed, and no more are read"));
        }
        places.push(place);
    }
    places.sort_by_key(|place| place.start);
    let apart = places.windows(2).all(|pair| pair[0].end <= pair[1].start);
    if apart { Ok(()) } else { Err("damaged: record batches overlap".to_owned()) }
}

fn footer(content: &[u8]) -> Option<Footer<'_>> {
    let end = content.len().checked_sub(10)?;
    let (length, mark) = content.get(end..)?.split_first_chunk::<4>()?;
    let start = end.checked_sub(usize::try_from(i32::from_le_bytes(*length)).ok()?)?;
    let footer = root_as_footer(content.get(start..end).filter(|_| mark == b"ARROW1")?).ok()?;
    footer.schema().map(|_| footer)
}

/// Where a block is, with its head, if that is within the file.
fn place(content: &[u8], block: &Block) -> Option<Range<usize>> {
    let start = usize::try_from(block.offset()).ok()?;
    let (head, body) = (usize::try_from(block.metaDataLength()).ok()?, usize::try_from(block.bodyLength()).ok()?);
    let end = start.checked_add(head)?.checked_add(body)?;
    Some(start..end).filter(|_| end <= content.len())
}

/// What a block holds.
#[derive(Default)]
struct Size {
    rows: u64,
    /// Bytes without compression.
    unpacked: u64,
}

/// What a block with a head of this length announces, where its numbers can be.
fn size(block: &[u8], head: usize) -> Option<Size> {
    let (head, body) = block.split_at_checked(head)?;
    // Newer files have a mark before the length of the message.
    let behind_mark = head.strip_prefix(&[0xff; 4]).unwrap_or(head);
    let message = root_as_message(behind_mark.get(4..)?).ok()?;
    let of_dictionary = || message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    let batch = message.header_as_record_batch().or_else(of_dictionary)?;
    let mut unpacked = 0_u64;
    for buffer in batch.buffers()? {
        let at = usize::try_from(buffer.offset()).ok()?;
        let bytes = body.get(at..)?.get(..usize::try_from(buffer.length()).ok()?)?;
        let announced = batch.compression().and(bytes.first_chunk::<8>()).map(|length| i64::from_le_bytes(*length));
        // One that compression would make larger is not compressed, which the length -1 says.
        let length = announced.and_then(|length| u64::try_from(length).ok()).unwrap_or(bytes.len() as u64);
        unpacked = unpacked.saturating_add(length);
    }
    Some(Size { rows: u64::try_from(batch.length()).ok()?, unpacked })
}
