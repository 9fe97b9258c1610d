//! Pictures in Parquet files, in the struct of bytes and path that Hugging Face writes; tables of plain columns are in [`Flat`].
//!
//! A row is read by its number: whole pages before it are skipped, by the file's page index where it has one. The `parquet` crate
//! checks less than it assumes, so a panic in it is taken for what it is here, a damaged file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::basic::Type as Physical;
use ::parquet::column::reader::ColumnReaderImpl;
use ::parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ColumnChunkMask, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use ::parquet::file::reader::ChunkReader;
use ::parquet::file::serialized_reader::SerializedPageReader;
use ::parquet::schema::types::Type as Schema;
use bytes::Bytes;

use crate::labels::{Classes, FIELDS, Labelling};
use guard::{Counted, Limited};

mod at;
mod compact;
mod flat;
mod guard;
mod scalar;

pub(crate) use at::At;
pub use flat::Flat;
pub use scalar::{MOST_ROWS, Scalar, Scalars};

/// Rows whose labels are read at once.
const STRIDE: usize = 1024;

/// A Parquet file whose footer has been read.
pub(crate) struct Opened<R> {
    reader: Arc<R>,
    metadata: ParquetMetaData,
    /// The column with the bytes of the pictures.
    image: usize,
    /// The number of rows up to the end of each row group.
    ends: Vec<u64>,
}

/// The rows of a Parquet file in memory, after everything in its footer has been looked at that is used.
///
/// # Errors
/// What is wrong with it.
pub fn parse_parquet(content: &[u8]) -> Result<u64, String> {
    let opened = Opened::new(Bytes::copy_from_slice(content), true)?;
    opened.class_names(None);
    Ok(opened.rows())
}

/// Reads all labels and the first `most` pictures of a Parquet file in memory; says how many of these pictures can be read.
///
/// # Errors
/// What is wrong with its footer or its labels.
pub fn read_parquet(content: &[u8], labelling: &Labelling, most: u64) -> Result<u64, String> {
    let opened = Opened::new(Bytes::copy_from_slice(content), true)?;
    opened.labels(&Classes::new(labelling), |_, _| Ok(())).map_err(|(_, problem)| problem)?;
    let mut bytes = Vec::new();
    let rows = 0..opened.rows().min(most);
    Ok(rows.filter(|row| opened.read(*row, &mut bytes).is_ok()).count() as u64)
}

/// Runs what may panic on a damaged file.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("damaged: its reader gave up".to_owned()))
}

fn shown(error: ParquetError) -> String {
    error.to_string()
}

impl<R: ChunkReader + 'static> Opened<R> {
    /// Reads the footer; with `pages` the index of the pages too, which reading of pictures is faster with.
    pub(crate) fn new(reader: R, pages: bool) -> Result<Opened<R>, String> {
        guarded(|| {
            check_footer(&reader)?;
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&reader).map_err(shown)?;
            let image = image(&metadata)?;
            let ends = checked(&metadata, reader.len())?;
            let metadata = match pages {
                true => {
                    check_page_index(&metadata, image, &reader)?;
                    let mut again = ParquetMetaDataReader::new_with_metadata(metadata)
                        .with_offset_index_policy(PageIndexPolicy::Optional)
                        .with_offset_index_mask(ColumnChunkMask::columns([image]));
                    again.read_page_indexes(&reader).map_err(shown)?;
                    again.finish().map_err(shown)?
                }
                false => metadata,
            };
            Ok(Opened { reader: Arc::new(reader), metadata, image, ends })
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The encoded picture of a row.
    pub(crate) fn read(&self, row: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
        let group = self.ends.partition_point(|end| *end <= row);
        if group == self.ends.len() {
            return Err(format!("row {row} of {}", self.rows()));
        }
        let before = if group == 0 { 0 } else { self.ends[group - 1] };
        let skip = (row - before) as usize;
        guarded(|| {
            let mut column = self.column::<ByteArrayType>(group, self.image)?;
            let skipped = column.skip_records(skip).map_err(shown)?;
            let mut values = Vec::new();
            let (rows, count, _) =
                column.read_records(1, Some(&mut Vec::new()), Some(&mut Vec::new()), &mut values).map_err(shown)?;
            if (skipped, rows) != (skip, 1) {
                return Err(format!("its row group ends after {skipped} rows"));
            }
            if count == 0 {
                return Err("its bytes are null; there is no picture in the file".to_owned());
            }
            bytes.clear();
            bytes.extend_from_slice(values.first().map_or(&[][..], |value| value.data()));
            Ok(())
        })
    }

    /// Where the page is that has a row, if the file says so: for reading ahead.
    pub(crate) fn page(&self, row: u64) -> Option<(u64, u64)> {
        let group = self.ends.partition_point(|end| *end <= row);
        let before = if group == 0 { 0 } else { *self.ends.get(group - 1)? };
        let index = self.metadata.page_index_for_row_group(group);
        let pages = index.page_locations(self.image)?;
        let at = pages.partition_point(|page| page.first_row_index <= (row - before) as i64).checked_sub(1)?;
        Some((u64::try_from(pages[at].offset).ok()?, u64::try_from(pages[at].compressed_page_size).ok()?))
    }

    fn column<T: DataType>(&self, group: usize, leaf: usize) -> Result<ColumnReaderImpl<T>, String> {
        let rows = self.metadata.row_group(group);
        let pages = (leaf == self.image)
            .then(|| self.metadata.page_index_for_row_group(group).page_locations(leaf).cloned())
            .flatten();
        let column = rows.column(leaf);
        let file = Limited { file: Arc::clone(&self.reader), located: pages.is_some() };
        let pages = SerializedPageReader::new(Arc::new(file), column, rows.num_rows() as usize, pages);
        let pages = Counted::new(pages.map_err(shown)?, column.column_descr());
        Ok(ColumnReaderImpl::new(column.column_descr_ptr(), Box::new(pages)))
    }

    /// Gives the labels of all rows in their order; an error of `each` comes back with the row.
    pub(crate) fn labels(
        &self,
        classes: &Classes,
        mut each: impl FnMut(u64, Vec<u32>) -> Result<(), String>,
    ) -> Result<(), (Option<u64>, String)> {
        let whole = |problem| (None, problem);
        let leaf = self.label_column(classes).map_err(whole)?;
        let column = self.metadata.file_metadata().schema_descr().column(leaf);
        let mut next = 0;
        let mut wrong = None;
        let mut take = |labels: Result<Vec<u32>, String>| {
            let done = labels.and_then(|labels| classes.checked(labels)).and_then(|labels| each(next, labels));
            next += 1;
            done.inspect_err(|_| wrong = Some(next - 1))
        };
        for group in 0..self.ends.len() {
            let rows = self.metadata.row_group(group).num_rows() as usize;
            let number = |value: i64| classes.number(value);
            let result = guarded(|| match column.physical_type() {
                Physical::INT32 => every_row::<Int32Type>(self.column(group, leaf)?, &column, rows, |values| {
                    take(values.iter().map(|value| number(i64::from(*value))).collect())
                }),
                Physical::INT64 => every_row::<Int64Type>(self.column(group, leaf)?, &column, rows, |values| {
                    take(values.iter().map(|value| number(*value)).collect())
                }),
                Physical::BYTE_ARRAY => {
                    every_row::<ByteArrayType>(self.column(group, leaf)?, &column, rows, |values| {
                        let name = |value: &::parquet::data_type::ByteArray| {
                            classes.name(&String::from_utf8_lossy(value.data()))
                        };
                        take(values.iter().map(name).collect())
                    })
                }
                other => Err(format!("the label column {} has values of type {other}", column.path())),
            });
            if let Err(problem) = result {
                return Err((wrong, problem));
            }
        }
        Ok(())
    }

    /// The leaf of the label column.
    fn label_column(&self, classes: &Classes) -> Result<usize, String> {
        let schema = self.metadata.file_metadata().schema_descr();
        let of = |field: &str| {
            let mut leaves = (0..schema.num_columns()).filter(|leaf| schema.get_column_root(*leaf).name() == field);
            leaves.next().filter(|_| leaves.next().is_none())
        };
        let leaf = match &classes.field {
            Some(field) => of(field).ok_or_else(|| format!("no column {field:?} of labels; {}", self.columns()))?,
            None => (FIELDS.into_iter().find_map(of))
                .ok_or_else(|| format!("no column of labels named {}; {}", FIELDS.join(", "), self.columns()))?,
        };
        match schema.column(leaf).max_rep_level() {
            0 => Ok(leaf),
            1 if classes.many => Ok(leaf),
            1 => Err(format!("the labels in {} are lists; set multi_label", schema.column(leaf).path())),
            _ => Err(format!("the labels in {} are lists of lists", schema.column(leaf).path())),
        }
    }

    fn columns(&self) -> String {
        let fields = self.metadata.file_metadata().schema().get_fields();
        format!("there are {}", fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", "))
    }

    /// The class names that Hugging Face leaves in the footer; empty if there are none.
    pub(crate) fn class_names(&self, field: Option<&str>) -> Vec<String> {
        let pairs = self.metadata.file_metadata().key_value_metadata();
        let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface"));
        let value = pair.and_then(|pair| serde_json::from_str::<serde_json::Value>(pair.value.as_deref()?).ok());
        let features = value.as_ref().and_then(|value| value.get("info")?.get("features"));
        let feature = features.and_then(|features| match field {
            Some(field) => features.get(field),
            None => FIELDS.iter().find_map(|field| features.get(field)),
        });
        // A list of labels has the names one level below, which two versions of the library write in two ways.
        let names = feature.and_then(|feature| {
            let below = feature.get("feature").or_else(|| feature.get(0));
            feature.get("names").or_else(|| below?.get("names"))
        });
        let names = names.and_then(|names| names.as_array());
        let texts =
            names.and_then(|names| names.iter().map(|name| Some(name.as_str()?.to_owned())).collect::<Option<_>>());
        texts.unwrap_or_default()
    }
}

/// The same for where the pages with pictures are.
fn check_page_index(metadata: &ParquetMetaData, image: usize, file: &impl ChunkReader) -> Result<(), String> {
    for group in metadata.row_groups() {
        let column = group.column(image);
        let place = column.offset_index_offset().zip(column.offset_index_length());
        let Some((Ok(start), Ok(length))) =
            place.map(|(start, length)| (u64::try_from(start), usize::try_from(length)))
        else {
            continue;
        };
        let inside = start.checked_add(length as u64).is_some_and(|end| end <= file.len());
        if !inside || !compact::is_whole(&file.get_bytes(start, length).map_err(shown)?) {
            return Err("damaged: its page index cannot be".to_owned());
        }
    }
    Ok(())
}

/// Looks at what the crate would make room for before it reads the footer; whether there is one is left to the crate.
fn check_footer(file: &impl ChunkReader) -> Result<(), String> {
    let Some(end) = file.len().checked_sub(8) else { return Ok(()) };
    let end_mark = file.get_bytes(end, 8).map_err(shown)?;
    let Some((length, b"PAR1")) = end_mark.split_first_chunk::<4>() else { return Ok(()) };
    let length = u32::from_le_bytes(*length);
    let Some(start) = end.checked_sub(u64::from(length)) else { return Ok(()) };
    compact::check_footer(&file.get_bytes(start, length as usize).map_err(shown)?)
}

/// Reads a column of a row group row by row: no value for null, several for a list.
fn every_row<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    column: &::parquet::schema::types::ColumnDescriptor,
    rows: usize,
    mut each: impl FnMut(&[T::T]) -> Result<(), String>,
) -> Result<(), String> {
    let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        definitions.clear();
        repetitions.clear();
        values.clear();
        let (read, _, levels) = reader
            .read_records(STRIDE.min(left), Some(&mut definitions), Some(&mut repetitions), &mut values)
            .map_err(shown)?;
        if read == 0 || read > left {
            return Err(format!("the column {} ends before its row group", column.path()));
        }
        left -= read;
        let (mut from, mut to) = (0, 0);
        for level in 0..levels {
            if level > 0 && repetitions.get(level).is_none_or(|repetition: &i16| *repetition == 0) {
                each(values.get(from..to).ok_or("too few values")?)?;
                from = to;
            }
            to += usize::from(definitions.get(level).is_none_or(|definition| *definition == column.max_def_level()));
        }
        each(values.get(from..to).ok_or("too few values")?)?;
    }
    Ok(())
}

/// The column with the bytes of the pictures, found by its shape.
fn image(metadata: &ParquetMetaData) -> Result<usize, String> {
    let schema = metadata.file_metadata().schema_descr();
    let has = |field: &Schema, name: &str| {
        let is_it = |child: &Schema| {
            let repeated = child.get_basic_info().has_repetition()
                && child.get_basic_info().repetition() == ::parquet::basic::Repetition::REPEATED;
            child.name() == name
                && child.is_primitive()
                && child.get_physical_type() == Physical::BYTE_ARRAY
                && !repeated
        };
        field.get_fields().iter().any(|child| is_it(child))
    };
    let fields = metadata.file_metadata().schema().get_fields().iter();
    let found: Vec<&str> = fields
        .filter(|field| field.is_group() && has(field, "bytes") && has(field, "path"))
        .map(|field| field.name())
        .collect();
    let name = match (["image", "img"].into_iter().find(|name| found.contains(name)), &found[..]) {
        (Some(name), _) => name,
        (None, [name]) => name,
        (None, []) => return Err("no column is a struct of bytes and path, as Hugging Face stores pictures".to_owned()),
        (None, several) => {
            return Err(format!("several columns have pictures ({}), and none is named image", several.join(", ")));
        }
    };
    let leaf = (0..schema.num_columns()).find(|leaf| schema.column(*leaf).path().parts() == [name, "bytes"]);
    let leaf = leaf.filter(|leaf| schema.column(*leaf).max_rep_level() == 0);
    leaf.ok_or_else(|| format!("the pictures in {name} are lists"))
}

/// Rows up to the end of each row group, after what the crate would take on trust has been checked.
fn checked(metadata: &ParquetMetaData, length: u64) -> Result<Vec<u64>, String> {
    let mut rows = 0_u64;
    let mut ends = Vec::new();
    for (group, at) in metadata.row_groups().iter().zip(0..) {
        let damaged = || format!("damaged: row group {at} cannot be");
        if group.num_columns() != metadata.file_metadata().schema_descr().num_columns() {
            return Err(damaged());
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let end = range.and_then(|(start, bytes)| start.checked_add(bytes)).filter(|end| *end <= length);
            end.ok_or_else(damaged)?;
        }
        let more = u64::try_from(group.num_rows()).map_err(|_| damaged())?;
        rows = rows.checked_add(more).filter(|rows| *rows <= i64::MAX as u64).ok_or_else(damaged)?;
        ends.push(rows);
    }
    Ok(ends)
}

#[cfg(test)]
pub(crate) mod tests;
