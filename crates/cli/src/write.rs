//! Files are written whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::Failure;

/// Replaces `path` by a file with this content; a reader sees the old one or the new one.
pub(crate) fn atomically(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let partial = Partial::begin(path)?;
    partial.file()?.write_all(content).map_err(|error| cannot_write(path, &error))?;
    partial.keep()
}

/// A file on its way: it has its name when it is kept, and is removed when it is not. A process that is ended by a signal, as by
/// Ctrl-C, removes nothing: then what it has written stays beside the old file, under a name that begins with `.partial-`.
pub(crate) struct Partial {
    file: NamedTempFile,
    path: PathBuf,
}

impl Partial {
    pub(crate) fn begin(path: &Path) -> Result<Partial, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A temporary file is private; a figure is not, as far as the umask lets others read.
        let readable = Permissions::from_mode(0o666);
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| tempfile::Builder::new().prefix(".partial-").permissions(readable).tempfile_in(folder));
        let file = file.map_err(|error| cannot_write(path, &error))?;
        Ok(Partial { file, path: path.to_owned() })
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is written to.
    pub(crate) fn file(&self) -> Result<File, Failure> {
        self.file.as_file().try_clone().map_err(|error| cannot_write(&self.path, &error))
    }

    /// Replaces what there is at its path.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let Partial { file, path } = self;
        let kept = || -> io::Result<()> {
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        kept().map_err(|error| cannot_write(&path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::environment(format!("cannot write {}: {error}", path.display()))
}
