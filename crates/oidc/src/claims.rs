//! What a token says (RFC 7519 section 4.1, OpenID Connect Core 1.0 section 2), and whether that is
//! meant for us and now.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use signet_crypto::jose::{self, JsonError};

/// Most audiences of a token: each is compared with each that is accepted.
pub const MAX_AUDIENCES: usize = 64;

/// Why claims are not accepted. The texts hold nothing of the token but the names of claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// They are not one JSON object without duplicates.
    #[error("the claims are not a JSON object without duplicates")]
    NotAnObject(#[source] Option<JsonError>),
    /// A claim that must be there is not.
    #[error("the claim `{0}` is missing")]
    Missing(&'static str),
    /// A claim is not of its type.
    #[error("the claim `{0}` is malformed")]
    Malformed(&'static str),
    /// It is another issuer's.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error(
        "the token is for another audience; the audience it is requested for must be the configured one"
    )]
    Audience,
    /// It is too late.
    #[error("the token has expired; if it is fresh, compare the clocks")]
    Expired,
    /// It is too early.
    #[error("by its claim `{0}` the token is of the future; if it is fresh, compare the clocks")]
    NotYet(&'static str),
}

/// What a token must say to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// One of these must be among `aud`.
    pub audiences: &'a [String],
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
}

/// The claims of a token.
#[derive(Clone, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`; at least one.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: SystemTime,
    /// `nbf`.
    pub not_before: Option<SystemTime>,
    /// `iat`.
    pub issued_at: Option<SystemTime>,
    /// `jti`: the token's own name.
    pub token_id: Option<String>,
    /// All claims as they stand, those above too.
    pub all: Map<String, Value>,
}

impl Claims {
    /// Reads a payload, whose length the caller has bounded.
    ///
    /// # Errors
    /// [`ClaimsError`] names the claim.
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsError> {
        let all = match jose::parse_unique(payload) {
            Ok(Value::Object(claims)) => claims,
            Ok(_) => return Err(ClaimsError::NotAnObject(None)),
            Err(error) => return Err(ClaimsError::NotAnObject(Some(error))),
        };
        Ok(Self {
            issuer: text(&all, "iss")?.ok_or(ClaimsError::Missing("iss"))?,
            subject: text(&all, "sub")?,
            audience: audience(&all)?,
            expires_at: moment(&all, "exp")?.ok_or(ClaimsError::Missing("exp"))?,
            not_before: moment(&all, "nbf")?,
            issued_at: moment(&all, "iat")?,
            token_id: text(&all, "jti")?,
            all,
        })
    }

    pub(crate) fn check(
        &self,
        expected: &Expected<'_>,
        now: SystemTime,
    ) -> Result<(), ClaimsError> {
        if self.issuer != expected.issuer {
            return Err(ClaimsError::Issuer);
        }
        let mut audience = self.audience.iter();
        if !audience.any(|one| expected.audiences.contains(one)) {
            return Err(ClaimsError::Audience);
        }
        // A sum that overflows is beyond any time that matters.
        let end = self.expires_at.checked_add(expected.leeway);
        if end.is_some_and(|end| end <= now) {
            return Err(ClaimsError::Expired);
        }
        let latest = now.checked_add(expected.leeway);
        for (claim, moment) in [("nbf", self.not_before), ("iat", self.issued_at)] {
            if moment > latest && latest.is_some() {
                return Err(ClaimsError::NotYet(claim));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Claims {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.all.keys()).finish()
    }
}

fn text(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, ClaimsError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(ClaimsError::Malformed(name)),
    }
}

fn moment(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<SystemTime>, ClaimsError> {
    let moment = |value| jose::numeric_date(value).ok_or(ClaimsError::Malformed(name));
    claims.get(name).map(moment).transpose()
}

/// One text, or a list of texts.
fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, ClaimsError> {
    const CLAIM: &str = "aud";
    match claims.get(CLAIM) {
        None => Err(ClaimsError::Missing(CLAIM)),
        Some(Value::String(one)) if !one.is_empty() => Ok(vec![one.clone()]),
        Some(Value::Array(all)) if (1..=MAX_AUDIENCES).contains(&all.len()) => {
            let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
            let texts: Option<Vec<_>> = texts.collect();
            texts.ok_or(ClaimsError::Malformed(CLAIM))
        }
        Some(_) => Err(ClaimsError::Malformed(CLAIM)),
    }
}
