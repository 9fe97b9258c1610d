//! One file per command.

pub(crate) mod compare;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod exclude;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fit;
pub(crate) mod fits;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod predict;
pub(crate) mod predictions;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod suggest;
pub(crate) mod table;
pub(crate) mod verify;
pub(crate) mod wishes;

use crate::args::{Described, Schema};
use crate::exit::{Failure, print};

/// `scalelaw schema`.
pub(crate) fn schema(options: &Schema) -> Result<u8, Failure> {
    print(match options.what {
        Described::Sweep => spec::schema::SWEEP_SCHEMA,
        Described::Journal => spec::schema::JOURNAL_JSON_SCHEMA,
    });
    Ok(0)
}
