//! `entry show`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, json as spire_json, text};
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{GetEntryRequest, ListEntriesRequest};
use signet_proto::spire::types::Entry;
use tonic::transport::Channel;

use super::filter::Filter;
use super::text::entry as entry_text;
use super::{client, extras};

/// Entries asked for at once, so that a page stays far below any message limit.
const PAGE_SIZE: i32 = 500;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Show {
    /// One entry, by its id
    #[arg(long, value_name = "ID")]
    entry_id: Option<String>,
    #[command(flatten)]
    filter: Filter,
}

impl ClientCommand for Show {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let mut client = client(channel.clone());
        let (entries, further) = match self.entry_id.filter(|id| !id.is_empty()) {
            Some(id) => {
                let entry = one(&mut client, &id).await?;
                (
                    vec![entry],
                    extras::lines(&extras::stored(channel, &id).await?),
                )
            }
            None => (all(&mut client, self.filter).await?, String::new()),
        };
        let mut shown = format!(
            "Found {}\n",
            text::counted(entries.len(), "entry", "entries")
        );
        for entry in &entries {
            shown.push_str(&entry_text(entry, &further));
        }
        let json = json!({
            "entries": spire_json::list(&entries, spire_json::entry),
            "next_page_token": "",
        });
        Ok(Answer::new(shown, json))
    }
}

async fn one(client: &mut EntryClient<Channel>, id: &str) -> Result<Entry, Failure> {
    let request = GetEntryRequest {
        id: id.into(),
        output_mask: None,
    };
    let response = client.get_entry(request).await;
    Ok(response
        .map_err(Failure::call("show the entry"))?
        .into_inner())
}

async fn all(client: &mut EntryClient<Channel>, filter: Filter) -> Result<Vec<Entry>, Failure> {
    let mut request = ListEntriesRequest {
        filter: Some(filter.for_list()),
        output_mask: None,
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut entries = Vec::new();
    loop {
        let response = client.list_entries(request.clone()).await;
        let response = response
            .map_err(Failure::call("list the entries"))?
            .into_inner();
        entries.extend(response.entries);
        if response.next_page_token.is_empty() {
            return Ok(entries);
        }
        request.page_token = response.next_page_token;
    }
}
