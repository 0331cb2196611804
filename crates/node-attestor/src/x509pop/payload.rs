//! What `x509pop` sends: JSON with byte strings in base64.
//!
//! Only limits and the form are checked here. Absent and `null` are the same, unknown members are
//! passed over, as in SPIRE.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::{self, JsonError};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 32;

/// The longest payload: a dozen certificates with 8192-bit keys take 50 KiB.
pub const MAX_PAYLOAD_LEN: usize = 256 << 10;

/// The longest certificate. With an 8192-bit key and signature it has 3 KiB; the rest is room for
/// names.
pub const MAX_CERTIFICATE_LEN: usize = 32 << 10;

/// The longest challenge or response: an 8192-bit signature has 1 KiB, 1.4 KiB in base64.
pub const MAX_MESSAGE_LEN: usize = 8 << 10;

/// The agent's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Certificates in DER, leaf first. Never empty.
    pub certificates: Vec<Vec<u8>>,
}

/// What the agent is to sign, for the kind of key it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// With an RSA key.
    Rsa(Nonce),
    /// With an EC key.
    Ecdsa(Nonce),
}

/// The agent's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// With an RSA key.
    Rsa {
        /// The agent's nonce.
        nonce: Nonce,
        /// RSASSA-PSS with SHA-256.
        signature: Vec<u8>,
    },
    /// With an EC key.
    Ecdsa {
        /// The agent's nonce.
        nonce: Nonce,
        /// Big-endian, without a fixed length.
        r: Vec<u8>,
        /// Big-endian, without a fixed length.
        s: Vec<u8>,
    },
}

/// Unpredictable bytes, used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; NONCE_LEN]);

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// Too long to be looked at.
    #[error("{len} bytes are more than the limit of {limit}")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Not the JSON it should be.
    #[error("not JSON of the expected form")]
    Json(#[source] JsonError),
    /// The payload has no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// More certificates than are allowed.
    #[error("{count} certificates are more than the limit of {limit}")]
    TooManyCertificates {
        /// Certificates found.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A certificate is too long.
    #[error("certificate {index} has {len} bytes, more than the limit of {MAX_CERTIFICATE_LEN}")]
    CertificateTooLong {
        /// Position; 0 is the leaf.
        index: usize,
        /// Bytes found.
        len: usize,
    },
    /// A nonce has another length.
    #[error("nonce has {len} bytes instead of {NONCE_LEN}")]
    Nonce {
        /// Bytes found.
        len: usize,
    },
    /// Neither an RSA nor an ECDSA member, or both.
    #[error("there must be either rsa_signature or ecdsa_signature")]
    Kind,
}

impl Payload {
    /// Reads a payload of at most `max_certificates`.
    pub fn parse(bytes: &[u8], max_certificates: usize) -> Result<Self, FormError> {
        let wire: WirePayload = from_json(bytes, MAX_PAYLOAD_LEN)?;
        let count = wire.certificates.len();
        if count == 0 {
            return Err(FormError::NoCertificate);
        }
        if count > max_certificates {
            return Err(FormError::TooManyCertificates {
                count,
                limit: max_certificates,
            });
        }
        let certificates: Vec<Vec<u8>> = wire.certificates.into_iter().map(|der| der.0).collect();
        match certificates
            .iter()
            .position(|der| der.len() > MAX_CERTIFICATE_LEN)
        {
            None => Ok(Self { certificates }),
            Some(index) => Err(FormError::CertificateTooLong {
                index,
                len: certificates[index].len(),
            }),
        }
    }

    /// The JSON.
    pub fn encode(self) -> Vec<u8> {
        to_json(&WirePayload {
            certificates: self.certificates.into_iter().map(Base64).collect(),
        })
    }
}

impl Challenge {
    /// Reads a challenge.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let wire: Either<WireChallenge, WireChallenge> = from_json(bytes, MAX_MESSAGE_LEN)?;
        match (wire.rsa_signature, wire.ecdsa_signature) {
            (Some(rsa), None) => Ok(Self::Rsa(Nonce::of(&rsa.nonce)?)),
            (None, Some(ecdsa)) => Ok(Self::Ecdsa(Nonce::of(&ecdsa.nonce)?)),
            _ => Err(FormError::Kind),
        }
    }

    /// The JSON.
    pub fn encode(&self) -> Vec<u8> {
        let wire = |nonce: &Nonce| {
            Some(WireChallenge {
                nonce: nonce.encode(),
            })
        };
        to_json(&match self {
            Self::Rsa(nonce) => Either {
                rsa_signature: wire(nonce),
                ecdsa_signature: None,
            },
            Self::Ecdsa(nonce) => Either {
                rsa_signature: None,
                ecdsa_signature: wire(nonce),
            },
        })
    }

    /// The server's nonce.
    pub fn nonce(&self) -> &Nonce {
        match self {
            Self::Rsa(nonce) | Self::Ecdsa(nonce) => nonce,
        }
    }
}

impl Response {
    /// Reads a response.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let wire: Either<WireRsa, WireEcdsa> = from_json(bytes, MAX_MESSAGE_LEN)?;
        match (wire.rsa_signature, wire.ecdsa_signature) {
            (Some(rsa), None) => Ok(Self::Rsa {
                nonce: Nonce::of(&rsa.nonce)?,
                signature: rsa.signature.0,
            }),
            (None, Some(ecdsa)) => Ok(Self::Ecdsa {
                nonce: Nonce::of(&ecdsa.nonce)?,
                r: ecdsa.r.0,
                s: ecdsa.s.0,
            }),
            _ => Err(FormError::Kind),
        }
    }

    /// The JSON.
    pub fn encode(self) -> Vec<u8> {
        to_json(&match self {
            Self::Rsa { nonce, signature } => Either {
                rsa_signature: Some(WireRsa {
                    nonce: nonce.encode(),
                    signature: Base64(signature),
                }),
                ecdsa_signature: None,
            },
            Self::Ecdsa { nonce, r, s } => Either {
                rsa_signature: None,
                ecdsa_signature: Some(WireEcdsa {
                    nonce: nonce.encode(),
                    r: Base64(r),
                    s: Base64(s),
                }),
            },
        })
    }
}

impl Nonce {
    fn of(bytes: &Base64) -> Result<Self, FormError> {
        let len = bytes.0.len();
        let nonce = bytes.0.as_slice().try_into();
        nonce.map(Self).map_err(|_| FormError::Nonce { len })
    }

    fn encode(&self) -> Base64 {
        Base64(self.0.to_vec())
    }

    /// What is signed, before it is hashed: this nonce of the server and that of the agent.
    pub fn with(&self, agents: &Self) -> [u8; 2 * NONCE_LEN] {
        let mut message = [0; 2 * NONCE_LEN];
        message[..NONCE_LEN].copy_from_slice(&self.0);
        message[NONCE_LEN..].copy_from_slice(&agents.0);
        message
    }
}

#[derive(Serialize, Deserialize)]
struct WirePayload {
    #[serde(default)]
    certificates: Vec<Base64>,
}

/// One of two, under the name of the kind of key.
#[derive(Serialize, Deserialize)]
struct Either<R, E> {
    rsa_signature: Option<R>,
    ecdsa_signature: Option<E>,
}

#[derive(Serialize, Deserialize)]
struct WireChallenge {
    nonce: Base64,
}

#[derive(Serialize, Deserialize)]
struct WireRsa {
    nonce: Base64,
    signature: Base64,
}

#[derive(Serialize, Deserialize)]
struct WireEcdsa {
    nonce: Base64,
    r: Base64,
    s: Base64,
}

/// Bytes that are base64 in JSON.
struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes());
        bytes
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

fn from_json<'de, T: Deserialize<'de>>(bytes: &'de [u8], limit: usize) -> Result<T, FormError> {
    let len = bytes.len();
    if len > limit {
        return Err(FormError::TooLong { len, limit });
    }
    json::read(bytes).map_err(FormError::Json)
}

fn to_json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("strings only, and a writer that does not fail")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: Nonce = Nonce([1; NONCE_LEN]);
    const NONCE_TEXT: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn challenge(text: &str) -> Result<Challenge, FormError> {
        Challenge::parse(text.as_bytes())
    }

    #[test]
    fn the_json_is_that_of_spire() {
        let payload = Payload {
            certificates: vec![vec![1, 2], vec![3]],
        };
        assert_eq!(payload.encode(), br#"{"certificates":["AQI=","Aw=="]}"#);
        let rsa =
            format!(r#"{{"rsa_signature":{{"nonce":"{NONCE_TEXT}"}},"ecdsa_signature":null}}"#);
        assert_eq!(Challenge::Rsa(NONCE).encode(), rsa.as_bytes());
        let response = Response::Ecdsa {
            nonce: NONCE,
            r: vec![5],
            s: vec![6],
        };
        let ecdsa = format!(
            r#"{{"rsa_signature":null,"ecdsa_signature":{{"nonce":"{NONCE_TEXT}","r":"BQ==","s":"Bg=="}}}}"#
        );
        assert_eq!(response.encode(), ecdsa.as_bytes());
    }

    #[test]
    fn absent_and_null_are_the_same_and_unknown_members_are_passed_over() {
        let absent = format!(r#"{{"ecdsa_signature":{{"nonce":"{NONCE_TEXT}","x":1}},"y":[]}}"#);
        assert_eq!(challenge(&absent).unwrap(), Challenge::Ecdsa(NONCE));
    }

    #[test]
    fn none_or_both_kinds_of_key_are_refused() {
        let both = format!(
            r#"{{"rsa_signature":{{"nonce":"{NONCE_TEXT}"}},"ecdsa_signature":{{"nonce":"{NONCE_TEXT}"}}}}"#
        );
        for text in ["{}", r#"{"rsa_signature":null}"#, &both] {
            assert!(matches!(challenge(text), Err(FormError::Kind)), "{text}");
        }
    }

    #[test]
    fn a_nonce_of_another_length_is_refused() {
        for (nonce, len) in [("", 0), ("AQ==", 1), (&format!("AAAA{NONCE_TEXT}")[..], 35)] {
            let text = format!(r#"{{"rsa_signature":{{"nonce":"{nonce}"}}}}"#);
            let refused = challenge(&text).unwrap_err();
            assert!(
                matches!(refused, FormError::Nonce { len: found } if found == len),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_json_of_the_form_is_refused_without_repeating_it() {
        for text in [
            "",
            "hunter2",
            r#"{"rsa_signature":"hunter2"}"#,
            r#"{"rsa_signature":{"nonce":"hunter2!"}}"#,
        ] {
            let error = challenge(text).unwrap_err();
            assert!(matches!(error, FormError::Json(_)), "{text}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn payloads_over_a_limit_are_refused() {
        let parse = |certificates| Payload { certificates }.encode();
        let four = parse(vec![vec![1]; 4]);
        assert!(Payload::parse(&four, 4).is_ok());
        let refused = Payload::parse(&four, 3);
        assert!(matches!(
            refused,
            Err(FormError::TooManyCertificates { count: 4, limit: 3 })
        ));
        let long = parse(vec![vec![1], vec![0; MAX_CERTIFICATE_LEN + 1]]);
        let refused = Payload::parse(&long, 4);
        assert!(matches!(
            refused,
            Err(FormError::CertificateTooLong { index: 1, .. })
        ));
        let refused = Payload::parse(&vec![b' '; 10 << 20], 4);
        assert!(matches!(refused, Err(FormError::TooLong { .. })));
        for text in [r#"{"certificates":[]}"#, "{}"] {
            assert!(matches!(
                Payload::parse(text.as_bytes(), 4),
                Err(FormError::NoCertificate)
            ));
        }
    }

    #[test]
    fn a_long_response_is_refused_unread() {
        let refused = Response::parse(&[b'{'; MAX_MESSAGE_LEN + 1]);
        assert!(matches!(refused, Err(FormError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Payload::parse(&bytes, 5);
            let _ = Challenge::parse(&bytes);
            let _ = Response::parse(&bytes);
        }

        #[test]
        fn no_json_makes_a_parser_panic(
            member in "(rsa|ecdsa)_signature|certificates",
            value in r#"null|\[\]|\{\}|"[A-Za-z0-9=]{0,60}"|\["[A-Za-z0-9+/=]{0,9}"\]|\{"(nonce|r)":"[A-Z=]{0,50}"\}"#,
        ) {
            let text = format!(r#"{{"{member}":{value}}}"#);
            let _ = Payload::parse(text.as_bytes(), 5);
            let _ = Challenge::parse(text.as_bytes());
            let _ = Response::parse(text.as_bytes());
        }

        #[test]
        fn what_is_written_is_read_back(
            certificates in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5),
            nonce: [u8; NONCE_LEN],
            signature in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let payload = Payload { certificates };
            prop_assert_eq!(&Payload::parse(&payload.clone().encode(), 4).unwrap(), &payload);
            let response = Response::Rsa { nonce: Nonce(nonce), signature };
            prop_assert_eq!(&Response::parse(&response.clone().encode()).unwrap(), &response);
            let challenge = Challenge::Ecdsa(Nonce(nonce));
            prop_assert_eq!(Challenge::parse(&challenge.encode()).unwrap(), challenge);
        }
    }
}
