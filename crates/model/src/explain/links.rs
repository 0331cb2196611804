//! The links from an entry up to agents, and which of them are broken.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::SpiffeId;

use super::problem::{Cause, Problem};
use crate::agent::Agent;
use crate::entry::Entry;
use crate::index::Index;
use crate::selector::SelectorSet;

/// The most broken links named for one entry: the nearest ones tell enough.
const MAX_PROBLEMS: usize = 8;

/// What is wrong with the entry itself.
pub(super) fn own_problem(index: &Index, entry: &Entry, now: SystemTime) -> Option<Cause> {
    match entry.expires_at {
        _ if entry.disabled => Some(Cause::Disabled),
        Some(since) if since <= now => Some(Cause::Expired { since }),
        _ if !index.may_grant(entry) => Some(Cause::NotValid),
        _ => None,
    }
}

/// Why the agent may serve nothing, if it may not.
pub(super) fn agent_problem(agent: &Agent, now: SystemTime) -> Option<Cause> {
    let agent_id = agent.id.clone();
    let since = agent.valid_until();
    if agent.is_banned() {
        Some(Cause::AgentBanned { agent_id })
    } else if since <= now {
        Some(Cause::AgentExpired { agent_id, since })
    } else {
        None
    }
}

/// The links that would have to hold for an agent (if one is asked about: this one) to serve the
/// entry, and do not. Asked of an entry that nobody serves and that has no fault of its own, the
/// answer is never empty.
pub(super) fn broken(
    index: &Index,
    entry: &Entry,
    asked: Option<&SpiffeId>,
    now: SystemTime,
) -> Vec<Problem> {
    let mut walk = Walk {
        index,
        asked,
        now,
        seen: HashSet::new(),
        problems: Vec::new(),
    };
    walk.above(entry);
    if walk.problems.is_empty() && own_problem(index, entry, now).is_none() {
        let parent_id = entry.parent_id.clone();
        walk.note(entry, Cause::NoAgentAbove { parent_id });
    }
    walk.problems
}

struct Walk<'a> {
    index: &'a Index,
    asked: Option<&'a SpiffeId>,
    now: SystemTime,
    seen: HashSet<SpiffeId>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn above(&mut self, entry: &Entry) {
        let mut links = vec![Arc::new(entry.clone())];
        while let Some(link) = links.pop() {
            if self.problems.len() >= MAX_PROBLEMS {
                return;
            }
            let own = own_problem(self.index, &link, self.now);
            if let Some(cause) = own.filter(|_| link.id != entry.id) {
                self.note(&link, cause);
            } else if link.is_node_alias() {
                self.alias(&link);
            } else if self.seen.insert(link.parent_id.clone()) {
                links.extend(self.parent(&link));
            }
        }
    }

    fn note(&mut self, entry: &Entry, cause: Cause) {
        self.problems.push(Problem {
            entry_id: entry.id.clone(),
            cause,
        });
    }

    /// Notes what keeps agents from taking part in a node alias.
    fn alias(&mut self, alias: &Entry) {
        let nearest = self.nearest_agent(&alias.selectors);
        let Some((missing, agent)) = nearest else {
            let nearest = None;
            let missing = SelectorSet::new();
            return self.note(alias, Cause::AliasMatchesNoAgent { nearest, missing });
        };
        if missing.is_empty() {
            if let Some(cause) = agent_problem(&agent, self.now) {
                self.note(alias, cause);
            }
        } else {
            let nearest = Some(agent.id.clone());
            self.note(alias, Cause::AliasMatchesNoAgent { nearest, missing });
        }
    }

    /// The agent (if one is asked about: this one) that lacks the fewest selectors, an active one
    /// before others.
    fn nearest_agent(&self, selectors: &SelectorSet) -> Option<(SelectorSet, Arc<Agent>)> {
        let in_question = |agent: &&Arc<Agent>| self.asked.is_none_or(|asked| *asked == agent.id);
        let agents = self.index.agents().filter(in_question);
        let lacking = agents.map(|a| (selectors.missing_from(&a.selectors), Arc::clone(a)));
        lacking.min_by_key(|(missing, agent)| (missing.len(), !agent.is_active(self.now)))
    }

    /// Notes what is wrong with a parent, or else says which entries lead on from it.
    fn parent(&mut self, link: &Entry) -> Vec<Arc<Entry>> {
        let parent_id = link.parent_id.clone();
        let above: Vec<_> = self.index.giving(&parent_id).cloned().collect();
        let agent = self.index.agent(&parent_id);
        let cause = match agent {
            Some(agent) if self.asked.is_none_or(|asked| *asked == agent.id) => {
                agent_problem(agent, self.now)
            }
            Some(_) => Some(Cause::OtherAgent { parent_id }),
            None if !above.is_empty() => None,
            None if self.asked.is_some_and(|asked| *asked != parent_id) && parent_id.is_agent() => {
                Some(Cause::OtherAgent { parent_id })
            }
            None if parent_id.is_agent() => Some(Cause::ParentNotAttested { parent_id }),
            None => Some(Cause::ParentUnknown { parent_id }),
        };
        if let Some(cause) = cause {
            self.note(link, cause);
        }
        above
    }
}
