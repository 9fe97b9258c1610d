use spec::order::mix;

use super::*;
use crate::export::{self, Encoder};

fn of(text: &str, ending: &str) -> Result<Vec<(String, Vec<Cell>)>, String> {
    let table = parse(text.as_bytes().to_vec(), ending)?;
    table.names().iter().enumerate().map(|(at, name)| Ok((name.clone(), table.column(at)?))).collect()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

#[test]
fn separators_are_those_of_the_header() {
    let expected = vec![("a, b".to_owned(), vec![text("1"), Cell::Null]), ("c".to_owned(), vec![text("x"), text("2")])];
    for content in ["\"a, b\",c\n1,x\n,2\n", "\u{feff}a, b;c\n1;x\n;2\n", "a, b\tc\r\n1\tx\r\n\t2\r\n"] {
        assert_eq!(of(content, "csv"), Ok(expected.clone()), "{content:?}");
    }
    assert!(of("a,b\n1,2\n3\n", "csv").is_err_and(|error| error.contains("line: 3")));
    assert_eq!(of("", "csv"), Ok(Vec::new()));
}

#[test]
fn json_comes_in_lines_and_in_arrays() {
    let expected = vec![
        ("a".to_owned(), vec![Cell::Number(1.5), Cell::Null]),
        ("b".to_owned(), vec![text("x"), Cell::Null]),
        ("c".to_owned(), vec![Cell::Null, text("true")]),
    ];
    let lines = "{\"a\": 1.5, \"b\": \" x\"}\n\n{\"c\": true, \"a\": null}\n";
    let array = "[{\"a\": 1.5, \"b\": \"x\"},\n {\"c\": true, \"b\": \"\"}]";
    assert_eq!(of(lines, "jsonl"), Ok(expected.clone()));
    assert_eq!(of(array, "json"), Ok(expected));
    assert!(of("{\"a\": 1}\n{\"a\": NaN}\n", "jsonl").is_err_and(|it| it.contains("row 2") && it.contains("line 2")));
    assert_eq!(of("[1]", "json"), Err("row 1: not an object".to_owned()));
    assert!(of("a,b\n1,2\n", "json").is_err_and(|error| error.contains("row 1: not JSON")));
}

#[test]
fn what_is_no_table_is_said() {
    for (content, ending, said) in [
        ("compute,loss\n", "parquet", "not a Parquet file"),
        ("compute,loss\n", "feather", "not an Arrow file"),
        ("FEA1....", "feather", "Feather version 1"),
        ("PAR1....PAR1", "parquet", ""),
        ("ARROW1..ARROW1", "arrow", "damaged"),
    ] {
        let refused = of(content, ending).expect_err(content);
        assert!(refused.contains(said), "{content}: {refused}");
    }
    let refused = parse(b"a\n1\n\xff\n".to_vec(), "csv").err();
    assert_eq!(refused.as_deref(), Some("line 3: this is not UTF-8"));
}

/// A table of all types with nulls, in every format.
fn written(format: fn(Vec<export::Field>, export::Out) -> Box<dyn Encoder>) -> Vec<u8> {
    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (shared, columns) = (Shared::default(), export::samples());
    let fields = columns.iter().map(export::Column::field).collect();
    let mut encoder = format(fields, Box::new(shared.clone()));
    for rows in [&[0, 1, 2, 3][..], &[4, 5]] {
        encoder.write(&export::Rows::of(&columns, rows)).expect("writable");
    }
    encoder.finish().expect("writable");
    std::mem::take(&mut shared.0.lock().expect("one thread"))
}

fn parquet(fields: Vec<export::Field>, out: export::Out) -> Box<dyn Encoder> {
    Box::new(export::ParquetFile::new(&fields, out).expect("a file"))
}

fn arrow(fields: Vec<export::Field>, out: export::Out) -> Box<dyn Encoder> {
    Box::new(export::ArrowFile::new(&fields, out).expect("a file"))
}

#[test]
fn binary_files_come_back() {
    for content in [written(parquet), written(arrow)] {
        let table = parse(content, "").expect("our own");
        assert_eq!((table.names().join(" "), table.rows()), ("text whole number flag time".to_owned(), 6));
        let column = |at| table.column(at);
        let some = |cell: fn(usize) -> Cell| (0..6).map(|i| if i == 2 { Cell::Null } else { cell(i) }).collect();
        assert_eq!(column(0), Ok(some(|i| Cell::Text(format!("m{i}")))));
        assert_eq!(column(1), Ok(some(|i| Cell::Number(i as f64 - 2.0))));
        assert_eq!(column(2), Ok(some(|i| Cell::Number(0.5 * i as f64))));
        assert_eq!(column(3), Ok(some(|i| Cell::Text((i % 2 == 0).to_string()))));
        assert!(column(4).is_err_and(|error| error.contains("column \"time\"")), "a time is no number");
    }
}

/// An Arrow file of one column, with a batch for each array.
fn arrow_of(arrays: &[arrow_array::ArrayRef]) -> Vec<u8> {
    let schema = arrow_schema::Schema::new(vec![arrow_schema::Field::new("a", arrays[0].data_type().clone(), true)]);
    let schema = std::sync::Arc::new(schema);
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &schema).expect("a writer");
    for array in arrays {
        let batch = arrow_array::RecordBatch::try_new(schema.clone(), vec![array.clone()]).expect("a batch");
        writer.write(&batch).expect("written");
    }
    writer.into_inner().expect("a file")
}

#[test]
fn arrow_files_that_grow_out_of_few_bytes_are_refused() {
    let refused = |content: Vec<u8>| read_all(content, "arrow").expect_err("too much");
    let nulls: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::NullArray::new(2_000_001));
    assert_eq!(read_all(arrow_of(std::slice::from_ref(&nulls)), ""), Ok(()));
    assert_eq!(refused(arrow_of(&[nulls.clone(), nulls])), "it has 4000002 rows or more; at most 4000000 are read");

    let long = "a".repeat(4096);
    let rows = std::iter::repeat_n(long.as_str(), 40_000);
    let dictionary: arrow_array::DictionaryArray<arrow_array::types::Int8Type> = rows.collect();
    let content = arrow_of(&[std::sync::Arc::new(dictionary)]);
    assert!(content.len() < 100_000, "{}", content.len());
    assert_eq!(refused(content), "column \"a\": its texts have more than 134217728 bytes, and no more are read");
}

#[test]
fn arrow_files_that_list_a_batch_twice_are_refused() {
    let numbers = |from: f64| std::sync::Arc::new(arrow_array::Float64Array::from(vec![from, from + 1.0])) as _;
    let mut content = arrow_of(&[numbers(1.0), numbers(3.0)]);
    assert_eq!(read_all(content.clone(), ""), Ok(()));
    let end = content.len() - 10;
    let length = i32::from_le_bytes(content[end..end + 4].try_into().expect("four bytes")) as usize;
    let footer = arrow_ipc::root_as_footer(&content[end - length..end]).expect("a footer");
    let blocks: Vec<[u8; 24]> = footer.recordBatches().expect("batches").iter().map(|block| block.0).collect();
    let second = content.windows(24).rposition(|bytes| bytes == blocks[1]).expect("in the footer");
    content[second..second + 24].copy_from_slice(&blocks[0]);
    assert_eq!(read_all(content, ""), Err("damaged: record batches overlap".to_owned()));
}

/// Reads all that can be read of it: what matters is that it comes back.
fn read_all(content: Vec<u8>, ending: &str) -> Result<(), String> {
    let table = parse(content, ending)?;
    (0..table.names().len()).try_for_each(|at| {
        let cells = table.column(at)?;
        assert_eq!(cells.len(), table.rows());
        Ok(())
    })
}

#[test]
fn damaged_files_are_refused_or_read_and_end_nothing() {
    let mut refused = 0;
    for whole in [written(parquet), written(arrow)] {
        assert!(read_all(whole.clone(), "").is_err_and(|error| error.starts_with("column \"time\"")), "all but times");
        for case in 0..1500_u64 {
            let random = |what: u64, below: usize| (mix(mix(case) ^ what) % below as u64) as usize;
            let mut content = whole.clone();
            for change in 0..1 + case % 4 {
                content[random(change, whole.len())] = random(100 + change, 256) as u8;
            }
            if case % 3 == 0 {
                content.truncate(random(1000, whole.len()));
            }
            refused += usize::from(parse(content.clone(), "").is_err());
            let _ = read_all(content, "");
        }
    }
    assert!(refused > 1000, "{refused} of 3000");
}

#[test]
fn no_text_ends_the_readers() {
    const PARTS: [&str; 16] =
        ["a", "loss", ",", ";", "\t", "\n", "\r\n", "\"", "{", "}", "[", "]", ":", "1e999", "\u{feff}", "größe"];
    for case in 0..20_000_u64 {
        let part = |place: u64| PARTS[(mix(mix(case) ^ place) % 16) as usize];
        let text: String = (0..mix(case) % 24).map(part).collect();
        for ending in ["csv", "json"] {
            let _ = read_all(text.clone().into_bytes(), ending);
        }
    }
}
