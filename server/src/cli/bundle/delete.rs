//! `bundle delete`.

use clap::{Args, ValueEnum};
use signet_cli::{Answer, ClientCommand, Failure, json, text, value};
use signet_proto::spire::server::bundle::v1::BatchDeleteFederatedBundleRequest;
use signet_proto::spire::server::bundle::v1::batch_delete_federated_bundle_request as request;
use signet_proto::spire::server::bundle::v1::batch_delete_federated_bundle_response::Result as Deleted;
use tonic::transport::Channel;

use super::client;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Delete {
    /// The trust domain whose bundle goes
    #[arg(long, value_name = "TRUST_DOMAIN", value_parser = value::trust_domain)]
    id: String,
    /// What happens to entries that federate with it
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Mode {
    /// The bundle stays while there are any
    #[default]
    Restrict,
    /// They are deleted too
    Delete,
    /// They stay, and federate with it no more
    Dissociate,
}

impl From<Mode> for request::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Restrict => Self::Restrict,
            Mode::Delete => Self::Delete,
            Mode::Dissociate => Self::Dissociate,
        }
    }
}

impl ClientCommand for Delete {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = BatchDeleteFederatedBundleRequest {
            trust_domains: vec![self.id],
            mode: request::Mode::from(self.mode) as i32,
        };
        let response = client(channel).batch_delete_federated_bundle(request).await;
        let response = response.map_err(Failure::call("delete the bundle"))?;
        Ok(answer(&response.into_inner().results))
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
            None => answer.text.push_str("bundle deleted.\n"),
            Some(status) => {
                let (name, status) = (&result.trust_domain, text::status(status));
                let line = format!("Error: failed to delete the bundle of {name} ({status})\n");
                answer.problems.push_str(&line);
                answer.failed = true;
            }
        }
    }
    answer.json = Some(json::results(
        results,
        |result| result.status.as_ref(),
        "trust_domain",
        |result| result.trust_domain.as_str().into(),
    ));
    answer
}
