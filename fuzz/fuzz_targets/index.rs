//! Headers of indexes: the input as a whole index, and as the numbers of entries and bytes in the blob followed by a header, for
//! which lengths and checksum are made right, so that changes get past them.
#![no_main]

use data::index::parse_index_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let _ = parse_index_header(content);
    let Some((&[entries, blob], tail)) = content.split_first_chunk::<2>() else { return };
    let mut start = b"SCALELAW\x01\0\0\0\0\0\0\0".to_vec();
    for number in [u64::from(entries), u64::from(blob), tail.len() as u64] {
        start.extend(number.to_le_bytes());
    }
    let hash = blake3::Hasher::new().update(&start).update(tail).finalize();
    let between = vec![0; usize::from(entries) * 20 + usize::from(blob)];
    let _ = parse_index_header(&[&start, &hash.as_bytes()[..], &between, tail].concat());
});
