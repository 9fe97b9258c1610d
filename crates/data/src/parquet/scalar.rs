//! Values of columns, as many as are read.

/// Rows of a table that are read; a damaged file may announce any number of them in few bytes.
pub const MOST_ROWS: u64 = 4_000_000;
/// Bytes of a text.
const LONGEST_TEXT: usize = 4096;
/// Bytes of all texts of a column, which a dictionary makes of few.
const MOST_TEXT: usize = 128 << 20;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// Any number; 64-bit integers above 2^53 are rounded.
    Number(f64),
    /// Text, or `true` and `false`.
    Text(String),
}

/// The values of a column while it is read.
#[derive(Debug, Default)]
pub struct Scalars {
    values: Vec<Scalar>,
    text_bytes: usize,
}

impl Scalars {
    /// Adds a number, or nothing.
    pub fn add(&mut self, value: Option<f64>) {
        self.values.push(value.map_or(Scalar::Null, Scalar::Number));
    }

    /// Adds a text, or nothing.
    ///
    /// # Errors
    /// Says that it is longer than texts that are read, or makes all of them together longer.
    pub fn add_text(&mut self, text: Option<&str>) -> Result<(), String> {
        let Some(text) = text else {
            self.values.push(Scalar::Null);
            return Ok(());
        };
        if text.len() > LONGEST_TEXT {
            return Err(format!("a text of {} bytes; at most {LONGEST_TEXT} are read", text.len()));
        }
        self.text_bytes += text.len();
        if self.text_bytes > MOST_TEXT {
            return Err(format!("its texts have more than {MOST_TEXT} bytes, and no more are read"));
        }
        self.values.push(Scalar::Text(text.to_owned()));
        Ok(())
    }

    /// Adds a truth, in words, or nothing.
    ///
    /// # Errors
    /// As for texts.
    pub fn add_flag(&mut self, flag: Option<bool>) -> Result<(), String> {
        self.add_text(flag.map(|flag| if flag { "true" } else { "false" }))
    }

    /// The values in the order in which they were added.
    pub fn into_values(self) -> Vec<Scalar> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_where_memory_would() {
        let (mut scalars, text) = (Scalars::default(), "a".repeat(LONGEST_TEXT));
        let added = (0..).take_while(|_| scalars.add_text(Some(&text)).is_ok()).count();
        assert_eq!(added, MOST_TEXT / LONGEST_TEXT);
        scalars.add(None);
        assert_eq!(scalars.into_values().len(), added + 1);
        let refused = Scalars::default().add_text(Some(&"a".repeat(5000)));
        assert_eq!(refused, Err("a text of 5000 bytes; at most 4096 are read".to_owned()));
    }
}
