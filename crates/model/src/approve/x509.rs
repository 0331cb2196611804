//! Which X509-SVID may be issued.

use std::time::Duration;

use signet_spiffe::{PublicKey, SpiffeId};

use super::{Approved, Moment, Policy, Refusal, Subject};
use crate::agent::{Agent, AgentReason};
use crate::dns;
use crate::index::Authorized;
use crate::lifetime::{self, Lifetime};
use crate::role;

/// What an X509-SVID is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A workload, by an entry or minted by an administrator.
    Workload,
    /// An agent.
    Agent,
    /// The server itself.
    Server,
}

/// An X509-SVID that may be signed, once it is [`Approved`].
#[derive(Clone, Debug, PartialEq)]
pub struct X509Grant {
    /// The one URI SAN.
    pub spiffe_id: SpiffeId,
    /// The distinguished name.
    pub subject: Subject,
    /// The DNS SANs, in order.
    pub dns_names: Vec<String>,
    /// Whose key it certifies.
    pub public_key: PublicKey,
    /// From when to when.
    pub lifetime: Lifetime,
    /// What it is for.
    pub purpose: Purpose,
}

/// What an administrator asks to be minted; out of a CSR whose signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct MintX509 {
    /// The URI SANs of the CSR that are SPIFFE IDs.
    pub spiffe_ids: Vec<SpiffeId>,
    /// The number of URI SANs, SPIFFE IDs or not.
    pub uri_count: usize,
    /// The subject of the CSR; may be empty.
    pub subject: Subject,
    /// The DNS SANs of the CSR.
    pub dns_names: Vec<String>,
    /// The key of the CSR.
    pub public_key: PublicKey,
    /// The lifetime asked for.
    pub ttl: Option<Duration>,
}

/// An X509-SVID for a workload: everything but the key comes from the entry.
pub fn workload_x509(
    policy: &Policy,
    moment: Moment,
    authorized: &Authorized,
    public_key: PublicKey,
) -> Result<Approved<X509Grant>, Refusal> {
    let entry = authorized.entry();
    role::workload(&entry.spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    if entry.disabled {
        return Err(Refusal::Disabled);
    }
    let lifetime = lifetime::svid(
        moment.now,
        entry.x509_svid_ttl,
        policy.default_x509_svid_ttl,
        entry.expires_at,
        moment.authority_not_after,
    );
    Ok(Approved(X509Grant {
        spiffe_id: entry.spiffe_id.clone(),
        subject: Subject::svid().named_after(&entry.dns_names),
        dns_names: entry.dns_names.clone(),
        public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        purpose: Purpose::Workload,
    }))
}

/// An X509-SVID for an agent whose node has just been attested under this ID. `known` is what is on
/// record about it: a banned agent is refused. Outside `/spire/agent/` an ID is unusual (a foreign
/// attestor's template), but allowed as in SPIRE; the server's own never.
pub fn agent_x509(
    policy: &Policy,
    moment: Moment,
    id: &SpiffeId,
    known: Option<&Agent>,
    public_key: PublicKey,
) -> Result<Approved<X509Grant>, Refusal> {
    role::member(id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    if id.is_server() {
        return Err(Refusal::ServerId);
    }
    if known.is_some_and(Agent::is_banned) {
        return Err(Refusal::Agent(AgentReason::Banned));
    }
    let ttl = policy.agent_ttl.or(Some(policy.default_x509_svid_ttl));
    infrastructure(policy, moment, id.clone(), ttl, public_key, Purpose::Agent)
}

/// A fresh X509-SVID for an agent that asks with its present one.
pub fn agent_renewal_x509(
    policy: &Policy,
    moment: Moment,
    agent: &Agent,
    public_key: PublicKey,
) -> Result<Approved<X509Grant>, Refusal> {
    agent.may_renew().map_err(Refusal::Agent)?;
    agent_x509(policy, moment, &agent.id, Some(agent), public_key)
}

/// The server's own X509-SVID.
pub fn server_x509(
    policy: &Policy,
    moment: Moment,
    public_key: PublicKey,
) -> Result<Approved<X509Grant>, Refusal> {
    let id = SpiffeId::new(&policy.trust_domain, "/spire/server")
        .expect("a constant path of plain segments makes a SPIFFE ID in any trust domain");
    infrastructure(policy, moment, id, None, public_key, Purpose::Server)
}

fn infrastructure(
    policy: &Policy,
    moment: Moment,
    spiffe_id: SpiffeId,
    ttl: Option<Duration>,
    public_key: PublicKey,
    purpose: Purpose,
) -> Result<Approved<X509Grant>, Refusal> {
    let default = policy.default_x509_svid_ttl;
    let lifetime = lifetime::svid(moment.now, ttl, default, None, moment.authority_not_after);
    Ok(Approved(X509Grant {
        spiffe_id,
        subject: Subject::svid(),
        dns_names: Vec::new(),
        public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        purpose,
    }))
}

/// An X509-SVID that an administrator asks for: ID, names and subject are the request's, within the
/// rules for entries.
pub fn mint_x509(
    policy: &Policy,
    moment: Moment,
    asked: MintX509,
) -> Result<Approved<X509Grant>, Refusal> {
    let [spiffe_id] = asked.spiffe_ids.as_slice() else {
        return Err(Refusal::SpiffeIdCount {
            count: asked.uri_count,
        });
    };
    if asked.uri_count != 1 {
        return Err(Refusal::SpiffeIdCount {
            count: asked.uri_count,
        });
    }
    role::workload(spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    let dns_names = dns::check_all(asked.dns_names).map_err(Refusal::Dns)?;
    dns::check_overlap(&dns_names).map_err(Refusal::Dns)?;
    let subject = match asked.subject.is_empty() {
        true => Subject::svid(),
        false => asked.subject,
    };
    let default = policy.default_x509_svid_ttl;
    let end = moment.authority_not_after;
    let lifetime = lifetime::svid(moment.now, asked.ttl, default, None, end);
    Ok(Approved(X509Grant {
        spiffe_id: spiffe_id.clone(),
        subject: subject.named_after(&dns_names),
        dns_names,
        public_key: asked.public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        purpose: Purpose::Workload,
    }))
}
