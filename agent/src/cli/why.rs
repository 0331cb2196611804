//! `why`: the agent explains what it decides about a process.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::signet::agent::admin::v1::WhyRequest;
use signet_proto::signet::agent::admin::v1::admin_client::AdminClient;
use tonic::transport::Channel;

#[derive(Args, Clone, Debug)]
pub(super) struct Why {
    /// The process, by its id in the agent's PID namespace
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

impl ClientCommand for Why {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let response = AdminClient::new(channel)
            .why(WhyRequest { pid: self.pid })
            .await;
        let response = response
            .map_err(Failure::call("get an explanation"))?
            .into_inner();
        Ok(Answer {
            json: serde_json::from_str(&response.json).ok(),
            ..Answer::text(response.text.trim_end().to_owned() + "\n")
        })
    }
}
