//! `healthcheck`.

use clap::Args;
use signet_cli::health::HealthArgs;
use signet_cli::{Answer, ClientCommand, Failure};
use tonic::transport::Channel;

use super::api::with_header;

#[derive(Args, Clone, Debug)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    arguments: HealthArgs,
}

impl ClientCommand for Healthcheck {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = with_header(Default::default());
        self.arguments.check(channel, request, "Agent").await
    }
}
