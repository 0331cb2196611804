//! Which authority may be signed under another: a downstream server's under ours, and ours under one
//! whose key this server has.

use std::time::Duration;

use signet_spiffe::csr::Csr;
use signet_spiffe::{PublicKey, TrustDomain};

use super::{Approved, Moment, Refusal};
use crate::entry::Entry;
use crate::lifetime::{self, Lifetime};

/// An authority that may be signed, once it is [`Approved`].
#[derive(Clone, Debug, PartialEq)]
pub struct CaGrant {
    /// Whose authority it is; its ID is the one URI SAN.
    pub trust_domain: TrustDomain,
    /// Whose key it certifies.
    pub public_key: PublicKey,
    /// From when to when.
    pub lifetime: Lifetime,
}

/// An authority for the downstream server that `entry` names. Of its request only the key and the
/// wish for a lifetime come through. It does not outlive the entry, as no SVID does.
pub fn downstream_ca(
    trust_domain: &TrustDomain,
    moment: Moment,
    entry: &Entry,
    public_key: PublicKey,
    wanted: Option<Duration>,
    default: Duration,
) -> Result<Approved<CaGrant>, Refusal> {
    if entry.disabled {
        return Err(Refusal::Disabled);
    }
    if !entry.downstream || entry.spiffe_id.trust_domain() != trust_domain {
        return Err(Refusal::NotDownstream);
    }
    let end = moment.authority_not_after;
    let lifetime = lifetime::svid(moment.now, wanted, default, entry.expires_at, end);
    Ok(Approved(CaGrant {
        trust_domain: trust_domain.clone(),
        public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
    }))
}

/// This server's own authority, asked for with a request whose signature was verified
/// ([`signet_spiffe::csr::verify`]) and whose one URI names the trust domain.
pub fn own_ca(
    trust_domain: &TrustDomain,
    moment: Moment,
    csr: Csr,
    ttl: Duration,
) -> Result<Approved<CaGrant>, Refusal> {
    match (csr.spiffe_ids.as_slice(), csr.uri_count) {
        ([id], 1) if *id == trust_domain.id() => {}
        ([_], 1) => return Err(Refusal::NotTheTrustDomain),
        (_, count) => return Err(Refusal::SpiffeIdCount { count }),
    }
    let end = moment.authority_not_after;
    let lifetime = lifetime::svid(moment.now, None, ttl, None, end);
    Ok(Approved(CaGrant {
        trust_domain: trust_domain.clone(),
        public_key: csr.public_key,
        lifetime: lifetime.map_err(Refusal::Lifetime)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent_id, at, entry, id, key, moment, td};
    use crate::lifetime::{Cap, Spent};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn below() -> Entry {
        Entry {
            downstream: true,
            ..entry("e", agent_id("a"), id("/below"))
        }
    }

    fn long() -> Moment {
        Moment {
            authority_not_after: at(1000) + 2 * DAY,
            ..moment()
        }
    }

    fn for_entry(entry: &Entry, wanted: Option<u64>) -> Result<Approved<CaGrant>, Refusal> {
        let wanted = wanted.map(Duration::from_secs);
        downstream_ca(&td(), long(), entry, key(), wanted, DAY)
    }

    fn own(ids: &[&str], uri_count: usize) -> Result<Approved<CaGrant>, Refusal> {
        let csr = Csr {
            public_key: key(),
            subject: Vec::new(),
            spiffe_ids: ids
                .iter()
                .map(|id| signet_spiffe::SpiffeId::parse(id).unwrap())
                .collect(),
            uri_count,
            dns_names: Vec::new(),
        };
        own_ca(&td(), long(), csr, DAY)
    }

    #[test]
    fn a_downstream_server_gets_the_lifetime_it_wants_or_the_default() {
        let end = |wanted| for_entry(&below(), wanted).unwrap().lifetime.not_after;
        assert_eq!(end(None), at(1000) + DAY);
        assert_eq!(end(Some(0)), at(1000) + DAY);
        assert_eq!(end(Some(60)), at(1060));
    }

    #[test]
    fn a_downstream_authority_outlives_neither_ours_nor_its_entry() {
        let grant = for_entry(&below(), Some(1_000_000)).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1000) + 2 * DAY);
        let ends = Entry {
            expires_at: Some(at(1500)),
            ..below()
        };
        let lifetime = for_entry(&ends, None).unwrap().lifetime;
        assert_eq!(
            (lifetime.not_after, lifetime.capped_by),
            (at(1500), Some(Cap::Entry))
        );
        let ended = Moment {
            authority_not_after: at(1000),
            ..moment()
        };
        let refused = downstream_ca(&td(), ended, &below(), key(), None, DAY).unwrap_err();
        assert_eq!(refused, Refusal::Lifetime(Spent::Authority));
    }

    #[test]
    fn an_entry_that_is_not_downstream_or_disabled_or_foreign_gives_no_authority() {
        let ordinary = entry("e", agent_id("a"), id("/below"));
        assert_eq!(
            for_entry(&ordinary, None).unwrap_err(),
            Refusal::NotDownstream
        );
        let disabled = Entry {
            disabled: true,
            ..below()
        };
        assert_eq!(for_entry(&disabled, None).unwrap_err(), Refusal::Disabled);
        let other = TrustDomain::parse("other.org").unwrap();
        let foreign = downstream_ca(&other, long(), &below(), key(), None, DAY);
        assert_eq!(foreign.unwrap_err(), Refusal::NotDownstream);
    }

    #[test]
    fn the_own_authority_is_asked_for_in_the_name_of_the_trust_domain_alone() {
        let grant = own(&["spiffe://example.org"], 1).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1000) + DAY);
        assert_eq!(
            own(&["spiffe://other.org"], 1).unwrap_err(),
            Refusal::NotTheTrustDomain
        );
        assert_eq!(
            own(&["spiffe://example.org/web"], 1).unwrap_err(),
            Refusal::NotTheTrustDomain
        );
        for (ids, count) in [
            (&[][..], 0),
            (&[][..], 1),
            (&["spiffe://example.org"][..], 2),
        ] {
            assert_eq!(
                own(ids, count).unwrap_err(),
                Refusal::SpiffeIdCount { count }
            );
        }
    }
}
