//! `entry delete`.

use std::path::PathBuf;

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, json, text};
use signet_proto::spire::server::entry::v1::BatchDeleteEntryRequest;
use signet_proto::spire::server::entry::v1::batch_delete_entry_response::Result as Deleted;
use tonic::transport::Channel;

use super::wait::{Expects, Wait};
use super::{client, data};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// The entry to delete
    #[arg(long, value_name = "ID")]
    entry_id: Option<String>,
    /// A JSON file with the entries to delete, as {"ids": ["…"]}; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ClientCommand for Delete {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let ids: Vec<String> = match self.which.file {
            Some(path) => data::read_ids(&path)?,
            None => self.which.entry_id.into_iter().collect(),
        };
        let waiting = self.wait.begin(&channel, ids.clone()).await?;
        let response = client(channel)
            .batch_delete_entry(BatchDeleteEntryRequest { ids })
            .await
            .map_err(Failure::call("delete the entries"))?;
        let results = response.into_inner().results;
        let deleted = results
            .iter()
            .filter(|result| !text::failed(result.status.as_ref()));
        let deleted = deleted.map(|result| result.id.clone()).collect();
        let answer = answer(&results);
        Ok(match waiting {
            Some(waiting) => waiting.end(answer, deleted, Expects::Nobody).await,
            None => answer,
        })
    }
}

fn answer(results: &[Deleted]) -> Answer {
    let mut answer = Answer::default();
    for result in results {
        match result
            .status
            .as_ref()
            .filter(|status| text::failed(Some(status)))
        {
            None => {
                let line = format!("Deleted entry with ID: {}\n", result.id);
                answer.text.push_str(&line);
            }
            Some(status) => {
                let (id, status) = (&result.id, text::status(status));
                let line = format!("Failed to delete entry with ID {id} ({status})\n");
                answer.problems.push_str(&line);
                answer.failed = true;
            }
        }
    }
    let status = |result: &Deleted| result.status.clone();
    let with_status: Vec<_> = results.iter().map(|r| (status(r), &r.id)).collect();
    answer.json = Some(json::results(
        &with_status,
        |item| item.0.as_ref(),
        "id",
        |item| item.1.as_str().into(),
    ));
    answer
}
