//! The roots that Azure's certificates lead to.
//!
//! `roots.pem` holds those of Microsoft's list "Azure Certificate Authority details" that are in
//! Mozilla's root store too, from where the certificates are taken.

use std::path::Path;

use signet_spiffe::pem;

use crate::BoxError;
use crate::x509pop::{ChainError, Roots};

const PEM: &str = include_str!("roots.pem");

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The operator's file cannot be read.
    #[error("could not read trust_bundle_path {}", .path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not PEM, or holds no certificate.
    #[error("trust_bundle_path {} holds no certificate in PEM", .path.display())]
    Pem {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, if more is known.
        #[source]
        source: Option<BoxError>,
    },
    /// A certificate is not usable as a root.
    #[error("a root cannot be used")]
    Root(#[from] ChainError),
}

/// The built-in roots and those of a file.
///
/// # Errors
/// [`RootsError`] names the file.
pub fn roots(more: Option<&Path>) -> Result<Roots, RootsError> {
    let mut certificates = pem::parse_pem_certs(PEM).expect("roots.pem is PEM");
    if let Some(path) = more {
        let path = || path.to_owned();
        let text = std::fs::read_to_string(path()).map_err(|source| RootsError::File {
            path: path(),
            source,
        })?;
        let read = pem::parse_pem_certs(&text).map_err(|error| RootsError::Pem {
            path: path(),
            source: Some(error.into()),
        })?;
        if read.is_empty() {
            return Err(RootsError::Pem {
                path: path(),
                source: None,
            });
        }
        certificates.extend(read);
    }
    Ok(Roots::new(certificates)?)
}
