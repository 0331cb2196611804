//! Certificate paths: from a leaf to a root that is trusted now (RFC 5280 section 6).
//!
//! Limits come first, then parsing, then what each signer may do, then signatures. The path itself
//! is found and verified by rustls-webpki. It does not look at a root's validity and path length,
//! so both are checked here, nor at `keyCertSign`, which is checked for every certificate that is
//! not the leaf. It refuses URI name constraints outright, so X-07 is kept by refusing the chain.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};

use crate::certificate::CertificateError;
use crate::{Certificate, IdError, SpiffeId, X509Authority};

/// Most certificates in a chain. A verified path has at most eight (leaf, six intermediates,
/// root); the rest leaves room for a root sent along and for cross certificates.
pub const MAX_CHAIN_LEN: usize = 16;

/// Most certificates of one chain with the same subject: a cross-certified signer has two. The
/// search for a path tries every signer of a matching name at every step, so a chain of equal names
/// would cost seconds; with this limit there are at most 64 paths to look at.
pub const MAX_SAME_SUBJECT: usize = 2;

/// The chain cannot be used, or leads to no root that is trusted now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No certificate at all.
    #[error("certificate chain is empty")]
    Empty,
    /// Over the limit; nothing was parsed.
    #[error("certificate chain has {len} certificates, more than {MAX_CHAIN_LEN}")]
    TooLong {
        /// Certificates found.
        len: usize,
    },
    /// Over the limit of [`MAX_SAME_SUBJECT`].
    #[error("certificate chain has more than {MAX_SAME_SUBJECT} signers with the same subject")]
    SameSubject,
    /// A certificate cannot be read.
    #[error("certificate {index} of the chain cannot be used")]
    Certificate {
        /// Position in the chain; 0 is the leaf.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// A certificate that is not the leaf breaks the profile.
    #[error("certificate {index} of the chain may not sign")]
    Signer {
        /// Position in the chain; 0 is the leaf.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: SignerDefect,
    },
    /// No root is valid now (B-01).
    #[error("there is no X.509 authority that is valid now")]
    NoAuthority,
    /// Not valid yet, expired, or not signed under any of the roots.
    #[error("certificate chain does not verify")]
    NotVerified(#[source] webpki::Error),
}

/// Why a certificate is no signer of the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerDefect {
    ///
    #[error("it is no authority by basic constraints")]
    NotCa,
    ///
    #[error("its key usage lacks keyCertSign")]
    MayNotSignCertificates,
    ///
    #[error("it has a SPIFFE ID and {count} URI names in all")]
    UriCount {
        /// URIs found.
        count: usize,
    },
    /// ID-01 to ID-05.
    #[error("its URI name is no SPIFFE ID")]
    Id(#[from] IdError),
    ///
    #[error("its SPIFFE ID has a path, as only a leaf's may")]
    HasPath,
}

/// Reads a chain, leaf first, and checks that each other certificate may sign. The result has at
/// least one certificate. No signature and no validity is checked.
pub fn read(chain: &[impl AsRef<[u8]>]) -> Result<Vec<Certificate>, PathError> {
    if chain.len() > MAX_CHAIN_LEN {
        return Err(PathError::TooLong { len: chain.len() });
    }
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(index, der)| {
            Certificate::parse(der.as_ref())
                .map_err(|source| PathError::Certificate { index, source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (_, signers) = certificates.split_first().ok_or(PathError::Empty)?;
    for (signer, index) in signers.iter().zip(1..) {
        check_intermediate(signer).map_err(|source| PathError::Signer { index, source })?;
    }
    if signers
        .iter()
        .any(|one| same_subject(one, signers) > MAX_SAME_SUBJECT)
    {
        return Err(PathError::SameSubject);
    }
    Ok(certificates)
}

/// Verifies at `now` that a chain as [`read`] gives it leads to one of `roots`.
pub fn verify(
    chain: &[Certificate],
    roots: &[X509Authority],
    now: SystemTime,
) -> Result<(), PathError> {
    let anchors = valid_anchors(roots, now);
    if anchors.is_empty() {
        return Err(PathError::NoAuthority);
    }
    let certificates = chain
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der().as_ref()))
        .collect::<Vec<_>>();
    let (leaf, intermediates) = certificates.split_first().ok_or(PathError::Empty)?;
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    let time = UnixTime::since_unix_epoch(since_1970.unwrap_or(Duration::ZERO));
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| {
            leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                intermediates,
                time,
                AnyPurpose,
                None,
                Some(&|path| check_root_path_len(path, roots)),
            )
            .map(|_| ())
        })
        .map_err(PathError::NotVerified)
}

fn same_subject(one: &Certificate, signers: &[Certificate]) -> usize {
    signers
        .iter()
        .filter(|other| other.subject_der() == one.subject_der())
        .count()
}

fn valid_anchors(roots: &[X509Authority], now: SystemTime) -> Vec<TrustAnchor<'static>> {
    roots
        .iter()
        .filter(|root| root.certificate().is_valid_at(now))
        .map(|root| root.anchor().clone())
        .collect()
}

/// A root's path length counts as an intermediate's does: certificates that are not self-issued
/// and stand between it and the leaf (RFC 5280 section 4.2.1.9).
fn check_root_path_len(
    path: &VerifiedPath<'_>,
    roots: &[X509Authority],
) -> Result<(), webpki::Error> {
    let below = path
        .intermediate_certificates()
        .filter(|signer| signer.issuer() != signer.subject())
        .count();
    let allows = |root: &X509Authority| {
        let limit = root.certificate().path_len();
        limit.is_none_or(|limit| usize::try_from(limit).is_ok_and(|limit| below <= limit))
    };
    roots
        .iter()
        .any(|root| root.anchor() == path.anchor() && allows(root))
        .then_some(())
        .ok_or(webpki::Error::PathLenConstraintViolated)
}

/// Extended key usage means nothing on signers, and the leaf's is already checked.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        purposes.try_for_each(|purpose| purpose.map(|_| ()))
    }
}

/// Whether `certificate` may be a root. A root without any key usage passes, as
/// roots of older PKIs have none.
pub fn check_signer(certificate: &Certificate) -> Result<(), SignerDefect> {
    if !certificate.is_ca() {
        return Err(SignerDefect::NotCa);
    }
    if certificate
        .key_usage
        .is_some_and(|usage| !usage.key_cert_sign())
    {
        return Err(SignerDefect::MayNotSignCertificates);
    }
    check_signer_id(certificate.uris())
}

/// Whether `certificate` may stand between leaf and root: as a root, and key usage must be there.
fn check_intermediate(certificate: &Certificate) -> Result<(), SignerDefect> {
    check_signer(certificate)?;
    match certificate.key_usage {
        Some(_) => Ok(()),
        None => Err(SignerDefect::MayNotSignCertificates),
    }
}

fn check_signer_id(uris: &[String]) -> Result<(), SignerDefect> {
    let is_spiffe = |uri: &String| {
        uri.get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
    };
    let Some(uri) = uris.iter().find(|uri| is_spiffe(uri)) else {
        return Ok(());
    };
    if uris.len() > 1 {
        return Err(SignerDefect::UriCount { count: uris.len() });
    }
    match SpiffeId::parse(uri)?.path() {
        "" => Ok(()),
        _ => Err(SignerDefect::HasPath),
    }
}
