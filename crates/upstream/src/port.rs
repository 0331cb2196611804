//! The port, in the words of its user, and the error that every upstream speaks.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_runtime::Stop;
use signet_spiffe::{JwtAuthority, X509Authority};
use tokio::sync::watch;

use crate::validate::InvalidAnswer;

/// What signs our X.509 authorities.
///
/// Calls may overlap and may be repeated: an answer that got lost is asked for again with the same
/// request or a new one. Nobody waits for an upstream without a limit, see [`mint`](crate::mint).
#[async_trait]
pub trait UpstreamAuthority: Send + Sync {
    /// Which kind it is, as in the configuration: `disk`, `spire`, `vault`.
    fn kind(&self) -> &'static str;

    /// Asks for an X.509 authority. `csr` is a PKCS#10 request in DER, signed with the new key, whose
    /// one URI name is the trust domain's ID. The authority may live shorter than `preferred_ttl`.
    ///
    /// The answer is what the upstream says, not yet looked at: the caller checks it.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::is_transient`] tells whether it may do better later.
    async fn mint_x509_ca(
        &self,
        csr: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError>;

    /// Publishes a key of ours for JWT-SVIDs with the upstream, under the same key id as before if
    /// it is repeated. Answers all such keys of the trust domain; `None` if this upstream keeps no
    /// such keys, so that the own bundle is the place for them.
    ///
    /// # Errors
    /// [`UpstreamError`]; then the key is to be taken as not published.
    async fn publish_jwt_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError>;

    /// The same for a key of ours for WIT-SVIDs. Few upstreams keep such keys, SPIRE's do not.
    ///
    /// # Errors
    /// [`UpstreamError`]; then the key is to be taken as not published.
    async fn publish_wit_key(
        &self,
        _key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        Ok(None)
    }

    /// The upstream's latest bundle as it is known, changed with each update. `None` until it is
    /// first known.
    fn bundle(&self) -> watch::Receiver<Option<Arc<UpstreamBundle>>>;

    /// Keeps [`UpstreamAuthority::bundle`] current until the stop signal, through every failure.
    async fn follow(&self, stop: Stop);
}

/// An X.509 authority as an upstream answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintedCa {
    /// The certificates in DER: our authority's first, then the intermediates up to the root, which
    /// is not among them.
    pub chain: Vec<Arc<[u8]>>,
    /// The roots to verify it with.
    pub roots: Vec<X509Authority>,
}

/// What an upstream publishes about the trust domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamBundle {
    /// Roots, tainted ones included.
    pub x509_authorities: Vec<X509Authority>,
    /// Keys for JWT-SVIDs; `None` if this upstream keeps none.
    pub jwt_authorities: Option<Vec<JwtAuthority>>,
    /// Keys for WIT-SVIDs; `None` if this upstream keeps none.
    pub wit_authorities: Option<Vec<JwtAuthority>>,
}

/// Why an upstream did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// What it is configured with cannot be used: a file, a credential, an address.
    #[error("the upstream authority cannot be used as configured: {what}")]
    Configured {
        /// What cannot be used, with its path or address.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The request was refused before anybody was asked.
    #[error("the request for an authority cannot be used")]
    Request(#[source] Box<dyn Error + Send + Sync>),
    /// It cannot be reached, or broke off.
    #[error("the upstream authority {address} cannot be reached")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("the upstream authority did not answer within {} seconds", after.as_secs())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// It answered that it will not.
    #[error("the upstream authority refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// It could not sign.
    #[error("the upstream authority could not sign")]
    Sign(#[source] Box<dyn Error + Send + Sync>),
    /// It answered what cannot be used.
    #[error("the upstream authority's answer cannot be used")]
    Answer(#[from] InvalidAnswer),
}

impl UpstreamError {
    /// True if the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}
