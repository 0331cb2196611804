//! `agent show`.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, json, value};
use signet_proto::spire::server::agent::v1::GetAgentRequest;
use signet_proto::spire::types::Spiffeid;
use tonic::transport::Channel;

use super::{client, text};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Show {
    /// The agent to show
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
}

impl ClientCommand for Show {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = GetAgentRequest {
            id: Some(self.spiffe_id),
            output_mask: None,
        };
        let response = client(channel).get_agent(request).await;
        let agent = response
            .map_err(Failure::call("show the agent"))?
            .into_inner();
        let mut shown = String::from("Found an attested agent given its SPIFFE ID\n\n");
        shown.push_str(&text::agent(&agent));
        for selector in &agent.selectors {
            let (kind, value) = (&selector.r#type, &selector.value);
            shown.push_str(&format!("Selectors         : {kind}:{value}\n"));
        }
        Ok(Answer::new(shown, json::agent(&agent)))
    }
}
