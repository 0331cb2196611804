//! What `aws_iid` sends: three texts of the metadata service in JSON.

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};

/// The longest payload: the three texts have 4 KiB.
pub const MAX_PAYLOAD_LEN: usize = 128 << 10;

/// The texts as the metadata service has them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The identity document, JSON.
    #[serde(default)]
    pub document: String,
    /// A plain signature over it, base64.
    #[serde(default)]
    pub signature: String,
    /// PKCS #7 with the document inside, base64 without PEM's borders.
    #[serde(default)]
    pub rsa2048: String,
}

/// Why bytes are no payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Too long to be looked at.
    #[error("{len} bytes are more than the limit of {MAX_PAYLOAD_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Not the JSON it should be.
    #[error("not JSON of the expected form")]
    Json(#[source] JsonError),
    /// Neither signature.
    #[error("neither rsa2048 nor signature is there")]
    NoSignature,
}

impl Payload {
    /// Reads a payload. Unknown members are passed over, as in SPIRE.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PAYLOAD_LEN {
            return Err(PayloadError::TooLong { len: bytes.len() });
        }
        let payload: Self = json::read(bytes).map_err(PayloadError::Json)?;
        if payload.rsa2048.is_empty() && payload.signature.is_empty() {
            return Err(PayloadError::NoSignature);
        }
        Ok(payload)
    }

    /// The JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings only, and a writer that does not fail")
    }
}

impl std::fmt::Debug for Payload {
    /// Lengths only: whoever has the texts can attest in the instance's place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload")
            .field("document", &self.document.len())
            .field("signature", &self.signature.len())
            .field("rsa2048", &self.rsa2048.len())
            .finish()
    }
}
