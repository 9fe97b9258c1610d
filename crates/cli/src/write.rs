//! Files are written whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::exit::Failure;

/// Replaces `path` by a file with this content; a reader sees the old one or the new one.
pub(crate) fn atomically(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        // A temporary file is private; a figure is not.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(|error| Failure::environment(format!("cannot write {}: {error}", path.display())))
}
