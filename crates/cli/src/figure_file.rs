//! The files of a figure, and the check whether what it was drawn from has changed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::write;

/// Pixels of a PNG per CSS pixel: 300 dots per inch at the printed size.
const PNG_SCALE: f32 = 3.125;

/// A figure before it is written.
pub(crate) struct Drawn {
    /// The name of its files, without their endings.
    pub(crate) name: String,
    /// What draws it again, without the name of the program.
    pub(crate) command: Vec<String>,
    pub(crate) svg: String,
    pub(crate) csv: String,
    /// Hash of what it was drawn from.
    pub(crate) data_hash: String,
    /// The fit with its intervals, or why there is none.
    pub(crate) fit: serde_json::Value,
}

/// What stands beside a figure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    pub(crate) schema_version: u32,
    pub(crate) figure: String,
    /// Of the program that drew it.
    pub(crate) version: String,
    /// What draws it again when typed after `scalelaw`, wherever the state folder lies.
    pub(crate) command: Vec<String>,
    pub(crate) data_hash: String,
    pub(crate) fit: serde_json::Value,
}

impl Drawn {
    /// Writes SVG, PNG, CSV, JSON and, where it is wanted, PDF; the paths in this order.
    pub(crate) fn save(&self, folder: &Path, pdf: bool) -> Result<Vec<PathBuf>, Failure> {
        let sidecar = Sidecar {
            schema_version: 1,
            figure: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: self.command.clone(),
            data_hash: self.data_hash.clone(),
            fit: self.fit.clone(),
        };
        let json = serde_json::to_string_pretty(&sidecar)
            .map_err(|error| Failure::environment(format!("cannot write the JSON of {}: {error}", self.name)))?;
        let png = report::png(&self.svg, PNG_SCALE)?;
        let mut files = vec![
            ("svg", report::standalone(&self.svg).into_bytes()),
            ("png", png),
            ("csv", self.csv.clone().into_bytes()),
        ];
        files.push(("json", (json + "\n").into_bytes()));
        if pdf {
            files.push(("pdf", report::pdf(&self.svg)?));
        }
        let mut paths = Vec::new();
        for (ending, content) in files {
            let path = folder.join(format!("{}.{ending}", self.name));
            write::atomically(&path, &content)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// Reads what stands beside a figure.
pub(crate) fn read(path: &Path) -> Result<Sidecar, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is not the JSON beside a figure of scalelaw: {error}", path.display()))
    })
}

/// Hash of any text.
pub(crate) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}
