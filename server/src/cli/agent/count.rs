//! `agent count`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, text};
use signet_proto::spire::server::agent::v1::CountAgentsRequest;
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
        let request = CountAgentsRequest {
            filter: Some(self.filter.for_count()),
        };
        let response = client(channel).count_agents(request).await;
        let response = response.map_err(Failure::call("count the agents"))?;
        let count = response.into_inner().count;
        let shown = usize::try_from(count).unwrap_or_default();
        let shown = text::counted(shown, "attested agent", "attested agents");
        Ok(Answer::new(shown + "\n", json!({ "count": count })))
    }
}
