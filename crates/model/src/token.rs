//! A join token: used once, and again only by the key that used it, until that key has shown it
//! got its SVID.

use std::fmt;
use std::time::SystemTime;

use signet_spiffe::SpiffeId;

/// The hash under which a join token is kept. The token itself is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 32]);

impl TokenId {
    /// From the SHA-256 of the token's value.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Who has used a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// SHA-256 of the public key (its SubjectPublicKeyInfo) that used it.
    pub key_hash: [u8; 32],
    /// The agent that came of it.
    pub agent_id: SpiffeId,
}

/// A join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The hash of its value.
    pub id: TokenId,
    /// Until when it may be used.
    pub expires_at: SystemTime,
    /// Set by its first use.
    pub taken: Option<Taken>,
    /// The SPIFFE ID the operator wants for the agent beside its own; it becomes an entry.
    pub alias: Option<SpiffeId>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Another key has used it.
    #[error("join token does not exist or has already been used")]
    Used,
    /// Its time is over.
    #[error("join token expired")]
    Expired,
}

/// How a token is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// For the first time: this state is to be committed together with the agent.
    First(JoinToken),
    /// Again by the same key, whose SVID may have been lost on the way.
    Again,
}

impl JoinToken {
    /// Whether it may be used for this agent by this key. The end counts for the first use only:
    /// a node that came in time and crashed is not locked out.
    pub fn take(
        &self,
        key_hash: [u8; 32],
        agent_id: &SpiffeId,
        now: SystemTime,
    ) -> Result<Use, TokenRefusal> {
        match &self.taken {
            Some(taken) if taken.key_hash == key_hash && taken.agent_id == *agent_id => {
                Ok(Use::Again)
            }
            Some(_) => Err(TokenRefusal::Used),
            None if self.expires_at <= now => Err(TokenRefusal::Expired),
            None => Ok(Use::First(self.taken_by(key_hash, agent_id))),
        }
    }

    fn taken_by(&self, key_hash: [u8; 32], agent_id: &SpiffeId) -> Self {
        Self {
            taken: Some(Taken {
                key_hash,
                agent_id: agent_id.clone(),
            }),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const KEY: [u8; 32] = [1; 32];
    const OTHER_KEY: [u8; 32] = [2; 32];

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn agent(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!(
            "spiffe://example.org/spire/agent/join_token/{name}"
        ))
        .unwrap()
    }

    fn token() -> JoinToken {
        JoinToken {
            id: TokenId::from_hash([7; 32]),
            expires_at: at(100),
            taken: None,
            alias: None,
        }
    }

    fn used() -> JoinToken {
        match token().take(KEY, &agent("a"), at(99)).unwrap() {
            Use::First(taken) => taken,
            Use::Again => panic!("a fresh token is used for the first time"),
        }
    }

    #[test]
    fn the_first_use_binds_key_and_agent() {
        let taken = used().taken.unwrap();
        assert_eq!(taken.key_hash, KEY);
        assert_eq!(taken.agent_id, agent("a"));
    }

    #[test]
    fn the_same_key_may_use_it_again_even_after_its_end() {
        assert_eq!(used().take(KEY, &agent("a"), at(99)), Ok(Use::Again));
        assert_eq!(used().take(KEY, &agent("a"), at(500)), Ok(Use::Again));
    }

    #[test]
    fn another_key_or_agent_never_may() {
        for (key, name) in [(OTHER_KEY, "a"), (KEY, "b"), (OTHER_KEY, "b")] {
            assert_eq!(
                used().take(key, &agent(name), at(99)),
                Err(TokenRefusal::Used)
            );
        }
    }

    #[test]
    fn an_expired_token_is_refused_at_the_instant_of_its_end() {
        assert_eq!(
            token().take(KEY, &agent("a"), at(100)),
            Err(TokenRefusal::Expired)
        );
    }

    #[test]
    fn debug_shows_only_the_beginning_of_the_hash() {
        assert_eq!(format!("{:?}", token().id), "TokenId(0707…)");
        assert_eq!(token().id.to_string(), "07".repeat(32));
    }
}
