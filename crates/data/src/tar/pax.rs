//! PAX headers: lines of `length key=value`.

/// What matters of a PAX header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Whether the member is stored with holes.
    pub(super) sparse: bool,
}

/// Reads all records; of two with one key the last counts, as POSIX says.
pub(super) fn parse(mut rest: &[u8]) -> Result<Records, String> {
    let mut records = Records::default();
    while !rest.is_empty() {
        let wrong = || "a PAX header is malformed".to_owned();
        let space = rest.iter().take(20).position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length = digits(&rest[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(wrong)?;
        let record = rest.get(space + 1..length).ok_or_else(wrong)?;
        rest = &rest[length..];
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" if value.is_empty() => records.path = None,
            b"path" => records.path = Some(value.to_vec()),
            b"size" if value.is_empty() => records.size = None,
            b"size" => records.size = Some(digits(value).ok_or("a PAX header has a size that is no number")?),
            _ if key.starts_with(b"GNU.sparse.") => records.sparse = true,
            _ => {}
        }
    }
    Ok(records)
}

/// Decimal digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    let only_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if only_digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}
