//! `api`: the Workload API, used as a workload uses it.

mod fetch;
mod fetch_jwt;
mod json;
mod svid;
mod validate_jwt;
mod watch;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use signet_cli::{Call, Failure, Target, socket, value};
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Every request carries it, so that no request a browser was tricked into can pass for one
/// (SPIFFE_Workload_Endpoint section 3).
const SECURITY_HEADER: &str = "workload.spiffe.io";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Api {
    /// Fetch SVIDs: X.509 unless told otherwise
    Fetch(Fetch),
    /// Validate an SVID
    #[command(subcommand)]
    Validate(Validate),
    /// Print the X.509-SVIDs at each update, until interrupted
    Watch(Call<watch::Watch>),
}

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Fetch {
    #[command(subcommand)]
    what: Option<Asked>,
    #[command(flatten)]
    x509: Call<fetch::X509>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Asked {
    /// Fetch X.509-SVIDs, keys and bundles
    X509(Call<fetch::X509>),
    /// Fetch JWT-SVIDs and the keys to check them
    Jwt(Call<fetch_jwt::Jwt>),
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Validate {
    /// Validate a JWT-SVID
    Jwt(Call<validate_jwt::Jwt>),
}

impl Api {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Fetch(fetch) => match fetch.asked() {
                Asked::X509(call) => call.execute(target),
                Asked::Jwt(call) => call.execute(target),
            },
            Self::Validate(Validate::Jwt(call)) => call.execute(target),
            Self::Watch(call) => call.execute(target),
        }
    }
}

impl Fetch {
    /// What is to be fetched: X.509-SVIDs when nothing is named.
    pub(super) fn asked(self) -> Asked {
        self.what.unwrap_or(Asked::X509(self.x509))
    }
}

/// How long to wait for an answer.
#[derive(Args, Clone, Debug)]
struct Deadline {
    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = value::duration)]
    timeout: Duration,
}

impl Deadline {
    async fn limit<T>(
        &self,
        step: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let seconds = self.timeout.as_secs_f64();
        let result = tokio::time::timeout(self.timeout, call).await;
        result.unwrap_or(Err(Failure::Timeout { step, seconds }))
    }
}

/// The request with the header that the Workload API demands.
pub(super) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = MetadataValue::from_static("true");
    request.metadata_mut().insert(SECURITY_HEADER, header);
    request
}

fn client(channel: Channel) -> SpiffeWorkloadApiClient<Channel> {
    SpiffeWorkloadApiClient::new(channel).max_decoding_message_size(socket::MAX_MESSAGE_BYTES)
}

/// Names the step, and for a workload without identity the way to find out why.
fn refused(step: &'static str) -> impl FnOnce(Status) -> Failure {
    move |status| {
        if status.code() != Code::PermissionDenied {
            return Failure::call(step)(status);
        }
        let message = format!(
            "{}; `signet-agent why --pid …` tells what this process was seen as",
            status.message()
        );
        Failure::call(step)(Status::new(status.code(), message))
    }
}
