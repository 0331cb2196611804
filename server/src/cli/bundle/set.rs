//! `bundle set`.

use std::path::PathBuf;

use clap::Args;
use signet_cli::{Answer, ClientCommand, Failure, files, json, text, value};
use signet_proto::spire::server::bundle::v1::BatchSetFederatedBundleRequest;
use signet_proto::spire::server::bundle::v1::batch_set_federated_bundle_response::Result as Stored;
use tonic::transport::Channel;

use super::client;
use super::document::{self, Format};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Set {
    /// The trust domain the bundle belongs to
    #[arg(long, value_name = "TRUST_DOMAIN", value_parser = value::trust_domain)]
    id: String,
    /// The file with the bundle; stdin if it is left out
    #[arg(
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    path: PathBuf,
    /// The form of the bundle
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    format: Format,
}

impl ClientCommand for Set {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let content = files::read_or_stdin(&self.path)?;
        let bundle = document::read(&self.id, &content, self.format);
        let bundle = bundle.map_err(|reason| Failure::Content {
            subject: format!("the bundle in {}", self.path.display()),
            reason,
        })?;
        let request = BatchSetFederatedBundleRequest {
            bundle: vec![bundle],
            output_mask: None,
        };
        let response = client(channel).batch_set_federated_bundle(request).await;
        let response = response.map_err(Failure::call("store the bundle"))?;
        Ok(answer(response.into_inner().results))
    }
}

fn answer(results: Vec<Stored>) -> Answer {
    let first = results.first().and_then(|result| result.status.as_ref());
    let failed = text::failed(first);
    Answer {
        text: if failed {
            String::new()
        } else {
            "bundle set.\n".into()
        },
        problems: first.filter(|_| failed).map_or_else(String::new, |status| {
            format!(
                "Error: failed to set the bundle ({})\n",
                text::status(status)
            )
        }),
        failed,
        json: Some(json::results(
            &results,
            |result| result.status.as_ref(),
            "bundle",
            |result| json::optional(result.bundle.as_ref(), json::bundle),
        )),
    }
}
