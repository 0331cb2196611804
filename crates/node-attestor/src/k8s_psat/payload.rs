//! What the agent sends: the cluster's name and the token, in JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use signet_crypto::SecretString;

/// The longest cluster name: it becomes part of an ID and of selectors.
const MAX_CLUSTER: usize = 255;
/// The longest token, as everywhere: those of Kubernetes have one or two KiB.
const MAX_TOKEN: usize = signet_oidc::MAX_TOKEN_LEN;
/// The longest payload: both, and what JSON adds.
const MAX_PAYLOAD: usize = MAX_CLUSTER + MAX_TOKEN + 1024;

/// A cluster and a token that is said to be of it.
pub struct Payload {
    /// The cluster's name in the server's configuration.
    pub cluster: String,
    /// The token.
    pub token: SecretString,
}

/// Why bytes are no payload. No part of them is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Too long, or a part of it is.
    #[error("longer than any token is")]
    TooLong,
    /// Not the JSON that is expected.
    #[error("not a JSON object with cluster and token")]
    Form,
    /// The cluster's name is missing.
    #[error("without a cluster")]
    NoCluster,
    /// The token is missing or has characters that no token has.
    #[error("without a token")]
    NoToken,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    token: String,
}

impl Payload {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(PayloadError::TooLong);
        }
        // serde would take an array for the object.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(PayloadError::Form);
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|_| PayloadError::Form)?;
        let token = SecretString::new(raw.token);
        if raw.cluster.is_empty() {
            return Err(PayloadError::NoCluster);
        }
        if raw.cluster.len() > MAX_CLUSTER || token.expose().len() > MAX_TOKEN {
            return Err(PayloadError::TooLong);
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if token.expose().is_empty() || !token.expose().bytes().all(is_visible) {
            return Err(PayloadError::NoToken);
        }
        Ok(Self {
            cluster: raw.cluster,
            token,
        })
    }

    /// The payload as it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let raw = Raw {
            cluster: self.cluster.clone(),
            token: self.token.expose().to_owned(),
        };
        serde_json::to_vec(&raw).expect("texts become JSON")
    }
}

impl fmt::Debug for Payload {
    /// Not the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("cluster_bytes", &self.cluster.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_spire_is_read_and_written_alike() {
        let bytes = br#"{"cluster":"prod","token":"a.b.c"}"#;
        let payload = Payload::parse(bytes).unwrap();
        assert_eq!(payload.cluster, "prod");
        assert_eq!(payload.token.expose(), "a.b.c");
        assert_eq!(payload.encode(), bytes);
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        let long = format!(
            r#"{{"cluster":"a","token":"{}"}}"#,
            "x".repeat(MAX_TOKEN + 1)
        );
        for (bytes, error) in [
            ("", PayloadError::Form),
            ("[]", PayloadError::Form),
            (r#"{"cluster":1,"token":"a"}"#, PayloadError::Form),
            (r#"{"token":"a"}"#, PayloadError::NoCluster),
            (r#"{"cluster":"a"}"#, PayloadError::NoToken),
            (r#"{"cluster":"a","token":"a b"}"#, PayloadError::NoToken),
            (
                r#"{"cluster":"a","token":"a\r\nx: y"}"#,
                PayloadError::NoToken,
            ),
            (&long, PayloadError::TooLong),
            (&"x".repeat(MAX_PAYLOAD + 1), PayloadError::TooLong),
        ] {
            assert_eq!(Payload::parse(bytes.as_bytes()).unwrap_err(), error);
        }
    }
}
