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

/// The most entries looked at for one question. Those that lack the fewest selectors come first, so
/// what is cut off is what would be shown last.
const MAX_CANDIDATES: usize = 1000;

/// The most entries whose links to agents are followed: it may mean a look at all agents for each.
const MAX_WALKS: usize = 50;

/// Answers a question over all that the server knows.
pub fn server_wide(index: &Index, question: Question, now: SystemTime) -> Explanation {
    let agent = question.agent_id.as_ref();
    let state = agent.map(|id| agent_state(index, id, now));
    let candidates = candidates(index, &question);
    let mut omitted = candidates.len().saturating_sub(MAX_CANDIDATES);
    let mut walks = 0;
    let mut findings = Vec::new();
    for entry in candidates.iter().take(MAX_CANDIDATES) {
        let mut finding = finding(index, entry, &question, now);
        if finding.agents.is_empty() {
            walks += 1;
            if walks > MAX_WALKS {
                omitted += 1;
                continue;
            }
            let broken = links::broken(index, entry, agent, now);
            finding.problems.extend(broken);
        }
        findings.push(finding);
    }
    let mut explanation = Explanation::of(question, state, findings);
    explanation.omitted += omitted;
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

/// The entry, who serves it, and what is wrong with it itself.
fn finding(index: &Index, entry: &Arc<Entry>, question: &Question, now: SystemTime) -> Finding {
    let agents = serving(index, entry, question.agent_id.as_ref(), now);
    let mut finding = Finding::of(entry, agents);
    let own = links::own_problem(index, entry, now);
    let lacking = question.selectors.as_ref();
    let missing = lacking.map(|selectors| entry.selectors.missing_from(selectors));
    let missing = missing.filter(|missing| !missing.is_empty());
    let causes = own.into_iter().chain(missing.map(missing_selectors));
    finding.problems = causes.map(|cause| problem(entry, cause)).collect();
    finding
}

/// The agents that serve the entry; of them only the one asked about, if one is.
fn serving(
    index: &Index,
    entry: &Entry,
    asked: Option<&SpiffeId>,
    now: SystemTime,
) -> Vec<SpiffeId> {
    match asked {
        Some(asked) if !entry.is_node_alias() => {
            let serves = index.authorizes(asked, &entry.id, now).is_some();
            serves.then(|| asked.clone()).into_iter().collect()
        }
        _ => {
            let agents = index.agents_serving(entry, now).into_iter();
            agents
                .filter(|id| asked.is_none_or(|asked| asked == id))
                .collect()
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::Change;
    use crate::explain::MAX_FINDINGS;
    use crate::fixtures::{
        agent, agent_id, alias, at, entry, id, index, put_agent, put_entry, set,
    };
    use crate::index::properties::any_changes;

    const NOW: u64 = 100;

    fn about_id(index: &Index, path: &str) -> Explanation {
        let question = Question {
            spiffe_id: Some(id(path)),
            ..Question::default()
        };
        server_wide(index, question, at(NOW))
    }

    fn about_selectors(index: &Index, selectors: &[&str]) -> Explanation {
        let question = Question {
            selectors: Some(set(selectors)),
            ..Question::default()
        };
        server_wide(index, question, at(NOW))
    }

    fn about_agent(index: &Index, name: &str) -> Explanation {
        let question = Question {
            agent_id: Some(agent_id(name)),
            ..Question::default()
        };
        server_wide(index, question, at(NOW))
    }

    fn names(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|f| f.entry_id.as_str()).collect()
    }

    fn causes(finding: &Finding) -> Vec<(&str, &Cause)> {
        let problems = finding.problems.iter();
        problems.map(|p| (p.entry_id.as_str(), &p.cause)).collect()
    }

    fn web() -> Entry {
        entry("web", agent_id("a"), id("/web"))
    }

    fn with_agent(changes: impl IntoIterator<Item = Change>) -> Index {
        let known = put_agent(agent("a", &["node:rack:1", "node:zone:x"]));
        index([known].into_iter().chain(changes))
    }

    #[test]
    fn what_is_served_is_granted_and_names_its_agent() {
        let answer = about_id(&with_agent([put_entry(web())]), "/web");
        assert_eq!(names(&answer.granted), ["web"]);
        assert_eq!(answer.granted[0].agents, [agent_id("a")]);
        assert!(answer.refused.is_empty() && answer.advice.is_empty());
    }

    #[test]
    fn an_identity_nobody_gives_comes_with_the_command_that_creates_it() {
        let answer = about_id(&with_agent([]), "/web");
        assert!(answer.granted.is_empty() && answer.refused.is_empty());
        let command = answer.advice[0].expose();
        assert!(
            command.contains("--spiffe-id spiffe://example.org/web"),
            "{command}"
        );
        assert!(
            command.contains(&format!("--parent-id {}", agent_id("a"))),
            "{command}"
        );
    }

    #[test]
    fn without_any_agent_the_first_step_is_to_attest_one() {
        let answer = about_id(&index([put_entry(web())]), "/web");
        assert!(answer.advice[0].expose().contains("token generate"));
    }

    #[test]
    fn a_parent_that_is_no_attested_agent_is_named() {
        let lost = entry("web", agent_id("gone"), id("/web"));
        let answer = about_id(&with_agent([put_entry(lost)]), "/web");
        let parent_id = agent_id("gone");
        assert_eq!(
            causes(&answer.refused[0]),
            [("web", &Cause::ParentNotAttested { parent_id })]
        );
    }

    #[test]
    fn a_parent_that_nothing_gives_is_named() {
        let lost = entry("web", id("/rack"), id("/web"));
        let answer = about_id(&with_agent([put_entry(lost)]), "/web");
        let parent_id = id("/rack");
        assert_eq!(
            causes(&answer.refused[0]),
            [("web", &Cause::ParentUnknown { parent_id })]
        );
    }

    #[test]
    fn a_banned_or_expired_agent_is_named() {
        let known = agent("a", &[]);
        let mut expired = known.clone();
        expired.expires_at = at(50);
        let agent_id = known.id.clone();
        let banned_cause = Cause::AgentBanned {
            agent_id: agent_id.clone(),
        };
        let since = at(50);
        let expired_cause = Cause::AgentExpired { agent_id, since };
        for (agent, cause) in [(known.banned(), banned_cause), (expired, expired_cause)] {
            let answer = about_id(&index([put_agent(agent), put_entry(web())]), "/web");
            assert_eq!(causes(&answer.refused[0]), [("web", &cause)]);
        }
    }

    #[test]
    fn a_disabled_or_expired_entry_is_named() {
        let mut disabled = web();
        disabled.disabled = true;
        let mut expired = web();
        expired.expires_at = Some(at(50));
        let since = at(50);
        for (entry, cause) in [
            (disabled, Cause::Disabled),
            (expired, Cause::Expired { since }),
        ] {
            let answer = about_id(&with_agent([put_entry(entry)]), "/web");
            assert_eq!(causes(&answer.refused[0]), [("web", &cause)]);
        }
    }

    #[test]
    fn a_node_alias_that_asks_too_much_is_named_with_the_nearest_agent() {
        let strict = alias("alias", id("/rack"), &["node:rack:1", "node:rack:2"]);
        let below = entry("web", id("/rack"), id("/web"));
        let far = put_agent(agent("b", &[]));
        let answer = about_id(
            &with_agent([put_entry(strict), put_entry(below), far]),
            "/web",
        );
        let cause = Cause::AliasMatchesNoAgent {
            nearest: Some(agent_id("a")),
            missing: set(&["node:rack:2"]),
        };
        assert_eq!(causes(&answer.refused[0]), [("alias", &cause)]);
    }

    #[test]
    fn the_entry_on_the_way_that_is_disabled_is_named() {
        let mut link = entry("link", agent_id("a"), id("/db"));
        link.disabled = true;
        let deep = entry("deep", id("/db"), id("/db/backup"));
        let answer = about_id(
            &with_agent([put_entry(link), put_entry(deep)]),
            "/db/backup",
        );
        assert_eq!(causes(&answer.refused[0]), [("link", &Cause::Disabled)]);
    }

    #[test]
    fn entries_that_lead_only_to_each_other_are_named() {
        let circle = [
            put_entry(entry("1", id("/y"), id("/x"))),
            put_entry(entry("2", id("/x"), id("/y"))),
        ];
        let answer = about_id(&with_agent(circle), "/x");
        let parent_id = id("/y");
        assert_eq!(
            causes(&answer.refused[0]),
            [("1", &Cause::NoAgentAbove { parent_id })]
        );
    }

    #[test]
    fn selectors_find_what_matches_and_what_nearly_does() {
        let mut near = entry("near", agent_id("a"), id("/near"));
        near.selectors = set(&["unix:uid:1000", "unix:gid:7"]);
        let mut other = entry("other", agent_id("a"), id("/other"));
        other.selectors = set(&["unix:uid:1"]);
        let index = with_agent([put_entry(web()), put_entry(near), put_entry(other)]);
        let answer = about_selectors(&index, &["unix:uid:1000", "unix:gid:1000"]);
        assert_eq!(names(&answer.granted), ["web"]);
        assert_eq!(names(&answer.refused), ["near"]);
        let missing = set(&["unix:gid:7"]);
        assert_eq!(
            causes(&answer.refused[0]),
            [("near", &Cause::MissingSelectors { missing })]
        );
    }

    #[test]
    fn an_identity_asked_for_with_selectors_tells_what_is_missing_even_if_all_is() {
        let question = Question {
            spiffe_id: Some(id("/web")),
            selectors: Some(set(&["unix:uid:1"])),
            agent_id: None,
        };
        let answer = server_wide(&with_agent([put_entry(web())]), question, at(NOW));
        let missing = set(&["unix:uid:1000"]);
        assert_eq!(
            causes(&answer.refused[0]),
            [("web", &Cause::MissingSelectors { missing })]
        );
    }

    #[test]
    fn an_agent_is_told_what_it_serves_and_what_it_nearly_does() {
        let strict = alias("alias", id("/rack"), &["node:rack:1", "node:rack:2"]);
        let below = entry("below", id("/rack"), id("/db"));
        let unrelated = entry("unrelated", agent_id("b"), id("/other"));
        let index = with_agent([web(), strict, below, unrelated].map(put_entry));
        let answer = about_agent(&index, "a");
        assert_eq!(names(&answer.granted), ["web"]);
        assert_eq!(names(&answer.refused), ["below"]);
        let state = answer.agent.unwrap();
        assert_eq!((state.standing, state.authorized), (Standing::Active, 1));
    }

    #[test]
    fn an_unknown_agent_is_called_that() {
        let answer = about_agent(&with_agent([]), "x");
        assert_eq!(answer.agent.unwrap().standing, Standing::NotAttested);
        assert!(answer.advice[0].expose().contains("is no attested agent"));
    }

    #[test]
    fn an_entry_of_another_agent_is_not_the_one_asked_about() {
        let question = Question {
            spiffe_id: Some(id("/web")),
            agent_id: Some(agent_id("b")),
            selectors: None,
        };
        let index = with_agent([put_entry(web()), put_agent(agent("b", &[]))]);
        let answer = server_wide(&index, question, at(NOW));
        let parent_id = agent_id("a");
        assert_eq!(
            causes(&answer.refused[0]),
            [("web", &Cause::OtherAgent { parent_id })]
        );
    }

    #[test]
    fn a_long_answer_is_cut_off_and_says_so() {
        let many = (0..100).map(|n| {
            let name = format!("e{n:03}");
            put_entry(entry(&name, agent_id("a"), id("/web")))
        });
        let answer = about_id(&with_agent(many), "/web");
        assert_eq!(answer.granted.len(), MAX_FINDINGS);
        assert_eq!(answer.omitted, 100 - MAX_FINDINGS);
    }

    #[test]
    fn the_text_names_entry_fault_and_remedy() {
        let lost = entry("web", agent_id("gone"), id("/web"));
        let text = about_id(&with_agent([put_entry(lost)]), "/web").render();
        for part in [
            "SPIFFE ID: spiffe://example.org/web",
            "Not granted:",
            "entry web: spiffe://example.org/web",
            "wants unix:uid:1000",
            "spiffe://example.org/spire/agent/test/gone, is no attested agent",
            "signet-server entry patch --entry-id web --parent-id <AGENT_ID>",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn the_json_form_shows_selectors_and_debug_does_not() {
        let answer = about_selectors(&with_agent([put_entry(web())]), &["unix:uid:1000"]);
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["question"]["selectors"][0], "unix:uid:1000");
        assert_eq!(json["granted"][0]["entry_id"], "web");
        assert!(!format!("{answer:?}").contains("uid:1000"));
    }

    #[test]
    fn a_problem_in_json_has_cause_text_and_remedy() {
        let mut expired = web();
        expired.expires_at = Some(at(50));
        let answer = about_id(&with_agent([put_entry(expired)]), "/web");
        let json = serde_json::to_value(&answer).unwrap();
        let problem = &json["refused"][0]["problems"][0];
        assert_eq!(problem["cause"], "expired");
        assert_eq!(problem["since"], 50);
        assert!(problem["text"].as_str().unwrap().contains("has expired"));
        assert!(
            problem["remedy"]
                .as_str()
                .unwrap()
                .contains("--entry-expiry")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(64)
        })]

        #[test]
        fn an_entry_is_granted_if_an_agent_serves_it_and_else_has_a_reason(
            changes in any_changes(),
            agent in prop::option::of(0..4u8),
        ) {
            let index = index(changes);
            let asked = agent.map(|n| agent_id(&n.to_string()));
            for entry in index.entries() {
                let question = Question {
                    spiffe_id: Some(entry.spiffe_id.clone()),
                    agent_id: asked.clone(),
                    selectors: None,
                };
                let answer = server_wide(&index, question, at(4));
                let granted = answer.granted.iter().any(|f| f.entry_id == entry.id);
                let serving = index.agents_serving(entry, at(4));
                let served = match &asked {
                    Some(asked) => serving.contains(asked),
                    None => !serving.is_empty(),
                };
                prop_assert_eq!(granted, served, "{:?}", entry);
                let refused = answer.refused.iter().any(|f| f.entry_id == entry.id);
                prop_assert_eq!(refused, !served);
            }
        }
    }
}
