//! Comma-separated values (RFC 4180), for the numbers behind a figure.

/// A row of cells with its line end.
pub(crate) fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join(",") + "\n"
}

/// A number that reads back as the same number, or nothing.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        // Without exponents 2e19 would be twenty digits of which eighteen are noise.
        Some(value) if value != 0.0 && !(1e-5..1e15).contains(&value.abs()) => format!("{value:e}"),
        Some(value) => format!("{value}"),
        None => String::new(),
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_the_way() {
        let cells = ["a,b", "say \"x\"", "plain", ""].map(str::to_owned);
        assert_eq!(row(&cells), "\"a,b\",\"say \"\"x\"\"\",plain,\n");
        let values = [2e19, 0.1, 2.984, 402.0].map(|v| number(Some(v)));
        assert_eq!(values, ["2e19", "0.1", "2.984", "402"]);
        assert_eq!(number(None), "");
    }
}
