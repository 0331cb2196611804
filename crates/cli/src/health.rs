//! One question to `grpc.health.v1.Health`, the same for both programs.

use tonic::Request;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use clap::Args;

use crate::{Answer, Failure, value};

/// The flags of `healthcheck`.
#[derive(Args, Clone, Debug)]
pub struct HealthArgs {
    /// Accepted for SPIRE's sake; the check is the same
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    shallow: Option<bool>,
    /// Say more
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    verbose: Option<bool>,
}

impl HealthArgs {
    /// Asks the program, which is called `name` in the answer.
    ///
    /// # Errors
    /// [`Failure::Call`] when it does not say.
    pub async fn check(
        self,
        channel: Channel,
        request: Request<HealthCheckRequest>,
        name: &str,
    ) -> Result<Answer, Failure> {
        let lower = name.to_lowercase();
        let response = HealthClient::new(channel).check(request).await;
        let status = response
            .map_err(Failure::call(format!("check the {lower}'s health")))?
            .into_inner()
            .status();
        let mut answer = Answer::default();
        if self.verbose == Some(true) {
            answer.text = format!("Checking {lower} health...\n");
        }
        if status == ServingStatus::Serving {
            answer.text.push_str(&format!("{name} is healthy.\n"));
        } else {
            let status = status.as_str_name();
            answer.problems =
                format!("Error: {name} is unhealthy: it answers {status}; its log says why\n");
            answer.failed = true;
        }
        Ok(answer)
    }
}
