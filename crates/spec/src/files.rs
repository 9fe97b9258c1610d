//! Where the files of a data set lie, and how they are read.

use serde::{Deserialize, Serialize};

/// The files of a data set. It is no part of a run: what is read, and not where it lies, decides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFiles {
    /// Where they are.
    pub at: Place,
    /// A file with the name of a class on each line, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<String>,
    /// The field of a JSON file or the column of a Parquet file that holds the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// An example has any number of classes.
    #[serde(default)]
    pub multi_label: bool,
    /// Encoded pictures become grey (1) or colour (3); colour where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
}

/// Where files are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A folder whose layout says what is trained on and what is held out.
    Directory(String),
    /// Both parts by name: a folder with a folder for each class, or a pattern of tar or Parquet files.
    Parts {
        /// Trained on.
        train: String,
        /// Held out.
        heldout: String,
    },
}

impl DataFiles {
    /// A folder, with nothing said of how it is read.
    pub fn directory(folder: impl Into<String>) -> DataFiles {
        DataFiles {
            at: Place::Directory(folder.into()),
            class_names: None,
            label: None,
            multi_label: false,
            channels: None,
        }
    }

    /// The same files, each path seen from `base` by `join`.
    pub fn map_paths(self, join: impl Fn(&str) -> String) -> DataFiles {
        let at = match self.at {
            Place::Directory(folder) => Place::Directory(join(&folder)),
            Place::Parts { train, heldout } => Place::Parts { train: join(&train), heldout: join(&heldout) },
        };
        DataFiles { at, class_names: self.class_names.map(|path| join(&path)), ..self }
    }

    /// What a worker is told: a plain folder as its path, anything else as JSON.
    pub fn to_argument(&self) -> String {
        match &self.at {
            // A folder whose name begins as JSON does would not be read as one.
            Place::Directory(folder) if *self == DataFiles::directory(folder) && !folder.starts_with('{') => {
                folder.clone()
            }
            _ => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// Reads what [`DataFiles::to_argument`] wrote.
    ///
    /// # Errors
    /// If it begins as JSON does and is none of ours.
    pub fn from_argument(text: &str) -> Result<DataFiles, serde_json::Error> {
        if text.starts_with('{') { serde_json::from_str(text) } else { Ok(DataFiles::directory(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_is_told_reads_as_it_was_written() {
        let parts = Place::Parts { train: "a/{0..9}.tar".to_owned(), heldout: "b.tar".to_owned() };
        for files in [
            DataFiles::directory("/data/x"),
            DataFiles::directory("{x"),
            DataFiles { channels: Some(1), ..DataFiles::directory("x") },
            DataFiles { at: parts, multi_label: true, ..DataFiles::directory("") },
        ] {
            let text = files.to_argument();
            assert_eq!(DataFiles::from_argument(&text).expect("its own"), files, "{text}");
        }
        assert_eq!(DataFiles::directory("/data/x").to_argument(), "/data/x");
        assert!(DataFiles::from_argument("{\"at\": 3}").is_err());
    }
}
