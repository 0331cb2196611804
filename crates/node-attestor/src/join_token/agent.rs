//! The agent's half: says the token.

use async_trait::async_trait;
use signet_crypto::SecretString;

use super::KIND;
use crate::{AgentAttestor, AgentError};

/// Attests with a join token.
#[derive(Debug)]
pub struct JoinTokenAgent {
    token: SecretString,
}

impl JoinTokenAgent {
    /// With this token.
    pub fn new(token: SecretString) -> Self {
        Self { token }
    }
}

#[async_trait]
impl AgentAttestor for JoinTokenAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        Ok(self.token.expose().as_bytes().to_vec())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }
}
