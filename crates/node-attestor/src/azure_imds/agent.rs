//! The agent's half: has the metadata service sign the server's nonce.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::KIND;
use super::payload::{NONCE_LEN, Nonce, PAYLOAD, Response, WireDocument};
use crate::metadata::Metadata;
use crate::{AgentAttestor, AgentError, Finding};

const HEADER: (&str, &str) = ("metadata", "true");
const VERSION: &str = "api-version=2025-04-07";

/// Attests with a signed document about the machine.
#[derive(Debug)]
pub struct AzureImdsAgent {
    metadata: Metadata,
    tenant_domain: String,
}

#[derive(Deserialize)]
struct Compute {
    #[serde(rename = "vmScaleSetName", default)]
    scale_set: String,
}

impl AzureImdsAgent {
    /// In a tenant, with the metadata service at this URL
    /// ([`METADATA_URL`](signet_cloud::azure::METADATA_URL) on Azure).
    pub fn new(metadata_url: &str, tenant_domain: &str) -> Self {
        Self {
            metadata: Metadata::new(metadata_url, HEADER),
            tenant_domain: tenant_domain.to_owned(),
        }
    }
}

#[async_trait]
impl AgentAttestor for AzureImdsAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        Ok(PAYLOAD.to_vec())
    }

    async fn respond(&self, challenge: &[u8]) -> Result<Vec<u8>, AgentError> {
        let nonce =
            Nonce::parse(challenge).map_err(|error| AgentError::Challenge(Some(error.into())))?;
        let path = format!(
            "/metadata/attested/document?{VERSION}&nonce={}",
            nonce.as_str()
        );
        let signed = self
            .metadata
            .get("an attested document", &path, document)
            .await?;
        let path = format!("/metadata/instance/compute?{VERSION}&format=json");
        let scale_set = self
            .metadata
            .get("what the machine is", &path, scale_set)
            .await?;
        let response = Response {
            signed,
            domain: self.tenant_domain.clone(),
            scale_set: Some(scale_set).filter(|name| !name.is_empty()),
        };
        Ok(response.encode())
    }

    /// All evidence is in the answer to the server's nonce, so one is made up.
    async fn findings(&self, _: &[u8], _: SystemTime) -> Result<Vec<Finding>, AgentError> {
        let answer = self.respond(&REHEARSED).await?;
        Ok(vec![
            Finding::holds(format!("of the tenant {:?}", self.tenant_domain)),
            Finding::holds(format!(
                "the metadata service signed a nonce made up here: {} bytes of evidence",
                answer.len()
            )),
        ])
    }
}

/// The nonce of a rehearsal: no server ever sent it.
const REHEARSED: [u8; NONCE_LEN] = [b'0'; NONCE_LEN];

fn document(_: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    let found: WireDocument = serde_json::from_slice(body).ok()?;
    found.der().ok()
}

fn scale_set(_: &HeaderMap, body: &Bytes) -> Option<String> {
    let found: Compute = serde_json::from_slice(body).ok()?;
    Some(found.scale_set)
}
