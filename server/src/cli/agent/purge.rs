//! `agent purge`: evicts agents that expired long ago and can attest again by themselves.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use signet_cli::{Answer, ClientCommand, Failure, text, value};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{DeleteAgentRequest, list_agents_request};
use signet_proto::spire::types::{Agent, AgentMask};
use signet_runtime::{Clock, SystemClock};
use std::time::UNIX_EPOCH;
use tonic::transport::Channel;

use super::{client, list};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Purge {
    /// How long ago the agent's SVID must have ended
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = value::duration)]
    expired_for: Duration,
    /// Only show what would be evicted
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    dry_run: Option<bool>,
}

/// An agent that is due, and what became of it.
struct Due {
    id: String,
    evicted: bool,
    error: Option<String>,
}

impl ClientCommand for Purge {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let mut client = client(channel);
        let filter = list_agents_request::Filter {
            by_can_reattest: Some(true),
            ..Default::default()
        };
        let mask = AgentMask {
            x509svid_expires_at: true,
            ..AgentMask::default()
        };
        let agents = list::all(&mut client, filter, Some(mask)).await?;
        let now = SystemClock.now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let dry_run = self.dry_run.unwrap_or_default();
        let mut due = Vec::new();
        for agent in expired(agents, now, self.expired_for) {
            due.push(match dry_run {
                true => Due::only_named(&agent),
                false => evict(&mut client, agent).await,
            });
        }
        Ok(answer(&due, dry_run))
    }
}

fn expired(agents: Vec<Agent>, now: Duration, expired_for: Duration) -> Vec<Agent> {
    let end = |agent: &Agent| u64::try_from(agent.x509svid_expires_at).unwrap_or_default();
    let latest = now.saturating_sub(expired_for).as_secs();
    agents
        .into_iter()
        .filter(|agent| end(agent) < latest)
        .collect()
}

async fn evict(client: &mut AgentClient<Channel>, agent: Agent) -> Due {
    let named = Due::only_named(&agent);
    match client
        .delete_agent(DeleteAgentRequest { id: agent.id })
        .await
    {
        Ok(_) => Due {
            evicted: true,
            ..named
        },
        Err(status) => Due {
            error: Some(format!("{:?}: {}", status.code(), status.message())),
            ..named
        },
    }
}

impl Due {
    fn only_named(agent: &Agent) -> Self {
        Self {
            id: text::spiffe_id(agent.id.as_ref()),
            evicted: false,
            error: None,
        }
    }

    fn line(&self) -> String {
        format!("SPIFFE ID         : {}\n", self.id)
    }

    /// The shape is SPIRE's own, not that of a message.
    fn json(&self) -> Value {
        let mut json = json!({ "agent_id": self.id, "deleted": self.evicted });
        if let Some(error) = &self.error {
            json["error"] = error.as_str().into();
        }
        json
    }
}

fn answer(due: &[Due], dry_run: bool) -> Answer {
    let json = json!({ "expired_agents": due.iter().map(Due::json).collect::<Value>() });
    if due.is_empty() {
        return Answer::new("No agents to purge.\n", json);
    }
    let count = text::counted(due.len(), "expired agent", "expired agents");
    let mut shown = format!("Found {count}\n\n");
    let evicted: String = due
        .iter()
        .filter(|due| due.evicted)
        .map(Due::line)
        .collect();
    if dry_run {
        shown.push_str("Agents that can be purged:\n");
        shown.extend(due.iter().map(Due::line));
    } else if !evicted.is_empty() {
        shown.push_str(&format!("Agents purged:\n{evicted}"));
    }
    let mut problems = String::new();
    for (due, error) in due
        .iter()
        .filter_map(|due| Some((due, due.error.as_ref()?)))
    {
        problems.push_str(&format!("{}Error             : {error}\n", due.line()));
    }
    Answer {
        failed: !problems.is_empty(),
        problems: match problems.is_empty() {
            true => problems,
            false => format!("Agents not purged:\n{problems}"),
        },
        ..Answer::new(shown, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, expires_at: i64) -> Agent {
        Agent {
            id: signet_cli::value::spiffe_id(&format!("spiffe://td/{name}")).ok(),
            x509svid_expires_at: expires_at,
            ..Agent::default()
        }
    }

    fn due(name: &str, evicted: bool, error: Option<&str>) -> Due {
        Due {
            evicted,
            error: error.map(Into::into),
            ..Due::only_named(&agent(name, 0))
        }
    }

    #[test]
    fn only_agents_past_the_time_are_due() {
        let agents = vec![agent("old", 99), agent("fresh", 100), agent("alive", 5000)];
        let seconds = Duration::from_secs;
        let due = expired(agents, seconds(1100), seconds(1000));
        let due: Vec<_> = due.iter().map(|agent| agent.x509svid_expires_at).collect();
        assert_eq!(due, [99]);
    }

    #[test]
    fn a_failed_eviction_fails_the_command() {
        let answer = answer(
            &[due("a", true, None), due("b", false, Some("Internal: x"))],
            false,
        );
        assert!(answer.failed);
        assert_eq!(
            answer.text,
            "Found 2 expired agents\n\nAgents purged:\nSPIFFE ID         : spiffe://td/a\n"
        );
        assert_eq!(
            answer.problems,
            "Agents not purged:\nSPIFFE ID         : spiffe://td/b\n\
             Error             : Internal: x\n"
        );
    }

    #[test]
    fn json_is_in_spires_own_shape() {
        let answer = answer(&[due("a", false, Some("x"))], false);
        let expected = json!({ "expired_agents": [
            { "agent_id": "spiffe://td/a", "deleted": false, "error": "x" },
        ]});
        assert_eq!(answer.json, Some(expected));
    }

    #[test]
    fn a_dry_run_names_and_does_not_fail() {
        let answer = answer(&[due("a", false, None)], true);
        assert!(!answer.failed);
        assert!(
            answer
                .text
                .contains("can be purged:\nSPIFFE ID         : spiffe://td/a\n")
        );
    }

    #[test]
    fn nothing_to_do_is_said() {
        assert_eq!(answer(&[], false).text, "No agents to purge.\n");
    }
}
