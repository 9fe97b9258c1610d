use std::io::Read;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::ByteArray;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::*;
use crate::labels::Labelling;

/// How a file for a test is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) group: usize,
    pub(crate) page: usize,
    pub(crate) dictionary: bool,
    pub(crate) second: bool,
    pub(crate) index: bool,
    pub(crate) compression: Compression,
}

pub(crate) const USUAL: How =
    How { group: 40, page: 7, dictionary: false, second: false, index: true, compression: Compression::SNAPPY };

/// The labels of the rows of a file for a test.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    Numbers(Vec<Option<i64>>),
    Small(Vec<i32>),
    Names(Vec<&'static str>),
    Lists(Vec<Vec<i64>>),
}

const NAMES: &str = r#"{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;

/// A file as Hugging Face writes it; a picture that is none is null.
pub(crate) fn file(pictures: &[Option<Vec<u8>>], labels: &Labels, how: How, names: bool) -> Vec<u8> {
    let label = match labels {
        Labels::Numbers(_) => "optional int64 label;",
        Labels::Small(_) => "required int32 cls;",
        Labels::Names(_) => "optional binary label (UTF8);",
        Labels::Lists(_) => "optional group labels (LIST) { repeated group list { optional int64 element; } }",
    };
    let schema = format!(
        "message schema {{ optional int64 id; optional group image {{ optional binary bytes; optional binary path (UTF8); }} {label} }}"
    );
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let properties = WriterProperties::builder()
        .set_compression(how.compression)
        .set_dictionary_enabled(how.dictionary)
        .set_data_page_row_count_limit(how.page)
        .set_write_batch_size(1)
        .set_offset_index_disabled(!how.index)
        .set_statistics_enabled(if how.index { EnabledStatistics::Page } else { EnabledStatistics::None })
        .set_writer_version(if how.second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 })
        .set_key_value_metadata(names.then(|| vec![KeyValue::new("huggingface".to_owned(), NAMES.to_owned())]))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("a writer");
    for from in (0..pictures.len()).step_by(how.group) {
        let rows = from..(from + how.group).min(pictures.len());
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("no error").expect("a column");
        let ids: Vec<i64> = rows.clone().map(|row| row as i64).collect();
        column.typed::<Int64Type>().write_batch(&ids, Some(&vec![1; ids.len()]), None).expect("ids");
        column.close().expect("a column");
        let own = &pictures[rows.clone()];
        let there: Vec<ByteArray> = own.iter().flatten().map(|picture| ByteArray::from(picture.clone())).collect();
        let levels: Vec<i16> = own.iter().map(|picture| if picture.is_some() { 2 } else { 1 }).collect();
        let mut column = group.next_column().expect("no error").expect("a column");
        column.typed::<ByteArrayType>().write_batch(&there, Some(&levels), None).expect("pictures");
        column.close().expect("a column");
        let mut column = group.next_column().expect("no error").expect("a column");
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; own.len()]), None).expect("paths");
        column.close().expect("a column");
        let mut column = group.next_column().expect("no error").expect("a column");
        match labels {
            Labels::Numbers(labels) => {
                let levels: Vec<i16> = labels[rows.clone()].iter().map(|label| i16::from(label.is_some())).collect();
                let there: Vec<i64> = labels[rows].iter().flatten().copied().collect();
                column.typed::<Int64Type>().write_batch(&there, Some(&levels), None).expect("labels")
            }
            Labels::Small(labels) => {
                column.typed::<Int32Type>().write_batch(&labels[rows], None, None).expect("labels")
            }
            Labels::Names(labels) => {
                let there: Vec<ByteArray> = labels[rows].iter().map(|label| ByteArray::from(*label)).collect();
                column.typed::<ByteArrayType>().write_batch(&there, Some(&vec![1; there.len()]), None).expect("labels")
            }
            Labels::Lists(labels) => {
                let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
                for list in &labels[rows] {
                    values.extend(list);
                    definitions.extend(if list.is_empty() { vec![1] } else { vec![3; list.len()] });
                    repetitions.extend((0..list.len().max(1)).map(|at| i16::from(at > 0)));
                }
                column
                    .typed::<Int64Type>()
                    .write_batch(&values, Some(&definitions), Some(&repetitions))
                    .expect("labels")
            }
        };
        column.close().expect("a column");
        group.close().expect("a row group");
    }
    writer.into_inner().expect("a file")
}

/// Pictures of different lengths, of which every `null`-th is null.
pub(crate) fn pictures(count: usize, null: usize) -> Vec<Option<Vec<u8>>> {
    let picture = |at: usize| vec![at as u8; 1 + at * 37 % 400];
    (1..=count).map(|at| if at % null == 0 { None } else { Some(picture(at)) }).collect()
}

fn classes(names: &[&str], many: bool) -> Classes {
    let classes = Classes::new(&Labelling { multi_label: many, ..Labelling::default() });
    classes.named(names.iter().map(|name| (*name).to_owned()).collect())
}

type Found = Result<Vec<Vec<u32>>, (Option<u64>, String)>;

fn labels_of(content: Vec<u8>, classes: &Classes) -> Found {
    let opened = Opened::new(Bytes::from(content), false).map_err(|problem| (None, problem))?;
    let mut found = Vec::new();
    opened.labels(classes, |row, labels| {
        assert_eq!(row, found.len() as u64);
        found.push(labels);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_row_is_read_wherever_it_is() {
    let pictures = pictures(100, 9);
    let labels = Labels::Numbers(vec![Some(1); 100]);
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for dictionary in [false, true] {
        for second in [false, true] {
            for index in [false, true] {
                for (compression, page, group) in
                    [(Compression::SNAPPY, 7, 40), (zstd, 1000, 64), (Compression::UNCOMPRESSED, 1, 100)]
                {
                    let how = How { group, page, dictionary, second, index, compression };
                    let opened = Opened::new(Bytes::from(file(&pictures, &labels, how, false)), true).expect("a file");
                    assert_eq!(opened.rows(), 100);
                    assert_eq!(opened.page(50).is_some(), index, "{how:?}");
                    let mut bytes = vec![1, 2, 3];
                    for at in 0..100 {
                        let at = at * 37 % 100;
                        match (opened.read(at as u64, &mut bytes), &pictures[at]) {
                            (Ok(()), Some(picture)) => assert!(bytes == *picture, "row {at} of {how:?}"),
                            (Err(why), None) => assert!(why.contains("bytes are null"), "{why}"),
                            (found, _) => panic!("row {at} of {how:?}: {found:?}"),
                        }
                    }
                    assert!(opened.read(100, &mut bytes).is_err());
                }
            }
        }
    }
}

#[test]
fn labels_of_all_types() {
    let (free, named, many) = (classes(&[], false), classes(&["cat", "dog"], false), classes(&[], true));
    let of = |labels: Labels, classes: &Classes| labels_of(file(&pictures(90, 1000), &labels, USUAL, false), classes);
    let small: Vec<i32> = (0..90).collect();
    let expected: Vec<Vec<u32>> = (0..90).map(|label| vec![label]).collect();
    assert_eq!(of(Labels::Small(small), &free), Ok(expected.clone()));
    assert_eq!(of(Labels::Numbers((0..90).map(Some).collect()), &free), Ok(expected.clone()));
    assert_eq!(of(Labels::Numbers((0..90).map(Some).collect()), &many), Ok(expected));
    let names = Labels::Names((0..90).map(|at| if at % 3 == 0 { "cat" } else { "dog" }).collect());
    let expected: Vec<Vec<u32>> = (0..90).map(|at| vec![u32::from(at % 3 != 0)]).collect();
    assert_eq!(of(names, &named), Ok(expected));
    let lists: Vec<Vec<i64>> = (0..90).map(|at| (0..=at % 4).map(|label| label * 2 + at).collect()).collect();
    let expected = lists.iter().map(|list| list.iter().map(|label| *label as u32).collect()).collect();
    assert_eq!(of(Labels::Lists(lists.clone()), &many), Ok(expected));
    assert!(of(Labels::Lists(lists), &free).is_err_and(|(_, why)| why.contains("set multi_label")));
}

#[test]
fn wrong_labels_are_named_by_their_row() {
    let (free, named, many) = (classes(&[], false), classes(&["cat", "dog"], false), classes(&[], true));
    let of = |labels: Labels, classes: &Classes| labels_of(file(&pictures(90, 1000), &labels, USUAL, false), classes);
    let numbers = |at: usize, label: Option<i64>| {
        Labels::Numbers((0..90).map(|row| if row == at { label } else { Some(1) }).collect())
    };
    #[track_caller]
    fn check(found: Found, row: Option<u64>, expected: &str) {
        let (found_row, why) = found.expect_err(expected);
        assert!(found_row == row && why.contains(expected), "{found_row:?}: {why}");
    }
    check(of(numbers(57, None), &free), Some(57), "no label");
    check(of(numbers(3, Some(-1)), &free), Some(3), "from 0 to");
    check(of(numbers(89, Some(2)), &named), Some(89), "there are 2 class names");
    check(of(Labels::Names(vec!["cow"; 90]), &named), Some(0), "not among the 2");
    let lists = (0..90).map(|at| if at == 41 { vec![] } else { vec![1, 2] }).collect();
    check(of(Labels::Lists(lists), &many), Some(41), "no label");
    let mut other = free.clone();
    other.field = Some("fine".to_owned());
    check(of(numbers(0, Some(1)), &other), None, "no column \"fine\" of labels; there are id, image, label");
}

#[test]
fn class_names_are_those_of_the_footer() {
    let labels = Labels::Numbers(vec![Some(1); 10]);
    let names = |with: bool| {
        Opened::new(Bytes::from(file(&pictures(10, 99), &labels, USUAL, with)), false)
            .expect("a file")
            .class_names(None)
    };
    assert_eq!(names(true), ["cat", "dog"]);
    assert!(names(false).is_empty());
}

#[test]
fn a_file_without_pictures_is_refused() {
    let of = |schema: &str| {
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = Arc::new(WriterProperties::builder().build());
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a writer");
        Opened::new(Bytes::from(writer.into_inner().expect("a file")), false).err()
    };
    let picture = |name: &str| format!("optional group {name} {{ optional binary bytes; optional binary path; }}");
    let refused =
        |schema: String, why: &str| assert!(of(&schema).is_some_and(|found| found.contains(why)), "{:?}", of(&schema));
    refused("message m { optional binary image; }".to_owned(), "no column is a struct");
    refused(
        "message m { optional group image { optional int64 bytes; optional binary path; } }".to_owned(),
        "no column is",
    );
    refused(format!("message m {{ {} {} }}", picture("a"), picture("b")), "several columns have pictures (a, b)");
    refused("message m { repeated group image { optional binary bytes; optional binary path; } }".to_owned(), "lists");
    assert_eq!(of(&format!("message m {{ {} {} }}", picture("a"), picture("img"))), None);
    assert_eq!(of(&format!("message m {{ {} }}", picture("photo"))), None);
}

#[test]
fn a_footer_that_announces_too_much_is_refused() {
    let refused = |elements: &[Vec<u8>]| {
        let count = elements.len() as u32;
        // Version 1, a list of structures whose number has three bytes, and the end.
        let number = [count as u8 & 0x7f | 0x80, (count >> 7) as u8 & 0x7f | 0x80, (count >> 14) as u8];
        let footer = [&[0x15, 2, 0x19, 0xfc][..], &number, &elements.concat(), &[0]].concat();
        let file = [b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
        let problem = parse_parquet(&file).expect_err("no file");
        assert!(problem.contains("its footer cannot be"), "{problem}");
    };
    // A group named m with 2^30 children, 8 GB of pointers; and one whose number is told with another kind of field.
    let group = |kind: u8, children: &[u8]| [&[0x48, 1, b'm', 0x10 | kind][..], children, &[0]].concat();
    refused(&[group(5, &[0x80, 0x80, 0x80, 0x80, 8])]);
    refused(&[group(6, &[0x80, 0x80, 0x80, 0x80, 8])]);
    // So many groups within each other that the stack would overflow.
    refused(&vec![group(5, &[2]); 100_000]);
}

#[test]
fn a_page_that_announces_too_much_is_refused() {
    // Kind and bytes without compression, then what does not matter here.
    let read = |kind: u8, bytes: &[u8], located: bool| {
        let header = [&[0x15, kind, 0x15][..], bytes, &[0x15, 2, 0, 7, 7, 7]].concat();
        let length = header.len();
        let file = guard::Limited { file: Arc::new(Bytes::from(header)), located };
        let mut whole = Vec::new();
        match located {
            true => file.get_bytes(0, length).map(|bytes| bytes.len()).map_err(shown),
            false => file.get_read(0).expect("in memory").read_to_end(&mut whole).map_err(|error| error.to_string()),
        }
    };
    let (large, huge) = ([0x80, 0x80, 0x80, 0x40], [0x80, 0x80, 0x80, 0x80, 2]);
    for located in [false, true] {
        assert_eq!(read(0, &large, located), Ok(13));
        assert!(read(0, &huge, located).expect_err("256 MB").contains("a page of 268435456 bytes"));
        assert!(read(4, &huge, located).expect_err("a dictionary").contains("at most 33554432"));
        // A list of 2^31 truth values that nobody knows, in the header itself and behind the place of another kind.
        for field in [[0x99, 0xf1], [0x28, 0xf1]] {
            let header = [&field[..], &[0xff, 0xff, 0xff, 0xff, 7]].concat();
            assert!(read(0, &[&[2, 0x15, 2][..], &header].concat(), located).is_err());
        }
    }
}

#[test]
fn lengths_in_front_of_texts_are_bounded() {
    // Blocks of 128 in 4 parts: two numbers, the first of them 5, the second 3 more, in parts of no bits.
    let two = [0x80, 1, 4, 2, 10, 6, 0, 0, 0, 0, 99];
    assert_eq!(compact::deltas(&two, 2), Some((13, &[99][..])));
    assert_eq!(compact::deltas(&two, 1), None);
    assert_eq!(compact::deltas(&[0x80, 1, 4, 0x80, 0x80, 0x80, 0x80, 8, 0], 1 << 22), None);
    assert_eq!(compact::deltas(&[0x80, 1, 4, 1, 10], 2), Some((5, &[][..])));
    assert_eq!(compact::deltas(&two[..8], 2), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_makes_it_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<Option<prop::sample::Index>>()) {
        let mut content = file(&pictures(30, 9), &Labels::Numbers(vec![Some(1); 30]), How { group: 10, ..USUAL }, true);
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        let _ = parse_parquet(&content);
        if let Ok(opened) = Opened::new(Bytes::from(content), true) {
            let mut bytes = Vec::new();
            (0..opened.rows().min(100)).for_each(|row| drop(opened.read(row, &mut bytes)));
            let _ = opened.labels(&classes(&[], false), |_, _| Ok(()));
            opened.page(5);
        }
    }

    #[test]
    fn no_content_makes_it_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_parquet(&content);
        let footer = [&b"PAR1"[..], &content, &(content.len() as u32).to_le_bytes(), b"PAR1"].concat();
        let _ = parse_parquet(&footer);
    }
}
