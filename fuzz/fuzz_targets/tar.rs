//! Members of tar files, which must lie within the file and behind each other.
#![no_main]

use data::tar::parse_tar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Ok(members) = parse_tar(&sealed(content)) {
        let mut from = 0;
        for member in members {
            assert!(member.offset >= from + 512);
            from = member.offset.checked_add(member.length).expect("an end");
            assert!(from <= content.len() as u64 && !member.name.contains(&0));
        }
    }
});

/// The same with right checksums where a header could be, so that changes get past them: where the field of the checksum
/// begins with `?`.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    for header in content.chunks_exact_mut(512).filter(|header| header[148] == b'?') {
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    content
}
