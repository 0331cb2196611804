//! The claims that JWT-SVIDs and WIT-SVIDs have in common (RFC 7519): subject and dates.

use std::time::SystemTime;

use serde_json::{Map, Value};
use signet_crypto::jose::{self, JsonError};

use crate::{IdError, SpiffeId};

/// A claim is not as both kinds of token need it; each kind says so in its own error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimFault {
    NotAnObject(Option<JsonError>),
    Missing(&'static str),
    Malformed(&'static str),
    Id(IdError),
    NoPath,
}

/// The payload as one JSON object without duplicates.
pub(crate) fn object(payload: &[u8]) -> Result<Map<String, Value>, ClaimFault> {
    match jose::parse_unique(payload) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(ClaimFault::NotAnObject(None)),
        Err(error) => Err(ClaimFault::NotAnObject(Some(error))),
    }
}

/// `sub`: a SPIFFE ID with a path.
pub(crate) fn subject(claims: &Map<String, Value>) -> Result<SpiffeId, ClaimFault> {
    let text = match claims.get("sub") {
        None | Some(Value::Null) => return Err(ClaimFault::Missing("sub")),
        Some(Value::String(text)) if text.is_empty() => return Err(ClaimFault::Missing("sub")),
        Some(Value::String(text)) => text,
        Some(_) => return Err(ClaimFault::Malformed("sub")),
    };
    let id = SpiffeId::parse(text).map_err(ClaimFault::Id)?;
    match id.path().is_empty() {
        true => Err(ClaimFault::NoPath),
        false => Ok(id),
    }
}

/// `exp`, which must be there.
pub(crate) fn expiry(claims: &Map<String, Value>) -> Result<SystemTime, ClaimFault> {
    moment(claims, "exp")?.ok_or(ClaimFault::Missing("exp"))
}

/// A moment (RFC 7519 section 2, NumericDate), which may be missing.
pub(crate) fn moment(
    claims: &Map<String, Value>,
    claim: &'static str,
) -> Result<Option<SystemTime>, ClaimFault> {
    let value = claims.get(claim);
    let moment = value.map(|value| jose::numeric_date(value).ok_or(ClaimFault::Malformed(claim)));
    moment.transpose()
}
