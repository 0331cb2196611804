//! One agent's view: the entries it was given, and a workload's selectors.

use signet_spiffe::SpiffeId;

use super::advice::Advice;
use super::problem::{Cause, Problem};
use super::{Explanation, Finding, Question};
use crate::entry::EntryId;
use crate::selector::SelectorSet;

/// What an agent knows of an entry it may serve.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its id.
    pub id: &'a EntryId,
    /// What it gives.
    pub spiffe_id: &'a SpiffeId,
    /// What a workload must have.
    pub selectors: &'a SelectorSet,
}

/// Answers from what this agent knows: which of its entries a workload with these selectors gets,
/// which it nearly gets, and what to ask the server.
pub fn on_agent<'a>(
    agent_id: &SpiffeId,
    found: &SelectorSet,
    entries: impl IntoIterator<Item = Known<'a>>,
) -> Explanation {
    let entries = entries.into_iter();
    let near = entries.filter(|entry| entry.selectors.intersects(found));
    let findings = near.map(|entry| finding(entry, found));
    let question = Question {
        spiffe_id: None,
        selectors: Some(found.clone()),
        agent_id: Some(agent_id.clone()),
    };
    let mut explanation = Explanation::of(question, None, findings.collect());
    if explanation.granted.is_empty() {
        explanation.advice = vec![
            Advice::ask_server(agent_id, found),
            Advice::create(None, Some(agent_id), Some(found)),
        ];
    }
    explanation
}

fn finding(entry: Known<'_>, found: &SelectorSet) -> Finding {
    let missing = entry.selectors.missing_from(found);
    let problem = (!missing.is_empty()).then(|| Problem {
        entry_id: entry.id.clone(),
        cause: Cause::MissingSelectors { missing },
    });
    Finding {
        entry_id: entry.id.clone(),
        spiffe_id: entry.spiffe_id.clone(),
        parent_id: None,
        is_node_alias: false,
        selectors: entry.selectors.clone(),
        agents: Vec::new(),
        agent_count: 0,
        problems: problem.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent_id, id, set};

    fn explained(found: &[&str], entries: &[(&str, &[&str])]) -> Explanation {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, selectors)| {
                let spiffe_id = id(&format!("/{name}"));
                (EntryId::parse(name).unwrap(), spiffe_id, set(selectors))
            })
            .collect();
        let known = entries.iter().map(|(id, spiffe_id, selectors)| Known {
            id,
            spiffe_id,
            selectors,
        });
        on_agent(&agent_id("a"), &set(found), known)
    }

    #[test]
    fn an_entry_whose_selectors_the_workload_has_is_granted() {
        let answer = explained(&["unix:uid:1", "unix:gid:1"], &[("web", &["unix:uid:1"])]);
        assert_eq!(answer.granted.len(), 1);
        assert!(answer.refused.is_empty());
        assert!(answer.advice.is_empty());
    }

    #[test]
    fn near_misses_name_the_missing_selector_the_nearest_first() {
        let far: &[&str] = &["unix:uid:1", "unix:gid:2", "unix:gid:3"];
        let near: &[&str] = &["unix:uid:1", "unix:gid:2"];
        let unrelated: &[&str] = &["docker:label:x"];
        let entries = [("far", far), ("near", near), ("unrelated", unrelated)];
        let answer = explained(&["unix:uid:1"], &entries);
        let names: Vec<_> = answer.refused.iter().map(|f| f.entry_id.as_str()).collect();
        assert_eq!(names, ["near", "far"]);
        let missing = set(&["unix:gid:2"]);
        assert_eq!(
            answer.refused[0].problems[0].cause,
            Cause::MissingSelectors { missing }
        );
    }

    #[test]
    fn without_an_entry_the_next_commands_are_given() {
        let answer = explained(&["unix:uid:1"], &[]);
        let commands: Vec<_> = answer.advice.iter().map(Advice::expose).collect();
        assert!(commands[0].contains("signet-server why --agent"));
        assert!(commands[1].contains("signet-server entry create"));
        assert!(commands[1].contains("--selector unix:uid:1"));
        assert!(commands[1].contains("--parent-id spiffe://example.org/spire/agent/test/a"));
    }
}
