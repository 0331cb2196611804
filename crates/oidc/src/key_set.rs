//! A JWK Set (RFC 7517 section 5): the keys that may have signed a token.
//!
//! A set may hold keys of kinds and purposes that are not ours; those are left out. What could make
//! two readers disagree on which key is meant is refused.

use serde_json::{Map, Value};
use signet_crypto::PublicKey;
use signet_crypto::jose::{self, JsonError, JwsAlgorithm, MAX_KEY_ID_LEN};

/// Most keys in a set, of whatever kind: the largest issuers publish about a dozen.
pub const MAX_KEYS: usize = 64;

/// Why a document is no set of keys to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not JSON, or has a member twice.
    #[error("the key set is not JSON")]
    Json(#[source] JsonError),
    /// It has no list `keys` of objects.
    #[error("the key set has no list of keys")]
    NoList,
    /// Over the limit.
    #[error("the key set has {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    /// Two keys that a token cannot tell apart.
    #[error("the key set has two keys of one kind with the same key ID")]
    Ambiguous,
    /// Nothing in it verifies signatures.
    #[error("the key set has no key that verifies signatures")]
    NoneUsable,
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// No key has this ID and fits the algorithm.
    #[error("no key of the issuer has the token's key ID and algorithm")]
    Unknown,
    /// The token names no key, and not exactly one fits.
    #[error("the token names no key, and not exactly one of the issuer's fits its algorithm")]
    Unnamed,
}

/// The keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<JwsAlgorithm>,
    key: PublicKey,
}

impl KeySet {
    /// Reads a document, whose length the caller has bounded.
    ///
    /// # Errors
    /// [`KeySetError`] says what is wrong with it.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document = jose::parse_unique(document).map_err(KeySetError::Json)?;
        let list = document.get("keys").and_then(Value::as_array);
        let list = list.ok_or(KeySetError::NoList)?;
        if list.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(list.len()));
        }
        let objects = list
            .iter()
            .map(Value::as_object)
            .collect::<Option<Vec<_>>>();
        let objects = objects.ok_or(KeySetError::NoList)?;
        let keys: Vec<_> = objects.into_iter().filter_map(Key::of).collect();
        let set = Self { keys };
        if set.keys.is_empty() {
            return Err(KeySetError::NoneUsable);
        }
        set.is_clear().then_some(set).ok_or(KeySetError::Ambiguous)
    }

    /// The key that a token of this algorithm and key ID is to be verified with. A token without an
    /// ID is verified only where there is no choice.
    ///
    /// # Errors
    /// [`NoKey`] if there is none.
    pub fn find(&self, key_id: Option<&str>, algorithm: JwsAlgorithm) -> Result<&PublicKey, NoKey> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match key_id {
            Some(id) => {
                let named = fitting.find(|key| key.id.as_deref() == Some(id));
                named.map(|key| &key.key).ok_or(NoKey::Unknown)
            }
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(&only.key),
                _ => Err(NoKey::Unnamed),
            },
        }
    }

    fn is_clear(&self) -> bool {
        self.keys.iter().enumerate().all(|(place, one)| {
            let mut later = self.keys[place + 1..].iter();
            one.id.is_none() || !later.any(|other| other.id == one.id && one.is_like(other))
        })
    }
}

impl Key {
    /// `None` if it is of a kind or purpose that is not ours.
    fn of(members: &Map<String, Value>) -> Option<Self> {
        let text = |name| members.get(name).map(Value::as_str);
        // RFC 7517 sections 4.2 and 4.3.
        if text("use").is_some_and(|purpose| purpose != Some("sig")) {
            return None;
        }
        let operations = members.get("key_ops").map(Value::as_array);
        let verifies = |list: &Vec<Value>| list.iter().any(|one| one.as_str() == Some("verify"));
        if operations.is_some_and(|list| !list.is_some_and(verifies)) {
            return None;
        }
        let key = jose::public_key_of_jwk(members).ok()?;
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(JwsAlgorithm::from_name(name?).ok()?),
        };
        let id = match text("kid") {
            None => None,
            Some(id) => Some(id.filter(|id| id.len() <= MAX_KEY_ID_LEN)?.to_owned()),
        };
        let fits = algorithm.is_none_or(|algorithm| algorithm.fits(&key));
        fits.then_some(Self { id, algorithm, key })
    }

    fn fits(&self, algorithm: JwsAlgorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && algorithm.fits(&self.key)
    }

    fn is_like(&self, other: &Self) -> bool {
        JwsAlgorithm::ALL
            .into_iter()
            .any(|algorithm| self.fits(algorithm) && other.fits(algorithm))
    }
}
