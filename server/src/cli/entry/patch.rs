//! `entry patch`: only what is given changes. Ours; SPIRE has the whole-entry update alone.

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{BatchUpdateEntryRequest, GetEntryRequest};
use signet_proto::spire::types::{Entry, EntryMask};
use tonic::transport::Channel;

use super::extras::{self, Extras};
use super::fields::Fields;
use super::wait::Wait;
use super::{attributes, client, lifetimes, text};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Patch {
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    extras: Extras,
    #[command(flatten)]
    wait: Wait,
}

impl ClientCommand for Patch {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let Some(id) = self.fields.entry_id.clone().filter(|id| !id.is_empty()) else {
            return Err(Failure::Usage(
                "name the entry to change: --entry-id".into(),
            ));
        };
        let mask = self.fields.mask();
        let changes_fields = mask != EntryMask::default();
        if !changes_fields && self.extras.is_empty() {
            return Err(Failure::Usage(
                "nothing to change was given; see --help".into(),
            ));
        }
        let mut client = client(channel.clone());
        let waiting = self.wait.begin(&channel, vec![id.clone()]).await?;
        let expects = self.extras.expects();
        let mut answer = if changes_fields {
            change(&channel, self.fields, &id, mask).await?
        } else {
            Answer::default()
        };
        if !answer.failed && !self.extras.is_empty() {
            let extras = self.extras.store(channel, &id).await?;
            let entry = stored(&mut client, &id).await?;
            let warnings = std::mem::take(&mut answer.problems);
            answer = extras::answer(&entry, &extras);
            answer.problems = warnings;
        }
        Ok(match waiting {
            Some(waiting) if !answer.failed => waiting.end(answer, vec![id], expects).await,
            _ => answer,
        })
    }
}

async fn change(
    channel: &Channel,
    fields: Fields,
    id: &str,
    mask: EntryMask,
) -> Result<Answer, Failure> {
    let mut client = client(channel.clone());
    let attributes = attributes::merged_with_stored(&fields, &mut client, id).await?;
    let entry = Entry {
        additional_attributes: attributes,
        ..fields.entry()
    };
    let warnings = lifetimes::warnings(channel, std::slice::from_ref(&entry)).await;
    let request = BatchUpdateEntryRequest {
        entries: vec![entry.clone()],
        input_mask: Some(mask),
        output_mask: None,
    };
    let response = client.batch_update_entry(request).await;
    let response = response.map_err(Failure::call("change the entry"))?;
    let results = response.into_inner().results.into_iter();
    let results = results
        .map(|result| (result.status, result.entry))
        .collect();
    Ok(text::batch("change", &[entry], results, warnings))
}

async fn stored(client: &mut EntryClient<Channel>, id: &str) -> Result<Entry, Failure> {
    let request = GetEntryRequest {
        id: id.into(),
        output_mask: None,
    };
    let response = client.get_entry(request).await;
    Ok(response
        .map_err(Failure::call("read the entry"))?
        .into_inner())
}
