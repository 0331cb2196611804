//! WIT-SVIDs (WIT-SVID, incubating): reading and verifying a Workload Identity Token.
//!
//! A WIT-SVID binds a SPIFFE ID to a key of the workload's own. It is no bearer token: who presents
//! it must also prove to have the key in [`WitSvid::key`], which is the protocol's part, not ours.
//!
//! The order is: length, form, algorithm, header, claims, trust domain, key, signature, time.
//! Nothing of a token is ever part of an error's text.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use signet_crypto::jose::{self, Compact, CompactError, JsonError, JwkError, JwsAlgorithm};
use signet_crypto::{PublicKey, VerifyError};

use crate::claims::{self, ClaimFault};
use crate::{Bundle, IdError, SpiffeId, TrustDomain};

/// Longest token read, in bytes. It travels in an HTTP header, which servers take up to 8 or 16 KiB
/// of; twice that leaves room for the largest key and claims of others.
pub const MAX_TOKEN_LEN: usize = 32 * 1024;

/// The `typ` of a WIT-SVID.
pub const TYPE: &str = "wit+jwt";

/// The token is no WIT-SVID, or not one to be trusted here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitSvidError {
    /// W-01: not a signed token of the allowed form.
    #[error("token is malformed")]
    Form(#[from] CompactError),
    /// W-01.
    #[error("header parameter `typ` is not {TYPE}")]
    BadType,
    /// W-01.
    #[error("header parameter `kid` is missing")]
    NoKeyId,
    /// The claims are not one JSON object without duplicates.
    #[error("claims of the token are not a JSON object")]
    Claims(#[source] Option<JsonError>),
    /// W-02: a claim that must be there is not.
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
    /// W-02: it is for whoever sees the proof, never for somebody.
    #[error("claim `aud` must not be present")]
    Audience,
    /// ID-01 to ID-05.
    #[error("subject is no SPIFFE ID")]
    Id(#[source] IdError),
    /// ID-07.
    #[error("subject is a SPIFFE ID without a path")]
    NoPath,
    /// W-02: `cnf.jwk` is no public key that can be used.
    #[error("claim `cnf` holds no usable public key")]
    Key(#[source] JwkError),
    /// W-02: `cnf.jwk` has a private half, which everyone who sees the token now knows.
    #[error("claim `cnf` holds a private key")]
    PrivateKey,
    /// W-02: `cnf.jwk.alg` is missing, not one of the nine, or not for such a key.
    #[error("claim `cnf` names no signature algorithm that fits its key")]
    KeyAlgorithm,
    /// No bundle of the subject's trust domain.
    #[error("no bundle of trust domain `{0}`")]
    NoBundle(TrustDomain),
    /// W-04: the bundle has no WIT key with the token's `kid`.
    #[error("bundle of trust domain `{0}` has no key for the token")]
    NoKey(TrustDomain),
    /// The signature does not hold.
    #[error("signature of the token does not verify")]
    Signature(#[source] VerifyError),
    /// W-02.
    #[error("token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("token is not valid yet, by claim `{claim}`")]
    NotYet {
        /// `nbf` or `iat`.
        claim: &'static str,
    },
}

impl From<ClaimFault> for WitSvidError {
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

/// A WIT-SVID's contents.
#[derive(Clone, PartialEq)]
pub struct WitSvid {
    /// `sub`: whose it is.
    pub id: SpiffeId,
    /// `cnf.jwk`: the key whose possession the holder must prove with each use.
    pub key: PublicKey,
    /// `cnf.jwk.alg`: the only algorithm of that proof.
    pub key_algorithm: JwsAlgorithm,
    /// `exp`.
    pub expires_at: SystemTime,
    /// `iat`, if present.
    pub issued_at: Option<SystemTime>,
    /// `kid` of the header.
    pub key_id: String,
    /// All claims, as they stand.
    pub claims: Map<String, Value>,
    /// The token itself.
    pub token: String,
}

impl std::fmt::Debug for WitSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitSvid")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Reads a token without checking signature or time: for tokens that come from one's own server or
/// Workload API, and never for one that somebody presents.
pub fn parse_unverified(token: &str) -> Result<WitSvid, WitSvidError> {
    read(token).map(|(_, svid)| svid)
}

/// Reads a token and checks it at `now`: signed by the WIT key it names in the bundle that
/// `bundle_of` gives for the subject's own trust domain, within its time give or take `leeway`.
///
/// What comes back says whose the key in it is. It does not say that the presenter has that key.
pub fn verify<'b>(
    token: &str,
    bundle_of: impl FnOnce(&TrustDomain) -> Option<&'b Bundle>,
    now: SystemTime,
    leeway: Duration,
) -> Result<WitSvid, WitSvidError> {
    let (compact, svid) = read(token)?;
    let trust_domain = svid.id.trust_domain();
    let bundle = bundle_of(trust_domain)
        .filter(|bundle| &bundle.trust_domain == trust_domain)
        .ok_or_else(|| WitSvidError::NoBundle(trust_domain.clone()))?;
    let authority = bundle
        .wit_authority(&svid.key_id)
        .ok_or_else(|| WitSvidError::NoKey(trust_domain.clone()))?;
    compact
        .verify(&authority.public_key)
        .map_err(WitSvidError::Signature)?;
    check_time(&svid, now, leeway)?;
    Ok(svid)
}

fn read(token: &str) -> Result<(Compact, WitSvid), WitSvidError> {
    let compact = Compact::parse(token, MAX_TOKEN_LEN)?;
    if compact.typ.as_deref() != Some(TYPE) {
        return Err(WitSvidError::BadType);
    }
    let key_id = compact.key_id.clone().filter(|key_id| !key_id.is_empty());
    let key_id = key_id.ok_or(WitSvidError::NoKeyId)?;
    let claims = claims::object(&compact.payload)?;
    if claims.contains_key("aud") {
        return Err(WitSvidError::Audience);
    }
    let id = claims::subject(&claims)?;
    let expires_at = claims::expiry(&claims)?;
    let (key, key_algorithm) = confirmation(&claims)?;
    let svid = WitSvid {
        id,
        key,
        key_algorithm,
        expires_at,
        issued_at: claims::moment(&claims, "iat")?,
        key_id,
        claims,
        token: token.to_owned(),
    };
    Ok((compact, svid))
}

/// RFC 7800 section 3.2: `cnf` with the member `jwk`.
fn confirmation(claims: &Map<String, Value>) -> Result<(PublicKey, JwsAlgorithm), WitSvidError> {
    let claim = "cnf";
    let cnf = match claims.get(claim) {
        None | Some(Value::Null) => return Err(WitSvidError::Missing { claim }),
        Some(cnf) => cnf,
    };
    let jwk = cnf
        .get("jwk")
        .and_then(Value::as_object)
        .ok_or(WitSvidError::BadClaim { claim })?;
    // RFC 7518 sections 6.2.2 and 6.3.2: `d` is what makes a key private.
    if jwk.contains_key("d") {
        return Err(WitSvidError::PrivateKey);
    }
    let key = jose::public_key_of_jwk(jwk).map_err(WitSvidError::Key)?;
    jwk.get("alg")
        .and_then(Value::as_str)
        .and_then(|name| JwsAlgorithm::from_name(name).ok())
        .filter(|algorithm| algorithm.fits(&key))
        .map(|algorithm| (key, algorithm))
        .ok_or(WitSvidError::KeyAlgorithm)
}

fn check_time(svid: &WitSvid, now: SystemTime, leeway: Duration) -> Result<(), WitSvidError> {
    let late = |end: SystemTime| end.checked_add(leeway).is_some_and(|end| end <= now);
    let early = |start: SystemTime| now.checked_add(leeway).is_some_and(|latest| latest < start);
    if late(svid.expires_at) {
        return Err(WitSvidError::Expired);
    }
    for claim in ["nbf", "iat"] {
        if claims::moment(&svid.claims, claim)?.is_some_and(early) {
            return Err(WitSvidError::NotYet { claim });
        }
    }
    Ok(())
}
