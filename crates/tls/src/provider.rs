//! The cryptography under TLS: ring's, with aws-lc's hybrid key exchange in front where it is built in.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion};

/// Which key exchanges a side agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyExchange {
    /// The hybrid post-quantum one first, if built in, then the classic ones.
    #[default]
    Any,
    /// Only hybrid post-quantum ones, hence only TLS 1.3 (SPIRE's `require_pq_kem`).
    PostQuantum,
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// This build has no post-quantum key exchange.
    #[error(
        "post-quantum key exchange needs a build with the feature `aws-lc`, which is on by default"
    )]
    NeedsAwsLc,
    /// rustls refuses the combination of settings.
    #[error("could not configure TLS")]
    Configure {
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The provider for `key_exchange`.
pub(crate) fn provider(key_exchange: KeyExchange) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = ring::default_provider();
    let hybrid = hybrid_groups();
    match key_exchange {
        KeyExchange::PostQuantum if hybrid.is_empty() => return Err(TlsError::NeedsAwsLc),
        KeyExchange::PostQuantum => provider.kx_groups = hybrid,
        KeyExchange::Any => {
            provider.kx_groups.splice(0..0, hybrid.into_iter().take(1));
        }
    }
    Ok(Arc::new(provider))
}

static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// The protocol versions: 1.3 preferred, 1.2 the floor (rustls knows none below).
pub(crate) fn versions(key_exchange: KeyExchange) -> &'static [&'static SupportedProtocolVersion] {
    match key_exchange {
        KeyExchange::Any => ALL_VERSIONS,
        KeyExchange::PostQuantum => &ONLY_1_3,
    }
}

/// The hybrid groups, the preferred one first.
#[cfg(feature = "aws-lc")]
fn hybrid_groups() -> Vec<&'static dyn rustls::crypto::SupportedKxGroup> {
    use rustls::crypto::aws_lc_rs::kx_group;
    vec![kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768]
}

#[cfg(not(feature = "aws-lc"))]
fn hybrid_groups() -> Vec<&'static dyn rustls::crypto::SupportedKxGroup> {
    Vec::new()
}
