//! `entry update`: the whole entry anew.

use std::path::PathBuf;

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::spire::server::entry::v1::BatchUpdateEntryRequest;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types::Entry;
use tonic::transport::Channel;

use super::create::require_identity;
use super::fields::Fields;
use super::wait::{Expects, Wait};
use super::{attributes, client, data, lifetimes, text};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    fields: Fields,
    /// A JSON file with entries, each with its entry_id, or as entry show --output json prints them;
    /// - is stdin. Other flags that describe an entry do not count then
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
}

impl ClientCommand for Update {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let mut client = client(channel.clone());
        let (entries, warnings) = match &self.data {
            Some(path) => data::read(path)?.into_entries()?,
            None => (vec![self.clone().entry(&mut client).await?], String::new()),
        };
        if entries.iter().any(|entry| entry.id.is_empty()) {
            return Err(Failure::Usage(
                "an update needs the entry's id: --entry-id".into(),
            ));
        }
        let warnings = warnings + &lifetimes::warnings(&channel, &entries).await;
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        let waiting = self.wait.begin(&channel, ids).await?;
        let request = BatchUpdateEntryRequest {
            entries: entries.clone(),
            input_mask: None,
            output_mask: None,
        };
        let response = client.batch_update_entry(request).await;
        let response = response.map_err(Failure::call("update the entries"))?;
        let results = response.into_inner().results.into_iter();
        let results: Vec<_> = results
            .map(|result| (result.status, result.entry))
            .collect();
        let written = text::written(&results);
        let answer = text::batch("update", &entries, results, warnings);
        Ok(match waiting {
            Some(waiting) => waiting.end(answer, written, Expects::Agents).await,
            None => answer,
        })
    }
}

impl Update {
    async fn entry(self, client: &mut EntryClient<Channel>) -> Result<Entry, Failure> {
        let entry = self.fields.clone().entry();
        if entry.id.is_empty() {
            return Err(Failure::Usage(
                "an update needs the entry's id: --entry-id".into(),
            ));
        }
        require_identity(&entry)?;
        let attributes = attributes::merged_with_stored(&self.fields, client, &entry.id).await?;
        Ok(Entry {
            additional_attributes: attributes,
            ..entry
        })
    }
}
