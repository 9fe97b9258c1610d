//! IDX files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Ok(idx) = data::idx::parse(content) {
        assert_eq!(idx.shape.iter().product::<usize>(), idx.bytes.len());
    }
});
