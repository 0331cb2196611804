//! Asking an upstream, with a limit to waiting and a look at each answer.

use std::sync::Arc;
use std::time::Duration;

use signet_runtime::Clock;
use signet_spiffe::{JwtAuthority, TrustDomain, csr};

use crate::port::{UpstreamAuthority, UpstreamError};
use crate::validate::{UpstreamCa, validate};

/// How long an upstream may take to sign. Some have a person or a queue behind them, but the caller
/// comes again anyway.
pub const MINT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an upstream may take to publish a key; SPIRE gives it as much.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `upstream` to sign the authority that `request` (PKCS#10 in DER) is for, and checks what it
/// answers.
///
/// # Errors
/// [`UpstreamError`] says who or what failed; nothing of the answer is to be used then.
pub async fn mint(
    upstream: &dyn UpstreamAuthority,
    request: &[u8],
    preferred_ttl: Duration,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) -> Result<UpstreamCa, UpstreamError> {
    let asked = csr::parse(request).map_err(|source| UpstreamError::Request(Box::new(source)))?;
    let minted = within(MINT_TIMEOUT, upstream.mint_x509_ca(request, preferred_ttl)).await?;
    Ok(validate(
        minted,
        &asked.public_key,
        trust_domain,
        clock.now(),
    )?)
}

/// Has `upstream` publish `key` for JWT-SVIDs; `None` if it keeps no such keys.
///
/// # Errors
/// [`UpstreamError`]: then the key is to be taken as not published. So it is if the answer lacks it.
pub async fn publish_jwt(
    upstream: &dyn UpstreamAuthority,
    key: &JwtAuthority,
) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
    published(upstream.publish_jwt_key(key), key).await
}

/// Has `upstream` publish `key` for WIT-SVIDs; `None` if it keeps no such keys.
///
/// # Errors
/// As those of [`publish_jwt`].
pub async fn publish_wit(
    upstream: &dyn UpstreamAuthority,
    key: &JwtAuthority,
) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
    published(upstream.publish_wit_key(key), key).await
}

async fn published(
    call: impl Future<Output = Result<Option<Vec<JwtAuthority>>, UpstreamError>>,
    key: &JwtAuthority,
) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
    let published = within(PUBLISH_TIMEOUT, call).await?;
    if let Some(keys) = &published {
        crate::validate::check_published(keys, key)?;
    }
    Ok(published)
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or(Err(UpstreamError::TimedOut { after: limit }))
}
