//! What the two halves exchange: JSON, the attestors' own bytes in base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::MAX_PROOFS;
use crate::MAX_PAYLOAD;

/// Longest encoding of a part, and of all parts with their names.
const MAX_PART: usize = MAX_PAYLOAD.div_ceil(3) * 4 + 256;
/// Longest payload.
pub const MAX_COMBINED: usize = MAX_PROOFS * MAX_PART;

/// The bytes are not what the other half sends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Over the limit.
    #[error("it has {0} bytes, more than allowed")]
    TooLong(usize),
    /// Not the JSON it should be.
    #[error("it is not the JSON that this attestor sends")]
    Json(#[source] serde_json::Error),
    /// Not base64.
    #[error("a part of it is not base64")]
    Base64(#[source] base64::DecodeError),
    /// Too many parts.
    #[error("it has {0} proofs, more than {MAX_PROOFS}")]
    TooMany(usize),
}

/// One attestor's part of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The attestor.
    pub kind: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A challenge or the answer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Which proof it belongs to, from 0.
    pub proof: usize,
    /// The attestor's own bytes.
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadJson {
    proofs: Vec<ProofJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofJson {
    r#type: String,
    payload: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaggedJson {
    proof: usize,
    bytes: String,
}

/// The payload with these parts.
pub fn encode(proofs: &[Proof]) -> Vec<u8> {
    let proofs = proofs.iter().map(|proof| ProofJson {
        r#type: proof.kind.clone(),
        payload: BASE64_STANDARD.encode(&proof.payload),
    });
    json(&PayloadJson {
        proofs: proofs.collect(),
    })
}

/// The parts of a payload.
///
/// # Errors
/// [`PayloadError`] says what is wrong.
pub fn parse(bytes: &[u8]) -> Result<Vec<Proof>, PayloadError> {
    if bytes.len() > MAX_COMBINED {
        return Err(PayloadError::TooLong(bytes.len()));
    }
    let payload: PayloadJson = serde_json::from_slice(bytes).map_err(PayloadError::Json)?;
    if payload.proofs.len() > MAX_PROOFS {
        return Err(PayloadError::TooMany(payload.proofs.len()));
    }
    let proof = |proof: ProofJson| {
        Ok(Proof {
            kind: proof.r#type,
            payload: decode(&proof.payload)?,
        })
    };
    payload.proofs.into_iter().map(proof).collect()
}

impl Tagged {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        json(&TaggedJson {
            proof: self.proof,
            bytes: BASE64_STANDARD.encode(&self.bytes),
        })
    }

    /// As it came.
    ///
    /// # Errors
    /// [`PayloadError`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PART {
            return Err(PayloadError::TooLong(bytes.len()));
        }
        let tagged: TaggedJson = serde_json::from_slice(bytes).map_err(PayloadError::Json)?;
        Ok(Self {
            proof: tagged.proof,
            bytes: decode(&tagged.bytes)?,
        })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, PayloadError> {
    BASE64_STANDARD.decode(text).map_err(PayloadError::Base64)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_tags_survive_the_way() {
        let proofs = [
            Proof {
                kind: "x509pop".to_owned(),
                payload: vec![0, 255],
            },
            Proof {
                kind: "oidc".to_owned(),
                payload: b"a.b.c".to_vec(),
            },
        ];
        assert_eq!(parse(&encode(&proofs)).unwrap(), proofs);
        let tagged = Tagged {
            proof: 1,
            bytes: vec![7],
        };
        assert_eq!(Tagged::parse(&tagged.encode()).unwrap(), tagged);
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"proofs":[],"more":1}"#,
            r#"{"proofs":[],"proofs":[]}"#,
            r#"{"proofs":[{"type":"a"}]}"#,
            r#"{"proofs":[{"type":"a","payload":"-"}]}"#,
            r#"{"proofs":[{"type":"a","type":"b","payload":""}]}"#,
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
            assert!(Tagged::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let one = Proof {
            kind: "a".to_owned(),
            payload: Vec::new(),
        };
        let many = encode(&vec![one; MAX_PROOFS + 1]);
        assert!(matches!(parse(&many), Err(PayloadError::TooMany(5))));
        let long = vec![b' '; MAX_COMBINED + 1];
        assert!(matches!(parse(&long), Err(PayloadError::TooLong(_))));
    }
}
