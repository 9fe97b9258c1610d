//! Binary files of CIFAR-10 and CIFAR-100.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    for (ten, classes) in [(true, 10), (false, 100)] {
        if let Ok(raw) = data::cifar::parse(content, ten) {
            assert_eq!(raw.pixels.len(), raw.labels.len() * 3072);
            assert!(raw.labels.iter().all(|label| *label < classes));
        }
    }
});
