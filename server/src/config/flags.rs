//! What the command line of `run` and `validate` may say in place of the file.

use signet_config::{Member, Value};

/// Flags that win over the file. They are checked together with it, by the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFlags {
    /// `--bind-address`.
    pub bind_address: Option<String>,
    /// `--server-port`.
    pub server_port: Option<u16>,
    /// `--socket-path`.
    pub socket_path: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--trust-domain`.
    pub trust_domain: Option<String>,
    /// `--log-file`.
    pub log_file: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-source-location`.
    pub log_source_location: Option<bool>,
}

impl ServerFlags {
    /// The flags as members of the `server` block.
    pub(super) fn members(&self) -> Vec<Member> {
        let text = |flag: &Option<String>| flag.as_deref().map(Value::flag_text);
        Member::from_flags([
            ("bind_address", text(&self.bind_address)),
            (
                "bind_port",
                self.server_port
                    .map(|port| Value::flag_text(port.to_string())),
            ),
            ("socket_path", text(&self.socket_path)),
            ("data_dir", text(&self.data_dir)),
            ("trust_domain", text(&self.trust_domain)),
            ("log_file", text(&self.log_file)),
            ("log_format", text(&self.log_format)),
            ("log_level", text(&self.log_level)),
            (
                "log_source_location",
                self.log_source_location.map(Value::flag_bool),
            ),
        ])
    }
}
