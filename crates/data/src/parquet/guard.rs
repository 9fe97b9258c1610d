//! Pages that announce more than can be are refused before the crate makes room for it: where that cannot be had, the process
//! would end.

use std::io::{self, Read};
use std::sync::Arc;

use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::schema::types::ColumnDescriptor;
use bytes::Bytes;

use super::compact::{deltas, page};

/// Bytes of a page without compression. Pictures stand in pages of up to 1000.
const LARGEST_PAGE: i64 = 192 << 20;
/// Bytes of a dictionary.
const LARGEST_DICTIONARY: i64 = 32 << 20;
/// Values of a page whose lengths are read at once.
const MOST_LENGTHS: u64 = 4 << 20;
/// Bytes that the values of a page may share with those before.
const MOST_SHARED: u64 = 32 << 20;
/// Bytes of a header: first what it mostly has, then what it may have with statistics.
const HEADER: [usize; 2] = [64, 64 << 10];

fn check_size(header: &[u8]) -> std::result::Result<(), String> {
    let (kind, bytes) = page(header).ok_or("damaged: a page header cannot be")?;
    let most = if kind == 2 { LARGEST_DICTIONARY } else { LARGEST_PAGE };
    if bytes > most {
        return Err(format!("a page of {bytes} bytes; at most {most} are read"));
    }
    Ok(())
}

/// A file that is read page by page.
pub(super) struct Limited<R> {
    pub(super) file: Arc<R>,
    /// Whether pages are found by the page index: then each is read at once, with its header. Otherwise headers are read by
    /// themselves.
    pub(super) located: bool,
}

impl<R: Length> Length for Limited<R> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl<R: ChunkReader> ChunkReader for Limited<R> {
    type T = Headed<R::T>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(Headed { inner: self.file.get_read(start)?, start: None, given: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.file.get_bytes(start, length)?;
        if self.located {
            check_size(&bytes[..length.min(HEADER[1])]).map_err(ParquetError::General)?;
        }
        Ok(bytes)
    }
}

/// Reads a header, if anything is read at all, after its beginning has been looked at.
pub(super) struct Headed<T> {
    inner: T,
    start: Option<Vec<u8>>,
    given: usize,
}

impl<T: Read> Read for Headed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = match &self.start {
            Some(start) => start,
            None => {
                let mut start = Vec::new();
                let mut wanted = HEADER[0];
                loop {
                    self.inner.by_ref().take((wanted - start.len()) as u64).read_to_end(&mut start)?;
                    if start.len() < wanted || wanted >= HEADER[1] || page(&start).is_some() {
                        break;
                    }
                    wanted *= 4;
                }
                check_size(&start).map_err(io::Error::other)?;
                self.start.insert(start)
            }
        };
        match (&start[self.given..]).read(buffer)? {
            0 => self.inner.read(buffer),
            count => {
                self.given += count;
                Ok(count)
            }
        }
    }
}

/// Pages whose numbers of values can be.
pub(super) struct Counted<P> {
    pub(super) pages: P,
    pub(super) levels: [i16; 2],
}

impl<P: PageReader> Counted<P> {
    pub(super) fn new(pages: P, column: &ColumnDescriptor) -> Counted<P> {
        Counted { pages, levels: [column.max_rep_level(), column.max_def_level()] }
    }

    fn check(&self, page: &Page) -> Result<()> {
        let can_be = match page {
            // Numbers have four bytes or more, and so has the length of a text.
            Page::DictionaryPage { buf, num_values, .. } => *num_values as usize <= buf.len() / 4,
            Page::DataPage { buf, encoding, .. } => {
                !has_lengths(*encoding) || self.behind_levels(buf).is_some_and(|values| lengths(values, *encoding))
            }
            Page::DataPageV2 { buf, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                !has_lengths(*encoding) || buf.get(levels..).is_some_and(|values| lengths(values, *encoding))
            }
        };
        if can_be { Ok(()) } else { Err(ParquetError::General("a page announces values that cannot be".to_owned())) }
    }

    /// The values of a page of the first version.
    fn behind_levels<'a>(&self, mut page: &'a [u8]) -> Option<&'a [u8]> {
        for _ in self.levels.iter().filter(|level| **level > 0) {
            let (length, rest) = page.split_first_chunk::<4>()?;
            page = rest.get(u32::from_le_bytes(*length) as usize..)?;
        }
        Some(page)
    }
}

fn has_lengths(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

/// Whether there are not too many lengths in front of the texts of a page, and texts do not grow from few bytes.
fn lengths(mut values: &[u8], encoding: Encoding) -> bool {
    if encoding == Encoding::DELTA_BYTE_ARRAY {
        match deltas(values, MOST_LENGTHS) {
            Some((shared, rest)) if shared <= MOST_SHARED => values = rest,
            _ => return false,
        }
    }
    deltas(values, MOST_LENGTHS).is_some()
}

impl<P: PageReader> Iterator for Counted<P> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<P: PageReader> PageReader for Counted<P> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page)).map(|()| page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        let page = self.pages.take_deferred_dictionary()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page)).map(|()| page)
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
