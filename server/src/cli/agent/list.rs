//! `agent list`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, json as spire_json, text};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{ListAgentsRequest, list_agents_request};
use signet_proto::spire::types::{Agent, AgentMask};
use tonic::transport::Channel;

use super::client;
use super::filter::Filter;
use super::text::agent as agent_text;

/// Agents asked for at once, so that a page stays far below any message limit.
const PAGE_SIZE: i32 = 1000;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,
}

impl ClientCommand for List {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let agents = all(&mut client(channel), self.filter.for_list(), None).await?;
        let json = json!({
            "agents": spire_json::list(&agents, spire_json::agent),
            "next_page_token": "",
        });
        Ok(Answer::new(shown(&agents), json))
    }
}

fn shown(agents: &[Agent]) -> String {
    if agents.is_empty() {
        return "No attested agents found\n".into();
    }
    let count = text::counted(agents.len(), "attested agent", "attested agents");
    let agents: String = agents.iter().map(agent_text).collect();
    format!("Found {count}:\n\n{agents}")
}

/// All agents that the filter lets through, page by page.
pub(super) async fn all(
    client: &mut AgentClient<Channel>,
    filter: list_agents_request::Filter,
    output_mask: Option<AgentMask>,
) -> Result<Vec<Agent>, Failure> {
    let mut request = ListAgentsRequest {
        filter: Some(filter),
        output_mask,
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut agents = Vec::new();
    loop {
        let response = client.list_agents(request.clone()).await;
        let response = response
            .map_err(Failure::call("list the agents"))?
            .into_inner();
        agents.extend(response.agents);
        if response.next_page_token.is_empty() {
            return Ok(agents);
        }
        request.page_token = response.next_page_token;
    }
}
