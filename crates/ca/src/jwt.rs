//! Making JWT-SVIDs (JWT-SVID sections 2 and 3).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use signet_crypto::jose::{
    Compact, CompactError, JwsAlgorithm, attach_signature, encode_signing_input, parse_unique,
};
use signet_crypto::{Random, SecretString};
use signet_keys::{KeyError, Signer};
use signet_model::Approved;
use signet_model::approve::JwtGrant;
use signet_model::lifetime::unix_seconds;
use signet_spiffe::JwtAuthority;

/// Characters of a key id, as SPIRE makes them: 190 bits.
pub const KEY_ID_LEN: usize = 32;

/// The characters a key id is made of.
const KEY_ID_CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A token of ours is at most this long: 64 audiences of 2 KiB and as much of composers, twice for
/// base64.
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
    /// What was made cannot be read; it was thrown away.
    #[error("the token made cannot be read")]
    Unreadable(#[source] CompactError),
    /// What was made is not what was approved; it was thrown away.
    #[error("the token made differs from what was approved in its {0}")]
    Product(&'static str),
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
    let input = encode_signing_input(&header(key, algorithm), &approved.claims);
    let signature = key
        .signer
        .sign(algorithm.signature_algorithm(), input.as_bytes())
        .await
        .map_err(JwtError::Sign)?;
    let token = attach_signature(input, algorithm, &signature).map_err(|_| JwtError::Signature)?;
    check_product(key, &approved, &token)?;
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

/// A JSON object of these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The last look at a token before it leaves: it says what was approved, and nothing else.
fn check_product(key: &JwtAuthorityKey, grant: &JwtGrant, token: &str) -> Result<(), JwtError> {
    let made = Compact::parse(token, MAX_TOKEN_LEN).map_err(JwtError::Unreadable)?;
    must(made.header == header(key, made.algorithm), "header")?;
    let claims = parse_unique(&made.payload).ok();
    let claims = claims.as_ref().and_then(Value::as_object);
    let claims = claims.ok_or(JwtError::Product("claims"))?;
    let lifetime = grant.lifetime;
    let says = |claim: &str, approved: Value| claims.get(claim) == Some(&approved);
    must(says("sub", json!(grant.spiffe_id.to_string())), "subject")?;
    must(says("aud", json!(grant.audience)), "audience")?;
    must(
        says("exp", json!(unix_seconds(lifetime.not_after))),
        "expiry",
    )?;
    must(
        says("iat", json!(unix_seconds(lifetime.issued_at))),
        "time of issue",
    )?;
    must(*claims == grant.claims, "claims")?;
    match key.signer.local() {
        Some(_) => Ok(()),
        None => made
            .verify(key.signer.public_key())
            .map_err(|_| JwtError::Signature),
    }
}

fn must(holds: bool, part: &'static str) -> Result<(), JwtError> {
    holds.then_some(()).ok_or(JwtError::Product(part))
}
