//! Which server's keys are whose in an engine that several servers share.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

/// Longest identifier: it stands in the name of each key.
const MAX_LEN: usize = 128;
/// The file is its owner's alone: with it another server would use this one's keys.
const FILE_MODE: u32 = 0o600;

/// What tells one server's keys from another's. Two servers must never have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier(String);

/// There is no identifier.
#[derive(Debug, thiserror::Error)]
pub enum IdentifierError {
    /// The text is none.
    #[error(
        "must be of 1 to {MAX_LEN} visible ASCII characters, the first of them a letter or digit"
    )]
    Text,
    /// What stands in the file is none.
    #[error("the key identifier in {} must be of 1 to {MAX_LEN} visible ASCII characters, the first of them a letter or digit", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The file can be neither read nor made.
    #[error("could not read or make the key identifier file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Identifier {
    /// The identifier in the file at `path`; the file is made, with a new one in it, if it is not there.
    ///
    /// # Errors
    /// [`IdentifierError`] names the file.
    pub fn from_file(path: &Path) -> Result<Self, IdentifierError> {
        let failed = |source| IdentifierError::File {
            path: path.to_owned(),
            source,
        };
        match fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|_| IdentifierError::Content {
                path: path.to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        let first = text.chars().next();
        let fits = text.len() <= MAX_LEN
            && first.is_some_and(|c| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
            .ok_or(IdentifierError::Text)
    }
}

/// Whole or not at all: a file that was cut off would be another server's.
fn make(path: &Path) -> io::Result<Identifier> {
    let identifier = Uuid::new_v4().to_string();
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&unfinished)?;
    file.write_all(identifier.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(Identifier(identifier))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_file_is_made_for_its_owner_alone_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key-identifier");
        let made = Identifier::from_file(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Identifier::from_file(&path).unwrap(), made);
        let other = directory.path().join("other");
        assert_ne!(Identifier::from_file(&other).unwrap(), made);
    }

    #[test]
    fn a_file_of_spires_with_a_newline_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id");
        fs::write(&path, "8d3c1a8e-0000-4000-8000-000000000001\n").unwrap();
        let read = Identifier::from_file(&path).unwrap();
        assert_eq!(read.as_str(), "8d3c1a8e-0000-4000-8000-000000000001");
    }

    #[test]
    fn what_is_no_identifier_is_refused_and_the_file_named() {
        for text in ["", " ", "-a", "a b", "ä", &"a".repeat(129), "a\0"] {
            text.parse::<Identifier>().unwrap_err();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        fs::write(&path, "").unwrap();
        let error = Identifier::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("empty"));
        let nowhere = directory.path().join("no/such/directory");
        let error = Identifier::from_file(&nowhere).unwrap_err();
        assert!(matches!(error, IdentifierError::File { .. }));
    }
}
