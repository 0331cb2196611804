//! `bundle count`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, text};
use signet_proto::spire::server::bundle::v1::CountBundlesRequest;
use tonic::transport::Channel;

use super::client;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Count {}

impl ClientCommand for Count {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let response = client(channel).count_bundles(CountBundlesRequest {}).await;
        let response = response.map_err(Failure::call("count the bundles"))?;
        let count = response.into_inner().count;
        let shown = usize::try_from(count).unwrap_or_default();
        let shown = text::counted(shown, "bundle", "bundles");
        Ok(Answer::new(shown + "\n", json!({ "count": count })))
    }
}
