//! Whether an entry may be written.
//!
//! What the types already say (a SPIFFE ID parses, a selector has both parts, a set has no
//! doubles) is not said again here. Whether a federated bundle exists is known to the index only.

use std::time::Duration;

use signet_spiffe::TrustDomain;

use super::Entry;
use crate::dns::{self, DnsError};
use crate::role::{self, RoleError};
use crate::stewardship::StewardshipError;

/// The longest hint; the Workload API's own recommendation.
pub const MAX_HINT_BYTES: usize = 1024;

/// The most selectors of one entry. A workload seldom shows a hundred; an entry that asks for more
/// than this matches nothing and only costs.
pub const MAX_SELECTORS: usize = 1024;

/// The most trust domains one entry may federate with: each one's bundle goes to the workload.
pub const MAX_FEDERATES_WITH: usize = 1024;

/// Why an entry may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The parent is no member of the trust domain.
    #[error("invalid parent ID")]
    Parent(#[source] RoleError),
    /// The SPIFFE ID is no workload's.
    #[error("invalid spiffe ID")]
    SpiffeId(#[source] RoleError),
    /// There is no selector: everything would match.
    #[error("selector list is empty")]
    NoSelector,
    /// There are too many selectors.
    #[error("{count} selectors given; the limit is {MAX_SELECTORS}")]
    TooManySelectors {
        /// Selectors given.
        count: usize,
    },
    /// A DNS name is bad.
    #[error("invalid DNS name")]
    Dns(#[source] DnsError),
    /// Too many trust domains to federate with.
    #[error("{count} federated trust domains given; the limit is {MAX_FEDERATES_WITH}")]
    TooManyFederated {
        /// Trust domains given.
        count: usize,
    },
    /// The hint is too long.
    #[error("hint has {length} bytes; the limit is {MAX_HINT_BYTES}")]
    HintTooLong {
        /// Bytes given.
        length: usize,
    },
    /// A lifetime below zero.
    #[error("{field} is {seconds} s; it may not be negative")]
    NegativeTtl {
        /// Which of the two lifetimes.
        field: &'static str,
        /// Seconds given.
        seconds: i64,
    },
    /// A stored SVID is delivered by one store, named by the one type of the selectors.
    #[error("selectors of an entry with store_svid must all have the same type")]
    StoreSvidWithSeveralTypes,
    /// A stored SVID is always fetched ahead.
    #[error("an entry with store_svid cannot disable the prefetch of its X509-SVID")]
    StoreSvidWithoutPrefetch,
    /// Owner or purpose is bad.
    #[error("invalid stewardship")]
    Stewardship(#[source] StewardshipError),
}

/// Checks an entry about to be created or updated in this trust domain. It comes back with repeated
/// DNS names merged; nothing else is changed.
pub fn check(mut entry: Entry, trust_domain: &TrustDomain) -> Result<Entry, EntryError> {
    role::member(&entry.parent_id, trust_domain).map_err(EntryError::Parent)?;
    role::workload(&entry.spiffe_id, trust_domain).map_err(EntryError::SpiffeId)?;
    check_counts(&entry)?;
    check_store_svid(&entry)?;
    entry.stewardship.check().map_err(EntryError::Stewardship)?;
    entry.dns_names =
        dns::check_all(std::mem::take(&mut entry.dns_names)).map_err(EntryError::Dns)?;
    Ok(entry)
}

fn check_counts(entry: &Entry) -> Result<(), EntryError> {
    match entry.selectors.len() {
        0 => return Err(EntryError::NoSelector),
        count if count > MAX_SELECTORS => return Err(EntryError::TooManySelectors { count }),
        _ => {}
    }
    let count = entry.federates_with.len();
    if count > MAX_FEDERATES_WITH {
        return Err(EntryError::TooManyFederated { count });
    }
    let length = entry.hint.len();
    if length > MAX_HINT_BYTES {
        return Err(EntryError::HintTooLong { length });
    }
    Ok(())
}

fn check_store_svid(entry: &Entry) -> Result<(), EntryError> {
    if entry.store_svid && !entry.selectors.has_one_kind() {
        return Err(EntryError::StoreSvidWithSeveralTypes);
    }
    if entry.store_svid && entry.disable_x509_svid_prefetch {
        return Err(EntryError::StoreSvidWithoutPrefetch);
    }
    Ok(())
}

/// Reads a lifetime in seconds as the wire has it: 0 means the server's default.
pub fn ttl(field: &'static str, seconds: i64) -> Result<Option<Duration>, EntryError> {
    match u64::try_from(seconds) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => Err(EntryError::NegativeTtl { field, seconds }),
    }
}

#[cfg(test)]
mod tests {
    use signet_spiffe::SpiffeId;

    use super::*;
    use crate::Stewardship;
    use crate::fixtures::{agent_id, entry, id, set, td};

    fn good() -> Entry {
        entry("e", agent_id("a"), id("/web"))
    }

    fn refusal(entry: Entry) -> EntryError {
        check(entry, &td()).unwrap_err()
    }

    fn foreign() -> SpiffeId {
        SpiffeId::parse("spiffe://other.org/web").unwrap()
    }

    #[test]
    fn agents_workloads_and_the_server_are_parents() {
        for parent_id in [agent_id("a"), id("/other"), id("/spire/server")] {
            let entry = Entry {
                parent_id,
                ..good()
            };
            assert_eq!(check(entry.clone(), &td()), Ok(entry));
        }
    }

    #[test]
    fn the_trust_domain_and_strangers_are_no_parents() {
        for parent_id in [id(""), foreign()] {
            let entry = Entry {
                parent_id,
                ..good()
            };
            assert!(matches!(refusal(entry), EntryError::Parent(_)));
        }
    }

    #[test]
    fn only_workloads_get_an_identity_from_an_entry() {
        let others = [id(""), foreign(), id("/spire/server"), agent_id("a")];
        for spiffe_id in others {
            let entry = Entry {
                spiffe_id,
                ..good()
            };
            assert!(matches!(refusal(entry), EntryError::SpiffeId(_)));
        }
    }

    #[test]
    fn an_entry_without_a_selector_is_refused() {
        let entry = Entry {
            selectors: set(&[]),
            ..good()
        };
        assert_eq!(refusal(entry), EntryError::NoSelector);
    }

    #[test]
    fn selectors_are_accepted_up_to_the_limit_and_refused_above() {
        let with = |count: usize| Entry {
            selectors: (0..count)
                .map(|n| crate::Selector::new("unix", &format!("uid:{n}")).unwrap())
                .collect(),
            ..good()
        };
        assert!(check(with(MAX_SELECTORS), &td()).is_ok());
        assert_eq!(
            refusal(with(MAX_SELECTORS + 1)),
            EntryError::TooManySelectors {
                count: MAX_SELECTORS + 1
            }
        );
    }

    #[test]
    fn federated_trust_domains_are_accepted_up_to_the_limit_and_refused_above() {
        let with = |count: usize| Entry {
            federates_with: (0..count)
                .map(|n| TrustDomain::parse(&format!("td{n}")).unwrap())
                .collect(),
            ..good()
        };
        assert!(check(with(MAX_FEDERATES_WITH), &td()).is_ok());
        assert_eq!(
            refusal(with(MAX_FEDERATES_WITH + 1)),
            EntryError::TooManyFederated {
                count: MAX_FEDERATES_WITH + 1
            }
        );
    }

    #[test]
    fn an_entry_may_federate_with_the_own_trust_domain() {
        let entry = Entry {
            federates_with: [td()].into(),
            ..good()
        };
        assert!(check(entry, &td()).is_ok());
    }

    #[test]
    fn a_hint_is_accepted_up_to_the_limit_and_refused_above() {
        let with = |length| Entry {
            hint: "h".repeat(length),
            ..good()
        };
        assert!(check(with(1024), &td()).is_ok());
        assert_eq!(
            refusal(with(1025)),
            EntryError::HintTooLong { length: 1025 }
        );
    }

    #[test]
    fn repeated_dns_names_are_merged_and_bad_ones_refused() {
        let with = |names: &[&str]| Entry {
            dns_names: names.iter().map(|n| n.to_string()).collect(),
            ..good()
        };
        let merged = check(with(&["b", "a", "b"]), &td()).unwrap();
        assert_eq!(merged.dns_names, ["b", "a"]);
        assert!(matches!(refusal(with(&["a."])), EntryError::Dns(_)));
    }

    #[test]
    fn a_stored_svid_takes_selectors_of_one_type_only() {
        let with = |selectors: &[&str]| Entry {
            store_svid: true,
            selectors: set(selectors),
            ..good()
        };
        assert!(check(with(&["vault:a", "vault:b"]), &td()).is_ok());
        assert_eq!(
            refusal(with(&["vault:a", "disk:b"])),
            EntryError::StoreSvidWithSeveralTypes
        );
    }

    #[test]
    fn a_stored_svid_is_always_fetched_ahead() {
        let with = |store_svid| Entry {
            store_svid,
            disable_x509_svid_prefetch: true,
            ..good()
        };
        assert!(check(with(false), &td()).is_ok());
        assert_eq!(refusal(with(true)), EntryError::StoreSvidWithoutPrefetch);
    }

    #[test]
    fn too_long_a_purpose_is_refused() {
        let entry = Entry {
            stewardship: Stewardship {
                purpose: "p".repeat(1025),
                ..Stewardship::default()
            },
            ..good()
        };
        assert!(matches!(refusal(entry), EntryError::Stewardship(_)));
    }

    #[test]
    fn a_lifetime_of_zero_is_the_default_and_a_negative_one_is_refused() {
        assert_eq!(ttl("x509_svid_ttl", 0), Ok(None));
        assert_eq!(ttl("x509_svid_ttl", 60), Ok(Some(Duration::from_secs(60))));
        assert_eq!(
            ttl("jwt_svid_ttl", -1),
            Err(EntryError::NegativeTtl {
                field: "jwt_svid_ttl",
                seconds: -1
            })
        );
    }
}
