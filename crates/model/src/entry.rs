//! A registration entry: which workload, on which nodes, gets which identity.

mod check;
mod id;

pub use check::{EntryError, MAX_FEDERATES_WITH, MAX_HINT_BYTES, MAX_SELECTORS, check, ttl};
pub use id::{EntryId, EntryIdError, MAX_BYTES as MAX_ID_BYTES};

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use signet_spiffe::{SpiffeId, TrustDomain};

use crate::selector::SelectorSet;
use crate::stewardship::Stewardship;

/// A revision of the store: raised by each commit, never reused within one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A registration entry. Made by whoever reads it from a peer or the store; [`check`] says whether
/// it may be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name, unique in the trust domain.
    pub id: EntryId,
    /// The identity it gives.
    pub spiffe_id: SpiffeId,
    /// Whose agent may serve it: an agent, another entry's identity, or the server (a node alias).
    pub parent_id: SpiffeId,
    /// What a workload (or, for a node alias, an agent) must have, all of it.
    pub selectors: SelectorSet,
    /// Lifetime of its X509-SVIDs; `None` for the server's default.
    pub x509_svid_ttl: Option<Duration>,
    /// Lifetime of its JWT-SVIDs; `None` for the server's default.
    pub jwt_svid_ttl: Option<Duration>,
    /// Foreign trust domains whose bundles the workload gets.
    pub federates_with: BTreeSet<TrustDomain>,
    /// Whether its holder may administer the server.
    pub admin: bool,
    /// Whether its holder may ask for an intermediate authority.
    pub downstream: bool,
    /// Whether the agent delivers the SVID into a store instead of over the socket.
    pub store_svid: bool,
    /// From when on it gives nothing; `None` for never.
    pub expires_at: Option<SystemTime>,
    /// DNS names of the certificate, in order; the first becomes the common name.
    pub dns_names: Vec<String>,
    /// Told to the workload, to choose among several identities.
    pub hint: String,
    /// 0 at creation, one more at each update.
    pub revision_number: i64,
    /// When it was created.
    pub created_at: SystemTime,
    /// Whether agents wait for the first workload before they ask for the X509-SVID.
    pub disable_x509_svid_prefetch: bool,
    /// Whether its JWT-SVIDs carry a `jti`.
    pub jwt_svid_include_jti: bool,
    /// Whether an operator switched it off: it then authorizes nothing.
    pub disabled: bool,
    /// Who answers for it.
    pub stewardship: Stewardship,
}

impl Entry {
    /// Whether it authorizes anything at this time. What expired or is disabled gives nothing
    /// itself and passes nothing on to entries below it.
    pub fn is_effective(&self, now: SystemTime) -> bool {
        !self.disabled && !self.is_expired(now)
    }

    /// Whether its end has come. At the very instant it has.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it names agents instead of workloads: agents with its selectors may serve the
    /// entries below its SPIFFE ID.
    pub fn is_node_alias(&self) -> bool {
        self.parent_id.is_server()
    }

    /// Whether the other would give the same identity to the same workloads.
    pub fn is_similar(&self, other: &Self) -> bool {
        self.spiffe_id == other.spiffe_id
            && self.parent_id == other.parent_id
            && self.selectors == other.selectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent_id, at, entry, id, set};

    #[test]
    fn an_entry_is_effective_until_the_instant_of_its_end() {
        let mut entry = entry("e", agent_id("a"), id("/web"));
        assert!(entry.is_effective(at(u32::MAX.into())));
        entry.expires_at = Some(at(5));
        assert!(entry.is_effective(at(4)));
        assert!(!entry.is_effective(at(5)));
        assert!(!entry.is_effective(at(6)));
    }

    #[test]
    fn a_disabled_entry_is_not_effective() {
        let mut entry = entry("e", agent_id("a"), id("/web"));
        entry.disabled = true;
        assert!(!entry.is_effective(at(0)));
    }

    #[test]
    fn similar_entries_share_identity_parent_and_selectors() {
        let one = entry("e", agent_id("a"), id("/web"));
        let mut other = Entry {
            id: EntryId::parse("f").unwrap(),
            hint: "h".to_owned(),
            ..one.clone()
        };
        assert!(one.is_similar(&other));
        other.selectors = set(&["unix:uid:1000", "unix:gid:1000"]);
        assert!(!one.is_similar(&other));
        other.selectors = one.selectors.clone();
        other.parent_id = agent_id("b");
        assert!(!one.is_similar(&other));
    }

    /// A copy once swapped two flags in SPIRE (its pull request 6636).
    #[test]
    fn a_copy_keeps_each_flag_in_its_place() {
        for bit in 0..6 {
            let flag = |n| bit == n;
            let original = Entry {
                admin: flag(0),
                downstream: flag(1),
                store_svid: flag(2),
                disable_x509_svid_prefetch: flag(3),
                jwt_svid_include_jti: flag(4),
                disabled: flag(5),
                ..entry("e", agent_id("a"), id("/web"))
            };
            let copy = original.clone();
            assert_eq!(copy, original);
            assert_eq!((copy.admin, copy.downstream), (flag(0), flag(1)));
        }
    }
}
