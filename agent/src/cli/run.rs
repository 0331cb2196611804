//! Flags of `run` and `validate`. Each wins over its key of the configuration file.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use signet_cli::value;
use signet_crypto::SecretString;

use crate::config::{AgentFlags, DEFAULT_PATH};

/// What `run` and `validate` are told.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// The configuration file, in HCL or JSON
    #[arg(long, value_name = "FILE", default_value = "conf/agent/agent.conf")]
    pub config: PathBuf,
    /// Replace $NAME and ${NAME} in the configuration file by the environment's values
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    expand_env: Option<bool>,
    /// The server's address
    #[arg(long, value_name = "ADDRESS")]
    server_address: Option<String>,
    /// The server's port
    #[arg(long, value_name = "PORT")]
    server_port: Option<u16>,
    /// The trust domain the agent belongs to
    #[arg(long, value_name = "NAME")]
    trust_domain: Option<String>,
    /// The directory for everything the agent keeps
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// The Unix socket for workloads
    #[arg(long, value_name = "PATH")]
    socket_path: Option<String>,
    /// The join token to attest with. Other users can see it in the list of processes; a file is
    /// safer
    #[arg(long, value_name = "TOKEN", conflicts_with = "join_token_file")]
    join_token: Option<Token>,
    /// The file with the join token to attest with
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<String>,
    /// The file with the bundle by which the agent knows the server at its first start
    #[arg(long, value_name = "FILE")]
    trust_bundle: Option<String>,
    /// Where that bundle is fetched from
    #[arg(long, value_name = "URL")]
    trust_bundle_url: Option<String>,
    /// The form of that bundle: pem or spiffe
    #[arg(long, value_name = "FORMAT")]
    trust_bundle_format: Option<String>,
    /// Trust any server at the first start; for trying things out
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    insecure_bootstrap: Option<bool>,
    /// What to do when the server is of an unknown authority: never, auto or always
    #[arg(long, value_name = "MODE")]
    rebootstrap_mode: Option<String>,
    /// How long that must last before the agent starts over, as 10m
    #[arg(long, value_name = "DURATION")]
    rebootstrap_delay: Option<String>,
    /// Give the trust domain's bundle also to processes without identity
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    allow_unauthenticated_verifiers: Option<bool>,
    /// Do not serve the Workload API
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    disable_workload_api: Option<bool>,
    /// Serve the storage driver csi.spiffe.io to the kubelet that keeps its files here
    #[arg(long, value_name = "FOLDER")]
    csi_kubelet_dir: Option<String>,
    /// Do not serve Envoy's secret discovery
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    disable_sds_api: Option<bool>,
    /// Write the log to this file; without it, to stdout
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Name the source file and line in each log record
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    log_source_location: Option<bool>,
}

/// A join token; it does not print.
#[derive(Clone, PartialEq, Eq)]
struct Token(String);

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl RunArgs {
    /// Whether the environment's values go into the configuration file.
    pub fn expand_env(&self) -> bool {
        self.expand_env.unwrap_or_default()
    }

    /// Whether the usual place is meant, and nothing is there.
    pub fn names_no_file(&self) -> bool {
        self.config == Path::new(DEFAULT_PATH) && !self.config.exists()
    }

    /// What wins over the configuration file.
    pub fn flags(&self) -> AgentFlags {
        let given = self.clone();
        AgentFlags {
            server_address: given.server_address,
            server_port: given.server_port,
            trust_domain: given.trust_domain,
            data_dir: given.data_dir,
            socket_path: given.socket_path,
            join_token: given.join_token.map(|token| SecretString::new(token.0)),
            join_token_file: given.join_token_file,
            trust_bundle: given.trust_bundle,
            trust_bundle_url: given.trust_bundle_url,
            trust_bundle_format: given.trust_bundle_format,
            insecure_bootstrap: given.insecure_bootstrap,
            rebootstrap_mode: given.rebootstrap_mode,
            rebootstrap_delay: given.rebootstrap_delay,
            allow_unauthenticated_verifiers: given.allow_unauthenticated_verifiers,
            disable_workload_api: given.disable_workload_api,
            csi_kubelet_dir: given.csi_kubelet_dir,
            disable_sds_api: given.disable_sds_api,
            log_file: given.log_file,
            log_format: given.log_format,
            log_level: given.log_level,
            log_source_location: given.log_source_location,
        }
    }
}
