//! The node attestor `k8s_psat`, the agent's half.

use std::path::PathBuf;

use signet_config::{Key, Section, Unknown};

const KEYS: [Key; 2] = [Key::implemented("cluster"), Key::implemented("token_path")];

/// Where the projected token is mounted without `token_path`, as in SPIRE.
const DEFAULT_TOKEN: &str = "/var/run/secrets/tokens/spire-agent";

/// The `k8s_psat` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sPsatSettings {
    /// `cluster`: its name in the server's configuration.
    pub cluster: String,
    /// `token_path`: the projected service account token.
    pub token_path: PathBuf,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>) -> Option<K8sPsatSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    Some(K8sPsatSettings {
        cluster: data.required_string("cluster")?.to_owned(),
        token_path: data
            .path("token_path")
            .unwrap_or_else(|| DEFAULT_TOKEN.into()),
    })
}
