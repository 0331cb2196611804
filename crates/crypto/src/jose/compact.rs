//! JWS compact serialization (RFC 7515 section 7.1): three base64url parts joined by dots.
//!
//! A [`Compact`] is parsed, not verified: [`Compact::verify`] is a step of its own, and the payload
//! it hands out is the bytes the signature covers.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::ecdsa::{SignatureFormError, ecdsa_der_to_fixed, ecdsa_fixed_to_der};
use super::{JsonError, JwsAlgorithm, parse_unique};
use crate::{PublicKey, VerifyError};

/// Longest `kid` accepted, in bytes: identifiers are fingerprints or UUIDs; the limit keeps a
/// token from filling logs and maps.
pub const MAX_KEY_ID_LEN: usize = 512;

/// The text is not a token that can be considered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Longer than the caller's limit.
    #[error("token of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not exactly three parts.
    #[error("token is not a JWS in compact serialization: it needs exactly three parts")]
    NotThreeParts,
    /// A part is not unpadded base64url.
    #[error("{part} of the token is not unpadded base64url")]
    NotBase64 {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// The header is not one JSON object without duplicates.
    #[error("header of the token is not a JSON object")]
    BadHeader(#[source] Option<JsonError>),
    /// `alg` is missing or not among the nine allowed.
    #[error("header parameter `alg` is missing or not allowed")]
    BadAlgorithm,
    /// `kid` or `typ` is not text, or `kid` is too long.
    #[error("header parameter `{name}` is malformed")]
    BadParameter {
        /// Name of the parameter.
        name: &'static str,
    },
    /// `crit` names extensions; none is understood (RFC 7515 section 4.1.11).
    #[error("header parameter `crit` demands extensions that are not supported")]
    Critical,
}

/// A parsed token whose signature nobody has checked yet.
#[derive(Debug, Clone)]
pub struct Compact {
    /// The protected header.
    pub header: Map<String, Value>,
    /// `alg`, one of the nine.
    pub algorithm: JwsAlgorithm,
    /// `kid`, if present.
    pub key_id: Option<String>,
    /// `typ`, if present.
    pub typ: Option<String>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    signing_input: String,
    signature: Vec<u8>,
}

impl Compact {
    /// Splits and decodes `token`. Its length is checked before anything is allocated, its
    /// algorithm before anything else of the header is used.
    pub fn parse(token: &str, max_len: usize) -> Result<Self, CompactError> {
        if token.len() > max_len {
            return Err(CompactError::TooLong {
                len: token.len(),
                limit: max_len,
            });
        }
        let (signing_input, signature) =
            token.rsplit_once('.').ok_or(CompactError::NotThreeParts)?;
        let (header, payload) = signing_input
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(CompactError::NotThreeParts)?;
        let header = object(&decode("header", header)?)?;
        let algorithm = text(&header, "alg")?
            .and_then(|name| JwsAlgorithm::from_name(&name).ok())
            .ok_or(CompactError::BadAlgorithm)?;
        if header.contains_key("crit") {
            return Err(CompactError::Critical);
        }
        let key_id = text(&header, "kid")?;
        if key_id.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_LEN) {
            return Err(CompactError::BadParameter { name: "kid" });
        }
        Ok(Self {
            algorithm,
            key_id,
            typ: text(&header, "typ")?,
            header,
            payload: decode("payload", payload)?,
            signing_input: signing_input.to_owned(),
            signature: decode("signature", signature)?,
        })
    }

    /// Checks the signature with `key`, which must fit the algorithm.
    pub fn verify(&self, key: &PublicKey) -> Result<(), VerifyError> {
        let input = self.signing_input.as_bytes();
        let algorithm = self.algorithm.signature_algorithm();
        match self.algorithm.curve() {
            None => key.verify(algorithm, input, &self.signature),
            Some(curve) => {
                let signature = ecdsa_fixed_to_der(curve, &self.signature)
                    .map_err(|_| VerifyError::BadSignature)?;
                key.verify(algorithm, input, &signature)
            }
        }
    }

    /// The header and payload as they were signed.
    #[must_use]
    pub fn signing_input(&self) -> &str {
        &self.signing_input
    }

    /// The signature's bytes, `r || s` for ECDSA.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The text to sign for a header and a payload.
#[must_use]
pub fn encode_signing_input(header: &Map<String, Value>, payload: &Map<String, Value>) -> String {
    let part = |object: &Map<String, Value>| {
        let json = serde_json::to_vec(object).expect("JSON values can be written");
        BASE64_URL_SAFE_NO_PAD.encode(json)
    };
    format!("{}.{}", part(header), part(payload))
}

/// The finished token. `signature` is as a key makes it, so DER for ECDSA.
pub fn attach_signature(
    signing_input: String,
    algorithm: JwsAlgorithm,
    signature: &[u8],
) -> Result<String, SignatureFormError> {
    let signature = match algorithm.curve() {
        Some(curve) => BASE64_URL_SAFE_NO_PAD.encode(ecdsa_der_to_fixed(curve, signature)?),
        None => BASE64_URL_SAFE_NO_PAD.encode(signature),
    };
    Ok(format!("{signing_input}.{signature}"))
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, CompactError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CompactError::NotBase64 { part })
}

fn object(json: &[u8]) -> Result<Map<String, Value>, CompactError> {
    match parse_unique(json) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(CompactError::BadHeader(None)),
        Err(error) => Err(CompactError::BadHeader(Some(error))),
    }
}

fn text(header: &Map<String, Value>, name: &'static str) -> Result<Option<String>, CompactError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(CompactError::BadParameter { name }),
    }
}
