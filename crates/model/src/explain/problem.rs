//! What can be wrong with one entry, in words, and what to do about it.

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use signet_spiffe::SpiffeId;

use super::advice::{placeholder, selector_list};
use crate::entry::EntryId;
use crate::selector::{self, SelectorSet};
use crate::serialize;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The entry at fault: the one in question, or one on the way from it to an agent.
    pub entry_id: EntryId,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The workload has not all selectors of the entry.
    MissingSelectors {
        /// Those it lacks.
        #[serde(serialize_with = "selector::exposed")]
        missing: SelectorSet,
    },
    /// An operator switched the entry off.
    Disabled,
    /// The entry's end has come.
    Expired {
        /// When.
        #[serde(serialize_with = "serialize::seconds")]
        since: SystemTime,
    },
    /// The entry is not one that could be written today: another trust domain, a reserved path, no
    /// selector.
    NotValid,
    /// The parent is an agent's ID, and no such agent is attested.
    ParentNotAttested {
        /// The parent.
        parent_id: SpiffeId,
    },
    /// The parent is neither an agent nor what an entry gives.
    ParentUnknown {
        /// The parent.
        parent_id: SpiffeId,
    },
    /// The parent is another agent than the one asked about.
    OtherAgent {
        /// The parent.
        parent_id: SpiffeId,
    },
    /// The parent's entries lead only to each other, and to no agent.
    NoAgentAbove {
        /// The parent.
        parent_id: SpiffeId,
    },
    /// The agent that could serve it is banned.
    AgentBanned {
        /// The agent.
        agent_id: SpiffeId,
    },
    /// The agent that could serve it has let its SVID expire.
    AgentExpired {
        /// The agent.
        agent_id: SpiffeId,
        /// When.
        #[serde(serialize_with = "serialize::seconds")]
        since: SystemTime,
    },
    /// No agent has all selectors of the node alias.
    AliasMatchesNoAgent {
        /// The agent that comes nearest, if there is any agent.
        nearest: Option<SpiffeId>,
        /// What it lacks.
        #[serde(serialize_with = "selector::exposed")]
        missing: SelectorSet,
    },
}

impl Problem {
    /// How far this is from being right, for order.
    pub(super) fn distance(&self) -> usize {
        match &self.cause {
            Cause::MissingSelectors { missing } | Cause::AliasMatchesNoAgent { missing, .. } => {
                missing.len().max(1)
            }
            _ => 1,
        }
    }

    /// What is wrong, in a sentence. Shows selectors.
    pub fn text(&self) -> String {
        let entry = &self.entry_id;
        match &self.cause {
            Cause::MissingSelectors { missing } => {
                format!("the workload lacks {}", selector_list(missing))
            }
            Cause::Disabled => format!("entry {entry} is disabled"),
            Cause::Expired { .. } => format!("entry {entry} has expired"),
            Cause::NotValid => format!(
                "entry {entry} grants nothing: its SPIFFE ID or parent is not of this trust \
                 domain or reserved, or it has no selector"
            ),
            Cause::ParentNotAttested { parent_id } => {
                format!("the parent of entry {entry}, {parent_id}, is no attested agent")
            }
            Cause::ParentUnknown { parent_id } => format!(
                "the parent of entry {entry}, {parent_id}, is neither an agent nor the SPIFFE ID \
                 of another entry"
            ),
            Cause::OtherAgent { parent_id } => {
                format!("the parent of entry {entry} is another agent, {parent_id}")
            }
            Cause::NoAgentAbove { parent_id } => format!(
                "no agent stands above entry {entry}: the entries that give its parent, \
                 {parent_id}, lead only to each other"
            ),
            Cause::AgentBanned { agent_id } => format!("agent {agent_id} is banned"),
            Cause::AgentExpired { agent_id, .. } => {
                format!("the SVID of agent {agent_id} has expired")
            }
            Cause::AliasMatchesNoAgent {
                nearest: Some(agent),
                missing,
            } => format!(
                "agent {agent} lacks {} of node alias {entry}",
                selector_list(missing)
            ),
            Cause::AliasMatchesNoAgent { nearest: None, .. } => {
                format!("no agent is attested that could match node alias {entry}")
            }
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let entry = &self.entry_id;
        let patch = format!("signet-server entry patch --entry-id {entry}");
        match &self.cause {
            Cause::MissingSelectors { .. } => format!(
                "if the workload is right and the entry wrong: {patch} --selector {} (replaces all)",
                placeholder("SELECTOR")
            ),
            Cause::Disabled => format!("{patch} --disabled=false"),
            Cause::Expired { .. } => {
                format!("{patch} --entry-expiry {}", placeholder("UNIX_SECONDS"))
            }
            Cause::NotValid => {
                format!("delete it: signet-server entry delete --entry-id {entry}")
            }
            Cause::ParentNotAttested { .. } => format!(
                "start the agent that attests as this parent, or choose one of `signet-server \
                 agent list`: {patch} --parent-id {}",
                placeholder("AGENT_ID")
            ),
            Cause::ParentUnknown { .. } | Cause::OtherAgent { .. } | Cause::NoAgentAbove { .. } => {
                format!(
                    "choose a parent of `signet-server agent list`: {patch} --parent-id {}",
                    placeholder("AGENT_ID")
                )
            }
            Cause::AgentBanned { agent_id } => format!(
                "to lift the ban: signet-server agent evict --spiffe-id {agent_id}; the agent \
                 then attests again"
            ),
            Cause::AgentExpired { .. } => {
                "start the agent, or look in its log for why it does not renew".to_owned()
            }
            Cause::AliasMatchesNoAgent { .. } => format!(
                "compare with `signet-server agent show`; if the alias is wrong: {patch} \
                 --selector {} (replaces all)",
                placeholder("SELECTOR")
            ),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            entry_id: &'a EntryId,
            #[serde(flatten)]
            cause: &'a Cause,
            text: String,
            remedy: String,
        }
        Shown {
            entry_id: &self.entry_id,
            cause: &self.cause,
            text: self.text(),
            remedy: self.remedy(),
        }
        .serialize(to)
    }
}
