//! Flags of `run` and `validate`. Each wins over its key of the configuration file.

use std::path::PathBuf;

use clap::Args;
use signet_cli::value;

use crate::config::ServerFlags;

/// What `run` and `validate` are told.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// The configuration file, in HCL or JSON
    #[arg(long, value_name = "FILE", default_value = "conf/server/server.conf")]
    pub config: PathBuf,
    /// Replace $NAME and ${NAME} in the configuration file by the environment's values
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    expand_env: Option<bool>,
    /// The address to listen at for agents
    #[arg(long, value_name = "ADDRESS")]
    bind_address: Option<String>,
    /// The port to listen at for agents
    #[arg(long, value_name = "PORT")]
    server_port: Option<u16>,
    /// The Unix socket for administration
    #[arg(long, value_name = "PATH")]
    socket_path: Option<String>,
    /// The directory for everything the server keeps
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// The trust domain that this server issues for
    #[arg(long, value_name = "NAME")]
    trust_domain: Option<String>,
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

impl RunArgs {
    /// Whether the environment's values go into the configuration file.
    pub fn expand_env(&self) -> bool {
        self.expand_env.unwrap_or_default()
    }

    /// What wins over the configuration file.
    pub fn flags(&self) -> ServerFlags {
        let given = self.clone();
        ServerFlags {
            bind_address: given.bind_address,
            server_port: given.server_port,
            socket_path: given.socket_path,
            data_dir: given.data_dir,
            trust_domain: given.trust_domain,
            log_file: given.log_file,
            log_format: given.log_format,
            log_level: given.log_level,
            log_source_location: given.log_source_location,
        }
    }
}
