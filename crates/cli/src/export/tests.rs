use super::*;

#[test]
fn times_are_those_of_the_calendar() {
    assert_eq!(iso_8601(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(iso_8601(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
    assert_eq!(iso_8601(-1), "1969-12-31T23:59:59.999Z");
}

/// A column of each type, whose third row has nothing.
pub(crate) fn samples() -> Vec<Column<i64>> {
    vec![
        Column::text("text", "words", |row| (*row != 2).then(|| format!("m{row}"))),
        Column::whole("whole", "integers", |row| (*row != 2).then_some(*row - 2)),
        Column::number("number", "floats", |row| Some(if *row == 2 { f64::NAN } else { 0.5 * *row as f64 })),
        Column::flag("flag", "truths", |row| (*row != 2).then_some(*row % 2 == 0)),
        Column::time("time", "times", |row| (*row != 2).then_some(1000 * *row)),
    ]
}

#[test]
fn rows_have_the_order_of_the_columns_and_nothing_where_there_is_none() {
    let columns = samples();
    let rows = Rows::of(&columns, &[1, 2]);
    let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(&row).expect("plain data")).collect();
    assert_eq!(lines[0], r#"{"text":"m1","whole":-1,"number":0.5,"flag":false,"time":"1970-01-01T00:00:01.000Z"}"#);
    assert_eq!(lines[1], r#"{"text":null,"whole":null,"number":null,"flag":null,"time":null}"#);
}

#[test]
fn columns_have_names_of_their_own_and_are_described() {
    let mut names: Vec<&str> = columns().iter().chain(&chinchilla()).map(|column| column.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(columns().iter().all(|column| !column.about.is_empty() && column.about.len() <= 80));
}
