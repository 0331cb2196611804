//! The answer as text for a terminal.

use std::fmt::Write as _;

use super::advice::{printable, selector_list};
use super::{AgentState, Explanation, Finding, Question, Standing};

impl Explanation {
    /// The answer for people, over several lines. Shows selectors.
    pub fn render(&self) -> String {
        let mut lines = Lines::default();
        lines.question(&self.question);
        if let Some(agent) = &self.agent {
            lines.agent(agent);
        }
        lines.findings("Granted", &self.granted);
        lines.findings("Not granted", &self.refused);
        if self.granted.is_empty() && self.refused.is_empty() {
            lines.add(0, "No entry matches, not even nearly.");
        }
        if self.omitted > 0 {
            lines.add(0, &format!("{} more not shown.", self.omitted));
        }
        if !self.advice.is_empty() {
            lines.add(0, "Next:");
        }
        for advice in &self.advice {
            lines.add(1, advice.expose());
        }
        lines.0
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, depth: usize, text: &str) {
        let indent = "  ".repeat(depth);
        writeln!(self.0, "{indent}{}", printable(text)).expect("a String takes all text");
    }

    fn question(&mut self, question: &Question) {
        if let Some(id) = &question.spiffe_id {
            self.add(0, &format!("SPIFFE ID: {id}"));
        }
        if let Some(selectors) = &question.selectors {
            self.add(0, &format!("Selectors: {}", selector_list(selectors)));
        }
        if let Some(id) = &question.agent_id {
            self.add(0, &format!("Agent: {id}"));
        }
    }

    fn agent(&mut self, agent: &AgentState) {
        let standing = match agent.standing {
            Standing::Active => "active",
            Standing::NotAttested => "not attested",
            Standing::Banned => "banned",
            Standing::Expired { .. } => "expired",
        };
        let count = agent.authorized;
        self.add(1, &format!("{standing}; may serve {count} entries"));
        if !agent.selectors.is_empty() {
            let selectors = selector_list(&agent.selectors);
            self.add(1, &format!("has {selectors}"));
        }
    }

    fn findings(&mut self, title: &str, findings: &[Finding]) {
        if !findings.is_empty() {
            self.add(0, &format!("{title}:"));
        }
        for finding in findings {
            self.finding(finding);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let kind = match finding.is_node_alias {
            true => "node alias",
            false => "entry",
        };
        let (id, spiffe_id) = (&finding.entry_id, &finding.spiffe_id);
        self.add(1, &format!("{kind} {id}: {spiffe_id}"));
        self.add(2, &format!("wants {}", selector_list(&finding.selectors)));
        if let Some(parent_id) = &finding.parent_id {
            self.add(2, &format!("under {parent_id}"));
        }
        if let Some(agent) = finding.agents.first() {
            let others = match finding.agent_count - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            self.add(2, &format!("served by {agent}{others}"));
        }
        for problem in &finding.problems {
            self.add(2, &format!("- {}", problem.text()));
            self.add(2, &format!("  {}", problem.remedy()));
        }
    }
}
