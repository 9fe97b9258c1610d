//! What a worker is told of the files of its data; what is read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::files::DataFiles;

fuzz_target!(|text: &str| {
    if let Ok(files) = DataFiles::from_argument(text) {
        assert_eq!(DataFiles::from_argument(&files.to_argument()).expect("its own output"), files);
    }
});
