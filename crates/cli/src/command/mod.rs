//! One file per command.

pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod fit;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod verify;

use crate::exit::{Failure, print};

/// `scalelaw schema`.
pub(crate) fn schema() -> Result<u8, Failure> {
    print(spec::schema::SWEEP_SCHEMA);
    Ok(0)
}
