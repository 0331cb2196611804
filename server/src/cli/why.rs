//! `why`: the server explains its decisions.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, value};
use signet_proto::signet::admin::v1::WhyRequest;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::spire::types;
use tonic::transport::Channel;

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct Why {
    /// The identity somebody expects
    #[arg(long, value_name = "SPIFFE_ID")]
    spiffe_id: Option<String>,
    /// What the workload was attested to have, as unix:uid:1000; may be given several times
    #[arg(long, value_name = "SELECTOR", value_parser = value::selector)]
    selector: Vec<types::Selector>,
    /// The SPIFFE ID of the agent the workload runs under
    #[arg(long, value_name = "SPIFFE_ID", alias = "agent")]
    agent_id: Option<String>,
}

impl ClientCommand for Why {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = WhyRequest {
            spiffe_id: self.spiffe_id.unwrap_or_default(),
            selectors: self.selector,
            agent_id: self.agent_id.unwrap_or_default(),
        };
        let response = AdminClient::new(channel)
            .why(request)
            .await
            .map_err(Failure::call("get an explanation"))?
            .into_inner();
        Ok(Answer {
            text: ending_with_newline(response.text),
            json: serde_json::from_str(&response.json).ok(),
            ..Answer::default()
        })
    }
}

fn ending_with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
