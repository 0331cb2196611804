//! The files of an upstream: read with care, and refused with what is wrong with which of them.
//!
//! Nothing here puts a piece of the key file into an error.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use signet_ca::{AuthorityError, X509Authority};
use signet_crypto::PrivateKey;
use signet_crypto::pem::PemError;
use signet_keys::LocalSigner;
use signet_spiffe::certificate::NotIssuedBy;
use signet_spiffe::path::{self, PathError};
use signet_spiffe::pem;

use super::DiskFiles;
use crate::InvalidAnswer;
use crate::validate::lead_to_root;

/// A hundred certificates need 200 kB; a file over this is none of ours.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Anybody's permissions: whoever can read the key can sign for the whole trust domain.
const OTHERS: u32 = 0o007;

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} has more than {MAX_FILE_BYTES} bytes: check the configured path", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Every user of the machine can reach the key.
    #[error(
        "the key file {} is open to all users (mode {mode:04o}): run `chmod 600` on it, and replace the key if others may have read it",
        path.display()
    )]
    OpenToAll {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not PEM: cut off, or something else.
    #[error("{} is not PEM text, or is cut off", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PemError,
    },
    /// There is no certificate in it.
    #[error("{} has no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used, or there are too many.
    #[error("the certificates in {} cannot be used", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A certificate of the bundle is no root.
    #[error("certificate {index} in {} cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Which one, from 0.
        index: usize,
        /// Why.
        #[source]
        source: signet_spiffe::AuthorityError,
    },
    /// The key cannot be used.
    #[error("{} is no private key that can be used, or is cut off", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: signet_crypto::KeyError,
    },
    /// Certificate and key do not belong together, or the certificate is no authority's.
    #[error("the certificate in {} and its key are no authority", path.display())]
    Authority {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AuthorityError,
    },
    /// An intermediate without what is above it.
    #[error("the certificate in {} is not self-signed: give its roots as bundle_file_path", path.display())]
    NoBundle {
        /// The certificate file.
        path: PathBuf,
        /// How it is seen.
        #[source]
        source: NotIssuedBy,
    },
    /// The certificates are expired or do not lead to a root.
    #[error("the certificates in {} do not verify with the roots", path.display())]
    NotVerified {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidAnswer,
    },
}

impl DiskError {
    /// The file that somebody must look at.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::TooLarge { path }
            | Self::OpenToAll { path, .. }
            | Self::NotPem { path, .. }
            | Self::NoCertificate { path }
            | Self::Chain { path, .. }
            | Self::Root { path, .. }
            | Self::Key { path, .. }
            | Self::Authority { path, .. }
            | Self::NoBundle { path, .. }
            | Self::NotVerified { path, .. } => path,
        }
    }
}

/// What the files come to.
pub(super) struct Loaded {
    /// Signs.
    pub(super) authority: X509Authority,
    /// What verifies what it signs.
    pub(super) roots: Vec<signet_spiffe::X509Authority>,
}

/// Reads all files and checks that they belong together and are good at `now`.
pub(super) fn load(files: &DiskFiles, now: SystemTime) -> Result<Loaded, DiskError> {
    let path = &files.cert_file_path;
    let certificates = certificates(path)?;
    let roots = match &files.bundle_file_path {
        Some(bundle) => roots(bundle, &self::certificates(bundle)?)?,
        None => own_root(path, &certificates[..1])?,
    };
    let is_root = |der: &Vec<u8>| roots.iter().any(|root| *root.der == **der);
    let chain: Vec<Arc<[u8]>> = certificates
        .iter()
        .take_while(|der| !is_root(der))
        .map(|der| Arc::from(der.as_slice()))
        .collect();
    check(path, &certificates[0], &chain, &roots, now)?;
    let key = key(&files.key_file_path)?;
    let signer = Arc::new(LocalSigner::new(key));
    let authority = X509Authority::new(&certificates[0], chain, signer).map_err(|source| {
        let path = path.clone();
        DiskError::Authority { path, source }
    })?;
    Ok(Loaded { authority, roots })
}

/// Sizes, times and inodes of the files, which differ once one of them was replaced.
pub(super) fn marks(files: &DiskFiles) -> Vec<Option<(u64, u64, i64, i64)>> {
    let all = [
        Some(&files.cert_file_path),
        Some(&files.key_file_path),
        files.bundle_file_path.as_ref(),
    ];
    let mark = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    all.into_iter().flatten().map(mark).collect()
}

/// A root needs to be valid; what stands below one must lead there.
fn check(
    path: &Path,
    first: &[u8],
    chain: &[Arc<[u8]>],
    roots: &[signet_spiffe::X509Authority],
    now: SystemTime,
) -> Result<(), DiskError> {
    let path = path.to_owned();
    if chain.is_empty() {
        let root = roots.iter().find(|root| *root.der == *first);
        return match root.is_some_and(|root| root.certificate().is_valid_at(now)) {
            true => Ok(()),
            false => Err(DiskError::NotVerified {
                path,
                source: InvalidAnswer::RootNotValidNow,
            }),
        };
    }
    let read = path::read(chain).map_err(|source| DiskError::Chain {
        path: path.clone(),
        source,
    })?;
    match lead_to_root(&read, roots, now) {
        Ok(_) => Ok(()),
        Err(source) => Err(DiskError::NotVerified { path, source }),
    }
}

/// The certificate that signs, as its own root.
fn own_root(
    path: &Path,
    first: &[Vec<u8>],
) -> Result<Vec<signet_spiffe::X509Authority>, DiskError> {
    let roots = roots(path, first)?;
    for root in &roots {
        let certificate = root.certificate();
        certificate
            .check_issued_by(certificate)
            .map_err(|source| DiskError::NoBundle {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

fn roots(path: &Path, ders: &[Vec<u8>]) -> Result<Vec<signet_spiffe::X509Authority>, DiskError> {
    let read = |(index, der): (usize, &Vec<u8>)| {
        signet_spiffe::X509Authority::from_der(der).map_err(|source| DiskError::Root {
            path: path.to_owned(),
            index,
            source,
        })
    };
    ders.iter().enumerate().map(read).collect()
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, DiskError> {
    let (text, _) = text(path)?;
    let found = pem::parse_pem_certs(&text).map_err(|source| DiskError::NotPem {
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        let path = path.to_owned();
        return Err(DiskError::NoCertificate { path });
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKey, DiskError> {
    let (text, mode) = text(path)?;
    let path = path.to_owned();
    if mode & OTHERS != 0 {
        return Err(DiskError::OpenToAll { path, mode });
    }
    PrivateKey::from_pem(&text).map_err(|source| DiskError::Key { path, source })
}

/// The text of a file and its permission bits.
fn text(path: &Path) -> Result<(zeroize::Zeroizing<String>, u32), DiskError> {
    let failed = |source| DiskError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    let mut text = zeroize::Zeroizing::new(String::new());
    let mut limited = file.take(MAX_FILE_BYTES + 1);
    limited.read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let path = path.to_owned();
        return Err(DiskError::TooLarge { path });
    }
    Ok((text, mode))
}
