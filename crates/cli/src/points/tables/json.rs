//! JSON Lines, and arrays of objects.

use std::collections::BTreeMap;

use serde_json::{Deserializer, Value};

use super::{Cell, Table};

/// Reads objects one after the other, or in an array; a key that an object does not have is null in its row.
pub(super) fn read(text: &str) -> Result<Table, String> {
    let mut objects = Vec::new();
    for value in Deserializer::from_str(text).into_iter::<Value>() {
        match value {
            // Python writes a not-a-number as NaN.
            Err(error) => {
                let row = objects.len() + 1;
                return Err(format!("row {row}: not JSON: {error}; where there is no number, JSON has null"));
            }
            Ok(Value::Array(values)) if objects.is_empty() => objects = values,
            Ok(value) => objects.push(value),
        }
    }
    let mut columns: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let rows = objects.len();
    for (row, object) in objects.into_iter().enumerate() {
        let Value::Object(object) = object else { return Err(format!("row {}: not an object", row + 1)) };
        for (name, value) in object {
            columns.entry(name).or_insert_with(|| vec![Cell::Null; rows])[row] = cell(value);
        }
    }
    let (names, columns) = columns.into_iter().unzip();
    Ok(Table::new(names, rows, columns))
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Number(number) => number.as_f64().map_or(Cell::Null, Cell::Number),
        Value::String(text) => Cell::Text(text),
        other => Cell::Text(other.to_string()),
    }
}
