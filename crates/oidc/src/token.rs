//! A token as it came, and its way to claims that can be believed.

use std::time::SystemTime;

use serde_json::Value;
use signet_crypto::jose::{self, Compact, CompactError};
use signet_crypto::{Verified, VerifyError};

use crate::{Claims, ClaimsError, Expected, IssuerKeys, KeysError};

/// Longest token read, in bytes. HTTP servers take headers of 8 to 16 KiB; more is no bearer token.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// Why a token proves nothing. The texts hold nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not a signed token of the allowed form.
    #[error("the token is malformed")]
    Form(#[from] CompactError),
    /// Its `typ` says that it was made for something else (RFC 8725 section 3.11).
    #[error("the token's type is not JWT")]
    Type,
    /// There is no key to verify it with.
    #[error("there is no key to verify the token with")]
    Keys(#[from] KeysError),
    /// The signature does not hold.
    #[error("the token's signature does not verify")]
    Signature(#[from] VerifyError),
    /// The signed claims do not do.
    #[error("the token's claims are not accepted")]
    Claims(#[from] ClaimsError),
}

impl TokenError {
    /// Whether the same token may be accepted later without the caller changing anything: the
    /// issuer's keys could not be had.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Keys(KeysError::Unavailable { .. }))
    }
}

/// A token that nobody has verified yet.
#[derive(Clone)]
pub struct Token {
    compact: Compact,
    issuer: Option<String>,
}

impl Token {
    /// Reads a token within the limits, white space around it aside.
    ///
    /// # Errors
    /// [`TokenError::Form`] or [`TokenError::Type`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let compact = Compact::parse(text.trim_ascii(), MAX_TOKEN_LEN)?;
        let plain = compact.typ.as_deref().is_none_or(|typ| {
            let names = ["JWT", "JOSE", "application/jwt"];
            names.iter().any(|name| typ.eq_ignore_ascii_case(name))
        });
        if !plain {
            return Err(TokenError::Type);
        }
        let claims = jose::parse_unique(&compact.payload).ok();
        let issuer = claims.as_ref().and_then(|claims| claims.get("iss"));
        let issuer = issuer.and_then(Value::as_str).map(str::to_owned);
        Ok(Self { compact, issuer })
    }

    /// Whose keys the token asks to be verified with. Nothing else may follow from it.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What the token says, for whoever holds it and wants to look at it. Nothing is proved by it.
    ///
    /// # Errors
    /// [`ClaimsError`] says what is wrong with the claims.
    pub fn unverified(&self) -> Result<Claims, ClaimsError> {
        Claims::parse(&self.compact.payload)
    }

    /// Verifies the token with the issuer's keys, then its claims at `now`.
    ///
    /// # Errors
    /// [`TokenError`] says which step failed.
    pub async fn verify(
        self,
        keys: &IssuerKeys,
        expected: &Expected<'_>,
        now: SystemTime,
    ) -> Result<Verified<Claims>, TokenError> {
        let Compact {
            ref key_id,
            algorithm,
            ..
        } = self.compact;
        let key = keys.find(key_id.as_deref(), algorithm).await?;
        let payload = self.compact.verified(&key)?;
        let claims = payload.parse(|bytes| Claims::parse(&bytes))?;
        claims.get().check(expected, now)?;
        Ok(claims)
    }
}

impl std::fmt::Debug for Token {
    /// Nothing of it: whoever has it can use it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.compact.algorithm)
            .finish_non_exhaustive()
    }
}
