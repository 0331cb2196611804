//! What the command line of `run` and `validate` may say in place of the file.

use signet_config::{Member, Value};
use signet_crypto::SecretString;

/// Flags that win over the file. They are checked together with it, by the same rules.
#[derive(Debug, Default)]
pub struct AgentFlags {
    /// `--server-address`.
    pub server_address: Option<String>,
    /// `--server-port`.
    pub server_port: Option<u16>,
    /// `--trust-domain`.
    pub trust_domain: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--socket-path`.
    pub socket_path: Option<String>,
    /// `--join-token`.
    pub join_token: Option<SecretString>,
    /// `--join-token-file`.
    pub join_token_file: Option<String>,
    /// `--trust-bundle`.
    pub trust_bundle: Option<String>,
    /// `--trust-bundle-url`.
    pub trust_bundle_url: Option<String>,
    /// `--trust-bundle-format`.
    pub trust_bundle_format: Option<String>,
    /// `--insecure-bootstrap`.
    pub insecure_bootstrap: Option<bool>,
    /// `--rebootstrap-mode`.
    pub rebootstrap_mode: Option<String>,
    /// `--rebootstrap-delay`.
    pub rebootstrap_delay: Option<String>,
    /// `--allow-unauthenticated-verifiers`.
    pub allow_unauthenticated_verifiers: Option<bool>,
    /// `--disable-workload-api`.
    pub disable_workload_api: Option<bool>,
    /// `--csi-kubelet-dir`.
    pub csi_kubelet_dir: Option<String>,
    /// `--disable-sds-api`.
    pub disable_sds_api: Option<bool>,
    /// `--log-file`.
    pub log_file: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-source-location`.
    pub log_source_location: Option<bool>,
}

impl AgentFlags {
    /// The flags as members of the `agent` block.
    pub(super) fn members(&self) -> Vec<Member> {
        let text = |flag: &Option<String>| flag.as_deref().map(Value::flag_text);
        let switch = |flag: Option<bool>| flag.map(Value::flag_bool);
        let verifiers = switch(self.allow_unauthenticated_verifiers);
        Member::from_flags([
            ("server_address", text(&self.server_address)),
            (
                "server_port",
                self.server_port
                    .map(|port| Value::flag_text(port.to_string())),
            ),
            ("trust_domain", text(&self.trust_domain)),
            ("data_dir", text(&self.data_dir)),
            ("socket_path", text(&self.socket_path)),
            (
                "join_token",
                self.join_token
                    .as_ref()
                    .map(|token| Value::flag_text(token.expose())),
            ),
            ("join_token_file", text(&self.join_token_file)),
            ("trust_bundle_path", text(&self.trust_bundle)),
            ("trust_bundle_url", text(&self.trust_bundle_url)),
            ("trust_bundle_format", text(&self.trust_bundle_format)),
            ("insecure_bootstrap", switch(self.insecure_bootstrap)),
            ("rebootstrap_mode", text(&self.rebootstrap_mode)),
            ("rebootstrap_delay", text(&self.rebootstrap_delay)),
            ("allow_unauthenticated_verifiers", verifiers),
            ("disable_workload_api", switch(self.disable_workload_api)),
            ("csi_kubelet_dir", text(&self.csi_kubelet_dir)),
            ("disable_sds_api", switch(self.disable_sds_api)),
            ("log_file", text(&self.log_file)),
            ("log_format", text(&self.log_format)),
            ("log_level", text(&self.log_level)),
            ("log_source_location", switch(self.log_source_location)),
        ])
    }
}
