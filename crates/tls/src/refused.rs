//! Why a peer's certificate was refused, and its passage through rustls.

use std::error::Error;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use signet_spiffe::x509_svid::X509SvidError;
use signet_spiffe::{SpiffeId, TrustDomain};

/// Why a peer's certificate was refused.
///
/// The texts never quote a certificate that did not verify: a stranger wrote it.
#[derive(Debug, thiserror::Error)]
pub enum PeerRefused {
    /// The chain is not an X509-SVID's: no or several URI SANs, a CA as leaf, a malformed ID, too many
    /// certificates.
    #[error("the peer's certificate is not an X509-SVID")]
    NotAnSvid {
        /// What is wrong with it.
        #[source]
        source: X509SvidError,
    },
    /// The certificate is of a trust domain whose members have no business here.
    #[error("the peer's certificate is of another trust domain")]
    Foreign {
        /// The ID it claims; not verified.
        claimed: SpiffeId,
    },
    /// There is no bundle of the peer's trust domain.
    #[error("there is no bundle to verify the peer's trust domain with")]
    NoBundle {
        /// The trust domain it claims; not verified.
        claimed: TrustDomain,
    },
    /// The chain does not lead to an authority of its trust domain.
    #[error("the peer's certificate does not chain to the bundle of its trust domain")]
    Unchained {
        /// What the path check says.
        #[source]
        source: webpki::Error,
    },
    /// The bundle of its trust domain has no authority that is valid now.
    #[error("the bundle of the peer's trust domain has no authority that is valid now")]
    AuthorityNotValid,
    /// A certificate of the chain has expired.
    #[error("the peer's certificate has expired")]
    Expired,
    /// A certificate of the chain is not valid yet: mostly a clock that is wrong.
    #[error("the peer's certificate is not valid yet; compare the clocks of both machines")]
    NotYetValid,
    /// The server is not the one that was dialled.
    #[error("the server is {found}, but {expected} was expected")]
    WrongServer {
        /// The ID dialled.
        expected: SpiffeId,
        /// The ID in the certificate.
        found: SpiffeId,
    },
}

impl PeerRefused {
    /// True if the peer may be right and our bundle of its trust domain outdated: what SPIRE calls an
    /// unknown authority, the occasion to bootstrap anew.
    #[must_use]
    pub fn is_unknown_authority(&self) -> bool {
        matches!(
            self,
            Self::NoBundle { .. } | Self::Unchained { .. } | Self::AuthorityNotValid
        )
    }

    /// The refusal inside `error` or one of its causes, as it comes back out of rustls, tokio or tonic.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(refused) = Self::of(error) {
                return Some(refused);
            }
            next = cause(error);
        }
        None
    }

    fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) =
            error.downcast_ref::<rustls::Error>()
        {
            return inner.downcast_ref();
        }
        error.downcast_ref()
    }
}

/// What `error` was made of. An [`std::io::Error`] skips what it wraps in its own `source`.
pub(crate) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

impl From<PeerRefused> for rustls::Error {
    fn from(refused: PeerRefused) -> Self {
        CertificateError::Other(OtherError(Arc::new(refused))).into()
    }
}
