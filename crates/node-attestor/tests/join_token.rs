//! Both halves of `join_token` against each other.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use signet_crypto::SecretString;
use signet_model::{JoinToken, Taken, TokenId, TokenRefusal};
use signet_node_attestor::join_token::{
    JoinTokenAgent, JoinTokenServer, TokenState, Tokens, token_id,
};
use signet_node_attestor::{
    AgentAttestor, AgentError, Attested, BoxError, Challenger, Fault, Peer, Refused, ServerAttestor,
};
use signet_runtime::Clock;
use signet_spiffe::{SpiffeId, TrustDomain};

const TOKEN: &str = "5a0ad4a3-5f7b-4f0a-8b8e-6d1a0b9d3b1f";

struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

struct OneToken(JoinToken);

#[async_trait]
impl Tokens for OneToken {
    async fn find(&self, id: &TokenId, now: SystemTime) -> Result<TokenState, BoxError> {
        let found = (self.0.id == *id).then_some(&self.0);
        Ok(TokenState::of(found, now))
    }
}

struct Broken;

#[async_trait]
impl Tokens for Broken {
    async fn find(&self, _: &TokenId, _: SystemTime) -> Result<TokenState, BoxError> {
        Err("the store is away".into())
    }
}

struct Never;

#[async_trait]
impl Challenger for Never {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("a join token has no challenge");
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn token() -> JoinToken {
    JoinToken {
        id: token_id(TOKEN),
        expires_at: at(100),
        taken: None,
        alias: None,
    }
}

fn taken() -> JoinToken {
    let agent_id = format!("spiffe://example.org/spire/agent/join_token/{TOKEN}");
    JoinToken {
        taken: Some(Taken {
            key_hash: [1; 32],
            agent_id: SpiffeId::parse(&agent_id).unwrap(),
        }),
        ..token()
    }
}

async fn attest(
    tokens: impl Tokens + 'static,
    now: u64,
    payload: &[u8],
) -> Result<Attested, Refused> {
    let domain = TrustDomain::parse("example.org").unwrap();
    let server = JoinTokenServer::new(domain, Arc::new(tokens), Arc::new(At(at(now))));
    server.attest(payload, &Peer::default(), &mut Never).await
}

#[tokio::test]
async fn an_agent_with_a_good_token_is_named_after_it() {
    let agent = JoinTokenAgent::new(SecretString::new(TOKEN.to_owned()));
    let payload = agent.payload().await.unwrap();
    let attested = attest(OneToken(token()), 99, &payload).await.unwrap();
    let expected = format!("spiffe://example.org/spire/agent/join_token/{TOKEN}");
    assert_eq!(attested.agent_id.as_str(), expected);
    assert_eq!(attested.token, Some(token_id(TOKEN)));
    assert!(attested.selectors.is_empty() && !attested.can_reattest);
}

#[tokio::test]
async fn an_unknown_token_and_what_cannot_be_one_are_told_alike() {
    let long = "x".repeat(10 << 20);
    for payload in [
        &b"other"[..],
        b"",
        b"..",
        b"a/b",
        b"a b",
        &[0xff],
        long.as_bytes(),
    ] {
        let refused = attest(OneToken(token()), 0, payload).await.unwrap_err();
        assert!(matches!(refused, Refused::Token(TokenRefusal::Used)));
        assert_eq!(refused.fault(), Fault::Caller);
        assert_eq!(
            refused.to_string(),
            "join token does not exist or has already been used"
        );
    }
}

#[tokio::test]
async fn a_token_is_good_until_it_expires() {
    assert!(
        attest(OneToken(token()), 99, TOKEN.as_bytes())
            .await
            .is_ok()
    );
    let refused = attest(OneToken(token()), 100, TOKEN.as_bytes())
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "join token expired");
}

#[tokio::test]
async fn a_token_that_was_taken_is_left_to_the_commit_even_after_its_time() {
    let attested = attest(OneToken(taken()), 1_000, TOKEN.as_bytes())
        .await
        .unwrap();
    assert_eq!(attested.token, Some(token_id(TOKEN)));
}

#[tokio::test]
async fn a_store_that_cannot_answer_is_no_refusal_of_the_token() {
    let refused = attest(Broken, 0, TOKEN.as_bytes()).await.unwrap_err();
    assert!(matches!(refused, Refused::Unavailable(_)));
    assert_eq!(refused.fault(), Fault::Ours);
}

#[tokio::test]
async fn the_agent_has_no_answer_to_a_challenge_and_does_not_print_its_token() {
    let agent = JoinTokenAgent::new(SecretString::new(TOKEN.to_owned()));
    assert!(matches!(
        agent.respond(b"x").await,
        Err(AgentError::Challenge(None))
    ));
    assert!(!format!("{agent:?}").contains(TOKEN));
}
