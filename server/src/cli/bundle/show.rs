//! `bundle show`.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, json};
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use tonic::transport::Channel;

use super::client;
use super::document::{self, Format};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Show {
    /// The form of the bundle
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    format: Format,
}

impl ClientCommand for Show {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let response = client(channel)
            .get_bundle(GetBundleRequest::default())
            .await;
        let bundle = response
            .map_err(Failure::call("show the bundle"))?
            .into_inner();
        let text = document::write(&bundle, self.format)?;
        Ok(Answer::new(text, json::bundle(&bundle)))
    }
}
