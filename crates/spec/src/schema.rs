//! The JSON Schema of sweep files, for editors: `scalelaw schema` prints it.

/// Draft-07, so that the common TOML and YAML editors understand it.
pub const SWEEP_SCHEMA: &str = include_str!("sweep.schema.json");
