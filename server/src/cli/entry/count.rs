//! `entry count`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, text};
use signet_proto::spire::server::entry::v1::CountEntriesRequest;
use tonic::transport::Channel;

use super::client;
use super::filter::Filter;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Count {
    #[command(flatten)]
    filter: Filter,
}

impl ClientCommand for Count {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = CountEntriesRequest {
            filter: Some(self.filter.for_count()),
        };
        let response = client(channel).count_entries(request).await;
        let count = response
            .map_err(Failure::call("count the entries"))?
            .into_inner()
            .count;
        let shown = usize::try_from(count).unwrap_or_default();
        let shown = text::counted(shown, "registration entry", "registration entries");
        Ok(Answer::new(shown + "\n", json!({ "count": count })))
    }
}
