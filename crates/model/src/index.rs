//! All that the issuer knows, in memory.
//!
//! The index answers authorization, sync and issuance without a store. It is kept current by
//! [`Index::apply`], which costs as much as the change concerns and never rebuilds. It may grant;
//! before the server denies for want of a fact, it first catches up with the store.

mod agents;
mod ends;
mod entries;
mod groups;
#[cfg(test)]
pub(crate) mod properties;
mod reach;
#[cfg(test)]
mod scale;

pub use reach::Authorized;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::{Bundle, SpiffeId, TrustDomain};

use crate::agent::Agent;
use crate::change::{Affected, Change};
use crate::entry::{Entry, EntryId};
use crate::single_use::{EvidenceId, UsedEvidence};
use crate::token::{JoinToken, TokenId};

use agents::AgentTable;
use entries::EntryTable;

/// Entries, agents, bundles and join tokens, and who may have what of them.
///
/// Two indexes are equal if they hold the same facts, whatever way they came by them.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    trust_domain: TrustDomain,
    entries: EntryTable,
    agents: AgentTable,
    bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
    tokens: BTreeMap<TokenId, Arc<JoinToken>>,
    used: BTreeMap<EvidenceId, Arc<UsedEvidence>>,
}

impl Index {
    /// An index that knows nothing but its trust domain.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            entries: EntryTable::new(trust_domain.clone()),
            trust_domain,
            agents: AgentTable::default(),
            bundles: BTreeMap::new(),
            tokens: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// Takes in one change and says whom it concerns. A change that changes nothing concerns
    /// nobody.
    pub fn apply(&mut self, change: &Change) -> Affected {
        match change {
            Change::PutEntry(entry) => self.put_entry(entry),
            Change::DeleteEntry(id) => self.delete_entry(id),
            Change::PutAgent(agent) => self.put_agent(agent),
            Change::DeleteAgent(id) => concerns(self.agents.remove(id).map(|old| old.id.clone())),
            Change::PutBundle(bundle) => self.put_bundle(bundle),
            Change::DeleteBundle(id) => Affected {
                bundle: self.bundles.remove(id).map(|_| id.clone()),
                ..Affected::default()
            },
            Change::PutToken(token) => {
                self.tokens.insert(token.id, Arc::clone(token));
                Affected::default()
            }
            Change::DeleteToken(id) => {
                self.tokens.remove(id);
                Affected::default()
            }
            Change::PutUsed(used) => {
                self.used.insert(used.what.id, Arc::clone(used));
                Affected::default()
            }
            Change::DeleteUsed(id) => {
                self.used.remove(id);
                Affected::default()
            }
        }
    }

    /// Whom a change of the entry concerns is asked in the graph before and in the graph after:
    /// whoever gains or loses by it reaches it in one of the two.
    fn put_entry(&mut self, entry: &Arc<Entry>) -> Affected {
        let old = self.entries.get(&entry.id).cloned();
        if old.as_ref() == Some(entry) {
            return Affected::default();
        }
        let before = old.map(|old| self.agents_of(&old)).unwrap_or_default();
        self.entries.put(entry);
        let after = self.agents_of(entry);
        concerns(before.into_iter().chain(after))
    }

    fn delete_entry(&mut self, id: &EntryId) -> Affected {
        let Some(old) = self.entries.get(id).cloned() else {
            return Affected::default();
        };
        let before = self.agents_of(&old);
        self.entries.remove(id);
        concerns(before)
    }

    fn put_agent(&mut self, agent: &Arc<Agent>) -> Affected {
        let old = self.agents.put(agent);
        concerns((old.as_ref() != Some(agent)).then(|| agent.id.clone()))
    }

    fn put_bundle(&mut self, bundle: &Arc<Bundle>) -> Affected {
        let id = bundle.trust_domain.clone();
        let old = self.bundles.insert(id.clone(), Arc::clone(bundle));
        Affected {
            bundle: (old.as_ref() != Some(bundle)).then_some(id),
            ..Affected::default()
        }
    }

    /// The next time after `now` at which an entry or an agent ends, and with it what it grants.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let entry = self.entries.ends().next(now);
        let agent = self.agents.ends().next(now);
        match (entry, agent) {
            (Some(entry), Some(agent)) => Some(entry.min(agent)),
            (entry, agent) => entry.or(agent),
        }
    }

    /// Whom it concerns that time went on from `since` (not included) to `until` (included):
    /// what ended in between grants no more.
    pub fn lapsed(&self, since: SystemTime, until: SystemTime) -> Affected {
        let entries = self.entries.ends().between(since, until);
        let entries = entries.filter_map(|id| self.entries.get(id));
        let agents = self.agents.ends().between(since, until);
        concerns(
            entries
                .flat_map(|e| self.agents_of(e))
                .chain(agents.cloned()),
        )
    }

    /// An entry that gives the same SPIFFE ID under the same parent for the same selectors as this
    /// one. An entry is not similar to itself.
    pub fn similar(&self, entry: &Entry) -> Option<Arc<Entry>> {
        self.entries
            .linking(&entry.parent_id, &entry.spiffe_id)
            .find(|other| other.id != entry.id && other.is_similar(entry))
            .cloned()
    }

    /// The effective entries that give this SPIFFE ID: what its holder may do beyond being itself.
    pub fn entries_by_spiffe_id(&self, id: &SpiffeId, now: SystemTime) -> Vec<Arc<Entry>> {
        let entries = self.entries.giving(id);
        entries.filter(|e| e.is_effective(now)).cloned().collect()
    }

    /// Whether an effective entry makes the holder of this SPIFFE ID an administrator.
    pub fn is_admin(&self, id: &SpiffeId, now: SystemTime) -> bool {
        let mut entries = self.entries.giving(id);
        entries.any(|entry| entry.admin && entry.is_effective(now))
    }

    /// Whether an effective entry lets the holder of this SPIFFE ID ask for an intermediate
    /// authority.
    pub fn is_downstream(&self, id: &SpiffeId, now: SystemTime) -> bool {
        self.downstream(id, now).is_some()
    }

    /// The effective entry that lets the holder of this SPIFFE ID ask for an intermediate authority;
    /// of several the one that lasts longest.
    pub fn downstream(&self, id: &SpiffeId, now: SystemTime) -> Option<Arc<Entry>> {
        let entries = self.entries.giving(id);
        let effective = entries.filter(|entry| entry.downstream && entry.is_effective(now));
        effective
            .max_by_key(|entry| (entry.expires_at.is_none(), entry.expires_at))
            .cloned()
    }

    /// Whether the entry is one that can grant at all: of the own trust domain, with an ID that
    /// workloads may have, and with a selector.
    pub(crate) fn may_grant(&self, entry: &Entry) -> bool {
        self.entries.is_linked(entry)
    }

    /// Entries that give this SPIFFE ID, effective or not.
    pub(crate) fn giving<'a>(&'a self, id: &'a SpiffeId) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.giving(id)
    }

    /// Entries directly under this parent, effective or not; none are under the server.
    pub(crate) fn below<'a>(
        &'a self,
        parent: &'a SpiffeId,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.below(parent)
    }

    /// The entries with this parent, node aliases left out.
    pub fn entries_by_parent<'a>(
        &'a self,
        parent: &'a SpiffeId,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.below(parent)
    }

    /// Entries that federate with this trust domain, in order of their ids.
    pub fn entries_federating<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.federating(trust_domain)
    }

    /// Agents that serve an entry which federates with this trust domain: its bundle concerns them.
    pub fn agents_federating(&self, trust_domain: &TrustDomain) -> BTreeSet<SpiffeId> {
        self.entries
            .federating(trust_domain)
            .flat_map(|entry| self.agents_of(entry))
            .collect()
    }

    /// The own trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The entry with this id, effective or not.
    pub fn entry(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.entries.get(id)
    }

    /// All entries, in order of creation (and of id, where that is the same second).
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries_after(None)
    }

    /// The entries that come after this place in the order of [`Index::entries`]. The place need
    /// not be an entry any more, so a page can go on where one was deleted.
    pub fn entries_after(
        &self,
        place: Option<(SystemTime, EntryId)>,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.entries.by_creation().range((from, Bound::Unbounded));
        places.filter_map(|(_, id)| self.entries.get(id))
    }

    /// The number of entries.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// The agent with this SPIFFE ID, active or not.
    pub fn agent(&self, id: &SpiffeId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    /// All agents, in order of SPIFFE ID.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.agents.all().values()
    }

    /// The agents that come after this SPIFFE ID.
    pub fn agents_after(&self, id: &SpiffeId) -> impl Iterator<Item = &Arc<Agent>> {
        let range = (Bound::Excluded(id), Bound::Unbounded);
        self.agents
            .all()
            .range::<SpiffeId, _>(range)
            .map(|(_, agent)| agent)
    }

    /// The number of agents.
    pub fn agent_count(&self) -> usize {
        self.agents.all().len()
    }

    /// The bundle of this trust domain, the own one included.
    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.bundles.get(trust_domain)
    }

    /// All bundles, in order of trust domain, the own one included.
    pub fn bundles(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.bundles.values()
    }

    /// The number of bundles, the own one included.
    pub fn bundle_count(&self) -> usize {
        self.bundles.len()
    }

    /// The join token with this hash, usable or not.
    pub fn token(&self, id: &TokenId) -> Option<&Arc<JoinToken>> {
        self.tokens.get(id)
    }

    /// All join tokens.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<JoinToken>> {
        self.tokens.values()
    }

    /// Who used this evidence, if anybody has.
    pub fn used(&self, id: &EvidenceId) -> Option<&Arc<UsedEvidence>> {
        self.used.get(id)
    }

    /// All used evidence that is remembered.
    pub fn all_used(&self) -> impl Iterator<Item = &Arc<UsedEvidence>> {
        self.used.values()
    }
}

fn concerns(agents: impl IntoIterator<Item = SpiffeId>) -> Affected {
    Affected {
        agents: agents.into_iter().collect(),
        bundle: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{
        agent, agent_id, alias, at, entry, id, index, put_agent, put_entry, set, td,
    };

    fn named(names: &[&str]) -> Affected {
        concerns(names.iter().map(|name| agent_id(name)))
    }

    fn two_agents() -> Index {
        index([
            put_agent(agent("a", &["node:rack:1", "node:zone:x"])),
            put_agent(agent("b", &["node:rack:2", "node:zone:x"])),
        ])
    }

    #[test]
    fn an_entry_concerns_its_agent_only() {
        let mut index = two_agents();
        let change = put_entry(entry("e", agent_id("a"), id("/web")));
        assert_eq!(index.apply(&change), named(&["a"]));
    }

    #[test]
    fn the_same_change_again_concerns_nobody() {
        let mut index = two_agents();
        let entry = put_entry(entry("e", agent_id("a"), id("/web")));
        index.apply(&entry);
        for change in [
            entry,
            put_agent(index.agent(&agent_id("a")).unwrap().as_ref().clone()),
        ] {
            assert!(index.apply(&change).is_empty());
        }
    }

    #[test]
    fn an_entry_that_moves_concerns_both_its_agents() {
        let mut index = two_agents();
        index.apply(&put_entry(entry("e", agent_id("a"), id("/web"))));
        let moved = put_entry(entry("e", agent_id("b"), id("/web")));
        assert_eq!(index.apply(&moved), named(&["a", "b"]));
    }

    #[test]
    fn an_alias_concerns_the_agents_that_take_part() {
        let mut index = two_agents();
        let one = put_entry(alias("one", id("/rack"), &["node:rack:2"]));
        assert_eq!(index.apply(&one), named(&["b"]));
        let all = put_entry(alias("all", id("/zone"), &["node:zone:x"]));
        assert_eq!(index.apply(&all), named(&["a", "b"]));
        let none = put_entry(alias("none", id("/none"), &["node:zone:y"]));
        assert!(index.apply(&none).is_empty());
    }

    #[test]
    fn an_entry_below_an_alias_concerns_whoever_reaches_it() {
        let mut index = two_agents();
        index.apply(&put_entry(alias("alias", id("/rack"), &["node:rack:2"])));
        index.apply(&put_entry(entry("below", id("/rack"), id("/db"))));
        let deep = put_entry(entry("deep", id("/db"), id("/db/backup")));
        assert_eq!(index.apply(&deep), named(&["b"]));
        let delete = Change::DeleteEntry(EntryId::parse("alias").unwrap());
        assert_eq!(index.apply(&delete), named(&["b"]));
        let gone = Change::DeleteEntry(EntryId::parse("deep").unwrap());
        assert!(index.apply(&gone).is_empty());
    }

    #[test]
    fn disabling_an_entry_concerns_its_agent_and_editing_a_disabled_one_nobody() {
        let mut index = two_agents();
        let mut entry = entry("e", agent_id("a"), id("/web"));
        index.apply(&put_entry(entry.clone()));
        entry.disabled = true;
        assert_eq!(index.apply(&put_entry(entry.clone())), named(&["a"]));
        entry.hint = "h".to_owned();
        assert!(index.apply(&put_entry(entry)).is_empty());
    }

    #[test]
    fn an_agent_concerns_itself() {
        let mut index = two_agents();
        let banned = agent("a", &[]).banned();
        assert_eq!(index.apply(&put_agent(banned)), named(&["a"]));
        let evict = Change::DeleteAgent(agent_id("a"));
        assert_eq!(index.apply(&evict), named(&["a"]));
        assert!(index.apply(&evict).is_empty());
    }

    #[test]
    fn the_next_expiry_is_the_first_end_still_to_come() {
        let mut index = index([]);
        assert_eq!(index.next_expiry(at(0)), None);
        index.apply(&put_agent(agent("a", &[])));
        let mut entry = entry("e", agent_id("a"), id("/web"));
        entry.expires_at = Some(at(50));
        index.apply(&put_entry(entry));
        assert_eq!(index.next_expiry(at(0)), Some(at(50)));
        assert_eq!(index.next_expiry(at(49)), Some(at(50)));
        assert_eq!(index.next_expiry(at(50)), Some(at(10_000)));
        assert_eq!(index.next_expiry(at(10_000)), None);
    }

    #[test]
    fn what_lapses_concerns_its_agents_once() {
        let mut index = two_agents();
        let mut entry = entry("e", agent_id("b"), id("/web"));
        entry.expires_at = Some(at(50));
        index.apply(&put_entry(entry));
        assert_eq!(index.lapsed(at(49), at(50)), named(&["b"]));
        assert!(index.lapsed(at(50), at(9_999)).is_empty());
        assert_eq!(index.lapsed(at(50), at(10_000)), named(&["a", "b"]));
        assert!(index.lapsed(at(60), at(40)).is_empty());
    }

    #[test]
    fn a_similar_entry_is_found_and_none_is_similar_to_itself() {
        let one = entry("one", agent_id("a"), id("/web"));
        let index = index([put_entry(one.clone())]);
        let mut two = entry("two", agent_id("a"), id("/web"));
        assert_eq!(index.similar(&two).unwrap().id, one.id);
        assert_eq!(index.similar(&one), None);
        two.selectors = set(&["unix:uid:0"]);
        assert_eq!(index.similar(&two), None);
    }

    #[test]
    fn only_an_effective_entry_makes_an_administrator() {
        let mut admin = entry("e", agent_id("a"), id("/ops"));
        admin.admin = true;
        admin.expires_at = Some(at(50));
        let mut index = index([put_entry(admin.clone())]);
        assert!(index.is_admin(&id("/ops"), at(49)));
        assert!(!index.is_downstream(&id("/ops"), at(49)));
        assert!(!index.is_admin(&id("/ops"), at(50)));
        assert!(!index.is_admin(&id("/web"), at(49)));
        admin.disabled = true;
        index.apply(&put_entry(admin));
        assert!(!index.is_admin(&id("/ops"), at(49)));
        assert!(index.entries_by_spiffe_id(&id("/ops"), at(49)).is_empty());
    }

    #[test]
    fn only_an_effective_entry_makes_a_downstream() {
        let mut downstream = entry("e", agent_id("a"), id("/nested"));
        downstream.downstream = true;
        downstream.expires_at = Some(at(50));
        let index = index([put_entry(downstream)]);
        assert!(index.is_downstream(&id("/nested"), at(49)));
        assert!(!index.is_admin(&id("/nested"), at(49)));
        assert!(!index.is_downstream(&id("/nested"), at(50)));
    }

    #[test]
    fn entries_come_in_order_of_creation_and_a_page_goes_on_where_one_was_deleted() {
        let made = |name, seconds| Entry {
            created_at: at(seconds),
            ..entry(name, agent_id("a"), id("/web"))
        };
        let entries = [made("b", 2), made("z", 1), made("a", 2), made("c", 3)];
        let mut index = index(entries.map(put_entry));
        let names = |place| {
            let entries = index.entries_after(place);
            entries.map(|e| e.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["z", "a", "b", "c"]);
        let place = || Some((at(2), EntryId::parse("a").unwrap()));
        assert_eq!(names(place()), ["b", "c"]);
        index.apply(&Change::DeleteEntry(EntryId::parse("a").unwrap()));
        assert_eq!(index.entries_after(place()).count(), 2);
        assert_eq!(index.entry_count(), 3);
    }

    #[test]
    fn agents_come_in_order_of_their_ids() {
        let index = two_agents();
        assert_eq!(index.agent_count(), 2);
        let after: Vec<_> = index.agents_after(&agent_id("a")).collect();
        assert_eq!(after.len(), 1);
        assert_eq!(after[0].id, agent_id("b"));
    }

    #[test]
    fn a_federated_bundle_concerns_the_agents_whose_entries_federate() {
        let other = TrustDomain::parse("other.org").unwrap();
        let mut entry = entry("e", agent_id("a"), id("/web"));
        entry.federates_with = [other.clone()].into();
        let mut index = two_agents();
        index.apply(&put_entry(entry.clone()));
        assert_eq!(index.agents_federating(&other), named(&["a"]).agents);
        assert_eq!(index.entries_federating(&other).count(), 1);
        assert!(index.agents_federating(&td()).is_empty());
        index.apply(&Change::DeleteEntry(entry.id));
        assert_eq!(index.entries_federating(&other).count(), 0);
    }
}
