//! What fuzz targets share.

/// Lets the panics of libraries pass.
///
/// Decoders of pictures and the reader of Parquet files may panic on bytes that nobody has thought of; `data` catches that and
/// answers with an error. libFuzzer's hook would abort before anything is caught. A panic in our own code still aborts, and so
/// does one that nobody catches.
pub fn libraries_may_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if panic
            .location()
            .is_some_and(|place| place.file().contains("crates/data/src") || place.file().contains("fuzz_targets"))
        {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}
