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
    /// Begins a file that will replace what a link at its path leads to. What is there and is no file stays as it is.
    pub(crate) fn begin(path: &Path) -> Result<Partial, Failure> {
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if target.exists() && !target.is_file() {
            let to = path.display();
            return Err(Failure::environment(format!(
                "cannot write {to}: it is there and is no ordinary file; name another, or send standard output there: > {to}"
            )));
        }
        let path = target.as_path();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_what_is_no_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").expect("writable");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert!(atomically(&link, b"new").is_ok());
        assert!(link.is_symlink() && std::fs::read(&file).expect("there") == b"new");
        for refused in [Path::new("/dev/null"), folder.path()] {
            assert!(atomically(refused, b"new").is_err() && !refused.is_file(), "{}", refused.display());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2);
    }
}
