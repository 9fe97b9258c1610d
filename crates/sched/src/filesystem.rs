//! Which file system a folder lies on: a database on a network file system can be corrupted.

use std::io;
use std::path::Path;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// As people call it.
    pub name: &'static str,
    /// Whether other machines may have it too. SQLite's write-ahead log needs memory that all its users share, and locks that hold.
    pub is_shared: bool,
}

/// Magic numbers of statfs(2). FUSE is among those that are shared, because most of what is mounted through it is; what is not can
/// hardly be told from it.
const KNOWN: [(u32, &str, bool); 26] = [
    (0xef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0xca45_1a4e, "bcachefs", false),
    (0x0102_1994, "tmpfs", false),
    (0x794c_7630, "overlay", false),
    (0x6969, "nfs", true),
    (0x517b, "smb", true),
    (0xfe53_4d42, "smb", true),
    (0xff53_4d42, "cifs", true),
    (0x0bd0_0bd0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0x1983_0326, "beegfs", true),
    (0x00c3_6400, "ceph", true),
    (0x5346_414f, "afs", true),
    (0x6b41_4653, "afs", true),
    (0x7375_7245, "coda", true),
    (0x2003_0528, "orangefs", true),
    (0xaad7_aaea, "panfs", true),
    (0x7461_636f, "ocfs2", true),
    (0x0116_1970, "gfs2", true),
    (0x0102_1997, "9p", true),
    (0x786f_4256, "vboxsf", true),
    (0x6573_5546, "fuse", true),
];

/// The file system with this magic number. One that is not known counts as a local disk.
fn classify(magic: u32) -> FileSystem {
    let known = KNOWN.iter().find(|(number, ..)| *number == magic);
    known.map_or(FileSystem { name: "another file system", is_shared: false }, |(_, name, is_shared)| FileSystem {
        name,
        is_shared: *is_shared,
    })
}

/// The file system of `path`, or of the nearest folder above it that exists.
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(&path);
    let found = rustix::fs::statfs(there)?;
    // Its type has 32 bits or 64, with or without a sign, as the machine goes.
    Ok(classify(found.f_type as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_machines_have_too_is_known() {
        for (magic, name) in [(0x6969, "nfs"), (0x0bd0_0bd0, "lustre"), (0x6573_5546, "fuse"), (0x0102_1997, "9p")] {
            assert_eq!(classify(magic), FileSystem { name, is_shared: true });
        }
        for (magic, name) in
            [(0xef53, "ext4"), (0x0102_1994, "tmpfs"), (0x794c_7630, "overlay"), (7, "another file system")]
        {
            assert_eq!(classify(magic), FileSystem { name, is_shared: false });
        }
    }

    #[test]
    fn every_number_stands_there_once() {
        let numbers: std::collections::BTreeSet<u32> = KNOWN.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), KNOWN.len());
    }

    #[test]
    fn a_folder_that_is_not_there_lies_where_it_would_be_made() {
        let proc = file_system(Path::new("/proc/self/nothing/here")).expect("there is a root");
        assert_eq!(proc.name, "another file system");
        let here = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(file_system(&here.path().join("a/b")).ok(), file_system(here.path()).ok());
    }
}
