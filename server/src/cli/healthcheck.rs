//! `healthcheck`.

use clap::Args;
use signet_cli::health::HealthArgs;
use signet_cli::{Answer, ClientCommand, Failure};
use tonic::Request;
use tonic::transport::Channel;

#[derive(Args, Clone, Debug)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    arguments: HealthArgs,
}

impl ClientCommand for Healthcheck {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = Request::new(Default::default());
        self.arguments.check(channel, request, "Server").await
    }
}
