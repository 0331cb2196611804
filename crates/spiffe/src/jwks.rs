//! Bundles as JSON: the SPIFFE bundle document, a JWK set (RFC 7517) with SPIFFE's members, and the
//! plain JWK set of JWT keys that the Workload API and OIDC readers get.
//!
//! An element that cannot be used is left out, never the whole document (B-03 and RFC 7517
//! section 5); [`parse_reporting`] says which and why, so that a bundle that lost all its keys does
//! not go unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use signet_crypto::jose::{self, JsonError, JwkError};

use crate::{AuthorityError, Bundle, JwtAuthority, TrustDomain, X509Authority};

/// Longest document read, in bytes: what a gRPC message holds by default.
pub const MAX_DOCUMENT_LEN: usize = 4 * 1024 * 1024;

/// Most keys in a document: far above any bundle (a root and a JWT key per server and rotation),
/// low enough that reading one stays in the milliseconds.
pub const MAX_KEYS: usize = 2048;

const USE_X509: &str = "x509-svid";
const USE_JWT: &str = "jwt-svid";
const USE_WIT: &str = "wit-svid";
const SEQUENCE: &str = "spiffe_sequence";
const REFRESH_HINT: &str = "spiffe_refresh_hint";

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Everything, with `use`, sequence and refresh hint: the bundle document of
    /// SPIFFE_Trust_Domain_and_Bundle section 4.
    Spiffe,
    /// The JWT keys alone, as a plain JWK set without any member of SPIFFE's: what the Workload API
    /// sends for JWT bundles.
    JwtOnlyPlain,
    /// The X.509 and JWT keys as a plain JWK set without any member of SPIFFE's: what SPIRE's bundle
    /// publishers call `jwks`.
    Plain,
}

/// The document is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Over the limit; not parsed.
    #[error("bundle document of {len} bytes is longer than the limit of {MAX_DOCUMENT_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// Not JSON, or a member appears twice.
    #[error("bundle document is not JSON")]
    Json(#[from] JsonError),
    /// A member of the set is missing or of the wrong type.
    #[error("bundle document: `{member}` is missing or malformed")]
    BadMember {
        /// Name of the member.
        member: &'static str,
    },
    /// Over the limit.
    #[error("bundle document has {count} keys, more than {MAX_KEYS}")]
    TooManyKeys {
        /// Keys found.
        count: usize,
    },
    /// Two different keys under one ID: a token could be checked with either (W-04).
    #[error("bundle document has different keys with the same `kid`, at index {index}")]
    AmbiguousKeyId {
        /// Position of the second one.
        index: usize,
    },
}

/// Why an element of the set was left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Not a JSON object.
    #[error("it is no JSON object")]
    NotAnObject,
    /// `use` is missing or unknown (B-03).
    #[error("its `use` is missing or unknown")]
    UnknownUse,
    /// `kty` is missing or unknown (B-03), or the key cannot be used.
    #[error("its key cannot be used")]
    Key(#[from] JwkError),
    /// `x5c` is missing, empty or not base64.
    #[error("its `x5c` holds no certificate")]
    NoCertificate,
    /// The certificate is of another key than the element says.
    #[error("its certificate is of another key")]
    OtherKey,
    /// The certificate or the `kid` cannot be used.
    #[error("it is no authority")]
    Authority(#[from] AuthorityError),
}

/// A bundle, and what was left out of it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The bundle.
    pub bundle: Bundle,
    /// Position and reason of each element that was left out.
    pub ignored: Vec<(usize, Ignored)>,
}

/// Writes `bundle` as JSON.
#[must_use]
pub fn encode(bundle: &Bundle, flavor: Flavor) -> String {
    document(bundle, flavor).to_string()
}

pub(crate) fn document(bundle: &Bundle, flavor: Flavor) -> Value {
    let mut document = Map::new();
    let keys = match flavor {
        Flavor::Spiffe => spiffe_keys(bundle),
        Flavor::JwtOnlyPlain => bundle
            .jwt_authorities
            .iter()
            .map(|authority| token_key(authority, None))
            .collect(),
        Flavor::Plain => plain_keys(bundle),
    };
    document.insert("keys".to_owned(), Value::Array(keys));
    if flavor == Flavor::Spiffe {
        document.insert(SEQUENCE.to_owned(), bundle.sequence.into());
        if let Some(hint) = bundle.refresh_hint {
            document.insert(REFRESH_HINT.to_owned(), hint.as_secs().into());
        }
    }
    Value::Object(document)
}

fn spiffe_keys(bundle: &Bundle) -> Vec<Value> {
    let x509 = bundle.x509_authorities.iter();
    let x509 = x509.map(|authority| x509_key(authority, Some(USE_X509)));
    let wit = bundle.wit_authorities.iter();
    let jwt = bundle.jwt_authorities.iter();
    x509.chain(wit.map(|authority| token_key(authority, Some(USE_WIT))))
        .chain(jwt.map(|authority| token_key(authority, Some(USE_JWT))))
        .collect()
}

fn plain_keys(bundle: &Bundle) -> Vec<Value> {
    let x509 = bundle.x509_authorities.iter();
    let jwt = bundle.jwt_authorities.iter();
    x509.map(|authority| x509_key(authority, None))
        .chain(jwt.map(|authority| token_key(authority, None)))
        .collect()
}

fn x509_key(authority: &X509Authority, usage: Option<&str>) -> Value {
    let mut key = jose::jwk_members(authority.public_key());
    if let Some(usage) = usage {
        key.insert("use".to_owned(), usage.into());
    }
    let certificate = BASE64_STANDARD.encode(&authority.der);
    key.insert("x5c".to_owned(), Value::Array(vec![certificate.into()]));
    key.into()
}

fn token_key(authority: &JwtAuthority, usage: Option<&str>) -> Value {
    let mut key = jose::jwk_members(&authority.public_key);
    key.insert("kid".to_owned(), authority.key_id.as_str().into());
    if let Some(usage) = usage {
        key.insert("use".to_owned(), usage.into());
    }
    key.into()
}

/// Reads a SPIFFE bundle document of `trust_domain`; elements that cannot be used are left out.
pub fn parse(trust_domain: TrustDomain, document: &[u8]) -> Result<Bundle, JwksError> {
    parse_reporting(trust_domain, document).map(|parsed| parsed.bundle)
}

/// As [`parse`], and says what was left out.
pub fn parse_reporting(trust_domain: TrustDomain, document: &[u8]) -> Result<Parsed, JwksError> {
    bundle_of_set(trust_domain, &read_set(document)?)
}

pub(crate) fn bundle_of_set(
    trust_domain: TrustDomain,
    set: &Map<String, Value>,
) -> Result<Parsed, JwksError> {
    let mut bundle = Bundle::empty(trust_domain);
    bundle.sequence = number(set, SEQUENCE)?.unwrap_or(0);
    // No hint and a hint of zero both leave the interval to the consumer.
    bundle.refresh_hint = number(set, REFRESH_HINT)?
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    let mut ignored = Vec::new();
    let mut key_ids = BTreeMap::new();
    for (index, element) in keys(set)?.iter().enumerate() {
        match read_key(element) {
            Err(why) => ignored.push((index, why)),
            Ok(Key::X509(authority)) => {
                if !bundle.x509_authorities.contains(&authority) {
                    bundle.x509_authorities.push(authority);
                }
            }
            Ok(Key::Jwt(authority)) => {
                if is_new(&mut key_ids, USE_JWT, &authority, index)? {
                    bundle.jwt_authorities.push(authority);
                }
            }
            Ok(Key::Wit(authority)) => {
                if is_new(&mut key_ids, USE_WIT, &authority, index)? {
                    bundle.wit_authorities.push(authority);
                }
            }
        }
    }
    Ok(Parsed { bundle, ignored })
}

/// Reads a plain JWK set of JWT keys, as the Workload API sends it: each element with a `kid` is a
/// JWT key, whatever its `use`, unless that is one of SPIFFE's other two.
pub fn parse_plain_jwt(trust_domain: TrustDomain, document: &[u8]) -> Result<Bundle, JwksError> {
    let set = read_set(document)?;
    let mut bundle = Bundle::empty(trust_domain);
    let mut key_ids = BTreeMap::new();
    for (index, element) in keys(&set)?.iter().enumerate() {
        let Some(members) = element.as_object() else {
            continue;
        };
        if matches!(text(members, "use"), Some(USE_X509 | USE_WIT)) {
            continue;
        }
        if let Ok(authority) = read_token_key(members)
            && is_new(&mut key_ids, USE_JWT, &authority, index)?
        {
            bundle.jwt_authorities.push(authority);
        }
    }
    Ok(bundle)
}

pub(crate) fn read_set(document: &[u8]) -> Result<Map<String, Value>, JwksError> {
    if document.len() > MAX_DOCUMENT_LEN {
        return Err(JwksError::TooLong {
            len: document.len(),
        });
    }
    match jose::parse_unique(document)? {
        Value::Object(set) => Ok(set),
        _ => Err(JwksError::BadMember { member: "keys" }),
    }
}

fn keys(set: &Map<String, Value>) -> Result<&[Value], JwksError> {
    let keys = set
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(JwksError::BadMember { member: "keys" })?;
    if keys.len() > MAX_KEYS {
        return Err(JwksError::TooManyKeys { count: keys.len() });
    }
    Ok(keys)
}

enum Key {
    X509(X509Authority),
    Jwt(JwtAuthority),
    Wit(JwtAuthority),
}

fn read_key(element: &Value) -> Result<Key, Ignored> {
    let members = element.as_object().ok_or(Ignored::NotAnObject)?;
    match text(members, "use") {
        Some(USE_X509) => read_x509_key(members).map(Key::X509),
        Some(USE_JWT) => read_token_key(members).map(Key::Jwt),
        Some(USE_WIT) => read_token_key(members).map(Key::Wit),
        _ => Err(Ignored::UnknownUse),
    }
}

fn read_x509_key(members: &Map<String, Value>) -> Result<X509Authority, Ignored> {
    let key = jose::public_key_of_jwk(members)?;
    let der = members
        .get("x5c")
        .and_then(|chain| chain.get(0))
        .and_then(Value::as_str)
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .ok_or(Ignored::NoCertificate)?;
    let authority = X509Authority::from_der(&der)?;
    // RFC 7517 section 4.7: the first certificate is of the key the element describes.
    if authority.public_key() != &key {
        return Err(Ignored::OtherKey);
    }
    Ok(authority)
}

fn read_token_key(members: &Map<String, Value>) -> Result<JwtAuthority, Ignored> {
    let key = jose::public_key_of_jwk(members)?;
    let key_id = text(members, "kid").unwrap_or_default().to_owned();
    Ok(JwtAuthority::new(key_id, key)?)
}

/// Remembers the key under its ID. The same key for the same use once more is harmless.
fn is_new(
    seen: &mut BTreeMap<String, (&'static str, JwtAuthority)>,
    usage: &'static str,
    authority: &JwtAuthority,
    index: usize,
) -> Result<bool, JwksError> {
    let entry = (usage, authority.clone());
    match seen.get(&authority.key_id) {
        Some(known) if *known == entry => Ok(false),
        Some(_) => Err(JwksError::AmbiguousKeyId { index }),
        None => {
            seen.insert(authority.key_id.clone(), entry);
            Ok(true)
        }
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// A non-negative integer that also fits the signed fields of SPIRE's messages.
fn number(set: &Map<String, Value>, member: &'static str) -> Result<Option<u64>, JwksError> {
    match set.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|number| member == SEQUENCE || i64::try_from(*number).is_ok())
            .map(Some)
            .ok_or(JwksError::BadMember { member }),
    }
}
