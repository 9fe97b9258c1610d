//! One number for all channels of a picture, or one for each.

use serde::{Deserialize, Serialize};

/// A number that channels share, or one for each of them, in their order. Written as a number or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// The same for all.
    All(f64),
    /// One for each.
    Each(Vec<f64>),
}

impl PerChannel {
    /// That of a channel; of one that is not there, that of the last.
    pub fn of(&self, channel: usize) -> f64 {
        match self {
            PerChannel::All(value) => *value,
            PerChannel::Each(values) => values.get(channel).or(values.last()).copied().unwrap_or_default(),
        }
    }

    /// One number for each of so many channels.
    pub fn each(&self, channels: usize) -> Vec<f64> {
        (0..channels).map(|channel| self.of(channel)).collect()
    }

    /// Whether there is a number for each of so many channels, and no more.
    pub fn fits(&self, channels: usize) -> bool {
        match self {
            PerChannel::All(_) => true,
            PerChannel::Each(values) => values.len() == channels,
        }
    }
}

impl std::fmt::Display for PerChannel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PerChannel::All(value) => write!(formatter, "{value}"),
            PerChannel::Each(values) => {
                let texts: Vec<String> = values.iter().map(f64::to_string).collect();
                write!(formatter, "{}", texts.join(" "))
            }
        }
    }
}
