//! The one look at every answer of every upstream, before anything is stored or signed with it.
//!
//! Path libraries verify paths that end in a leaf; here the path ends in our authority, and the leaf
//! is still to come. So each step is checked here: name, signature, validity, what the signer may
//! sign and how many may stand below it.

use std::sync::Arc;
use std::time::SystemTime;

use signet_crypto::PublicKey;
use signet_spiffe::certificate::NotIssuedBy;
use signet_spiffe::path::{self, PathError, SignerDefect};
use signet_spiffe::{Certificate, JwtAuthority, TrustDomain, X509Authority};

use crate::port::MintedCa;

/// Most roots in one answer. They all end in the bundle that each agent holds; organisations have
/// fewer than ten.
pub const MAX_ROOTS: usize = 128;

/// Why an upstream's answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// The chain is empty or too long, or a certificate in it cannot be read or may not sign.
    #[error("the certificate chain cannot be used")]
    Chain(#[source] PathError),
    /// Over the limit.
    #[error("it has {count} roots, more than {MAX_ROOTS}")]
    TooManyRoots {
        /// Roots found.
        count: usize,
    },
    /// Nothing to verify with.
    #[error("it has no roots")]
    NoRoots,
    /// The first certificate is for somebody else's key.
    #[error("the first certificate is not for the key that was asked for")]
    OtherKey,
    /// The first certificate is no authority's.
    #[error("the first certificate cannot be this server's authority")]
    Authority(#[source] SignerDefect),
    /// Key usage is missing, or has what no authority of SPIFFE may have.
    #[error(
        "the first certificate's key usage is missing, or has more than keyCertSign, cRLSign and \
         digitalSignature"
    )]
    KeyUsage,
    /// A URI name that is not the trust domain's ID, or more than one.
    #[error("the first certificate's URI names are {found:?} instead of `{expected}`")]
    Id {
        /// The trust domain's ID.
        expected: String,
        /// URI names found.
        found: Vec<String>,
    },
    /// Expired, or not valid yet.
    #[error("certificate {index} of the chain is not valid now")]
    NotValidNow {
        /// Position in the chain; 0 is our authority's.
        index: usize,
    },
    /// The chain breaks.
    #[error("certificate {index} of the chain was not issued by the next")]
    Broken {
        /// Position in the chain of the lower one.
        index: usize,
        /// Why.
        #[source]
        source: NotIssuedBy,
    },
    /// A certificate limits how many may stand below it, and that is too few for ours and a leaf.
    #[error("certificate {index} of the chain allows fewer authorities below it than there are")]
    PathLength {
        /// Position in the chain; its length means the root.
        index: usize,
    },
    /// No root has issued the last of the chain.
    #[error("the certificate chain does not lead to any of the {roots} roots")]
    NoRoot {
        /// How many roots there are.
        roots: usize,
        /// Why the root of the right name has not, if there is one.
        #[source]
        source: NotIssuedBy,
    },
    /// A root has, but it is not valid now.
    #[error("the root of the chain is not valid now")]
    RootNotValidNow,
    /// A published key is not among those answered.
    #[error("the key that was published is not among the keys answered")]
    NotPublished,
}

/// An authority of ours as an upstream signed it, checked.
#[derive(Debug, Clone)]
pub struct UpstreamCa {
    /// Our authority's certificate.
    pub certificate: Certificate,
    /// What SVIDs carry after the leaf, in DER: our certificate and the intermediates.
    pub chain: Vec<Arc<[u8]>>,
    /// The root that the chain leads to.
    pub root: X509Authority,
    /// All roots that the upstream named.
    pub roots: Vec<X509Authority>,
}

/// Checks what an upstream answered to a request for an authority with `public_key`: it is an
/// authority of this trust domain with that key, valid at `now`, and a leaf below it will verify
/// with one of the roots.
///
/// # Errors
/// [`InvalidAnswer`] says what is wrong.
pub fn validate(
    minted: MintedCa,
    public_key: &PublicKey,
    trust_domain: &TrustDomain,
    now: SystemTime,
) -> Result<UpstreamCa, InvalidAnswer> {
    check_roots(&minted.roots)?;
    let chain = without_roots(minted.chain, &minted.roots);
    let certificates = path::read(&chain).map_err(InvalidAnswer::Chain)?;
    let (ours, _) = certificates
        .split_first()
        .ok_or(InvalidAnswer::Chain(PathError::Empty))?;
    check_ours(ours, public_key, trust_domain)?;
    let root = lead_to_root(&certificates, &minted.roots, now)?;
    Ok(UpstreamCa {
        certificate: ours.clone(),
        chain,
        root,
        roots: minted.roots,
    })
}

/// Whether the certificates, the lowest first, lead to one of `roots` at `now`, and to which.
pub(crate) fn lead_to_root(
    certificates: &[Certificate],
    roots: &[X509Authority],
    now: SystemTime,
) -> Result<X509Authority, InvalidAnswer> {
    check_steps(certificates, now)?;
    find_root(certificates, roots, now)
}

/// Whether the answer to publishing `key` has it.
pub(crate) fn check_published(
    answered: &[JwtAuthority],
    key: &JwtAuthority,
) -> Result<(), InvalidAnswer> {
    answered
        .iter()
        .any(|known| known.key_id == key.key_id && known.public_key == key.public_key)
        .then_some(())
        .ok_or(InvalidAnswer::NotPublished)
}

fn check_roots(roots: &[X509Authority]) -> Result<(), InvalidAnswer> {
    match roots.len() {
        0 => Err(InvalidAnswer::NoRoots),
        count if count > MAX_ROOTS => Err(InvalidAnswer::TooManyRoots { count }),
        _ => Ok(()),
    }
}

/// Some upstreams send the root along, which would only make every SVID longer.
fn without_roots(mut chain: Vec<Arc<[u8]>>, roots: &[X509Authority]) -> Vec<Arc<[u8]>> {
    let is_root = |der: &Arc<[u8]>| roots.iter().any(|root| root.der == *der);
    while chain.len() > 1 && chain.last().is_some_and(is_root) {
        chain.pop();
    }
    chain
}

fn check_ours(
    ours: &Certificate,
    public_key: &PublicKey,
    trust_domain: &TrustDomain,
) -> Result<(), InvalidAnswer> {
    if ours.public_key != *public_key {
        return Err(InvalidAnswer::OtherKey);
    }
    path::check_signer(ours).map_err(InvalidAnswer::Authority)?;
    if !ours
        .key_usage
        .is_some_and(|usage| usage.only_signer_bits() && usage.key_cert_sign())
    {
        return Err(InvalidAnswer::KeyUsage);
    }
    let expected = trust_domain.id_string();
    match ours.uris() {
        [] => Ok(()),
        [uri] if *uri == expected => Ok(()),
        others => Err(InvalidAnswer::Id {
            expected,
            found: others.to_vec(),
        }),
    }
}

/// Each certificate is valid, issued by the next, and allows what stands below it.
fn check_steps(certificates: &[Certificate], now: SystemTime) -> Result<(), InvalidAnswer> {
    for (index, certificate) in certificates.iter().enumerate() {
        if !certificate.is_valid_at(now) {
            return Err(InvalidAnswer::NotValidNow { index });
        }
        if !allows(certificate, &certificates[..index]) {
            return Err(InvalidAnswer::PathLength { index });
        }
        if let Some(issuer) = certificates.get(index + 1) {
            certificate
                .check_issued_by(issuer)
                .map_err(|source| InvalidAnswer::Broken { index, source })?;
        }
    }
    Ok(())
}

fn find_root(
    certificates: &[Certificate],
    roots: &[X509Authority],
    now: SystemTime,
) -> Result<X509Authority, InvalidAnswer> {
    let last = certificates
        .last()
        .ok_or(InvalidAnswer::Chain(PathError::Empty))?;
    let mut failure = InvalidAnswer::NoRoot {
        roots: roots.len(),
        source: NotIssuedBy::Name,
    };
    for root in roots {
        match check_root(last, certificates, root, roots.len(), now) {
            Ok(()) => return Ok(root.clone()),
            // A root of another name is no news; any other failure is.
            Err(InvalidAnswer::NoRoot {
                source: NotIssuedBy::Name,
                ..
            }) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn check_root(
    last: &Certificate,
    certificates: &[Certificate],
    root: &X509Authority,
    roots: usize,
    now: SystemTime,
) -> Result<(), InvalidAnswer> {
    let above = root.certificate();
    last.check_issued_by(above)
        .map_err(|source| InvalidAnswer::NoRoot { roots, source })?;
    if !above.is_valid_at(now) {
        return Err(InvalidAnswer::RootNotValidNow);
    }
    if !allows(above, certificates) {
        let index = certificates.len();
        return Err(InvalidAnswer::PathLength { index });
    }
    Ok(())
}

/// Whether `signer` allows the authorities `below` it (RFC 5280 section 4.2.1.9: those that issued
/// themselves a certificate do not count, nor does the leaf).
fn allows(signer: &Certificate, below: &[Certificate]) -> bool {
    let count = below
        .iter()
        .filter(|one| one.issuer_der() != one.subject_der())
        .count();
    signer
        .path_len()
        .is_none_or(|limit| usize::try_from(limit).is_ok_and(|limit| count <= limit))
}
