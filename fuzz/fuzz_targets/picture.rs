//! JPEG, PNG and WebP, decoded to grey and to colour.
#![no_main]

use data::decode::{Decoded, LONGEST_SIDE, MOST_PIXELS, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: scalelaw_fuzz::libraries_may_panic(), |file: &[u8]| {
    // In one buffer, as a thread of the loader does it.
    let mut picture = Decoded::default();
    for channels in [1, 3] {
        if decode(file, channels, &mut picture).is_ok() {
            let (width, height) = (picture.width, picture.height);
            assert_eq!((picture.channels, picture.pixels.len()), (channels, width * height * channels));
            assert!(width.max(height) <= LONGEST_SIDE as usize && (1..=MOST_PIXELS as usize).contains(&(width * height)));
        }
    }
});
