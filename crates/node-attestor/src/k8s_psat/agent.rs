//! The agent's half: reads the token that is in its file now.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use signet_crypto::SecretString;
use signet_crypto::jose::Compact;
use signet_runtime::Clock;

use super::KIND;
use super::payload::Payload;
use crate::{AgentAttestor, AgentError, Finding, token};

/// The longest file that is read.
const MAX_FILE: u64 = signet_oidc::MAX_TOKEN_LEN as u64;

/// Attests with a projected service account token. The file is read at each attestation, since
/// Kubernetes replaces it long before the token expires.
pub struct K8sPsatAgent {
    cluster: String,
    token: PathBuf,
    clock: Arc<dyn Clock>,
}

impl K8sPsatAgent {
    /// As a node of this cluster, with the token in this file.
    pub fn new(cluster: String, token: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            cluster,
            token,
            clock,
        }
    }

    fn read(&self) -> io::Result<SecretString> {
        let mut text = String::new();
        let file = std::fs::File::open(&self.token)?;
        file.take(MAX_FILE).read_to_string(&mut text)?;
        let token = SecretString::new(text);
        Ok(SecretString::new(token.expose().trim().to_owned()))
    }
}

#[async_trait]
impl AgentAttestor for K8sPsatAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let token = self.read().map_err(|source| AgentError::File {
            path: self.token.clone(),
            source,
        })?;
        let lacks = |what| AgentError::Content {
            path: self.token.clone(),
            what,
            source: None,
        };
        if token.expose().is_empty() {
            return Err(lacks("a service account token"));
        }
        // A server would refuse it for good, while it is only waiting to be replaced: a machine slept.
        if expiry(token.expose()).is_some_and(|at| at <= self.clock.now()) {
            return Err(lacks(
                "a token that is still valid; Kubernetes replaces it soon",
            ));
        }
        let cluster = self.cluster.clone();
        Ok(Payload { cluster, token }.encode())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }

    async fn findings(&self, payload: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        Ok(match Payload::parse(payload) {
            Ok(payload) => token::findings(payload.token.expose(), now, |_| {
                vec![Finding::holds(format!(
                    "of the cluster {:?}",
                    payload.cluster
                ))]
            }),
            Err(error) => vec![Finding::fails(error.to_string())],
        })
    }
}

/// When the token says that it expires. Nobody has verified that.
fn expiry(token: &str) -> Option<SystemTime> {
    let compact = Compact::parse(token, signet_oidc::MAX_TOKEN_LEN).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&compact.payload).ok()?;
    let seconds = claims.get("exp")?.as_u64()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
