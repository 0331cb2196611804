//! `agent evict` and `agent ban`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, value};
use signet_proto::spire::server::agent::v1::{BanAgentRequest, DeleteAgentRequest};
use signet_proto::spire::types::Spiffeid;
use tonic::transport::Channel;

use super::client;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Evict {
    /// The agent to forget
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
}

impl ClientCommand for Evict {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = DeleteAgentRequest {
            id: Some(self.spiffe_id),
        };
        let response = client(channel).delete_agent(request).await;
        response.map_err(Failure::call("evict the agent"))?;
        Ok(Answer::new("Agent evicted successfully\n", json!({})))
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Ban {
    /// The agent to ban
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
}

impl ClientCommand for Ban {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = BanAgentRequest {
            id: Some(self.spiffe_id),
        };
        let response = client(channel).ban_agent(request).await;
        response.map_err(Failure::call("ban the agent"))?;
        Ok(Answer::new("Agent banned successfully\n", json!({})))
    }
}
