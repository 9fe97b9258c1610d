//! Numbers in a tar header.

/// Octal digits between spaces and nulls, or GNU's base 256, which the first bit tells.
pub(super) fn number(field: &[u8]) -> Result<u64, String> {
    let too_large = || "too large".to_owned();
    if let [first @ (0x80 | 0xff), rest @ ..] = field {
        if *first == 0xff {
            return Err("negative".to_owned());
        }
        let number =
            rest.iter().try_fold(
                0_u64,
                |number, byte| {
                    if number >> 55 == 0 { Some(number << 8 | u64::from(*byte)) } else { None }
                },
            );
        return number.ok_or_else(too_large);
    }
    let is_filling = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(is_filling).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_filling) {
        return Err(format!("{:?} is no octal number", String::from_utf8_lossy(field)));
    }
    digits[..end].iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'7' if number >> 60 == 0 => Ok(number << 3 | u64::from(byte - b'0')),
        b'0'..=b'7' => Err(too_large()),
        _ => Err(format!("{:?} is no octal number", String::from_utf8_lossy(field))),
    })
}

/// The sum of a header's bytes, its own field counted as spaces: of bytes, and of signed bytes as old programs had it.
pub(super) fn checksum(header: &[u8; 512]) -> [u64; 2] {
    let own = 148..156;
    let bytes = || header.iter().enumerate().map(|(at, byte)| if own.contains(&at) { b' ' } else { *byte });
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    [bytes().map(u64::from).sum(), u64::try_from(signed).unwrap_or(u64::MAX)]
}
