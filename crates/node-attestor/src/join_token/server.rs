//! The server's half: looks the token up. It does not take it.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use signet_model::{JoinToken, TokenId, TokenRefusal};
use signet_runtime::Clock;
use signet_spiffe::{SpiffeId, TrustDomain};

use super::{KIND, token_id, token_is_valid};
use crate::{Attested, BoxError, Challenger, Peer, Refused, ServerAttestor};

/// Where tokens are known.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// How it stands with this token. An implementation over a cache catches up with the store
    /// before it says [`TokenState::Unknown`].
    async fn find(&self, id: &TokenId, now: SystemTime) -> Result<TokenState, BoxError>;
}

/// How it stands with a token, as far as can be said without knowing who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is no such token.
    Unknown,
    /// It was not used in time.
    Expired,
    /// It is free, or taken: whether by the same key is for the commit to find out.
    Usable,
}

impl TokenState {
    /// The state of a token that was looked up.
    pub fn of(token: Option<&JoinToken>, now: SystemTime) -> Self {
        match token {
            None => Self::Unknown,
            Some(token) if token.taken.is_none() && token.expires_at <= now => Self::Expired,
            Some(_) => Self::Usable,
        }
    }
}

/// Attests agents that bring a join token.
pub struct JoinTokenServer {
    trust_domain: TrustDomain,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
}

impl JoinTokenServer {
    /// For agents of this trust domain.
    pub fn new(trust_domain: TrustDomain, tokens: Arc<dyn Tokens>, clock: Arc<dyn Clock>) -> Self {
        Self {
            trust_domain,
            tokens,
            clock,
        }
    }

    async fn check(&self, id: &TokenId) -> Result<(), Refused> {
        let found = self.tokens.find(id, self.clock.now()).await;
        match found.map_err(Refused::Unavailable)? {
            TokenState::Usable => Ok(()),
            TokenState::Unknown => Err(Refused::Token(TokenRefusal::Used)),
            TokenState::Expired => Err(Refused::Token(TokenRefusal::Expired)),
        }
    }
}

#[async_trait]
impl ServerAttestor for JoinTokenServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        _: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        // No token of another form was ever made, so one is simply not known.
        let token = std::str::from_utf8(payload)
            .ok()
            .filter(|token| token_is_valid(token));
        let token = token.ok_or(Refused::Token(TokenRefusal::Used))?;
        let id = token_id(token);
        self.check(&id).await?;
        let path = format!("/spire/agent/{KIND}/{token}");
        let agent_id = SpiffeId::new(&self.trust_domain, &path);
        Ok(Attested {
            agent_id: agent_id.map_err(|error| Refused::AgentId(error.into()))?,
            selectors: Vec::new(),
            can_reattest: false,
            first_use: false,
            token: Some(id),
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}
