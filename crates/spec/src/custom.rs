//! A network that only the trainer knows: what a plan has to know of it, and what the trainer is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cost::Footprint;

/// A network of somebody's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// All parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one forward pass for one example.
    pub macs: u64,
    /// What makes it this network, as its trainer calls it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Setting>,
}

/// A setting of such a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(f64),
    /// Words.
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Flag(flag) => write!(formatter, "{flag}"),
            Setting::Whole(number) => write!(formatter, "{number}"),
            Setting::Number(number) => write!(formatter, "{number}"),
            Setting::Text(text) => formatter.write_str(text),
        }
    }
}

impl Custom {
    /// What a plan has to know. Where its parameters are and what it keeps in memory, nobody has said.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            parameters: self.parameters,
            parameters_without_head: self.parameters,
            macs: self.macs,
            activations: 0,
            layers: 0,
        }
    }
}
