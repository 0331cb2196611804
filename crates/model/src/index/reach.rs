//! Who may have what: the walk between agents and entries.
//!
//! ```text
//! agent ── parent_id of ──▶ entry ── its spiffe_id is parent_id of ──▶ entry ── … any depth
//!   └─ has all selectors of a node alias, whose spiffe_id is parent_id of ──▶ entry
//! ```
//!
//! Downwards (`authorized`) and upwards (`authorizes`, `agents_of`) it is the same graph. An entry
//! that is not effective is no link of it: what lies below is not reached through it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::SpiffeId;

use super::Index;
use crate::agent::Agent;
use crate::entry::{Entry, EntryId};

/// An entry together with the agent that may serve it at this time. Only the index makes one, so
/// whoever holds it need not ask again.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorized {
    entry: Arc<Entry>,
    agent: SpiffeId,
}

impl Authorized {
    /// The entry.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The agent.
    pub fn agent(&self) -> &SpiffeId {
        &self.agent
    }
}

impl Index {
    /// All entries the agent may serve at this time, in order of their ids. An agent that is not
    /// attested, banned or expired may serve none.
    pub fn authorized(&self, agent: &SpiffeId, now: SystemTime) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut parents: Vec<_> = self.parents_of(agent, now).into_iter().collect();
        while let Some(parent) = parents.pop() {
            if !seen.insert(parent) {
                continue;
            }
            for entry in self.entries.below(parent).filter(|e| e.is_effective(now)) {
                parents.push(&entry.spiffe_id);
                found.push(Arc::clone(entry));
            }
        }
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// The entry, if the agent may serve it at this time: the same answer as [`Index::authorized`]
    /// has, without listing it.
    pub fn authorizes(
        &self,
        agent: &SpiffeId,
        entry: &EntryId,
        now: SystemTime,
    ) -> Option<Authorized> {
        let entry = self.entries.get(entry)?;
        let parents = self.parents_of(agent, now);
        let reached = entry.is_effective(now)
            && self.entries.is_linked(entry)
            && self.is_reached(&parents, &entry.parent_id, now);
        reached.then(|| Authorized {
            entry: Arc::clone(entry),
            agent: agent.clone(),
        })
    }

    /// The IDs whose children the agent may serve: its own and those of its node aliases.
    fn parents_of(&self, agent: &SpiffeId, now: SystemTime) -> HashSet<&SpiffeId> {
        let Some(agent) = self.active_agent(agent, now) else {
            return HashSet::new();
        };
        let aliases = self.entries.aliases_of(&agent.selectors);
        let aliases = aliases.filter(|alias| alias.is_effective(now));
        aliases
            .map(|alias| &alias.spiffe_id)
            .chain([&agent.id])
            .collect()
    }

    fn active_agent(&self, id: &SpiffeId, now: SystemTime) -> Option<&Arc<Agent>> {
        self.agents.get(id).filter(|agent| agent.is_active(now))
    }

    /// Whether one of the parents is this ID, or an effective entry leads from one to it.
    fn is_reached(&self, parents: &HashSet<&SpiffeId>, id: &SpiffeId, now: SystemTime) -> bool {
        let mut seen = HashSet::new();
        let mut ids = vec![id];
        while let Some(id) = ids.pop() {
            if parents.contains(id) {
                return true;
            }
            if !seen.insert(id) {
                continue;
            }
            let links = self.entries.giving(id).filter(|link| link.is_effective(now));
            ids.extend(links.filter(|l| !l.is_node_alias()).map(|l| &l.parent_id));
        }
        false
    }

    /// The attested agents that may serve the entry, or for a node alias take part in it, at some
    /// time or other: ends are not looked at, so this may name one too many and never one too few.
    pub(super) fn agents_of(&self, entry: &Entry) -> BTreeSet<SpiffeId> {
        let mut agents = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut links = vec![entry];
        while let Some(link) = links.pop() {
            if link.disabled || !self.entries.is_linked(link) {
                continue;
            }
            if link.is_node_alias() {
                agents.extend(self.agents.having(&link.selectors).map(|a| a.id.clone()));
            } else if seen.insert(&link.parent_id) {
                agents.extend(self.agents.get(&link.parent_id).map(|a| a.id.clone()));
                links.extend(self.entries.giving(&link.parent_id).map(Arc::as_ref));
            }
        }
        agents
    }
}
