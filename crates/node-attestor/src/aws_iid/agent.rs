//! The agent's half: asks the instance's metadata service.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use signet_cloud::aws::{AwsError, InstanceMetadata};

use super::KIND;
use super::payload::Payload;
use crate::{AgentAttestor, AgentError, BoxError, Finding};

const PATHS: [&str; 3] = [
    "dynamic/instance-identity/document",
    "dynamic/instance-identity/signature",
    "dynamic/instance-identity/rsa2048",
];

/// What the answers must be.
const WHAT: &str = "the instance's identity document";

/// Shows the document that AWS signed for this instance.
pub struct AwsIidAgent {
    metadata: InstanceMetadata,
}

/// The service answers, but not as the metadata service of AWS does.
#[derive(Debug, thiserror::Error)]
#[error(
    "the answer for {0} is not what AWS gives: is this the metadata service of an EC2 instance?"
)]
struct Foreign(&'static str);

impl AwsIidAgent {
    /// By this metadata service.
    pub fn new(metadata: InstanceMetadata) -> Self {
        Self { metadata }
    }
}

#[async_trait]
impl AgentAttestor for AwsIidAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let answers = self.metadata.get(PATHS).await;
        let answers = answers.map_err(|error: AwsError| unavailable(error.into()))?;
        let payload = read(answers).map_err(|error| unavailable(error.into()))?;
        Ok(payload.encode())
    }

    async fn respond(&self, _challenge: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }

    async fn findings(&self, payload: &[u8], _: SystemTime) -> Result<Vec<Finding>, AgentError> {
        Ok(match Payload::parse(payload) {
            Ok(payload) => about(&payload),
            Err(error) => vec![Finding::fails(error.to_string())],
        })
    }
}

/// The three texts, which must look like JSON and base64: a captive portal answers too.
fn read([document, signature, rsa2048]: [Bytes; 3]) -> Result<Payload, Foreign> {
    let text = |bytes: Bytes, path| String::from_utf8(bytes.to_vec()).map_err(|_| Foreign(path));
    let payload = Payload {
        document: text(document, PATHS[0])?,
        signature: text(signature, PATHS[1])?,
        rsa2048: text(rsa2048, PATHS[2])?,
    };
    let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>;
    if is_object(&payload.document).is_err() {
        return Err(Foreign(PATHS[0]));
    }
    for (text, path) in [(&payload.signature, PATHS[1]), (&payload.rsa2048, PATHS[2])] {
        let is_base64 = |byte: u8| {
            byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=".contains(&byte)
        };
        if text.is_empty() || !text.bytes().all(is_base64) {
            return Err(Foreign(path));
        }
    }
    Ok(payload)
}

/// What the document says, which only the server verifies.
fn about(payload: &Payload) -> Vec<Finding> {
    let document: serde_json::Value = serde_json::from_str(&payload.document).unwrap_or_default();
    let said = ["accountId", "region", "instanceId"].map(|name| match document[name].as_str() {
        Some(value) => Finding::holds(format!("{name} {value:?}")),
        None => Finding::fails(format!("the document has no {name}")),
    });
    said.into()
}

fn unavailable(source: BoxError) -> AgentError {
    AgentError::Platform { what: WHAT, source }
}
