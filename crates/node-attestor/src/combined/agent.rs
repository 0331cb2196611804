//! The agent's half: collects the proofs, and hands each challenge to the one it is for.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::KIND;
use super::payload::{Proof, Tagged, encode, parse};
use crate::{AgentAttestor, AgentError, Finding};

/// Attests with several proofs at once.
pub struct CombinedAgent {
    attestors: Vec<Arc<dyn AgentAttestor>>,
}

impl CombinedAgent {
    /// In the server's order.
    pub fn new(attestors: Vec<Arc<dyn AgentAttestor>>) -> Self {
        Self { attestors }
    }
}

#[async_trait]
impl AgentAttestor for CombinedAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let mut proofs = Vec::with_capacity(self.attestors.len());
        for attestor in &self.attestors {
            proofs.push(Proof {
                kind: attestor.kind().to_owned(),
                payload: attestor.payload().await?,
            });
        }
        Ok(encode(&proofs))
    }

    async fn respond(&self, challenge: &[u8]) -> Result<Vec<u8>, AgentError> {
        let challenge = Tagged::parse(challenge);
        let Tagged { proof, bytes } =
            challenge.map_err(|error| AgentError::Challenge(Some(error.into())))?;
        let attestor = self.attestors.get(proof);
        let attestor = attestor.ok_or(AgentError::Challenge(None))?;
        let bytes = attestor.respond(&bytes).await?;
        Ok(Tagged { proof, bytes }.encode())
    }

    async fn findings(&self, payload: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        let Ok(proofs) = parse(payload) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for (attestor, proof) in self.attestors.iter().zip(&proofs) {
            let findings = attestor.findings(&proof.payload, now).await?.into_iter();
            all.extend(findings.map(|finding| Finding {
                text: format!("{}: {}", attestor.kind(), finding.text),
                ..finding
            }));
        }
        Ok(all)
    }
}
