//! The agent's half: fetches a token from the metadata service.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use signet_oidc::MAX_TOKEN_LEN;

use super::{AUDIENCE, KIND};
use crate::metadata::{Metadata, encoded};
use crate::{AgentAttestor, AgentError, Finding, token};

const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// Attests with the instance's identity token.
#[derive(Debug)]
pub struct GcpIitAgent {
    metadata: Metadata,
    path: String,
}

impl GcpIitAgent {
    /// With the token of a service account of the instance. `host` may have a port.
    pub fn new(host: &str, service_account: &str) -> Self {
        let account = encoded(service_account);
        Self {
            metadata: Metadata::new(&format!("http://{host}"), FLAVOR),
            path: format!(
                "/computeMetadata/v1/instance/service-accounts/{account}/identity\
                 ?audience={AUDIENCE}&format=full"
            ),
        }
    }
}

#[async_trait]
impl AgentAttestor for GcpIitAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        self.metadata
            .get("an identity token", &self.path, read)
            .await
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }

    async fn findings(&self, payload: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        let token = String::from_utf8_lossy(payload);
        Ok(token::findings(&token, now, |_| Vec::new()))
    }
}

/// Google's service says in a header that it is it.
fn read(headers: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    let flavor = headers.get(FLAVOR.0)?;
    let text = body.trim_ascii();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let is_token = (1..=MAX_TOKEN_LEN).contains(&text.len()) && text.iter().all(plain);
    let parts = text.split(|byte| *byte == b'.').count();
    (flavor == FLAVOR.1 && is_token && parts == 3).then(|| text.to_vec())
}
