//! Agents after their attestation: renewal, ban, eviction, status, and the join tokens that let
//! new ones in.

use crate::attest::alias_selector;
use crate::audit::{self, AuditEventExt};
use crate::authority::NoAuthority;
use crate::caller::Authorized;
use crate::entries::Match;
use crate::issuer::Issuer;
use crate::sign::SignFault;
use crate::state::{Plan, Snapshot, StateError};
use signet_ca::IssuedX509;
use signet_model::{
    Agent, AgentReason, AuditEvent, Change, Credential, Entry, EntryError, EntryId, JoinToken,
    MAX_VERSION_BYTES, Moment, Refusal, Selector, SelectorSet, Stewardship,
};
use signet_node_attestor::join_token;
use signet_spiffe::SpiffeId;
use signet_spiffe::csr::{self, CsrError};
use signet_telemetry::audit::AuditError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where the agents are that join tokens let in.
const TOKEN_AGENTS: &str = "/spire/agent/join_token/";

/// Why something was not done to an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentFault {
    /// There is no such agent.
    #[error("agent not found")]
    NotFound,
    /// The CSR is bad.
    #[error("malformed param: invalid CSR")]
    Csr(#[from] CsrError),
    /// The agent must show its evidence again.
    #[error("agent must reattest instead of renew")]
    MustReattest,
    /// The agent may not have an SVID.
    #[error("failed to renew")]
    NotApproved(#[source] Refusal),
    /// Signing failed.
    #[error("failed to sign X509 SVID")]
    Sign(#[from] SignFault),
    /// The version text is too long.
    #[error("agent version has {0} bytes; the limit is {MAX_VERSION_BYTES}")]
    VersionTooLong(usize),
    /// The token cannot be part of a SPIFFE ID.
    #[error("a join token may have letters, digits, '.', '-' and '_' only, and 1 to 255 of them")]
    TokenText,
    /// The token is in use.
    #[error("token already exists")]
    TokenTaken,
    /// A token must live for a while.
    #[error("ttl is required, you must provide one")]
    TokenTtl,
    /// The alias may not be.
    #[error("invalid agent ID")]
    Alias(#[from] EntryError),
    /// Nothing can sign.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// Not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The record was not kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Which agents are asked for; all conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    /// Of this attestation type.
    pub attestation_type: Option<String>,
    /// With such selectors.
    pub selectors: Option<(Match, BTreeSet<Selector>)>,
    /// Banned or not.
    pub banned: Option<bool>,
    /// Able to attest again or not.
    pub can_reattest: Option<bool>,
    /// Whose SVID ends before.
    pub expires_before: Option<SystemTime>,
}

impl AgentFilter {
    /// Whether the agent is asked for.
    pub fn admits(&self, agent: &Agent) -> bool {
        let selectors =
            |(how, given): &(Match, BTreeSet<Selector>)| how.selectors(&agent.selectors, given);
        self.attestation_type
            .as_ref()
            .is_none_or(|kind| *kind == agent.attestation_type)
            && self.selectors.as_ref().is_none_or(selectors)
            && self.banned.is_none_or(|banned| banned == agent.is_banned())
            && self
                .can_reattest
                .is_none_or(|can| can == agent.can_reattest)
            && self.expires_before.is_none_or(|end| agent.expires_at < end)
    }
}

/// A new join token. The value is shown once; only its hash is kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What the node shows.
    pub value: String,
    /// Until when.
    pub expires_at: SystemTime,
}

impl Issuer {
    /// The agents asked for, by their IDs.
    pub fn find_agents(&self, filter: &AgentFilter) -> Vec<Arc<Agent>> {
        let snapshot = self.state.read();
        let found = snapshot.index.agents().filter(|agent| filter.admits(agent));
        found.cloned().collect()
    }

    /// The agent of this ID.
    pub fn agent(&self, id: &SpiffeId) -> Option<Arc<Agent>> {
        self.state.read().index.agent(id).cloned()
    }

    /// Gives an agent a new SVID for a new key. The old one works until the new one is used.
    pub async fn renew_agent(
        &self,
        by: &Authorized,
        id: &SpiffeId,
        csr: &[u8],
    ) -> Result<IssuedX509, AgentFault> {
        let record = audit::event(by, "agent.renew").about(id);
        let renewed = self.try_renew(id, csr).await;
        match &renewed {
            Ok(svid) => {
                self.audit
                    .record(record.with(Credential::Serial(svid.serial.clone())))?;
            }
            Err(fault) => self.audit.refused(record.because(fault)),
        }
        renewed
    }

    async fn try_renew(&self, id: &SpiffeId, csr: &[u8]) -> Result<IssuedX509, AgentFault> {
        let csr = csr::verify(csr)?;
        let agent = self.agent(id).ok_or(AgentFault::NotFound)?;
        let authority = self.authorities.x509()?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let policy = &self.settings.policy;
        let grant = signet_model::agent_renewal_x509(policy, moment, &agent, csr.public_key)
            .map_err(|refusal| match refusal {
                Refusal::Agent(AgentReason::MustReattest) => AgentFault::MustReattest,
                other => AgentFault::NotApproved(other),
            })?;
        let svid = self.sign_x509(&authority, grant).await?;
        let renew = |snapshot: &Snapshot| {
            let agent = snapshot.index.agent(id).ok_or(AgentFault::NotFound)?;
            if agent.is_banned() {
                return Err(AgentFault::NotApproved(Refusal::Agent(AgentReason::Banned)));
            }
            let renewed = Arc::new(agent.renewed(svid.serial.clone(), svid.not_after));
            Ok((Plan::default().change(Change::PutAgent(renewed)), ()))
        };
        self.state.change::<_, AgentFault, _>(renew).await?;
        Ok(svid)
    }

    /// Notes the version an agent says it has.
    pub async fn note_version(&self, id: &SpiffeId, version: &str) -> Result<(), AgentFault> {
        if version.len() > MAX_VERSION_BYTES {
            return Err(AgentFault::VersionTooLong(version.len()));
        }
        let note = |snapshot: &Snapshot| {
            let agent = snapshot.index.agent(id).ok_or(AgentFault::NotFound)?;
            if version.is_empty() || agent.agent_version == version {
                return Ok((Plan::default(), ()));
            }
            let agent = Agent {
                agent_version: version.to_owned(),
                ..Agent::clone(agent)
            };
            Ok((
                Plan::default().change(Change::PutAgent(Arc::new(agent))),
                (),
            ))
        };
        self.state.change(note).await
    }

    /// Bans an agent: its SVID is refused from now on, and it may not attest again.
    pub async fn ban_agent(&self, by: &Authorized, id: &SpiffeId) -> Result<(), AgentFault> {
        let ban = |snapshot: &Snapshot| {
            let agent = snapshot.index.agent(id).ok_or(AgentFault::NotFound)?;
            Ok((
                without_token(Plan::default(), agent)
                    .change(Change::PutAgent(Arc::new(agent.banned()))),
                (),
            ))
        };
        let banned = self.state.change(ban).await;
        self.noted(audit::event(by, "agent.ban").about(id), banned)
    }

    /// Evicts an agent: it is forgotten with all that hangs on it, and may attest again.
    pub async fn evict_agent(&self, by: &Authorized, id: &SpiffeId) -> Result<(), AgentFault> {
        let evicted = self
            .state
            .change(|snapshot| Ok((eviction(snapshot, id)?, ())))
            .await;
        self.noted(audit::event(by, "agent.evict").about(id), evicted)
    }

    /// Makes a join token, with an alias entry if the agent is to have another identity too.
    pub async fn create_token(
        &self,
        by: &Authorized,
        ttl: Duration,
        value: Option<String>,
        alias: Option<SpiffeId>,
    ) -> Result<NewToken, AgentFault> {
        let record = audit::event(by, "token.create");
        let record = match &alias {
            Some(alias) => record.about(alias),
            None => record,
        };
        let created = self.try_create_token(ttl, value, alias).await;
        self.noted(record, created)
    }

    async fn try_create_token(
        &self,
        ttl: Duration,
        value: Option<String>,
        alias: Option<SpiffeId>,
    ) -> Result<NewToken, AgentFault> {
        if ttl.is_zero() {
            return Err(AgentFault::TokenTtl);
        }
        let value = value.unwrap_or_else(|| self.random_uuid().to_string());
        if !join_token::token_is_valid(&value) {
            return Err(AgentFault::TokenText);
        }
        let agent = SpiffeId::new(&self.trust_domain, &format!("{TOKEN_AGENTS}{value}"));
        let agent = agent.map_err(|_| AgentFault::TokenText)?;
        let expires_at = self.clock.now() + ttl;
        let id = join_token::token_id(&value);
        let token = Arc::new(JoinToken {
            id,
            expires_at,
            taken: None,
            alias: alias.clone(),
        });
        let entry = alias
            .map(|alias| self.alias_entry(&agent, alias))
            .transpose()?;
        let create = |snapshot: &Snapshot| {
            if snapshot.index.token(&id).is_some() || snapshot.index.agent(&agent).is_some() {
                return Err(AgentFault::TokenTaken);
            }
            let plan = Plan::default().change(Change::PutToken(token.clone()));
            Ok((entry.iter().fold(plan, Plan::create_entry), ()))
        };
        self.state.change::<_, AgentFault, _>(create).await?;
        Ok(NewToken { value, expires_at })
    }

    fn alias_entry(&self, agent: &SpiffeId, alias: SpiffeId) -> Result<Arc<Entry>, AgentFault> {
        let id = EntryId::parse(&self.ordered_uuid().to_string()).expect("a UUID is an entry ID");
        let entry = Entry {
            id,
            spiffe_id: alias,
            parent_id: agent.clone(),
            selectors: SelectorSet::from_iter([alias_selector(agent)]),
            x509_svid_ttl: None,
            jwt_svid_ttl: None,
            federates_with: BTreeSet::new(),
            admin: false,
            downstream: false,
            store_svid: false,
            expires_at: None,
            dns_names: Vec::new(),
            hint: String::new(),
            revision_number: 0,
            created_at: self.clock.now(),
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
            disabled: false,
            stewardship: Stewardship::default(),
        };
        Ok(Arc::new(signet_model::entry::check(
            entry,
            &self.trust_domain,
        )?))
    }

    fn noted<T>(&self, event: AuditEvent, outcome: Result<T, AgentFault>) -> Result<T, AgentFault> {
        match &outcome {
            Ok(_) => self.audit.record(event)?,
            Err(fault) => self.audit.refused(event.because(fault)),
        }
        outcome
    }
}

fn without_token(plan: Plan, agent: &Agent) -> Plan {
    match &agent.token {
        Some(hold) => plan.change(Change::DeleteToken(hold.token)),
        None => plan,
    }
}

/// Removes an agent, the token it holds and the alias entry that came with its token.
pub fn eviction(snapshot: &Snapshot, id: &SpiffeId) -> Result<Plan, AgentFault> {
    let agent = snapshot.index.agent(id).ok_or(AgentFault::NotFound)?;
    let plan = without_token(Plan::default(), agent).change(Change::DeleteAgent(id.clone()));
    let only = SelectorSet::from_iter([alias_selector(id)]);
    let aliases = snapshot.index.entries_by_parent(id);
    let aliases = aliases.filter(|entry| entry.selectors == only);
    Ok(aliases.fold(plan, |plan, entry| plan.delete_entry(entry)))
}
