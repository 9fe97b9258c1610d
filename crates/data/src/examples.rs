//! STUB
use crate::{DataError, split::Label};
use std::ops::Range;
/// STUB
#[derive(Debug)]
pub struct Examples;
/// STUB
pub struct Labelling {
    pub class_names: Option<Vec<String>>,
    pub label_field: Option<String>,
    pub multi_label: bool,
}
/// STUB
pub struct Progress;
#[allow(missing_docs)]
impl Examples {
    pub fn open(
        _p: &str,
        _l: &Labelling,
        _c: Option<&std::path::Path>,
        _s: &(dyn Fn(Progress) + Sync),
    ) -> Result<Examples, DataError> {
        Ok(Examples)
    }
    pub fn classes(&self) -> u32 {
        0
    }
    pub fn per_class(&self) -> &[u64] {
        &[]
    }
    pub fn class_names(&self) -> &[String] {
        &[]
    }
    pub fn fingerprint(&self) -> &str {
        ""
    }

    pub fn len(&self) -> u64 {
        0
    }
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn label(&self, _index: u64) -> Result<Label, DataError> {
        Ok(Label::One(0))
    }
    pub fn read(&self, _index: u64, _bytes: &mut Vec<u8>) -> Result<(), DataError> {
        Ok(())
    }
    pub fn name(&self, _index: u64) -> Result<String, DataError> {
        Ok(String::new())
    }
    pub fn advise(&self, _range: Range<u64>) {}
}
