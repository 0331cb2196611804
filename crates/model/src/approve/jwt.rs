//! Which JWT-SVID may be issued.

use std::time::Duration;

use signet_spiffe::SpiffeId;

use super::{Approved, Moment, Policy, Refusal};
use crate::index::Authorized;
use crate::lifetime::{self, Lifetime};
use crate::role;

/// The most audiences of one token: a token for many is good for none, and each adds to its size.
pub const MAX_AUDIENCES: usize = 64;

/// The longest audience: as long as the longest SPIFFE ID, which it often is.
pub const MAX_AUDIENCE_BYTES: usize = 2048;

/// A JWT-SVID that may be signed, once it is [`Approved`].
#[derive(Clone, Debug, PartialEq)]
pub struct JwtGrant {
    /// The `sub` claim.
    pub spiffe_id: SpiffeId,
    /// The `aud` claim: never empty, no empty string in it.
    pub audience: Vec<String>,
    /// `iat` and `exp`.
    pub lifetime: Lifetime,
    /// The `jti` claim, if there is to be one.
    pub jti: Option<String>,
    /// The `iss` claim, if there is to be one.
    pub issuer: Option<String>,
}

/// A JWT-SVID for a workload: everything but the audience comes from the entry. The `jti` is a fresh
/// one, used if the entry asks for it.
pub fn workload_jwt(
    policy: &Policy,
    moment: Moment,
    authorized: &Authorized,
    audience: Vec<String>,
    jti: String,
) -> Result<Approved<JwtGrant>, Refusal> {
    let entry = authorized.entry();
    role::workload(&entry.spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    if entry.disabled {
        return Err(Refusal::Disabled);
    }
    let audience = checked_audience(audience)?;
    let lifetime = lifetime::svid(
        moment.now,
        entry.jwt_svid_ttl,
        policy.default_jwt_svid_ttl,
        entry.expires_at,
        moment.authority_not_after,
    );
    Ok(Approved(JwtGrant {
        spiffe_id: entry.spiffe_id.clone(),
        audience,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        jti: entry.jwt_svid_include_jti.then_some(jti),
        issuer: policy.jwt_issuer.clone(),
    }))
}

/// A JWT-SVID that an administrator asks for.
pub fn mint_jwt(
    policy: &Policy,
    moment: Moment,
    spiffe_id: SpiffeId,
    audience: Vec<String>,
    ttl: Option<Duration>,
) -> Result<Approved<JwtGrant>, Refusal> {
    role::workload(&spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    let audience = checked_audience(audience)?;
    let default = policy.default_jwt_svid_ttl;
    let lifetime = lifetime::svid(moment.now, ttl, default, None, moment.authority_not_after);
    Ok(Approved(JwtGrant {
        spiffe_id,
        audience,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        jti: None,
        issuer: policy.jwt_issuer.clone(),
    }))
}

/// Drops empty audiences, as SPIRE does; then one must be left. Order and repetitions stay.
fn checked_audience(mut audience: Vec<String>) -> Result<Vec<String>, Refusal> {
    let count = audience.len();
    if count > MAX_AUDIENCES {
        return Err(Refusal::TooManyAudiences { count });
    }
    let too_long = audience.iter().find(|a| a.len() > MAX_AUDIENCE_BYTES);
    if let Some(length) = too_long.map(String::len) {
        return Err(Refusal::AudienceTooLong { length });
    }
    audience.retain(|a| !a.is_empty());
    match audience.is_empty() {
        true => Err(Refusal::NoAudience),
        false => Ok(audience),
    }
}
