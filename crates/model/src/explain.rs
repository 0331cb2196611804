//! Why somebody gets an identity, or does not.
//!
//! [`server_wide`] answers over all entries and agents, for the server's operator. [`on_agent`]
//! answers from what one agent knows, for the operator of its node; nothing of other agents can be
//! in it. Both find the entries in question, name for each what is wrong (a missing selector, a
//! broken link to an agent, an end, a switch) and say what to do.
//!
//! An answer shows selector values, so it is for operators' eyes: `Debug` hides them, the JSON form
//! and [`Explanation::render`] do not.

mod advice;
mod links;
mod problem;
mod render;
mod search;
mod workload;

pub use advice::Advice;
pub use problem::{Cause, Problem};
pub use search::server_wide;
pub use workload::{Known, on_agent};

use std::time::SystemTime;

use serde::Serialize;
use signet_spiffe::SpiffeId;

use crate::entry::{Entry, EntryId};
use crate::selector::{self, SelectorSet};
use crate::serialize;

/// The most findings of each sort in one answer; more are counted, not shown.
pub const MAX_FINDINGS: usize = 20;

/// The most agents shown for one entry; more are counted, not shown.
pub const MAX_AGENTS: usize = 10;

/// What is asked. The parts narrow each other; without any, all entries are looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Question {
    /// An identity that somebody expects.
    pub spiffe_id: Option<SpiffeId>,
    /// What a workload was attested to have.
    #[serde(serialize_with = "selector::optional_exposed")]
    pub selectors: Option<SelectorSet>,
    /// The agent it runs under.
    pub agent_id: Option<SpiffeId>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub question: Question,
    /// The agent asked about.
    pub agent: Option<AgentState>,
    /// Entries that give what was asked for.
    pub granted: Vec<Finding>,
    /// Entries that nearly do, the nearest first.
    pub refused: Vec<Finding>,
    /// How many more there are of either sort.
    pub omitted: usize,
    /// What to do next, beyond the remedies of the single problems.
    pub advice: Vec<Advice>,
}

/// How an agent stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentState {
    /// Which agent.
    pub agent_id: SpiffeId,
    /// Whether it may serve anything.
    pub standing: Standing,
    /// What its node was attested to have.
    #[serde(serialize_with = "selector::exposed")]
    pub selectors: SelectorSet,
    /// How many entries it may serve.
    pub authorized: usize,
}

/// Whether an agent may serve anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Active,
    /// The server does not know it.
    NotAttested,
    /// An operator banned it.
    Banned,
    /// Its SVID has expired.
    Expired {
        /// When.
        #[serde(serialize_with = "serialize::seconds")]
        since: SystemTime,
    },
}

/// One entry, and what keeps it from giving what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which entry.
    pub entry_id: EntryId,
    /// What it gives.
    pub spiffe_id: SpiffeId,
    /// Under whom; an agent does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<SpiffeId>,
    /// Whether it names agents instead of workloads: it then never is an identity itself.
    pub is_node_alias: bool,
    /// Its selectors.
    #[serde(serialize_with = "selector::exposed")]
    pub selectors: SelectorSet,
    /// The first agents that serve it (for a node alias, that take part in it).
    pub agents: Vec<SpiffeId>,
    /// How many agents do.
    pub agent_count: usize,
    /// What is wrong; nothing, if it is granted.
    pub problems: Vec<Problem>,
}

impl Finding {
    fn of(entry: &Entry, agents: impl IntoIterator<Item = SpiffeId>) -> Self {
        let mut agents: Vec<_> = agents.into_iter().collect();
        let agent_count = agents.len();
        agents.truncate(MAX_AGENTS);
        Self {
            entry_id: entry.id.clone(),
            spiffe_id: entry.spiffe_id.clone(),
            parent_id: Some(entry.parent_id.clone()),
            is_node_alias: entry.is_node_alias(),
            selectors: entry.selectors.clone(),
            agents,
            agent_count,
            problems: Vec::new(),
        }
    }

    /// How many selectors are missing, all problems taken together: how far off it is.
    fn distance(&self) -> usize {
        self.problems.iter().map(Problem::distance).sum()
    }
}

impl Explanation {
    /// Sorts findings into the answer, the nearest first.
    fn of(question: Question, agent: Option<AgentState>, findings: Vec<Finding>) -> Self {
        let (mut granted, mut refused): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|f| f.problems.is_empty());
        refused.sort_by_key(|finding| (finding.distance(), finding.entry_id.clone()));
        let omitted =
            granted.len().saturating_sub(MAX_FINDINGS) + refused.len().saturating_sub(MAX_FINDINGS);
        granted.truncate(MAX_FINDINGS);
        refused.truncate(MAX_FINDINGS);
        Self {
            question,
            agent,
            granted,
            refused,
            omitted,
            advice: Vec::new(),
        }
    }
}
