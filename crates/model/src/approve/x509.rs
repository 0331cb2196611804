//! Which X509-SVID may be issued.

use std::time::Duration;

use signet_spiffe::csr::Csr;
use signet_spiffe::{PublicKey, SpiffeId};

use super::{Approved, Moment, Policy, Refusal, Subject};
use crate::agent::{Agent, AgentReason};
use crate::compose::Extension;
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
    /// Extensions besides those that every SVID has: only composers add them.
    pub extensions: Vec<Extension>,
    /// Whose key it certifies.
    pub public_key: PublicKey,
    /// From when to when.
    pub lifetime: Lifetime,
    /// What it is for.
    pub purpose: Purpose,
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
        extensions: Vec::new(),
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
        extensions: Vec::new(),
        public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        purpose,
    }))
}

/// An X509-SVID that an administrator asks for with a CSR whose signature was verified
/// ([`signet_spiffe::csr::verify`]): ID, names and subject are the request's, within the rules for
/// entries.
pub fn mint_x509(
    policy: &Policy,
    moment: Moment,
    csr: Csr,
    ttl: Option<Duration>,
) -> Result<Approved<X509Grant>, Refusal> {
    let spiffe_id = only_spiffe_id(&csr)?;
    role::workload(&spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    let subject = Subject::of_csr(&csr);
    let dns_names = dns::check_all(csr.dns_names).map_err(Refusal::Dns)?;
    dns::check_overlap(&dns_names).map_err(Refusal::Dns)?;
    let default = policy.default_x509_svid_ttl;
    let lifetime = lifetime::svid(moment.now, ttl, default, None, moment.authority_not_after);
    Ok(Approved(X509Grant {
        spiffe_id,
        subject: subject.named_after(&dns_names),
        dns_names,
        extensions: Vec::new(),
        public_key: csr.public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
        purpose: Purpose::Workload,
    }))
}

/// X509-SVID section 2: exactly one URI, and it is the SPIFFE ID.
fn only_spiffe_id(csr: &Csr) -> Result<SpiffeId, Refusal> {
    match (csr.spiffe_ids.as_slice(), csr.uri_count) {
        ([spiffe_id], 1) => Ok(spiffe_id.clone()),
        (_, count) => Err(Refusal::SpiffeIdCount { count }),
    }
}

#[cfg(test)]
mod tests {
    use signet_spiffe::csr::SubjectAttribute;

    use super::*;
    use crate::approve::Attribute;
    use crate::entry::Entry;
    use crate::fixtures::{
        agent, agent_id, at, entry, id, index, key, moment, policy, put_agent, put_entry, td,
    };
    use crate::lifetime::{Cap, Spent};

    /// The entry as the index hands it out for agent `a`.
    fn authorized(entry: Entry) -> Authorized {
        let entry_id = entry.id.clone();
        let index = index([put_agent(agent("a", &[])), put_entry(entry)]);
        index
            .authorizes(&agent_id("a"), &entry_id, at(0))
            .expect("the agent is the entry's parent")
    }

    fn web() -> Entry {
        entry("e", agent_id("a"), id("/web"))
    }

    fn workload(entry: Entry) -> Result<Approved<X509Grant>, Refusal> {
        workload_x509(&policy(), moment(), &authorized(entry), key())
    }

    fn csr() -> Csr {
        Csr {
            spiffe_ids: vec![id("/minted")],
            uri_count: 1,
            subject: Vec::new(),
            dns_names: Vec::new(),
            public_key: key(),
        }
    }

    fn attribute(oid: &[u64], value: &str) -> SubjectAttribute {
        SubjectAttribute {
            oid: oid.to_vec(),
            value: value.to_owned(),
        }
    }

    fn minted(csr: Csr) -> Result<Approved<X509Grant>, Refusal> {
        mint_x509(&policy(), moment(), csr, None)
    }

    #[test]
    fn a_workload_gets_what_its_entry_says() {
        let grant = workload(Entry {
            x509_svid_ttl: Some(Duration::from_secs(60)),
            dns_names: vec!["web".to_owned(), "api".to_owned()],
            ..web()
        });
        let grant = grant.unwrap();
        assert_eq!(grant.spiffe_id, id("/web"));
        assert_eq!(grant.dns_names, ["web", "api"]);
        assert_eq!(grant.lifetime.not_before, at(990));
        assert_eq!(grant.lifetime.not_after, at(1060));
        assert_eq!(grant.purpose, Purpose::Workload);
        assert_eq!(
            grant.subject.attributes().collect::<Vec<_>>(),
            [
                (Attribute::Country, "US"),
                (Attribute::Organization, "SPIRE"),
                (Attribute::CommonName, "web"),
            ]
        );
    }

    #[test]
    fn a_workload_without_names_has_no_common_name_and_the_default_lifetime() {
        let grant = workload(web()).unwrap();
        assert_eq!(grant.subject, Subject::svid());
        assert_eq!(grant.lifetime.not_after, at(4600));
    }

    #[test]
    fn a_workloads_svid_does_not_outlive_its_entry() {
        let grant = workload(Entry {
            expires_at: Some(at(1200)),
            ..web()
        });
        let lifetime = grant.unwrap().lifetime;
        assert_eq!(lifetime.not_after, at(1200));
        assert_eq!(lifetime.capped_by, Some(Cap::Entry));
    }

    #[test]
    fn an_entry_that_ended_since_it_was_looked_up_gives_nothing() {
        let late = workload(Entry {
            expires_at: Some(at(1000)),
            ..web()
        });
        assert_eq!(late.unwrap_err(), Refusal::Lifetime(Spent::Entry));
    }

    #[test]
    fn an_ended_authority_signs_nothing() {
        let ended = Moment {
            authority_not_after: at(1000),
            ..moment()
        };
        let refusal = server_x509(&policy(), ended, key()).unwrap_err();
        assert_eq!(refusal, Refusal::Lifetime(Spent::Authority));
        assert!(refusal.is_ours());
    }

    #[test]
    fn an_entry_of_another_trust_domains_index_is_refused() {
        let other = Policy {
            trust_domain: signet_spiffe::TrustDomain::parse("other.org").unwrap(),
            ..policy()
        };
        assert!(matches!(
            workload_x509(&other, moment(), &authorized(web()), key()),
            Err(Refusal::SpiffeId(_))
        ));
    }

    #[test]
    fn an_agent_gets_its_own_lifetime_or_the_default() {
        let mut policy = policy();
        let grant = agent_x509(&policy, moment(), &agent_id("a"), None, key()).unwrap();
        assert_eq!(grant.spiffe_id, agent_id("a"));
        assert_eq!(grant.purpose, Purpose::Agent);
        assert_eq!(grant.lifetime.not_after, at(4600));
        policy.agent_ttl = Some(Duration::from_secs(100));
        let grant = agent_x509(&policy, moment(), &agent_id("a"), None, key()).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1100));
    }

    #[test]
    fn an_agent_id_outside_the_agent_namespace_is_allowed() {
        assert!(agent_x509(&policy(), moment(), &id("/node"), None, key()).is_ok());
    }

    #[test]
    fn the_servers_id_a_foreign_id_and_the_trust_domain_are_no_agents() {
        let attempt = |id: &SpiffeId| agent_x509(&policy(), moment(), id, None, key()).unwrap_err();
        assert_eq!(attempt(&id("/spire/server")), Refusal::ServerId);
        let foreign = SpiffeId::parse("spiffe://other.org/spire/agent/a").unwrap();
        for id in [foreign, id("")] {
            assert!(matches!(attempt(&id), Refusal::SpiffeId(_)));
        }
    }

    #[test]
    fn a_banned_agent_gets_nothing_by_attesting_again() {
        let banned = agent("a", &[]).banned();
        assert_eq!(
            agent_x509(&policy(), moment(), &banned.id, Some(&banned), key()).unwrap_err(),
            Refusal::Agent(AgentReason::Banned)
        );
    }

    #[test]
    fn an_agent_renews_unless_it_must_attest_again() {
        let mut agent = agent("a", &[]);
        assert!(agent_renewal_x509(&policy(), moment(), &agent, key()).is_ok());
        agent.can_reattest = true;
        assert_eq!(
            agent_renewal_x509(&policy(), moment(), &agent, key()).unwrap_err(),
            Refusal::Agent(AgentReason::MustReattest)
        );
    }

    #[test]
    fn the_server_gets_its_own_id() {
        let grant = server_x509(&policy(), moment(), key()).unwrap();
        assert_eq!(grant.spiffe_id, id("/spire/server"));
        assert_eq!(grant.spiffe_id.trust_domain(), &td());
        assert_eq!(grant.purpose, Purpose::Server);
    }

    #[test]
    fn a_minted_svid_keeps_the_requests_subject_but_for_the_common_name() {
        let csr = Csr {
            subject: vec![
                attribute(&[2, 5, 4, 10], "Acme"),
                attribute(&[2, 5, 4, 3], "old"),
            ],
            dns_names: vec!["web".to_owned()],
            ..csr()
        };
        let ttl = Some(Duration::from_secs(5));
        let grant = mint_x509(&policy(), moment(), csr, ttl).unwrap();
        assert_eq!(
            grant.subject.attributes().collect::<Vec<_>>(),
            [
                (Attribute::Organization, "Acme"),
                (Attribute::CommonName, "web")
            ]
        );
        assert_eq!(grant.lifetime.not_after, at(1005));
    }

    #[test]
    fn a_minted_svid_without_a_subject_gets_the_usual_one() {
        assert_eq!(minted(csr()).unwrap().subject, Subject::svid());
        let only_unknown = Csr {
            subject: vec![attribute(&[1, 2, 3], "x")],
            ..csr()
        };
        assert_eq!(minted(only_unknown).unwrap().subject, Subject::svid());
    }

    #[test]
    fn minting_needs_exactly_one_uri_and_that_a_spiffe_id() {
        for (spiffe_ids, uri_count) in [
            (vec![], 0),
            (vec![], 1),
            (vec![id("/a")], 2),
            (vec![id("/a"), id("/b")], 2),
        ] {
            let asked = Csr {
                spiffe_ids,
                uri_count,
                ..csr()
            };
            assert_eq!(
                minted(asked).unwrap_err(),
                Refusal::SpiffeIdCount { count: uri_count }
            );
        }
    }

    #[test]
    fn nothing_but_a_workload_of_the_own_trust_domain_is_minted() {
        let foreign = SpiffeId::parse("spiffe://other.org/web").unwrap();
        for spiffe_id in [agent_id("a"), id("/spire/server"), id(""), foreign] {
            let asked = Csr {
                spiffe_ids: vec![spiffe_id],
                ..csr()
            };
            assert!(matches!(minted(asked), Err(Refusal::SpiffeId(_))));
        }
    }

    #[test]
    fn bad_and_overlapping_dns_names_are_not_minted() {
        for names in [&["a."][..], &["*.a.b", "x.a.b"]] {
            let asked = Csr {
                dns_names: names.iter().map(|n| n.to_string()).collect(),
                ..csr()
            };
            assert!(matches!(minted(asked), Err(Refusal::Dns(_))), "{names:?}");
        }
    }
}
