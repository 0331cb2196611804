//! Evidence that counts once: what has counted is remembered until the evidence ends by itself.

use std::fmt;
use std::time::SystemTime;

use signet_spiffe::SpiffeId;

use crate::token::Taken;

/// The hash of what makes a piece of evidence the only one of its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId([u8; 32]);

impl EvidenceId {
    /// From a SHA-256.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvidenceId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Evidence that may be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleUse {
    /// Which evidence.
    pub id: EvidenceId,
    /// When it counts no more anyway.
    pub until: SystemTime,
}

/// Evidence that has been used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedEvidence {
    /// Which evidence, and until when this must be remembered.
    pub what: SingleUse,
    /// Who used it.
    pub taken: Taken,
}

/// The evidence has been used by another key, or for another agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attestation data counts once and has already been used")]
pub struct UsedUp;

impl SingleUse {
    /// What is to be remembered if this key uses the evidence for this agent now, `used` being what
    /// is remembered already. Nothing more if the same key asks again, whose answer may have been
    /// lost on the way.
    ///
    /// # Errors
    /// [`UsedUp`]
    pub fn take(
        self,
        used: Option<&UsedEvidence>,
        key_hash: [u8; 32],
        agent_id: &SpiffeId,
    ) -> Result<Option<UsedEvidence>, UsedUp> {
        let taken = Taken {
            key_hash,
            agent_id: agent_id.clone(),
        };
        match used {
            None => Ok(Some(UsedEvidence { what: self, taken })),
            Some(used) if used.taken == taken => Ok(None),
            Some(_) => Err(UsedUp),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn agent(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org/spire/agent/oidc/{name}")).unwrap()
    }

    #[test]
    fn evidence_counts_for_the_first_key_and_its_agent_alone() {
        let evidence = SingleUse {
            id: EvidenceId::from_hash([7; 32]),
            until: UNIX_EPOCH,
        };
        let used = evidence.take(None, [1; 32], &agent("a")).unwrap().unwrap();
        let again = evidence.take(Some(&used), [1; 32], &agent("a"));
        assert_eq!(again, Ok(None));
        for (key, name) in [([2; 32], "a"), ([1; 32], "b")] {
            assert_eq!(evidence.take(Some(&used), key, &agent(name)), Err(UsedUp));
        }
        assert_eq!(format!("{:?}", evidence.id), "EvidenceId(0707…)");
    }
}
