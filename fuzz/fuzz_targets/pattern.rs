//! Patterns of file names.
#![no_main]

use data::pattern::expand;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(names) = expand(text) {
        assert!(!names.is_empty() && names.len() <= 1_000_000);
        assert!(names.iter().all(|name| !name.contains(['{', '}'])));
    }
});
