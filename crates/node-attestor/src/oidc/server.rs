//! The server's half: whose token it is, whether it holds, and which agent follows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_oidc::{Expected, IssuerKeys, IssuerUrl, MAX_TOKEN_LEN, Token, TokenError};
use signet_runtime::Clock;
use signet_spiffe::TrustDomain;

use super::KIND;
use super::condition::{ClaimName, Condition};
use super::facts::Facts;
use crate::{AgentPathTemplate, Attested, BoxError, Challenger, Peer, Refused, ServerAttestor};

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &[
    "PluginName",
    "TrustDomain",
    "IssuerHost",
    "SubjectHash",
    "TokenHash",
    "Claims.*",
];

/// The template where none is configured.
pub const DEFAULT_TEMPLATE: &str = "/{{ .PluginName }}/{{ .IssuerHost }}/{{ .SubjectHash }}";

/// The longest leeway: machines that keep time are within seconds, and an expired token is to be one.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// An issuer whose tokens are accepted, and how.
pub struct IssuerConfig {
    /// Its name.
    pub issuer: IssuerUrl,
    /// Its keys.
    pub keys: IssuerKeys,
    /// One of these must be among a token's audiences.
    pub audiences: Vec<String>,
    /// All of these must be met; at least one.
    pub conditions: Vec<Condition>,
    /// How agents' IDs are made.
    pub template: AgentPathTemplate,
    /// Claims that become selectors.
    pub selector_claims: Vec<ClaimName>,
    /// Whether a token with an ID counts once.
    pub single_use: bool,
    /// Whether an agent shows a new token instead of renewing.
    pub can_reattest: bool,
    /// How far its clock may be from ours.
    pub leeway: Duration,
}

/// What a token does not prove. The texts hold nothing of it but names of claims.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It names no issuer that is configured.
    #[error("the token is of no issuer that is configured")]
    UnknownIssuer,
    /// It does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is not what the operator lets in.
    #[error("the token's claim {0:?} does not meet the condition")]
    Condition(String),
}

/// Attests agents by a token of an issuer.
pub struct OidcServer {
    trust_domain: TrustDomain,
    issuers: Vec<IssuerConfig>,
    clock: Arc<dyn Clock>,
}

impl OidcServer {
    /// For agents of this trust domain.
    pub fn new(
        trust_domain: TrustDomain,
        issuers: Vec<IssuerConfig>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            trust_domain,
            issuers,
            clock,
        }
    }

    fn issuer_of(&self, token: &Token) -> Result<&IssuerConfig, Refused> {
        let claimed = token.claimed_issuer();
        let found = self
            .issuers
            .iter()
            .find(|known| claimed == Some(known.issuer.as_str()));
        found.ok_or_else(|| evidence(EvidenceError::UnknownIssuer))
    }

    fn attested(&self, by: &IssuerConfig, facts: &Facts<'_>) -> Result<Attested, Refused> {
        let claims = &facts.claims.all;
        if let Some(unmet) = by.conditions.iter().find(|one| !one.is_met(claims)) {
            let claim = unmet.claim().as_str().to_owned();
            return Err(evidence(EvidenceError::Condition(claim)));
        }
        let agent_id = by.template.render(&self.trust_domain, &|name| {
            facts.value(name, &self.trust_domain)
        });
        let once = facts.single_use(by.leeway).filter(|_| by.single_use);
        Ok(Attested {
            agent_id: agent_id.map_err(|error| Refused::AgentId(error.into()))?,
            selectors: facts.selectors(&by.selector_claims),
            can_reattest: by.can_reattest,
            first_use: false,
            token: None,
            once: once.into_iter().collect(),
            proofs: Vec::new(),
        })
    }
}

#[async_trait]
impl ServerAttestor for OidcServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn max_payload(&self) -> usize {
        MAX_TOKEN_LEN
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        _: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let text = std::str::from_utf8(payload).map_err(|e| Refused::Payload(e.into()))?;
        let token = Token::parse(text).map_err(|error| Refused::Payload(error.into()))?;
        let by = self.issuer_of(&token)?;
        let expected = Expected {
            issuer: by.issuer.as_str(),
            audiences: &by.audiences,
            leeway: by.leeway,
        };
        let verified = token.verify(&by.keys, &expected, self.clock.now()).await;
        let verified = verified.map_err(|error| match error.is_transient() {
            true => Refused::Unavailable(error.into()),
            false => evidence(error.into()),
        })?;
        let facts = Facts {
            issuer: &by.issuer,
            claims: verified.get(),
        };
        self.attested(by, &facts)
    }
}

fn evidence(error: EvidenceError) -> Refused {
    Refused::Evidence(BoxError::from(error))
}
