//! What `azure_msi` sends: an access token in JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use signet_crypto::Verified;
use signet_oidc::{Claims, MAX_TOKEN_LEN};

/// The longest payload: a token and the JSON around it.
pub const MAX_PAYLOAD_LEN: usize = MAX_TOKEN_LEN + 256;

/// The agent's token.
#[derive(Serialize, Deserialize)]
pub struct Payload {
    /// As the metadata service gave it.
    pub token: String,
}

/// Whose token it is, read from verified claims only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `tid`: the tenant's ID, in lower case.
    pub tenant_id: String,
    /// `sub`: the identity's object ID, in lower case.
    pub principal_id: String,
}

/// Why bytes are no message. The texts hold nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// Too long to be looked at.
    #[error("{len} bytes are more than the limit of {MAX_PAYLOAD_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Not the JSON it should be.
    #[error("not JSON with the text `token`")]
    Json,
    /// A claim is missing or no UUID.
    #[error("the claim `{0}` is missing or no UUID")]
    Claim(&'static str),
}

impl Payload {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`FormError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_PAYLOAD_LEN {
            return Err(FormError::TooLong { len: bytes.len() });
        }
        let payload: Self = serde_json::from_slice(bytes).map_err(|_| FormError::Json)?;
        let is_there = !payload.token.is_empty();
        is_there.then_some(payload).ok_or(FormError::Json)
    }

    /// The JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a text can be written")
    }
}

impl std::fmt::Debug for Payload {
    /// Nothing of it: whoever has the token can use it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payload")
    }
}

impl Principal {
    /// What the claims say.
    ///
    /// # Errors
    /// [`FormError::Claim`] names the claim.
    pub fn of(claims: Verified<Claims>) -> Result<Verified<Self>, FormError> {
        claims.parse(|claims| {
            let claim = |name| {
                let text = claims.all.get(name).and_then(Value::as_str);
                text.and_then(uuid).ok_or(FormError::Claim(name))
            };
            Ok(Self {
                tenant_id: claim("tid")?,
                principal_id: claim("sub")?,
            })
        })
    }
}

/// In lower case, if it is one (RFC 9562 section 4).
pub(crate) fn uuid(text: &str) -> Option<String> {
    let hex = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
    let lengths = text.split('-').map(str::len);
    let is_one = lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(hex);
    is_one.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_on_the_wire_are_as_documented() {
        let payload = Payload {
            token: "a.b.c".to_owned(),
        };
        assert_eq!(payload.encode(), br#"{"token":"a.b.c"}"#);
        let read = Payload::parse(br#"{"token":"a.b.c"}"#).unwrap();
        assert_eq!(read.token, "a.b.c");
    }

    #[test]
    fn payloads_without_a_token_or_too_long_are_refused() {
        for text in [
            "",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":1}"#,
            "<html>",
            "a.b.c",
        ] {
            let refused = Payload::parse(text.as_bytes());
            assert!(matches!(refused, Err(FormError::Json)), "{text}");
        }
        let refused = Payload::parse(&vec![b'{'; 10 << 20]);
        assert!(matches!(refused, Err(FormError::TooLong { .. })));
    }
}
