//! All that the issuer knows, in memory.
//!
//! The index answers authorization, sync and issuance without a store. It is kept current by
//! [`Index::apply`], which costs as much as the change concerns and never rebuilds. It may grant;
//! before the server denies for want of a fact, it first catches up with the store.

mod agents;
mod ends;
mod entries;
mod groups;
mod reach;

pub use reach::Authorized;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::{Bundle, SpiffeId, TrustDomain};

use crate::agent::Agent;
use crate::change::{Affected, Change};
use crate::entry::{Entry, EntryId};
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
        concerns(entries.flat_map(|e| self.agents_of(e)).chain(agents.cloned()))
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
        let mut entries = self.entries.giving(id);
        entries.any(|entry| entry.downstream && entry.is_effective(now))
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
        self.agents.all().range::<SpiffeId, _>(range).map(|(_, agent)| agent)
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
}

fn concerns(agents: impl IntoIterator<Item = SpiffeId>) -> Affected {
    Affected {
        agents: agents.into_iter().collect(),
        bundle: None,
    }
}
