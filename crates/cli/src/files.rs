//! Files that commands write for their user: whole or not at all, with the right mode.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Failure;

/// For certificates: everybody may read them.
const PUBLIC: u32 = 0o644;
/// For keys and tokens: only their owner.
const PRIVATE: u32 = 0o600;

/// Writes what everybody may read.
///
/// # Errors
/// [`Failure::File`].
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write(path, content, PUBLIC)
}

/// Writes what only the owner may read.
///
/// # Errors
/// [`Failure::File`].
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write(path, content, PRIVATE)
}

/// Reads a text file, or stdin for `-`.
///
/// # Errors
/// [`Failure::File`].
pub fn read_or_stdin(path: &Path) -> Result<String, Failure> {
    let content = if path == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    content.map_err(|source| Failure::File {
        step: "read",
        path: path.into(),
        source,
    })
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let beside = beside(path);
    let written = write_new(&beside, content, mode).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // The half-written file is of no use; that it could not be written is the news.
        let _ = fs::remove_file(&beside);
        Failure::File {
            step: "write",
            path: path.into(),
            source,
        }
    })
}

/// A name in the same folder, so that renaming it replaces the old file in one step.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create_new(true).mode(mode).open(path)?;
    // The process's umask may have taken bits away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_its_owners_and_a_certificate_everybodys() {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("k"), folder.path().join("c"));
        write_private(&key, b"k").unwrap();
        write_public(&certificate, b"c").unwrap();
        assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o644));
    }

    #[test]
    fn an_old_file_is_replaced_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        write_public(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let failure = write_public(Path::new("/nonexistent/c"), b"c").unwrap_err();
        assert!(failure.to_string().contains("/nonexistent/c"), "{failure}");
    }
}
