//! The server's view: over all entries and all agents.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::SpiffeId;

use super::advice::Advice;
use super::links;
use super::problem::{Cause, Problem};
use super::{AgentState, Explanation, Finding, Question, Standing};
use crate::entry::Entry;
use crate::index::Index;
use crate::selector::SelectorSet;

/// The most entries whose links are followed for one question. Those that lack the fewest selectors
/// come first, so what is cut off is what would be shown last.
const MAX_CANDIDATES: usize = 200;

/// Answers a question over all that the server knows.
pub fn server_wide(index: &Index, question: Question, now: SystemTime) -> Explanation {
    let agent = question.agent_id.as_ref();
    let state = agent.map(|id| agent_state(index, id, now));
    let mut candidates = candidates(index, &question);
    let cut_off = candidates.len().saturating_sub(MAX_CANDIDATES);
    candidates.truncate(MAX_CANDIDATES);
    let findings = candidates.iter().map(|e| finding(index, e, &question, now));
    let mut explanation = Explanation::of(question.clone(), state, findings.collect());
    explanation.omitted += cut_off;
    explanation.advice = advice(index, &explanation, now);
    explanation
}

fn agent_state(index: &Index, id: &SpiffeId, now: SystemTime) -> AgentState {
    let agent = index.agent(id);
    let standing = match agent.map(|agent| links::agent_problem(agent, now)) {
        None => Standing::NotAttested,
        Some(Some(Cause::AgentExpired { since, .. })) => Standing::Expired { since },
        Some(Some(_)) => Standing::Banned,
        Some(None) => Standing::Active,
    };
    AgentState {
        agent_id: id.clone(),
        standing,
        selectors: agent.map(|a| a.selectors.clone()).unwrap_or_default(),
        authorized: index.authorized(id, now).len(),
    }
}

/// The entries the question is about, those that lack the fewest selectors first.
fn candidates(index: &Index, question: &Question) -> Vec<Arc<Entry>> {
    let near_parents = match question {
        Question {
            spiffe_id: None,
            selectors: None,
            agent_id: Some(agent),
        } => Some(near_parents(index, agent)),
        _ => None,
    };
    let mut found: Vec<_> = index
        .entries()
        .filter(|entry| {
            question
                .spiffe_id
                .as_ref()
                .is_none_or(|id| *id == entry.spiffe_id)
        })
        .filter(|entry| {
            near_parents
                .as_ref()
                .is_none_or(|p| p.contains(&entry.parent_id))
        })
        .filter_map(|entry| Some((lacking(entry, question)?, Arc::clone(entry))))
        .collect();
    found.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.id.cmp(&other.id)));
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// How many of its selectors the workload lacks. `None` if it has none of them: then the entry was
/// not meant for it, unless it is the identity asked for.
fn lacking(entry: &Entry, question: &Question) -> Option<usize> {
    let Some(selectors) = &question.selectors else {
        return Some(0);
    };
    let near = question.spiffe_id.is_some() || entry.selectors.intersects(selectors);
    near.then(|| entry.selectors.missing_from(selectors).len())
}

/// The parents an entry of this agent has or was likely meant to have: the agent, what leads on
/// from it, and node aliases with which it has a selector in common.
fn near_parents(index: &Index, agent: &SpiffeId) -> HashSet<SpiffeId> {
    let mut parents = HashSet::from([agent.clone()]);
    if let Some(known) = index.agent(agent) {
        let aliases = index.entries().filter(|entry| entry.is_node_alias());
        let near = aliases.filter(|alias| alias.selectors.intersects(&known.selectors));
        parents.extend(near.map(|alias| alias.spiffe_id.clone()));
    }
    let mut unseen: Vec<_> = parents.iter().cloned().collect();
    while let Some(parent) = unseen.pop() {
        for entry in index.below(&parent) {
            if parents.insert(entry.spiffe_id.clone()) {
                unseen.push(entry.spiffe_id.clone());
            }
        }
    }
    parents
}

fn finding(index: &Index, entry: &Arc<Entry>, question: &Question, now: SystemTime) -> Finding {
    let mut agents = index.agents_serving(entry, now);
    let asked = question.agent_id.as_ref();
    if let Some(asked) = asked {
        agents.retain(|agent| agent == asked);
    }
    let served = !agents.is_empty();
    let mut finding = Finding::of(entry, agents);
    let own = links::own_problem(index, entry, now);
    let missing = question
        .selectors
        .as_ref()
        .map(|s| entry.selectors.missing_from(s));
    let missing = missing.filter(|missing| !missing.is_empty());
    let causes = own.into_iter().chain(missing.map(missing_selectors));
    finding.problems = causes.map(|cause| problem(entry, cause)).collect();
    if !served {
        let broken = links::broken(index, entry, asked, now);
        finding.problems.extend(broken);
    }
    finding
}

fn missing_selectors(missing: SelectorSet) -> Cause {
    Cause::MissingSelectors { missing }
}

fn problem(entry: &Entry, cause: Cause) -> Problem {
    Problem {
        entry_id: entry.id.clone(),
        cause,
    }
}

fn advice(index: &Index, explanation: &Explanation, now: SystemTime) -> Vec<Advice> {
    let mut advice = Vec::new();
    let question = &explanation.question;
    if let Some(agent) = &explanation.agent {
        advice.extend(agent_advice(agent));
    }
    if index.agent_count() == 0 {
        advice.push(Advice::new(
            "no agent is attested yet; for a first one: signet-server token generate, then \
             signet-agent run --join-token <TOKEN>",
        ));
    }
    if explanation.granted.is_empty() && explanation.refused.is_empty() {
        let parent = question.agent_id.clone().or_else(|| only_agent(index, now));
        let create = Advice::create(
            question.spiffe_id.as_ref(),
            parent.as_ref(),
            question.selectors.as_ref(),
        );
        advice.push(create);
    }
    advice
}

fn agent_advice(agent: &AgentState) -> Option<Advice> {
    let id = &agent.agent_id;
    match agent.standing {
        Standing::Active => None,
        Standing::NotAttested => Some(Advice::new(format!(
            "{id} is no attested agent; `signet-server agent list` names those that are"
        ))),
        Standing::Banned => Some(Advice::new(format!(
            "{id} is banned; to lift the ban: signet-server agent evict --spiffe-id {id}"
        ))),
        Standing::Expired { .. } => Some(Advice::new(format!(
            "the SVID of {id} has expired: start the agent, or look in its log for why it does \
             not renew"
        ))),
    }
}

/// The one active agent, if there is exactly one: then it is the parent that was meant.
fn only_agent(index: &Index, now: SystemTime) -> Option<SpiffeId> {
    let mut active = index.agents().filter(|agent| agent.is_active(now));
    match (active.next(), active.next()) {
        (Some(agent), None) => Some(agent.id.clone()),
        _ => None,
    }
}
