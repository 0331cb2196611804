//! Making WIT-SVIDs (WIT-SVID sections 2 and 3).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use signet_crypto::SecretString;
use signet_crypto::jose::{
    Compact, JwsAlgorithm, attach_signature, encode_signing_input, jwk_members,
};
use signet_keys::{KeyError, Signer};
use signet_model::Approved;
use signet_model::approve::{ProofKey, WitGrant};
use signet_model::lifetime::unix_seconds;
use signet_spiffe::JwtAuthority;
use signet_spiffe::wit_svid::{self, MAX_TOKEN_LEN, TYPE, WitSvidError};

use crate::jwt::object;

/// A key that signs WIT-SVIDs. Cloning is cheap.
#[derive(Clone)]
pub struct WitAuthorityKey {
    /// Names the key in tokens and in the bundle; no JWT key of the bundle has the same.
    pub key_id: String,
    /// The key.
    pub signer: Arc<dyn Signer>,
    /// When it expires; no token outlives it.
    pub not_after: SystemTime,
}

impl WitAuthorityKey {
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

impl fmt::Debug for WitAuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitAuthorityKey")
            .field("key_id", &self.key_id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum WitError {
    /// It would outlive the key.
    #[error("the token would outlive the key that signs it")]
    Outlives,
    /// It is over already, or says of itself that it is from the future.
    #[error("the token would not be valid now")]
    NotValidNow,
    /// The key did not sign.
    #[error("the authority's key did not sign")]
    Sign(#[source] KeyError),
    /// What the key gave is no signature of this token; it was thrown away.
    #[error("the signature on the token made does not verify")]
    Signature,
    /// What was made cannot be read; it was thrown away.
    #[error("the token made is no WIT-SVID")]
    Unreadable(#[from] WitSvidError),
    /// What was made is not what was approved; it was thrown away.
    #[error("the token made differs from what was approved in its {0}")]
    Product(&'static str),
}

impl WitError {
    /// True if the same call may succeed later: the key was out of reach.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Sign(source) if source.is_transient())
    }
}

/// A WIT-SVID as issued.
#[derive(Debug)]
pub struct IssuedWit {
    /// The token. It needs its key to be of use, and is kept as carefully as one that does not.
    pub token: SecretString,
    /// Its `iat`.
    pub issued_at: SystemTime,
    /// Its `exp`.
    pub expires_at: SystemTime,
}

/// Signs `approved` with `key`.
///
/// # Errors
/// [`WitError`] says which step failed; nothing that was made is kept then.
pub async fn sign_wit(
    key: &WitAuthorityKey,
    approved: Approved<WitGrant>,
    now: SystemTime,
) -> Result<IssuedWit, WitError> {
    check(key, &approved, now)?;
    let algorithm = JwsAlgorithm::default_for(key.signer.public_key());
    let input = encode_signing_input(&header(key, algorithm), &claims(&approved));
    let signature = key
        .signer
        .sign(algorithm.signature_algorithm(), input.as_bytes())
        .await
        .map_err(WitError::Sign)?;
    let token = attach_signature(input, algorithm, &signature).map_err(|_| WitError::Signature)?;
    check_product(key, &approved, &token)?;
    Ok(IssuedWit {
        token: SecretString::from(token),
        issued_at: approved.lifetime.issued_at,
        expires_at: approved.lifetime.not_after,
    })
}

fn check(key: &WitAuthorityKey, grant: &WitGrant, now: SystemTime) -> Result<(), WitError> {
    if grant.lifetime.not_after > key.not_after {
        return Err(WitError::Outlives);
    }
    if grant.lifetime.not_after <= now || grant.lifetime.issued_at > now {
        return Err(WitError::NotValidNow);
    }
    Ok(())
}

fn header(key: &WitAuthorityKey, algorithm: JwsAlgorithm) -> Map<String, Value> {
    object([
        ("alg", json!(algorithm.name())),
        ("kid", json!(key.key_id)),
        ("typ", json!(TYPE)),
    ])
}

fn claims(grant: &WitGrant) -> Map<String, Value> {
    let mut claims = object([
        ("sub", json!(grant.spiffe_id.to_string())),
        ("exp", json!(unix_seconds(grant.lifetime.not_after))),
        ("iat", json!(unix_seconds(grant.lifetime.issued_at))),
        ("cnf", json!({ "jwk": confirmation(&grant.proof_key) })),
    ]);
    if let Some(issuer) = &grant.issuer {
        claims.insert("iss".to_owned(), json!(issuer));
    }
    claims
}

fn confirmation(proof_key: &ProofKey) -> Map<String, Value> {
    let mut jwk = jwk_members(&proof_key.public_key);
    jwk.insert("alg".to_owned(), json!(proof_key.algorithm.name()));
    jwk
}

/// The last look at a token before it leaves: it says what was approved, and nothing else.
fn check_product(key: &WitAuthorityKey, grant: &WitGrant, token: &str) -> Result<(), WitError> {
    let made = wit_svid::parse_unverified(token)?;
    must(made.id == grant.spiffe_id, "subject")?;
    must(made.expires_at == grant.lifetime.not_after, "expiry")?;
    must(
        made.issued_at == Some(grant.lifetime.issued_at),
        "time of issue",
    )?;
    let proof_key = ProofKey {
        public_key: made.key,
        algorithm: made.key_algorithm,
    };
    must(proof_key == grant.proof_key, "key")?;
    must(made.key_id == key.key_id, "key id")?;
    must(made.claims == claims(grant), "claims")?;
    if key.signer.local().is_none() {
        check_signature(key, token)?;
    }
    Ok(())
}

fn must(holds: bool, part: &'static str) -> Result<(), WitError> {
    holds.then_some(()).ok_or(WitError::Product(part))
}

fn check_signature(key: &WitAuthorityKey, token: &str) -> Result<(), WitError> {
    Compact::parse(token, MAX_TOKEN_LEN)
        .ok()
        .filter(|made| made.verify(key.signer.public_key()).is_ok())
        .map(|_| ())
        .ok_or(WitError::Signature)
}
