//! Labels in members of shards: with and without class names, one and several.
#![no_main]

use data::Labelling;
use data::labels::{HIGHEST_LABEL, parse_label};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let names = vec!["cat".to_owned(), "dog".to_owned()];
    for class_names in [None, Some(names)] {
        for (multi_label, field) in [(false, None), (true, None), (true, Some("field".to_owned()))] {
            let highest = class_names.as_ref().map_or(HIGHEST_LABEL, |names| names.len() as u32 - 1);
            let labelling = Labelling { class_names: class_names.clone(), label_field: field, multi_label };
            for ending in ["cls", "json", "txt"] {
                if let Ok(Some(labels)) = parse_label(ending, content, &labelling) {
                    assert!(!labels.is_empty() && (multi_label || labels.len() == 1));
                    assert!(labels.iter().all(|label| *label <= highest));
                }
            }
        }
    }
});
