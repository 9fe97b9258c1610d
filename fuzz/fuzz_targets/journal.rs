//! One line of a journal; what is read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::journal::parse_line;

fuzz_target!(|text: &str| {
    if let Ok(line) = parse_line(text) {
        let written = serde_json::to_string(&line).expect("plain data");
        assert_eq!(parse_line(&written).expect("its own output"), line);
    }
});
