//! Which WIT-SVID may be issued.

use std::time::Duration;

use signet_spiffe::{JwsAlgorithm, PublicKey, SpiffeId};

use super::{Approved, Moment, Policy, Refusal};
use crate::index::Authorized;
use crate::lifetime::{self, Lifetime};
use crate::role;

/// The workload's own key, to which its WIT-SVID is bound, and how it will sign proofs with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProofKey {
    /// The key.
    pub public_key: PublicKey,
    /// The `alg` beside it.
    pub algorithm: JwsAlgorithm,
}

/// A WIT-SVID that may be signed, once it is [`Approved`].
#[derive(Clone, Debug, PartialEq)]
pub struct WitGrant {
    /// The `sub` claim.
    pub spiffe_id: SpiffeId,
    /// The `cnf` claim: its algorithm fits its key.
    pub proof_key: ProofKey,
    /// `iat` and `exp`.
    pub lifetime: Lifetime,
    /// The `iss` claim, if there is to be one.
    pub issuer: Option<String>,
}

/// A WIT-SVID for a workload: everything but the key comes from the entry. It lives as long as an
/// X509-SVID of that entry, since both are bound to a key.
pub fn workload_wit(
    policy: &Policy,
    moment: Moment,
    authorized: &Authorized,
    proof_key: ProofKey,
) -> Result<Approved<WitGrant>, Refusal> {
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
    let lifetime = lifetime.map_err(Refusal::Lifetime)?;
    grant(policy, entry.spiffe_id.clone(), proof_key, lifetime)
}

/// A WIT-SVID that an administrator asks for.
pub fn mint_wit(
    policy: &Policy,
    moment: Moment,
    spiffe_id: SpiffeId,
    proof_key: ProofKey,
    ttl: Option<Duration>,
) -> Result<Approved<WitGrant>, Refusal> {
    role::workload(&spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    let default = policy.default_x509_svid_ttl;
    let lifetime = lifetime::svid(moment.now, ttl, default, None, moment.authority_not_after);
    let lifetime = lifetime.map_err(Refusal::Lifetime)?;
    grant(policy, spiffe_id, proof_key, lifetime)
}

fn grant(
    policy: &Policy,
    spiffe_id: SpiffeId,
    proof_key: ProofKey,
    lifetime: Lifetime,
) -> Result<Approved<WitGrant>, Refusal> {
    if !proof_key.algorithm.fits(&proof_key.public_key) {
        return Err(Refusal::ProofAlgorithm);
    }
    Ok(Approved(WitGrant {
        spiffe_id,
        proof_key,
        lifetime,
        issuer: policy.wit_issuer.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::fixtures::{
        agent, agent_id, at, entry, id, index, key, moment, policy, put_agent, put_entry,
    };
    use crate::lifetime::Spent;

    fn proof_key() -> ProofKey {
        let public_key = key();
        let algorithm = JwsAlgorithm::default_for(&public_key);
        ProofKey {
            public_key,
            algorithm,
        }
    }

    fn workload(entry: Entry) -> Result<Approved<WitGrant>, Refusal> {
        let entry_id = entry.id.clone();
        let index = index([put_agent(agent("a", &[])), put_entry(entry)]);
        let authorized = index
            .authorizes(&agent_id("a"), &entry_id, at(0))
            .expect("the agent is the entry's parent");
        workload_wit(&policy(), moment(), &authorized, proof_key())
    }

    fn web() -> Entry {
        entry("e", agent_id("a"), id("/web"))
    }

    #[test]
    fn a_workload_gets_what_its_entry_says_and_lives_as_its_certificate() {
        let grant = workload(Entry {
            x509_svid_ttl: Some(Duration::from_secs(60)),
            jwt_svid_ttl: Some(Duration::from_secs(7)),
            ..web()
        });
        let grant = grant.unwrap();
        assert_eq!(grant.spiffe_id, id("/web"));
        assert_eq!(grant.proof_key, proof_key());
        assert_eq!(grant.lifetime.issued_at, at(1000));
        assert_eq!(grant.lifetime.not_after, at(1060));
        assert_eq!(grant.issuer, None);
        assert_eq!(workload(web()).unwrap().lifetime.not_after, at(4600));
    }

    #[test]
    fn the_issuer_is_that_of_wits_and_not_of_jwts() {
        let policy = Policy {
            jwt_issuer: Some("https://jwt".to_owned()),
            wit_issuer: Some("urn:wit".to_owned()),
            ..policy()
        };
        let grant = mint_wit(&policy, moment(), id("/web"), proof_key(), None).unwrap();
        assert_eq!(grant.issuer.as_deref(), Some("urn:wit"));
    }

    #[test]
    fn an_algorithm_that_does_not_fit_the_key_is_refused() {
        for algorithm in JwsAlgorithm::ALL {
            let good = algorithm == proof_key().algorithm;
            let proof_key = ProofKey {
                algorithm,
                ..proof_key()
            };
            let minted = mint_wit(&policy(), moment(), id("/web"), proof_key, None);
            match good {
                true => assert!(minted.is_ok()),
                false => assert_eq!(minted.unwrap_err(), Refusal::ProofAlgorithm),
            }
        }
    }

    #[test]
    fn a_token_does_not_outlive_its_entry() {
        let ends = |at| Entry {
            expires_at: Some(at),
            ..web()
        };
        assert_eq!(
            workload(ends(at(1100))).unwrap().lifetime.not_after,
            at(1100)
        );
        assert_eq!(
            workload(ends(at(900))).unwrap_err(),
            Refusal::Lifetime(Spent::Entry)
        );
    }

    #[test]
    fn only_workloads_are_minted_a_token() {
        let mint = |id| mint_wit(&policy(), moment(), id, proof_key(), None);
        assert!(mint(id("/web")).is_ok());
        for id in [agent_id("a"), id("/spire/server"), id("")] {
            assert!(matches!(mint(id), Err(Refusal::SpiffeId(_))));
        }
    }
}
