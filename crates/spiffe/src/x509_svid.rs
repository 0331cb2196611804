//! X.509-SVIDs (X509-SVID): what a leaf must look like, and verification of a chain against the
//! bundle of the ID's own trust domain. What a signer must look like is in [`crate::path`].

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::path::{self, PathError};
use crate::{Bundle, Certificate, IdError, PublicKey, Serial, SpiffeId, TrustDomain};

/// The chain is no X.509-SVID, or not one of this trust domain now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum X509SvidError {
    /// The chain cannot be read, or does not lead to a root of the bundle.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The leaf breaks the profile.
    #[error("leaf certificate is no X.509-SVID")]
    Leaf(#[from] LeafDefect),
    /// The bundle is another trust domain's.
    #[error("SVID is of trust domain `{found}`, the bundle of `{bundle}`")]
    WrongTrustDomain {
        /// Trust domain of the SVID.
        found: TrustDomain,
        /// Trust domain of the bundle.
        bundle: TrustDomain,
    },
}

/// Why a certificate is no leaf of the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafDefect {
    ///
    #[error("it has {count} URI names instead of one")]
    UriCount {
        /// URIs found.
        count: usize,
    },
    /// ID-01 to ID-05.
    #[error("its URI name is no SPIFFE ID")]
    Id(#[from] IdError),
    /// X-02, ID-07.
    #[error("its SPIFFE ID has no path")]
    NoPath,
    /// without a subject, the alternative names must be critical.
    #[error("its subject is empty and its alternative names are not critical")]
    NamesNotCritical,
    ///
    #[error("it is an authority by basic constraints")]
    IsCa,
    ///
    #[error("it has no key usage marked critical")]
    KeyUsageMissing,
    ///
    #[error("its key usage lacks digitalSignature")]
    CannotSign,
    ///
    #[error("its key usage has keyCertSign or cRLSign")]
    MaySignCertificates,
    ///
    #[error("its extended key usage lacks serverAuth or clientAuth")]
    ExtendedKeyUsage,
}

/// An X.509-SVID.
#[derive(Clone, PartialEq, Eq)]
pub struct X509Svid {
    /// Whose it is.
    pub id: SpiffeId,
    /// The certificates in DER, leaf first.
    pub chain: Vec<Arc<[u8]>>,
    /// Start of the leaf's validity.
    pub not_before: SystemTime,
    /// End of the leaf's validity.
    pub not_after: SystemTime,
    /// The leaf's serial number.
    pub serial: Serial,
    /// The leaf's key.
    pub public_key: PublicKey,
}

impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Svid")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .field("chain_len", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// Reads a chain, leaf first, and checks the profile of each certificate. No signature and no
/// validity is checked: this is for one's own SVID; for a peer's there is [`verify`].
pub fn parse(chain: &[impl AsRef<[u8]>]) -> Result<X509Svid, X509SvidError> {
    svid_of(&path::read(chain)?)
}

/// Reads a chain and verifies it at `now` against `bundle`, which must be that of the SVID's own
/// trust domain. What is returned was read from the very bytes that were verified.
pub fn verify(
    chain: &[impl AsRef<[u8]>],
    bundle: &Bundle,
    now: SystemTime,
) -> Result<X509Svid, X509SvidError> {
    let certificates = path::read(chain)?;
    let svid = svid_of(&certificates)?;
    if svid.id.trust_domain() != &bundle.trust_domain {
        return Err(X509SvidError::WrongTrustDomain {
            found: svid.id.trust_domain().clone(),
            bundle: bundle.trust_domain.clone(),
        });
    }
    path::verify(&certificates, &bundle.x509_authorities, now)?;
    Ok(svid)
}

fn svid_of(certificates: &[Certificate]) -> Result<X509Svid, X509SvidError> {
    let leaf = certificates.first().ok_or(PathError::Empty)?;
    Ok(X509Svid {
        id: check_leaf(leaf)?,
        chain: certificates
            .iter()
            .map(|one| Arc::clone(one.der()))
            .collect(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        serial: leaf.serial.clone(),
        public_key: leaf.public_key.clone(),
    })
}

/// Whether `certificate` is a leaf of the profile, and whose.
pub fn check_leaf(certificate: &Certificate) -> Result<SpiffeId, LeafDefect> {
    let [uri] = certificate.uris() else {
        let count = certificate.uris().len();
        return Err(LeafDefect::UriCount { count });
    };
    let id = SpiffeId::parse(uri)?;
    if id.path().is_empty() {
        return Err(LeafDefect::NoPath);
    }
    let critical = certificate
        .alt_names
        .as_ref()
        .is_some_and(|names| names.critical);
    if certificate.subject_is_empty() && !critical {
        return Err(LeafDefect::NamesNotCritical);
    }
    if certificate.is_ca() {
        return Err(LeafDefect::IsCa);
    }
    check_leaf_usage(certificate)?;
    Ok(id)
}

fn check_leaf_usage(certificate: &Certificate) -> Result<(), LeafDefect> {
    let usage = certificate
        .key_usage
        .filter(|usage| usage.critical)
        .ok_or(LeafDefect::KeyUsageMissing)?;
    if !usage.digital_signature() {
        return Err(LeafDefect::CannotSign);
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(LeafDefect::MaySignCertificates);
    }
    match certificate.extended_key_usage {
        Some(purposes) if !(purposes.server_auth && purposes.client_auth) => {
            Err(LeafDefect::ExtendedKeyUsage)
        }
        _ => Ok(()),
    }
}
