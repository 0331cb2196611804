//! The key file: reading it with care, writing it whole or not at all.
//!
//! Nothing here puts a piece of the file into an error: it holds private keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use signet_crypto::{PrivateKey, SecretBytes};

use super::Keys;
use crate::LocalSigner;

/// Six server keys of RSA-4096 need 20 kB; a file over this is not a key file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The mode of the key file: its owner's alone.
const FILE_MODE: u32 = 0o600;

/// The mode of a key directory that is made here.
const DIRECTORY_MODE: u32 = 0o700;

/// What is wrong with the key file.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The directory of the key file could not be made.
    #[error("could not make the key directory {}", path.display())]
    MakeDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No file can be made beside the key file.
    #[error("cannot write in {}: the directory must exist and belong to this user", path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key file could not be read.
    #[error("could not read the key file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any key file.
    #[error("{} has {bytes} bytes, which is no key file: check the configured path", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Every user of the machine can reach the private keys.
    #[error(
        "the key file {} is open to all users (mode {mode:04o}): run `chmod 600 {}`, and replace the keys if others may have read them",
        path.display(), path.display()
    )]
    OpenToAll {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not the JSON it should be: cut off, or something else.
    #[error(
        "the key file {} is damaged at line {line}, column {column}: restore it from a backup, or move it away to start with new keys",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line of the first fault, from 1.
        line: usize,
        /// Column of the first fault.
        column: usize,
    },
    /// One key is not base64.
    #[error(
        "the key {id:?} in {} is not base64: restore the file from a backup, or remove this key to have it made anew",
        path.display()
    )]
    NotBase64 {
        /// The file.
        path: PathBuf,
        /// The key.
        id: String,
    },
    /// One key is not a PKCS#8 private key that we can use.
    #[error(
        "the key {id:?} in {} is not a usable PKCS#8 private key: restore the file from a backup, or remove this key to have it made anew",
        path.display()
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The key.
        id: String,
        /// Why.
        #[source]
        source: signet_crypto::KeyError,
    },
    /// The new file could not be written; the old one is as it was.
    #[error("could not write the key file {}; it is as it was", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a key file held.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) keys: Keys,
    pub(super) warnings: Vec<String>,
}

/// Makes `path` and its parents, for the owner only; one that exists is left as it is.
pub(super) fn make_directory(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|source| DiskError::MakeDirectory {
            path: path.to_owned(),
            source,
        })
}

/// Proves that the key file could be replaced, by making and removing its temporary file.
pub(super) fn probe(path: &Path) -> Result<(), DiskError> {
    let temporary = temporary(path);
    create(&temporary)
        .and_then(|_| fs::remove_file(&temporary))
        .map_err(|source| DiskError::Unwritable {
            path: directory(path).to_owned(),
            source,
        })
}

/// Reads the key file; a missing one is an empty one.
pub(super) fn read(path: &Path) -> Result<Loaded, DiskError> {
    let read_error = |source| DiskError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return Err(read_error(error)),
    };
    let metadata = file.metadata().map_err(read_error)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(DiskError::TooLarge {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    let warnings = check_mode(path, metadata.permissions().mode() & 0o7777)?;
    // The exact capacity up front: a growing vector would leave copies of keys behind.
    let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.read_to_end(&mut text).map_err(read_error)?;
    let keys = parse(path, &SecretBytes::from(text))?;
    Ok(Loaded {
        keys,
        warnings: warnings.into_iter().collect(),
    })
}

/// Replaces the key file with one that holds `keys`: after a crash there is the old or the new file.
pub(super) fn write(path: &Path, keys: &Keys) -> Result<(), DiskError> {
    let text = encode(keys);
    replace(path, text.expose()).map_err(|source| DiskError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Group access is only warned of: Kubernetes gives it to every file of a volume with `fsGroup`.
fn check_mode(path: &Path, mode: u32) -> Result<Option<String>, DiskError> {
    if mode & 0o007 != 0 {
        return Err(DiskError::OpenToAll {
            path: path.to_owned(),
            mode,
        });
    }
    Ok((mode & 0o070 != 0).then(|| {
        format!(
            "the key file {} is open to its group (mode {mode:04o}); `chmod 600` it unless that is meant",
            path.display()
        )
    }))
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    keys: BTreeMap<String, Text<'a>>,
}

/// Borrows from the file's text, so that no second copy of a key is left in memory.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

pub(crate) fn parse(path: &Path, text: &SecretBytes) -> Result<Keys, DiskError> {
    let form: Form<'_> = serde_json::from_slice(text.expose()).map_err(|error| {
        // Its text may quote the file: only the position is passed on.
        DiskError::Damaged {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        }
    })?;
    form.keys
        .into_iter()
        .map(|(id, Text(encoded))| {
            let der = STANDARD
                .decode(encoded.as_bytes())
                .map(SecretBytes::from)
                .map_err(|_| DiskError::NotBase64 {
                    path: path.to_owned(),
                    id: id.clone(),
                })?;
            let key =
                PrivateKey::from_pkcs8_der(der.expose()).map_err(|source| DiskError::BadKey {
                    path: path.to_owned(),
                    id: id.clone(),
                    source,
                })?;
            Ok((id, Arc::new(LocalSigner::new(key))))
        })
        .collect()
}

#[derive(Serialize)]
struct Encoded<'a> {
    keys: BTreeMap<&'a str, Pkcs8<'a>>,
}

struct Pkcs8<'a>(&'a PrivateKey);

impl Serialize for Pkcs8<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encoded = SecretBytes::from(STANDARD.encode(self.0.pkcs8_der().expose()).into_bytes());
        serializer.serialize_str(std::str::from_utf8(encoded.expose()).expect("base64 is ASCII"))
    }
}

/// SPIRE's form: tab-indented, ids in order, no newline at the end.
pub(crate) fn encode(keys: &Keys) -> SecretBytes {
    let form = Encoded {
        keys: keys
            .iter()
            .map(|(id, signer)| (id.as_str(), Pkcs8(signer.private_key())))
            .collect(),
    };
    let mut text = Vec::with_capacity(encoded_length(keys));
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    form.serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs))
        .expect("strings into a vector always serialize");
    SecretBytes::from(text)
}

/// An upper bound, so that the vector does not grow and leave copies of keys behind.
fn encoded_length(keys: &Keys) -> usize {
    let one = |id: &str, key: &PrivateKey| 6 * id.len() + 2 * key.pkcs8_der().expose().len() + 32;
    64 + keys
        .iter()
        .map(|(id, signer)| one(id, signer.private_key()))
        .sum::<usize>()
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let written = create(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The error that counts is the first; a left-over is removed by the next write.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(directory(path))?.sync_all()
}

/// Makes the temporary file new: one that a crash left behind may have any mode.
fn create(temporary: &Path) -> io::Result<File> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(temporary)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
