//! `upstreamauthority taint | revoke`: the upstream authority that the old X.509 authority of this
//! server hangs on.

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;
use signet_cli::{Answer, Call, ClientCommand, Failure, Target};
use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use signet_proto::spire::server::localauthority::v1::{
    RevokeX509UpstreamAuthorityRequest, TaintX509UpstreamAuthorityRequest,
};
use tonic::transport::Channel;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum UpstreamAuthority {
    /// Mark it as not to be relied on: agents replace what hangs on it
    Taint(Call<Taint>),
    /// Take it out of the bundle, once it is tainted: nothing that hangs on it is valid any more
    Revoke(Call<Revoke>),
}

impl UpstreamAuthority {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Taint(call) => call.execute(target),
            Self::Revoke(call) => call.execute(target),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct Taint {
    /// Its subject key id in hexadecimal, as `localauthority x509 show` prints it
    #[arg(long, value_name = "HEX", value_parser = NonEmptyStringValueParser::new())]
    subject_key_id: String,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Revoke {
    /// Its subject key id in hexadecimal, as `localauthority x509 show` prints it
    #[arg(long, value_name = "HEX", value_parser = NonEmptyStringValueParser::new())]
    subject_key_id: String,
}

impl ClientCommand for Taint {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = TaintX509UpstreamAuthorityRequest {
            subject_key_id: self.subject_key_id,
        };
        let mut client = LocalAuthorityClient::new(channel);
        let done = client.taint_x509_upstream_authority(request).await;
        let done = done.map_err(Failure::call("taint the X.509 upstream authority"))?;
        let id = done.into_inner().upstream_authority_subject_key_id;
        Ok(answer("Tainted", &id))
    }
}

impl ClientCommand for Revoke {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = RevokeX509UpstreamAuthorityRequest {
            subject_key_id: self.subject_key_id,
        };
        let mut client = LocalAuthorityClient::new(channel);
        let done = client.revoke_x509_upstream_authority(request).await;
        let done = done.map_err(Failure::call("revoke the X.509 upstream authority"))?;
        let id = done.into_inner().upstream_authority_subject_key_id;
        Ok(answer("Revoked", &id))
    }
}

fn answer(done: &str, id: &str) -> Answer {
    Answer::new(
        format!("{done} X.509 upstream authority:\n  Subject Key ID: {id}\n"),
        json!({ "upstream_authority_subject_key_id": id }),
    )
}
