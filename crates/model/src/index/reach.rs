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
            let links = self
                .entries
                .giving(id)
                .filter(|link| link.is_effective(now));
            ids.extend(links.filter(|l| !l.is_node_alias()).map(|l| &l.parent_id));
        }
        false
    }

    /// The active agents that may serve the entry at this time; for a node alias, those that take
    /// part in it.
    pub fn agents_serving(&self, entry: &Entry, now: SystemTime) -> BTreeSet<SpiffeId> {
        let mut agents = self.agents_above(entry, |link| link.is_effective(now));
        agents.retain(|id| self.active_agent(id, now).is_some());
        agents
    }

    /// The attested agents that may serve the entry, or for a node alias take part in it, at some
    /// time or other: ends are not looked at, so this may name one too many and never one too few.
    pub(super) fn agents_of(&self, entry: &Entry) -> BTreeSet<SpiffeId> {
        self.agents_above(entry, |link| !link.disabled)
    }

    /// The agents from which such links lead to the entry, itself one of the links.
    fn agents_above(&self, entry: &Entry, holds: impl Fn(&Entry) -> bool) -> BTreeSet<SpiffeId> {
        let mut agents = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut links = vec![entry];
        while let Some(link) = links.pop() {
            if !holds(link) || !self.entries.is_linked(link) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::fixtures::{
        agent, agent_id, alias, at, entry, id, index, put_agent, put_entry, served, set,
    };

    const NOW: u64 = 100;

    fn served_by(index: &Index, agent: &str) -> Vec<String> {
        served(index, &agent_id(agent), at(NOW))
    }

    /// Agent a, a node alias it takes part in, an entry below the alias, one below that, one that
    /// is the agent's own.
    fn facts() -> [Change; 5] {
        [
            put_agent(agent("a", &["node:rack:1", "node:zone:x"])),
            put_entry(alias("alias", id("/rack"), &["node:rack:1"])),
            put_entry(entry("below-alias", id("/rack"), id("/db"))),
            put_entry(entry("deep", id("/db"), id("/db/backup"))),
            put_entry(entry("own", agent_id("a"), id("/web"))),
        ]
    }

    fn with(change: Change) -> Index {
        index(facts().into_iter().chain([change]))
    }

    #[test]
    fn an_agent_serves_its_own_entries_those_of_its_aliases_and_all_below() {
        let index = index(facts());
        assert_eq!(served_by(&index, "a"), ["below-alias", "deep", "own"]);
    }

    #[test]
    fn an_alias_itself_is_not_served() {
        let index = index(facts());
        let alias = EntryId::parse("alias").unwrap();
        assert_eq!(index.authorizes(&agent_id("a"), &alias, at(NOW)), None);
    }

    #[test]
    fn an_agent_that_lacks_a_selector_of_the_alias_does_not_take_part() {
        let wants_more = alias("alias", id("/rack"), &["node:rack:1", "node:rack:2"]);
        assert_eq!(served_by(&with(put_entry(wants_more)), "a"), ["own"]);
    }

    #[test]
    fn an_agent_serves_nothing_of_another() {
        let index = with(put_agent(agent("b", &["node:zone:x"])));
        assert!(served_by(&index, "b").is_empty());
        let own = EntryId::parse("own").unwrap();
        assert_eq!(index.authorizes(&agent_id("b"), &own, at(NOW)), None);
    }

    #[test]
    fn an_agent_that_is_not_attested_serves_nothing() {
        let index = with(Change::DeleteAgent(agent_id("a")));
        assert!(served_by(&index, "a").is_empty());
    }

    #[test]
    fn a_banned_or_expired_agent_serves_nothing() {
        let known = agent("a", &["node:rack:1"]);
        let mut expired = known.clone();
        expired.expires_at = at(NOW);
        for agent in [known.banned(), expired] {
            assert!(served_by(&with(put_agent(agent)), "a").is_empty());
        }
    }

    #[test]
    fn a_disabled_or_expired_alias_passes_nothing_on() {
        let mut disabled = alias("alias", id("/rack"), &["node:rack:1"]);
        let mut expired = disabled.clone();
        disabled.disabled = true;
        expired.expires_at = Some(at(NOW));
        for alias in [disabled, expired] {
            assert_eq!(served_by(&with(put_entry(alias)), "a"), ["own"]);
        }
    }

    #[test]
    fn a_disabled_or_expired_entry_is_not_served_and_passes_nothing_on() {
        let mut disabled = entry("below-alias", id("/rack"), id("/db"));
        let mut expired = disabled.clone();
        disabled.disabled = true;
        expired.expires_at = Some(at(NOW));
        for entry in [disabled, expired] {
            let index = with(put_entry(entry));
            assert_eq!(served_by(&index, "a"), ["own"]);
            let deep = EntryId::parse("deep").unwrap();
            assert_eq!(index.authorizes(&agent_id("a"), &deep, at(NOW)), None);
        }
    }

    #[test]
    fn what_another_entry_still_leads_to_is_served() {
        let mut disabled = entry("below-alias", id("/rack"), id("/db"));
        disabled.disabled = true;
        let second_way = entry("second-way", agent_id("a"), id("/db"));
        let mut index = with(put_entry(disabled));
        index.apply(&put_entry(second_way));
        assert_eq!(served_by(&index, "a"), ["deep", "own", "second-way"]);
    }

    #[test]
    fn a_circle_of_entries_ends() {
        let index = index([
            put_agent(agent("a", &[])),
            put_entry(entry("1", agent_id("a"), id("/x"))),
            put_entry(entry("2", id("/x"), id("/y"))),
            put_entry(entry("3", id("/y"), id("/x"))),
            put_entry(entry("4", id("/z"), id("/z"))),
        ]);
        assert_eq!(served_by(&index, "a"), ["1", "2", "3"]);
        let own_parent = EntryId::parse("4").unwrap();
        assert_eq!(index.authorizes(&agent_id("a"), &own_parent, at(NOW)), None);
    }

    #[test]
    fn an_alias_without_selectors_would_be_everybodys_and_is_nobodys() {
        let index = with(put_entry(alias("alias", id("/rack"), &[])));
        assert_eq!(served_by(&index, "a"), ["own"]);
    }

    #[test]
    fn entries_that_may_not_be_written_are_not_served() {
        let foreign = SpiffeId::parse("spiffe://other.org/web").unwrap();
        let mut no_selector = entry("none", agent_id("a"), id("/none"));
        no_selector.selectors = set(&[]);
        for bad in [
            entry("foreign", agent_id("a"), foreign.clone()),
            entry("reserved", agent_id("a"), agent_id("b")),
            entry("foreign-parent", foreign, id("/web")),
            no_selector,
        ] {
            let index = with(put_entry(bad.clone()));
            assert_eq!(served_by(&index, "a").len(), 3, "{}", bad.id);
            assert!(index.entry(&bad.id).is_some());
            assert_eq!(index.authorizes(&agent_id("a"), &bad.id, at(NOW)), None);
        }
    }

    #[test]
    fn what_is_authorized_is_handed_out_with_its_agent() {
        let index = index(facts());
        for name in served_by(&index, "a") {
            let name = EntryId::parse(&name).unwrap();
            let authorized = index.authorizes(&agent_id("a"), &name, at(NOW)).unwrap();
            assert_eq!(authorized.entry().id, name);
            assert_eq!(authorized.agent(), &agent_id("a"));
        }
    }
}
