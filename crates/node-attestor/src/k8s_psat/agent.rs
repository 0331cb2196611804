//! The agent's half: reads the token that is in its file now.

use std::io::{self, Read};
use std::path::PathBuf;

use async_trait::async_trait;
use signet_crypto::SecretString;

use super::KIND;
use super::payload::Payload;
use crate::{AgentAttestor, AgentError};

/// The longest file that is read.
const MAX_FILE: u64 = signet_oidc::MAX_TOKEN_LEN as u64;

/// Attests with a projected service account token. The file is read at each attestation, since
/// Kubernetes replaces it long before the token expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sPsatAgent {
    cluster: String,
    token: PathBuf,
}

impl K8sPsatAgent {
    /// As a node of this cluster, with the token in this file.
    pub fn new(cluster: String, token: PathBuf) -> Self {
        Self { cluster, token }
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
        if token.expose().is_empty() {
            return Err(AgentError::Content {
                path: self.token.clone(),
                what: "a service account token",
                source: None,
            });
        }
        let cluster = self.cluster.clone();
        Ok(Payload { cluster, token }.encode())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }
}
