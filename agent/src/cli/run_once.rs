//! `run-once`: an agent for the life of one command, as a job of a CI system needs it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use signet_node_attestor::oidc::TokenSource;

use super::RunArgs;
use crate::once::Once;

/// What `run-once` is told.
#[derive(Args, Clone, Debug)]
pub struct RunOnceArgs {
    /// The agent's own flags. Without a configuration file they are all there is.
    #[command(flatten)]
    pub run: RunArgs,
    /// Attest by the OpenID Connect token in this file
    #[arg(long, value_name = "FILE", conflicts_with = "oidc_token_env")]
    oidc_token_file: Option<PathBuf>,
    /// Attest by the OpenID Connect token in this variable of the environment
    #[arg(long, value_name = "NAME")]
    oidc_token_env: Option<String>,
    /// How long the agent may take to attest, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// The command and its arguments. It finds the Workload API by SPIFFE_ENDPOINT_SOCKET
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RunOnceArgs {
    /// What is to be done once.
    pub fn once(&self) -> Once {
        let file = self.oidc_token_file.clone().map(TokenSource::File);
        let variable = self.oidc_token_env.clone().map(TokenSource::Variable);
        Once {
            command: self.command.clone(),
            token: file.or(variable),
            wait: Duration::from_secs(self.wait),
        }
    }
}
