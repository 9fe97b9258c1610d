//! Parquet files: footer, labels, pictures.
#![no_main]

use data::Labelling;
use data::parquet::{parse_parquet, read_parquet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: scalelaw_fuzz::libraries_may_panic(), |content: &[u8]| {
    if parse_parquet(content).is_ok() {
        for multi_label in [false, true] {
            let _ = read_parquet(content, &Labelling { multi_label, ..Labelling::default() }, 20);
        }
    }
});
