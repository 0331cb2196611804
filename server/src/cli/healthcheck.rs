//! `healthcheck`: one question to `grpc.health.v1.Health`.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, value};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[derive(Args, Clone, Debug)]
pub(super) struct Healthcheck {
    /// Accepted for SPIRE's sake; the check is the same
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    shallow: Option<bool>,
    /// Say more
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    verbose: Option<bool>,
}

impl ClientCommand for Healthcheck {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let response = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .map_err(Failure::call("check the server's health"))?
            .into_inner();
        let mut answer = Answer::default();
        if self.verbose == Some(true) {
            answer.text.push_str("Checking server health...\n");
        }
        if response.status() == ServingStatus::Serving {
            answer.text.push_str("Server is healthy.\n");
        } else {
            answer.problems = format!(
                "Error: Server is unhealthy: it answers {}; its log says why\n",
                response.status().as_str_name()
            );
            answer.failed = true;
        }
        Ok(answer)
    }
}
