//! Attesting a node: from its evidence to an agent with an X.509-SVID.
//!
//! The CSR is checked first, so that a bad one uses up nothing. What the attestor proved, the new
//! serial and the taking of a join token are one commit. A join token is then bound to the key of
//! the CSR: whoever lost the answer on the way may ask again with the same key until the SVID has
//! been used; nobody else can use the token.

use crate::audit::{self, AuditEventExt};
use crate::authority::NoAuthority;
use crate::caller::Authorized;
use crate::issuer::Issuer;
use crate::sign::SignFault;
use crate::state::{Plan, Snapshot, StateError};
use async_trait::async_trait;
use signet_ca::IssuedX509;
use signet_crypto::sha256;
use signet_datastore::records::keys;
use signet_model::{
    Agent, AgentReason, Attestation, Change, Credential, Moment, Refusal, Selector, SelectorSet,
    TokenHold, TokenRefusal, Use, UsedUp,
};
use signet_node_attestor::{Attested, Challenger, Peer, Refused};
use signet_spiffe::SpiffeId;
use signet_spiffe::csr::{self, Csr, CsrError};
use signet_telemetry::audit::AuditError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Why a node was not attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestFault {
    /// The CSR is bad.
    #[error("malformed param: invalid CSR")]
    Csr(#[from] CsrError),
    /// No attestor of this type is configured.
    #[error("error getting node attestor: could not find node attestor type \"{0}\"")]
    UnknownType(String),
    /// The attestor refused the evidence.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The join token is no good.
    #[error("failed to attest")]
    Token(#[from] TokenRefusal),
    /// An operator banned this agent.
    #[error("failed to attest: agent is banned")]
    Banned,
    /// The evidence counts once, and has counted.
    #[error(
        "failed to attest: attestation data has already been used to attest an agent; if it is this \
         node that asks again, run `signet-server agent evict -spiffeID {0}` first"
    )]
    UsedBefore(SpiffeId),
    /// A token of the evidence counts once, and has counted.
    #[error("failed to attest")]
    UsedUp(#[from] UsedUp),
    /// The agent once proved more than it does now.
    #[error(
        "failed to attest: this agent was attested by {proofs} together and must show all of them \
         again; if it need not any more, run `signet-server agent evict -spiffeID {id}` first"
    )]
    FewerProofs {
        /// The agent.
        id: SpiffeId,
        /// The attestors.
        proofs: String,
    },
    /// The payload is longer than the attestor reads.
    #[error(
        "malformed param: attestation data payload has {length} bytes; the limit of {kind} is {limit}"
    )]
    PayloadTooLong {
        /// The attestor's type.
        kind: &'static str,
        /// Bytes sent.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The agent may not have an SVID.
    #[error("failed to attest")]
    NotApproved(#[source] Refusal),
    /// Signing failed.
    #[error("failed to sign X509 SVID")]
    Sign(#[from] SignFault),
    /// Nothing can sign.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// The outcome was not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The record of the outcome was not kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What a node shows.
#[derive(Debug)]
pub struct Evidence {
    /// The attestor's type.
    pub kind: String,
    /// What the attestor's other half made.
    pub payload: Vec<u8>,
    /// The key to certify, as a PKCS#10 request; only the key is used.
    pub csr: Vec<u8>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

/// What an attested node gets.
#[derive(Debug)]
pub struct AttestedAgent {
    /// The agent's ID.
    pub id: SpiffeId,
    /// Its SVID.
    pub svid: IssuedX509,
    /// Whether it may show its evidence again.
    pub can_reattest: bool,
}

impl Issuer {
    /// Attests a node.
    pub async fn attest(
        &self,
        by: &Authorized,
        evidence: Evidence,
        challenger: &mut dyn Challenger,
    ) -> Result<AttestedAgent, AttestFault> {
        let kind = evidence.kind.clone();
        let attested = self.try_attest(evidence, challenger).await;
        let record = audit::event(by, "agent.attest");
        match attested {
            Ok(agent) => {
                let record = record.because(kind);
                let serial = Credential::Serial(agent.svid.serial.clone());
                self.audit.record(record.about(&agent.id).with(serial))?;
                Ok(agent)
            }
            Err(fault) => {
                let why = crate::api::types::chain(&fault);
                self.audit.refused(record.because(format!("{kind}: {why}")));
                Err(fault)
            }
        }
    }

    async fn try_attest(
        &self,
        evidence: Evidence,
        challenger: &mut dyn Challenger,
    ) -> Result<AttestedAgent, AttestFault> {
        let csr = csr::verify(&evidence.csr)?;
        let attestor = self
            .attestors
            .get(evidence.kind.as_str())
            .ok_or_else(|| AttestFault::UnknownType(evidence.kind.clone()))?;
        if evidence.payload.len() > attestor.max_payload() {
            return Err(AttestFault::PayloadTooLong {
                kind: attestor.kind(),
                length: evidence.payload.len(),
                limit: attestor.max_payload(),
            });
        }
        let peer = Peer {
            addr: evidence.address.map(|address| address.ip()),
        };
        let mut bounded = Bounded {
            limit: attestor.max_payload(),
            inner: challenger,
        };
        let attested = attestor
            .attest(&evidence.payload, &peer, &mut bounded)
            .await?;
        if attested.token.is_some() || !attested.once.is_empty() {
            self.state.catch_up().await;
        }
        let svid = self.sign_agent(&attested.agent_id, &csr).await?;
        let kind = attestor.kind();
        let now = self.clock.now();
        let key_hash = sha256(csr.public_key.spki_der());
        let attest = |snapshot: &Snapshot| {
            Ok((
                attestation(snapshot, kind, &attested, &svid, key_hash, now)?,
                (),
            ))
        };
        self.state.change::<_, AttestFault, _>(attest).await?;
        Ok(AttestedAgent {
            id: attested.agent_id,
            svid,
            can_reattest: attested.can_reattest,
        })
    }

    async fn sign_agent(&self, id: &SpiffeId, csr: &Csr) -> Result<IssuedX509, AttestFault> {
        let authority = self.authorities.x509()?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let grant = {
            let snapshot = self.state.read();
            let known = snapshot.index.agent(id).map(AsRef::as_ref);
            let key = csr.public_key.clone();
            signet_model::agent_x509(&self.settings.policy, moment, id, known, key)
        };
        let grant = grant.map_err(|refusal| match refusal {
            Refusal::Agent(AgentReason::Banned) => AttestFault::Banned,
            other => AttestFault::NotApproved(other),
        })?;
        Ok(self.sign_x509(&authority, grant).await?)
    }
}

/// An answer to a challenge that is longer than the attestor reads.
#[derive(Debug, thiserror::Error)]
#[error("the answer to a challenge has {length} bytes; the limit is {limit}")]
struct AnswerTooLong {
    length: usize,
    limit: usize,
}

/// A challenger that hands over no answer longer than the attestor reads.
struct Bounded<'a> {
    limit: usize,
    inner: &'a mut dyn Challenger,
}

#[async_trait]
impl Challenger for Bounded<'_> {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let answer = self.inner.challenge(bytes).await?;
        let (length, limit) = (answer.len(), self.limit);
        match length > limit {
            true => Err(Refused::Response(AnswerTooLong { length, limit }.into())),
            false => Ok(answer),
        }
    }
}

/// The agent's new record, with the join token taken in the same commit.
fn attestation(
    snapshot: &Snapshot,
    kind: &str,
    attested: &Attested,
    svid: &IssuedX509,
    key_hash: [u8; 32],
    now: SystemTime,
) -> Result<Plan, AttestFault> {
    let known = snapshot.index.agent(&attested.agent_id);
    if known.is_some_and(|agent| agent.is_banned()) {
        return Err(AttestFault::Banned);
    }
    if known.is_some() && attested.first_use {
        return Err(AttestFault::UsedBefore(attested.agent_id.clone()));
    }
    if let Some(known) = known {
        shows_no_less(known, attested)?;
    }
    let mut plan = Plan::default().unchanged(keys::agent(&attested.agent_id));
    for evidence in &attested.once {
        let used = snapshot.index.used(&evidence.id).map(AsRef::as_ref);
        // Whoever evicted the agent meant its evidence too.
        let used_up = used.is_some() && known.is_none();
        let taken = evidence.take(used, key_hash, &attested.agent_id)?;
        match taken {
            Some(taken) => plan = plan.change(Change::PutUsed(Arc::new(taken))),
            None if used_up => return Err(UsedUp.into()),
            None => {}
        }
    }
    if let Some(id) = &attested.token {
        let token = snapshot.index.token(id).ok_or(TokenRefusal::Used)?;
        plan = plan.unchanged(keys::token(id));
        if let Use::First(taken) = token.take(key_hash, &attested.agent_id, now)? {
            plan = plan.change(Change::PutToken(Arc::new(taken)));
        }
    }
    let selectors: SelectorSet = attested.selectors.iter().cloned().collect();
    let agent = Agent {
        id: attested.agent_id.clone(),
        attestation_type: kind.to_owned(),
        serial: Some(svid.serial.clone()),
        expires_at: svid.not_after,
        pending: None,
        selectors,
        can_reattest: attested.can_reattest,
        agent_version: known
            .map(|agent| agent.agent_version.clone())
            .unwrap_or_default(),
        token: attested.token.map(|token| TokenHold { token }),
        attestation: Some(Attestation {
            at: now,
            proofs: attested.proofs.iter().map(ToString::to_string).collect(),
        }),
    };
    Ok(plan.change(Change::PutAgent(Arc::new(agent))))
}

/// An agent that several attestors had to agree on never comes back with fewer of them, be it that
/// another attestor's template makes the same ID.
fn shows_no_less(known: &Agent, attested: &Attested) -> Result<(), AttestFault> {
    let before = known.attestation.as_ref();
    let before = before.map_or(&[][..], |attestation| &attestation.proofs);
    if before
        .iter()
        .all(|kind| attested.proofs.contains(&kind.as_str()))
    {
        return Ok(());
    }
    Err(AttestFault::FewerProofs {
        id: known.id.clone(),
        proofs: before.join(", "),
    })
}

/// The selector that names a join token's agent in the alias entry made with the token.
pub fn alias_selector(agent: &SpiffeId) -> Selector {
    Selector::new("spiffe_id", &agent.to_string())
        .expect("a SPIFFE ID is a selector value and the type has no colon")
}
