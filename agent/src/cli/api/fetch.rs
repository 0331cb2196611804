//! `api fetch` and `api fetch x509`.

use std::path::PathBuf;

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, text, value};
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use tokio::time::Instant;
use tonic::transport::Channel;

use super::{Deadline, client, json, refused, svid, with_header};

const STEP: &str = "fetch the X509-SVIDs";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct X509 {
    #[command(flatten)]
    deadline: Deadline,
    /// Say nothing on success
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    silent: Option<bool>,
    /// Write SVIDs, keys and bundles into this folder, which must exist
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

impl ClientCommand for X509 {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let start = Instant::now();
        let response = self.deadline.limit(STEP, first(channel)).await?;
        let count = text::counted(response.svids.len(), "svid", "svids");
        let mut shown = format!("Received {count} after {:?}\n\n", start.elapsed());
        shown.push_str(&svid::shown(&response)?);
        if let Some(folder) = &self.write {
            shown.push('\n');
            shown.push_str(&svid::write(&response, folder)?);
        }
        if self.silent == Some(true) {
            shown.clear();
        }
        Ok(Answer::new(shown, json::x509_response(&response)))
    }
}

async fn first(channel: Channel) -> Result<X509svidResponse, Failure> {
    let mut client = client(channel);
    let updates = client.fetch_x509svid(with_header(X509svidRequest {})).await;
    let mut updates = updates.map_err(refused(STEP))?.into_inner();
    let first = updates.message().await.map_err(refused(STEP))?;
    first.ok_or_else(|| Failure::incomplete("X509-SVIDs"))
}
