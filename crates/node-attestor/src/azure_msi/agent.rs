//! The agent's half: fetches a token of the machine's managed identity.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::KIND;
use super::payload::Payload;
use crate::metadata::{Metadata, encoded};
use crate::{AgentAttestor, AgentError, Finding, token};

const HEADER: (&str, &str) = ("metadata", "true");

/// Attests with a token of the machine's managed identity.
#[derive(Debug)]
pub struct AzureMsiAgent {
    metadata: Metadata,
    path: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
}

impl AzureMsiAgent {
    /// With a token for this resource, from the metadata service at this URL
    /// ([`METADATA_URL`](signet_cloud::azure::METADATA_URL) on Azure).
    pub fn new(metadata_url: &str, resource_id: &str) -> Self {
        let resource = encoded(resource_id);
        Self {
            metadata: Metadata::new(metadata_url, HEADER),
            path: format!(
                "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}"
            ),
        }
    }
}

#[async_trait]
impl AgentAttestor for AzureMsiAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let what = "a token of the managed identity";
        self.metadata.get(what, &self.path, payload).await
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }

    async fn findings(&self, payload: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        Ok(match Payload::parse(payload) {
            Ok(payload) => token::findings(&payload.token, now, |_| Vec::new()),
            Err(error) => vec![Finding::fails(error.to_string())],
        })
    }
}

fn payload(_: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.access_token;
    (!token.is_empty()).then(|| Payload { token }.encode())
}
