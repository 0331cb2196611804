//! X.509-SVIDs (X509-SVID): what a leaf and a signer must look like, and verification of a chain
//! against the bundle of the ID's own trust domain.
//!
//! The order is cheap before dear: limits, then parsing, then the profile, then signatures. The
//! path itself is verified by rustls-webpki. It does not look at a root's validity, so expired
//! roots are left out here, nor at `keyCertSign`, which is checked for every certificate that is
//! not the leaf. It refuses URI name constraints outright, so X-07 is kept by refusing the chain.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use crate::certificate::CertificateError;
use crate::{Bundle, Certificate, IdError, PublicKey, Serial, SpiffeId, TrustDomain};

/// Most certificates in a chain. A verified path has at most eight (leaf, six intermediates,
/// root); the rest leaves room for a root sent along and for cross certificates.
pub const MAX_CHAIN_LEN: usize = 16;

/// The chain is no X.509-SVID, or not one of this trust domain now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum X509SvidError {
    /// No certificate at all.
    #[error("certificate chain is empty")]
    EmptyChain,
    /// Over the limit; nothing was parsed.
    #[error("certificate chain has {len} certificates, more than {MAX_CHAIN_LEN}")]
    ChainTooLong {
        /// Certificates found.
        len: usize,
    },
    /// A certificate cannot be read.
    #[error("certificate {index} of the chain cannot be used")]
    Certificate {
        /// Position in the chain; 0 is the leaf.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// The leaf breaks the profile.
    #[error("leaf certificate is no X.509-SVID")]
    Leaf(#[source] LeafDefect),
    /// Another certificate breaks the profile.
    #[error("certificate {index} of the chain may not sign")]
    Signer {
        /// Position in the chain; 0 is the leaf.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: SignerDefect,
    },
    /// The bundle is another trust domain's.
    #[error("SVID is of trust domain `{found}`, the bundle of `{bundle}`")]
    WrongTrustDomain {
        /// Trust domain of the SVID.
        found: TrustDomain,
        /// Trust domain of the bundle.
        bundle: TrustDomain,
    },
    /// The bundle has no root that is valid now (B-01).
    #[error("bundle has no X.509 authority that is valid now")]
    NoAuthority,
    /// Not valid yet, expired, or not signed under any root of the bundle.
    #[error("certificate chain does not verify")]
    Path(#[source] webpki::Error),
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

/// An X.509-SVID.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Reads a chain, leaf first, and checks the profile of each certificate. No signature and no
/// validity is checked: this is for one's own SVID, or before [`verify`].
pub fn parse(chain: &[impl AsRef<[u8]>]) -> Result<X509Svid, X509SvidError> {
    if chain.len() > MAX_CHAIN_LEN {
        return Err(X509SvidError::ChainTooLong { len: chain.len() });
    }
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(index, der)| {
            Certificate::parse(der.as_ref())
                .map_err(|source| X509SvidError::Certificate { index, source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (leaf, signers) = certificates
        .split_first()
        .ok_or(X509SvidError::EmptyChain)?;
    let id = check_leaf(leaf).map_err(X509SvidError::Leaf)?;
    for (signer, index) in signers.iter().zip(1..) {
        check_intermediate(signer).map_err(|source| X509SvidError::Signer { index, source })?;
    }
    Ok(X509Svid {
        id,
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

/// Reads a chain and verifies it at `now` against `bundle`, which must be that of the SVID's own
/// trust domain. What is returned was read from the very bytes that were verified.
pub fn verify(
    chain: &[impl AsRef<[u8]>],
    bundle: &Bundle,
    now: SystemTime,
) -> Result<X509Svid, X509SvidError> {
    let svid = parse(chain)?;
    if svid.id.trust_domain() != &bundle.trust_domain {
        return Err(X509SvidError::WrongTrustDomain {
            found: svid.id.trust_domain().clone(),
            bundle: bundle.trust_domain.clone(),
        });
    }
    verify_path(&svid, bundle, now)?;
    Ok(svid)
}

fn verify_path(svid: &X509Svid, bundle: &Bundle, now: SystemTime) -> Result<(), X509SvidError> {
    let anchors = valid_anchors(bundle, now);
    if anchors.is_empty() {
        return Err(X509SvidError::NoAuthority);
    }
    let certificates = svid
        .chain
        .iter()
        .map(|der| CertificateDer::from(der.as_ref()))
        .collect::<Vec<_>>();
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    let time = UnixTime::since_unix_epoch(since_1970.unwrap_or(Duration::ZERO));
    EndEntityCert::try_from(&certificates[0])
        .and_then(|leaf| {
            leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &certificates[1..],
                time,
                AnyPurpose,
                None,
                None,
            )
            .map(|_| ())
        })
        .map_err(X509SvidError::Path)
}

fn valid_anchors(bundle: &Bundle, now: SystemTime) -> Vec<TrustAnchor<'static>> {
    bundle
        .x509_authorities
        .iter()
        .filter(|authority| authority.certificate().is_valid_at(now))
        .map(|authority| authority.anchor().clone())
        .collect()
}

/// Extended key usage means nothing on signers, and the leaf's is already checked.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        purposes.try_for_each(|purpose| purpose.map(|_| ()))
    }
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
