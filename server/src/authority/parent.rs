//! Who certifies a new X.509 authority: nobody but itself, or an upstream authority.

use super::upstream::{Upstream, UpstreamFault};
use signet_ca::{NewAuthority, X509Authority, X509Error};
use signet_crypto::Random;
use signet_keys::Signer;
use signet_model::approve::Subject;
use signet_model::compose::{AuthorityParts, ComposeError, Composers};
use signet_spiffe::TrustDomain;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Why a new authority got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// It could not certify itself.
    #[error("could not make a self-signed certificate")]
    SelfSigned(#[from] X509Error),
    /// The upstream authority did not certify it.
    #[error("the upstream authority gave no certificate")]
    Upstream(#[from] UpstreamFault),
    /// A composer gave up or went too far.
    #[error("could not compose the certificate")]
    Compose(#[from] ComposeError),
}

/// Who certifies a new X.509 authority.
#[derive(Debug, Clone)]
pub enum Parent {
    /// Itself: it is a root, and stands in the bundle.
    SelfSigned {
        /// Its name, if not the usual one.
        subject: Option<Subject>,
        /// What is added to its certificate.
        composers: Composers,
    },
    /// An upstream authority, whose roots stand in the bundle.
    Upstream(Upstream),
}

/// A key that is to become an authority.
pub struct Wanted<'a> {
    /// Whose authority it is to be.
    pub trust_domain: &'a TrustDomain,
    /// Its key.
    pub signer: Arc<dyn Signer>,
    /// How long it should live.
    pub ttl: Duration,
    /// Serial numbers.
    pub random: &'a dyn Random,
    /// The present time.
    pub now: SystemTime,
}

/// An authority with its certificate.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The authority, with what its SVIDs carry after the leaf.
    pub authority: X509Authority,
    /// The subject key id of the root it hangs on, in hexadecimal; empty when it is a root itself.
    pub upstream_authority_id: String,
    /// What must stand in the bundle before it signs.
    pub roots: Vec<signet_spiffe::X509Authority>,
}

impl Parent {
    /// Gets a certificate for the key.
    pub async fn certify(&self, wanted: Wanted<'_>) -> Result<Certified, ParentError> {
        match self {
            Self::SelfSigned { subject, composers } => {
                self_signed(subject.clone(), composers, wanted).await
            }
            Self::Upstream(upstream) => Ok(upstream.certify(wanted).await?),
        }
    }

    /// Whether certificates come from somebody else.
    pub fn is_upstream(&self) -> bool {
        match self {
            Self::SelfSigned { .. } => false,
            Self::Upstream(_) => true,
        }
    }

    /// The upstream authority, if there is one.
    pub fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::SelfSigned { .. } => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }
}

async fn self_signed(
    subject: Option<Subject>,
    composers: &Composers,
    wanted: Wanted<'_>,
) -> Result<Certified, ParentError> {
    let parts = composers.authority(AuthorityParts {
        subject: subject.unwrap_or_else(Subject::authority),
        extensions: Vec::new(),
    })?;
    let new = NewAuthority {
        trust_domain: wanted.trust_domain.clone(),
        subject: Some(parts.subject),
        extensions: parts.extensions,
        ttl: wanted.ttl,
    };
    let made = signet_ca::new_self_signed(new, wanted.signer, wanted.random, wanted.now).await?;
    Ok(Certified {
        roots: vec![made.bundle_entry().clone()],
        upstream_authority_id: String::new(),
        authority: made,
    })
}
