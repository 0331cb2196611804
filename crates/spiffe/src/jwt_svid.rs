//! JWT-SVIDs (JWT-SVID): reading and verifying a token.
//!
//! The order is: length, form, algorithm, header, claims, trust domain, key, signature, audience,
//! time. Nothing of a token is ever part of an error's text.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use signet_crypto::VerifyError;
use signet_crypto::jose::{Compact, CompactError, JsonError};

use crate::claims::{self, ClaimFault};
use crate::{Bundle, IdError, SpiffeId, TrustDomain};

/// Longest token read, in bytes. HTTP servers take headers of 8 to 16 KiB; more is no bearer token.
pub const MAX_TOKEN_LEN: usize = 32 * 1024;

/// Most audiences in a token (J-04 recommends one); each is compared with each that is wanted.
pub const MAX_AUDIENCES: usize = 128;

/// Most keys tried for a token that names none, so that a bundle's size does not set the price of
/// a forged token.
pub const MAX_KEYS_TRIED: usize = 16;

/// The token is no JWT-SVID, or not one to be trusted here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtSvidError {
    /// J-01, J-02: not a signed token of the allowed form.
    #[error("token is malformed")]
    Form(#[from] CompactError),
    /// J-03.
    #[error("header parameter `typ` is neither JWT nor JOSE")]
    BadType,
    /// The claims are not one JSON object without duplicates.
    #[error("claims of the token are not a JSON object")]
    Claims(#[source] Option<JsonError>),
    /// A claim that must be there is not.
    #[error("claim `{claim}` is missing")]
    Missing {
        /// Its name.
        claim: &'static str,
    },
    /// A claim has the wrong type or an impossible value.
    #[error("claim `{claim}` is malformed")]
    BadClaim {
        /// Its name.
        claim: &'static str,
    },
    /// Over the limit.
    #[error("token has {count} audiences, more than {MAX_AUDIENCES}")]
    TooManyAudiences {
        /// Audiences found.
        count: usize,
    },
    /// ID-01 to ID-05.
    #[error("subject is no SPIFFE ID")]
    Id(#[source] IdError),
    /// ID-07.
    #[error("subject is a SPIFFE ID without a path")]
    NoPath,
    /// J-08.
    #[error("no bundle of trust domain `{0}`")]
    NoBundle(TrustDomain),
    /// J-07: the bundle has no key with the token's `kid`, or none at all.
    #[error("bundle of trust domain `{0}` has no key for the token")]
    NoKey(TrustDomain),
    /// The signature does not hold.
    #[error("signature of the token does not verify")]
    Signature(#[source] VerifyError),
    /// J-04.
    #[error("token is for another audience")]
    WrongAudience,
    /// J-04.
    #[error("token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("token is not valid yet, by claim `{claim}`")]
    NotYet {
        /// `nbf` or `iat`.
        claim: &'static str,
    },
}

impl From<ClaimFault> for JwtSvidError {
    fn from(fault: ClaimFault) -> Self {
        match fault {
            ClaimFault::NotAnObject(why) => Self::Claims(why),
            ClaimFault::Missing(claim) => Self::Missing { claim },
            ClaimFault::Malformed(claim) => Self::BadClaim { claim },
            ClaimFault::Id(why) => Self::Id(why),
            ClaimFault::NoPath => Self::NoPath,
        }
    }
}

/// A JWT-SVID's contents.
#[derive(Clone, PartialEq)]
pub struct JwtSvid {
    /// `sub`: whose it is.
    pub id: SpiffeId,
    /// `aud`: for whom; at least one.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: SystemTime,
    /// `iat`, if present.
    pub issued_at: Option<SystemTime>,
    /// `kid` of the header, if present.
    pub key_id: Option<String>,
    /// All claims, as they stand.
    pub claims: Map<String, Value>,
    /// The token itself: whoever has it can use it.
    pub token: String,
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSvid")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Reads a token without checking signature, audience or time: for tokens that come from one's own
/// server or Workload API, and never for one that somebody presents.
pub fn parse_unverified(token: &str) -> Result<JwtSvid, JwtSvidError> {
    read(token).map(|(_, svid)| svid)
}

/// Reads a token and checks it at `now`: signed by a JWT key of the bundle that `bundle_of` gives
/// for the subject's own trust domain, meant for at least one of `audience`, within its time give
/// or take `leeway`.
pub fn verify<'b>(
    token: &str,
    bundle_of: impl FnOnce(&TrustDomain) -> Option<&'b Bundle>,
    audience: &[&str],
    now: SystemTime,
    leeway: Duration,
) -> Result<JwtSvid, JwtSvidError> {
    let (compact, svid) = read(token)?;
    let trust_domain = svid.id.trust_domain();
    let bundle =
        bundle_of(trust_domain).ok_or_else(|| JwtSvidError::NoBundle(trust_domain.clone()))?;
    if &bundle.trust_domain != trust_domain {
        return Err(JwtSvidError::NoBundle(trust_domain.clone()));
    }
    check_signature(&compact, bundle)?;
    if !svid
        .audience
        .iter()
        .any(|one| audience.contains(&one.as_str()))
    {
        return Err(JwtSvidError::WrongAudience);
    }
    check_time(&svid, now, leeway)?;
    Ok(svid)
}

fn read(token: &str) -> Result<(Compact, JwtSvid), JwtSvidError> {
    let compact = Compact::parse(token, MAX_TOKEN_LEN)?;
    if !matches!(compact.typ.as_deref(), None | Some("JWT" | "JOSE")) {
        return Err(JwtSvidError::BadType);
    }
    let claims = claims::object(&compact.payload)?;
    let svid = JwtSvid {
        id: claims::subject(&claims)?,
        audience: audience(&claims)?,
        expires_at: claims::expiry(&claims)?,
        issued_at: claims::moment(&claims, "iat")?,
        key_id: compact.key_id.clone(),
        claims,
        token: token.to_owned(),
    };
    Ok((compact, svid))
}

/// With the key the token names. A token that names none (J-03 lets it) is tried with the keys
/// that fit its algorithm.
fn check_signature(compact: &Compact, bundle: &Bundle) -> Result<(), JwtSvidError> {
    let no_key = || JwtSvidError::NoKey(bundle.trust_domain.clone());
    if let Some(key_id) = &compact.key_id {
        let authority = bundle.jwt_authority(key_id).ok_or_else(no_key)?;
        let verified = compact.verify(&authority.public_key);
        return verified.map_err(JwtSvidError::Signature);
    }
    let mut result = Err(no_key());
    let fitting = bundle
        .jwt_authorities
        .iter()
        .filter(|authority| compact.algorithm.fits(&authority.public_key));
    for authority in fitting.take(MAX_KEYS_TRIED) {
        match compact.verify(&authority.public_key) {
            Ok(()) => return Ok(()),
            Err(error) => result = Err(JwtSvidError::Signature(error)),
        }
    }
    result
}

fn check_time(svid: &JwtSvid, now: SystemTime, leeway: Duration) -> Result<(), JwtSvidError> {
    let late = |end: SystemTime| end.checked_add(leeway).is_some_and(|end| end <= now);
    let early = |start: SystemTime| now.checked_add(leeway).is_some_and(|latest| latest < start);
    if late(svid.expires_at) {
        return Err(JwtSvidError::Expired);
    }
    for claim in ["nbf", "iat"] {
        if claims::moment(&svid.claims, claim)?.is_some_and(early) {
            return Err(JwtSvidError::NotYet { claim });
        }
    }
    Ok(())
}

/// RFC 7519 section 4.1.3: a list of texts, or one text.
fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, JwtSvidError> {
    let claim = "aud";
    let bad = JwtSvidError::BadClaim { claim };
    let audience = match claims.get(claim) {
        None | Some(Value::Null) => return Err(JwtSvidError::Missing { claim }),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) if all.len() > MAX_AUDIENCES => {
            return Err(JwtSvidError::TooManyAudiences { count: all.len() });
        }
        Some(Value::Array(all)) => all
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or(bad.clone()))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad),
    };
    if audience.iter().all(String::is_empty) {
        return Err(JwtSvidError::Missing { claim });
    }
    Ok(audience)
}
