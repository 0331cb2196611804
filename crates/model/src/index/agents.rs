//! The agents, by SPIFFE ID and by selector.

use std::collections::BTreeMap;
use std::sync::Arc;

use signet_spiffe::SpiffeId;

use super::ends::Ends;
use super::groups::Groups;
use crate::agent::Agent;
use crate::selector::{Selector, SelectorSet};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AgentTable {
    agents: BTreeMap<SpiffeId, Arc<Agent>>,
    by_selector: Groups<Selector, SpiffeId>,
    ends: Ends<SpiffeId>,
}

impl AgentTable {
    pub(super) fn put(&mut self, agent: &Arc<Agent>) -> Option<Arc<Agent>> {
        let old = self.remove(&agent.id);
        for selector in &agent.selectors {
            self.by_selector.insert(selector, agent.id.clone());
        }
        self.ends.insert(agent.valid_until(), agent.id.clone());
        self.agents.insert(agent.id.clone(), Arc::clone(agent));
        old
    }

    pub(super) fn remove(&mut self, id: &SpiffeId) -> Option<Arc<Agent>> {
        let old = self.agents.remove(id)?;
        for selector in &old.selectors {
            self.by_selector.remove(selector, id);
        }
        self.ends.remove(old.valid_until(), id);
        Some(old)
    }

    pub(super) fn get(&self, id: &SpiffeId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    pub(super) fn all(&self) -> &BTreeMap<SpiffeId, Arc<Agent>> {
        &self.agents
    }

    pub(super) fn ends(&self) -> &Ends<SpiffeId> {
        &self.ends
    }

    /// The agents that have all these selectors. None has, if there are no selectors to have.
    /// Costs as much as the rarest of the selectors has agents.
    pub(super) fn having<'a>(
        &'a self,
        selectors: &'a SelectorSet,
    ) -> impl Iterator<Item = &'a Arc<Agent>> {
        let rarest = selectors.iter().min_by_key(|s| self.by_selector.count(s));
        rarest
            .into_iter()
            .flat_map(|selector| self.by_selector.get(selector))
            .filter_map(|id| self.agents.get(id))
            .filter(|agent| selectors.is_subset(&agent.selectors))
    }
}
