//! `entry create`.

use std::path::PathBuf;

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, value};
use signet_proto::spire::server::entry::v1::BatchCreateEntryRequest;
use signet_proto::spire::types::{Entry, Spiffeid};
use tonic::transport::Channel;

use super::fields::Fields;
use super::wait::{Expects, Wait};
use super::{attributes, client, data, lifetimes, text};

/// The parent of node aliases: the server itself.
const SERVER_PATH: &str = "/spire/server";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    fields: Fields,
    /// The entry is a node alias: it names agents by their selectors, and the server is its parent
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    node: Option<bool>,
    /// A JSON file with entries, as {"entries": [{"spiffe_id": …}]} or as entry show --output json
    /// prints them; - is stdin. Other flags that describe an entry do not count then
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
}

impl ClientCommand for Create {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let (entries, warnings) = match &self.data {
            Some(path) => data::read(path)?.into_entries()?,
            None => (vec![self.clone().entry()?], String::new()),
        };
        let warnings = warnings + &lifetimes::warnings(&channel, &entries).await;
        let waiting = self.wait.begin(&channel, Vec::new()).await?;
        let request = BatchCreateEntryRequest {
            entries: entries.clone(),
            output_mask: None,
        };
        let response = client(channel)
            .batch_create_entry(request)
            .await
            .map_err(Failure::call("create the entries"))?
            .into_inner();
        let results = response.results.into_iter();
        let results: Vec<_> = results
            .map(|result| (result.status, result.entry))
            .collect();
        let written = text::written(&results);
        let answer = text::batch("create", &entries, results, warnings);
        Ok(match waiting {
            Some(waiting) => waiting.end(answer, written, Expects::Agents).await,
            None => answer,
        })
    }
}

impl Create {
    fn entry(self) -> Result<Entry, Failure> {
        let attributes = attributes::merged(&self.fields, None);
        let mut entry = Entry {
            additional_attributes: attributes,
            ..self.fields.entry()
        };
        if self.node == Some(true) {
            entry.parent_id = entry.spiffe_id.as_ref().map(|id| Spiffeid {
                trust_domain: id.trust_domain.clone(),
                path: SERVER_PATH.into(),
            });
        }
        require_identity(&entry)?;
        Ok(entry)
    }
}

/// The three fields without which an entry says nothing.
pub(super) fn require_identity(entry: &Entry) -> Result<(), Failure> {
    let missing = [
        (entry.spiffe_id.is_none(), "--spiffe-id"),
        (
            entry.parent_id.is_none(),
            "--parent-id (or --node at creation)",
        ),
        (entry.selectors.is_empty(), "--selector"),
    ];
    let missing: Vec<_> = missing.iter().filter(|(is, _)| *is).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(_, name)| *name).collect();
    let names = names.join(", ");
    Err(Failure::Usage(format!(
        "an entry needs {names}; see --help"
    )))
}
