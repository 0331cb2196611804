//! `agent explain`: what was proved, when, by what, and which entries follow.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, json, text, value};
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::{ExplainAgentRequest, ExplainAgentResponse};
use signet_proto::spire::types::{Agent, Entry, Spiffeid};
use tonic::transport::Channel;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Explain {
    /// The agent
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
}

impl ClientCommand for Explain {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = ExplainAgentRequest {
            spiffe_id: text::spiffe_id(Some(&self.spiffe_id)),
        };
        let explained = AdminClient::new(channel).explain_agent(request).await;
        let explained = explained
            .map_err(Failure::call("explain the agent"))?
            .into_inner();
        let agent = explained.agent.clone().unwrap_or_default();
        let json = json!({
            "agent": json::agent(&agent),
            "attested_at": explained.attested_at.to_string(),
            "proofs": explained.proofs,
            "entries": explained.entries.iter().map(json::entry).collect::<Vec<_>>(),
            "entry_count": explained.entry_count.to_string(),
        });
        Ok(Answer::new(shown(&agent, &explained), json))
    }
}

fn shown(agent: &Agent, explained: &ExplainAgentResponse) -> String {
    let mut lines = format!("Agent {}\n", text::spiffe_id(agent.id.as_ref()));
    let mut line = |text: String| writeln!(lines, "{text}").expect("a String takes all text");
    line(format!("Proved by: {}", proofs(agent, &explained.proofs)));
    line(match explained.attested_at {
        0 => "When: not known, an older program attested it".to_owned(),
        at => format!("When: {}", text::timestamp(at)),
    });
    line(match (agent.banned, agent.can_reattest) {
        (true, _) => "It is banned: no SVID of it is accepted.".to_owned(),
        (false, true) => "It attests again to get its next SVID.".to_owned(),
        (false, false) => {
            "It renews its SVID and cannot attest again by the same evidence.".to_owned()
        }
    });
    line(format!(
        "Its SVID ends: {}",
        text::timestamp(agent.x509svid_expires_at)
    ));
    line(format!(
        "Selectors: {}",
        none_if(agent.selectors.is_empty())
    ));
    for selector in &agent.selectors {
        line(format!("  {}:{}", selector.r#type, selector.value));
    }
    line(format!("Entries that follow: {}", explained.entry_count));
    for entry in &explained.entries {
        line(format!("  {}", entry_line(entry)));
    }
    if explained.entries.len() as i64 != explained.entry_count {
        line("  and more; see \"entry show\"".to_owned());
    }
    lines
}

fn proofs(agent: &Agent, proofs: &[String]) -> String {
    match proofs {
        [] => agent.attestation_type.clone(),
        all => format!("{} together; the first named it", all.join(", ")),
    }
}

fn none_if(empty: bool) -> &'static str {
    if empty { "none" } else { "" }
}

fn entry_line(entry: &Entry) -> String {
    let id = text::spiffe_id(entry.spiffe_id.as_ref());
    format!("{id} (entry {})", entry.id)
}
