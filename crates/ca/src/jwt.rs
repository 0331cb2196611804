//! Making JWT-SVIDs (JWT-SVID sections 2 and 3).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use signet_crypto::jose::{Compact, JwsAlgorithm, attach_signature, encode_signing_input};
use signet_crypto::{Random, SecretString};
use signet_keys::{KeyError, Signer};
use signet_model::Approved;
use signet_model::approve::JwtGrant;
use signet_spiffe::JwtAuthority;

use crate::claims::{numeric_date, object};

/// Characters of a key id, as SPIRE makes them: 190 bits.
pub const KEY_ID_LEN: usize = 32;

/// The characters a key id is made of.
const KEY_ID_CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A token of ours is at most this long: 64 audiences of 2 KiB, twice for base64.
const MAX_TOKEN_LEN: usize = 512 * 1024;

/// A key that signs JWT-SVIDs. Cloning is cheap.
#[derive(Clone)]
pub struct JwtAuthorityKey {
    /// Names the key in tokens and in the bundle.
    pub key_id: String,
    /// The key.
    pub signer: Arc<dyn Signer>,
    /// When it expires; no token outlives it.
    pub not_after: SystemTime,
}

impl JwtAuthorityKey {
    /// How it stands in the bundle.
    ///
    /// # Errors
    /// If the key id is empty or too long.
    pub fn bundle_entry(&self) -> Result<JwtAuthority, signet_spiffe::AuthorityError> {
        let mut entry = JwtAuthority::new(self.key_id.clone(), self.signer.public_key().clone())?;
        entry.expires_at = Some(self.not_after);
        Ok(entry)
    }
}

impl fmt::Debug for JwtAuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthorityKey")
            .field("key_id", &self.key_id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// It would outlive the key.
    #[error("the token would outlive the key that signs it")]
    Outlives,
    /// It is over already, or says of itself that it is from the future.
    #[error("the token would not be valid now")]
    NotValidNow,
    /// It is for nobody, or for somebody without a name.
    #[error("the token needs an audience")]
    NoAudience,
    /// The key did not sign.
    #[error("the authority's key did not sign")]
    Sign(#[source] KeyError),
    /// What the key gave is no signature of this token; it was thrown away.
    #[error("the signature on the token made does not verify")]
    Signature,
}

impl JwtError {
    /// True if the same call may succeed later: the key was out of reach.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Sign(source) if source.is_transient())
    }
}

/// A JWT-SVID as issued.
#[derive(Debug)]
pub struct IssuedJwt {
    /// The token: who has it is who it names.
    pub token: SecretString,
    /// Its `iat`.
    pub issued_at: SystemTime,
    /// Its `exp`.
    pub expires_at: SystemTime,
}

/// A new key id.
#[must_use]
pub fn new_key_id(random: &dyn Random) -> String {
    let mut key_id = String::with_capacity(KEY_ID_LEN);
    while key_id.len() < KEY_ID_LEN {
        let mut byte = [0];
        random.fill(&mut byte);
        // 248 is four times 62: the bytes above would make the first characters likelier.
        if byte[0] < 248 {
            key_id.push(char::from(
                KEY_ID_CHARS[usize::from(byte[0]) % KEY_ID_CHARS.len()],
            ));
        }
    }
    key_id
}

/// Signs `approved` with `key`.
///
/// # Errors
/// [`JwtError`] says which step failed.
pub async fn sign_jwt(
    key: &JwtAuthorityKey,
    approved: Approved<JwtGrant>,
    now: SystemTime,
) -> Result<IssuedJwt, JwtError> {
    check(key, &approved, now)?;
    let algorithm = JwsAlgorithm::default_for(key.signer.public_key());
    let input = encode_signing_input(&header(key, algorithm), &claims(&approved));
    let signature = key
        .signer
        .sign(algorithm.signature_algorithm(), input.as_bytes())
        .await
        .map_err(JwtError::Sign)?;
    let token = attach_signature(input, algorithm, &signature).map_err(|_| JwtError::Signature)?;
    if key.signer.local().is_none() {
        check_signature(key, &token)?;
    }
    let lifetime = approved.lifetime;
    Ok(IssuedJwt {
        token: SecretString::from(token),
        issued_at: lifetime.issued_at,
        expires_at: lifetime.not_after,
    })
}

fn check(key: &JwtAuthorityKey, grant: &JwtGrant, now: SystemTime) -> Result<(), JwtError> {
    if grant.lifetime.not_after > key.not_after {
        return Err(JwtError::Outlives);
    }
    if grant.lifetime.not_after <= now || grant.lifetime.issued_at > now {
        return Err(JwtError::NotValidNow);
    }
    if grant.audience.is_empty() || grant.audience.iter().any(String::is_empty) {
        return Err(JwtError::NoAudience);
    }
    Ok(())
}

fn header(key: &JwtAuthorityKey, algorithm: JwsAlgorithm) -> Map<String, Value> {
    object([
        ("alg", json!(algorithm.name())),
        ("kid", json!(key.key_id)),
        ("typ", json!("JWT")),
    ])
}

/// The audience is an array even if it is one, as SPIRE writes it.
fn claims(grant: &JwtGrant) -> Map<String, Value> {
    let mut claims = object([
        ("sub", json!(grant.spiffe_id.to_string())),
        ("aud", json!(grant.audience)),
        ("exp", json!(numeric_date(grant.lifetime.not_after))),
        ("iat", json!(numeric_date(grant.lifetime.issued_at))),
    ]);
    let optional = [("iss", &grant.issuer), ("jti", &grant.jti)];
    for (name, value) in optional {
        if let Some(value) = value {
            claims.insert(name.to_owned(), json!(value));
        }
    }
    claims
}

fn check_signature(key: &JwtAuthorityKey, token: &str) -> Result<(), JwtError> {
    Compact::parse(token, MAX_TOKEN_LEN)
        .ok()
        .filter(|made| made.verify(key.signer.public_key()).is_ok())
        .map(|_| ())
        .ok_or(JwtError::Signature)
}
