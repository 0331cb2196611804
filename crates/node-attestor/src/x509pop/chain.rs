//! From certificates that an agent sent to a chain that is verified.
//!
//! Cheap before dear: sizes and counts, then parsing, then key sizes, and only then signatures.
//! [`VerifiedChain`] is made by [`verify`] alone, and is read from the very bytes that were
//! verified.
//!
//! rustls-webpki verifies the path. It looks neither at the validity of a root nor at
//! `keyCertSign`, so both are seen to here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use signet_spiffe::certificate::CertificateError;
use signet_spiffe::{Bundle, Certificate};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

/// What an agent's chain may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Certificates between the leaf and the authority.
    pub max_intermediates: usize,
    /// Bits of an RSA modulus, of any certificate of the chain.
    pub max_rsa_key_size: usize,
}

impl Default for Limits {
    /// SPIRE's defaults.
    fn default() -> Self {
        Self {
            max_intermediates: 4,
            max_rsa_key_size: 8192,
        }
    }
}

/// The authorities that an agent's chain may lead to.
#[derive(Clone, Debug)]
pub struct Roots(Vec<Root>);

#[derive(Clone, Debug)]
struct Root {
    certificate: Certificate,
    anchor: TrustAnchor<'static>,
}

/// A chain that leads to one of the authorities, and was valid at the time of verification.
#[derive(Debug)]
pub(crate) struct VerifiedChain {
    leaf: Certificate,
    authorities: Vec<Arc<[u8]>>,
}

/// Why a chain is not accepted, or an authority not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A certificate cannot be read, or has a key that is not supported.
    #[error("certificate {index} cannot be used")]
    Certificate {
        /// Position; 0 is the leaf.
        index: usize,
        /// What is wrong.
        #[source]
        source: CertificateError,
    },
    /// An RSA key is larger than allowed.
    #[error("certificate {index} has an RSA key of {bits} bits, more than the limit of {limit}")]
    RsaKeyTooLarge {
        /// Position; 0 is the leaf.
        index: usize,
        /// Bits of the modulus.
        bits: usize,
        /// The limit.
        limit: usize,
    },
    /// The leaf's key is not for signing.
    #[error("the leaf certificate lacks the key usage digitalSignature")]
    NotForSigning,
    /// No authority is valid now.
    #[error("no authority is valid now")]
    NoAuthority,
    /// The chain leads to no authority, or is not valid now.
    #[error("the certificate chain does not verify")]
    Path(#[source] webpki::Error),
    /// A configured authority is none.
    #[error("certificate {index} of the bundle is not an authority")]
    NotAnAuthority {
        /// Position in the bundle.
        index: usize,
    },
}

impl Roots {
    /// The authorities in these certificates in DER.
    pub fn new<D: AsRef<[u8]>>(
        certificates: impl IntoIterator<Item = D>,
    ) -> Result<Self, ChainError> {
        let roots = certificates.into_iter().enumerate();
        let roots = roots.map(|(index, der)| Root::new(der.as_ref(), index));
        roots.collect::<Result<_, _>>().map(Self)
    }

    /// The X.509 authorities of a bundle.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self, ChainError> {
        Self::new(
            bundle
                .x509_authorities
                .iter()
                .map(|authority| &authority.der),
        )
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Root {
    fn new(der: &[u8], index: usize) -> Result<Self, ChainError> {
        let certificate =
            Certificate::parse(der).map_err(|source| ChainError::Certificate { index, source })?;
        let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(der))
            .map_err(|_| ChainError::NotAnAuthority { index })?
            .to_owned();
        if !may_sign(&certificate) {
            return Err(ChainError::NotAnAuthority { index });
        }
        Ok(Self {
            certificate,
            anchor,
        })
    }
}

impl VerifiedChain {
    /// The agent's own certificate.
    pub(super) fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Every certificate above the leaf, of all paths to an authority, in DER and each once.
    pub(super) fn authorities(&self) -> &[Arc<[u8]>] {
        &self.authorities
    }
}

/// Verifies a chain, leaf first, whose number of certificates and their sizes were checked.
pub(crate) fn verify(
    certificates: &[Vec<u8>],
    roots: &Roots,
    limits: Limits,
    now: SystemTime,
) -> Result<VerifiedChain, ChainError> {
    let mut parsed = parse(certificates, limits)?;
    let leaf = parsed.remove(0);
    let usage = leaf.key_usage;
    if !usage.is_some_and(|usage| usage.digital_signature()) {
        return Err(ChainError::NotForSigning);
    }
    // Others may have been sent along in good faith; they lead nowhere.
    let intermediates: Vec<_> = parsed.into_iter().filter(may_sign).collect();
    let authorities = verify_paths(&leaf, &intermediates, roots, now)?;
    Ok(VerifiedChain { leaf, authorities })
}

fn parse(certificates: &[Vec<u8>], limits: Limits) -> Result<Vec<Certificate>, ChainError> {
    let parse = |(index, der): (usize, &Vec<u8>)| {
        let certificate =
            Certificate::parse(der).map_err(|source| ChainError::Certificate { index, source })?;
        let bits = certificate.public_key.rsa_bits().unwrap_or(0);
        if bits > limits.max_rsa_key_size {
            return Err(ChainError::RsaKeyTooLarge {
                index,
                bits,
                limit: limits.max_rsa_key_size,
            });
        }
        Ok(certificate)
    };
    certificates.iter().enumerate().map(parse).collect()
}

/// Looks for a path to each authority. One must be there; the others only add to what is known of
/// the agent. Authorities of other names cost no signature.
fn verify_paths(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &Roots,
    now: SystemTime,
) -> Result<Vec<Arc<[u8]>>, ChainError> {
    let leaf = CertificateDer::from(leaf.der().as_ref());
    let leaf = EndEntityCert::try_from(&leaf).map_err(ChainError::Path)?;
    let intermediates: Vec<_> = intermediates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der().as_ref()))
        .collect();
    let (mut found, mut failure) = (Vec::new(), ChainError::NoAuthority);
    for root in roots
        .0
        .iter()
        .filter(|root| root.certificate.is_valid_at(now))
    {
        match path(&leaf, &intermediates, root, now) {
            Ok(authorities) => found.extend(authorities),
            Err(error) => failure = graver(failure, error),
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|der: &Arc<[u8]>| seen.insert(Arc::clone(der)));
    if found.is_empty() {
        Err(failure)
    } else {
        Ok(found)
    }
}

/// The certificates above the leaf on the path to this authority.
fn path(
    leaf: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    root: &Root,
    now: SystemTime,
) -> Result<Vec<Arc<[u8]>>, webpki::Error> {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    let time = UnixTime::since_unix_epoch(since_1970.unwrap_or(Duration::ZERO));
    let anchors = std::slice::from_ref(&root.anchor);
    let path = leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        anchors,
        intermediates,
        time,
        AnyPurpose,
        None,
        None,
    )?;
    let between = path.intermediate_certificates();
    let mut authorities: Vec<_> = between.map(|one| Arc::from(one.der().as_ref())).collect();
    authorities.push(Arc::clone(root.certificate.der()));
    Ok(authorities)
}

/// "Unknown issuer" is what all other authorities say: keep what tells more.
fn graver(known: ChainError, new: webpki::Error) -> ChainError {
    match (&known, &new) {
        (ChainError::Path(_), webpki::Error::UnknownIssuer) => known,
        _ => ChainError::Path(new),
    }
}

fn may_sign(certificate: &Certificate) -> bool {
    let usage = certificate.key_usage;
    certificate.is_ca() && usage.is_none_or(|usage| usage.key_cert_sign())
}

/// Extended key usage does not matter here, as in SPIRE.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        purposes.try_for_each(|purpose| purpose.map(|_| ()))
    }
}
