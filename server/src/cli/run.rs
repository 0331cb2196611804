//! Flags of `run` and `validate`. Each overrides its key of the configuration file.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use signet_cli::value;

/// What `run` and `validate` are told. `None` means that the file, or the default, decides.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// The configuration file, in HCL or JSON
    #[arg(long, value_name = "FILE", default_value = "conf/server/server.conf")]
    pub config: PathBuf,
    /// Replace $NAME and ${NAME} in the configuration file by the environment's values
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    pub expand_env: Option<bool>,
    /// The address to listen at for agents
    #[arg(long, value_name = "ADDRESS")]
    pub bind_address: Option<IpAddr>,
    /// The port to listen at for agents
    #[arg(long, value_name = "PORT")]
    pub server_port: Option<u16>,
    /// The Unix socket for administration
    #[arg(long, value_name = "PATH")]
    pub socket_path: Option<PathBuf>,
    /// The directory for everything the server keeps
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The trust domain that this server issues for
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
    /// Write the log to this file; without it, to stdout
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Name the source file and line in each log record
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    pub log_source_location: Option<bool>,
}
