//! The `k8s_psat` attestor: the projected service account token of the pod that the agent runs in.
//!
//! **What it proves.** That the agent holds a token that the cluster made for this audience and for a
//! pod, which still is there, of a service account on the operator's list. The API server says all of
//! that (a `TokenReview`, then pod and node by name, whose UIDs must be those of the token), or the
//! token itself does in offline mode.
//!
//! **Agent ID.** `/k8s_psat/<cluster>/<node UID>`, or `/k8s_psat/<cluster>/pod/<pod UID>` with
//! `use_pod_uid_for_agent_id`. The agent attests again with the token that Kubernetes has put in the
//! old one's place, so losing the data directory costs nothing.
//!
//! | selector | value | offline |
//! |---|---|---|
//! | `k8s_psat:cluster:<name>` | the cluster, as configured | yes |
//! | `k8s_psat:agent_ns:<namespace>`, `k8s_psat:agent_sa:<name>` | of the agent's pod | yes |
//! | `k8s_psat:agent_pod_name:<name>`, `k8s_psat:agent_pod_uid:<uid>` | the pod | yes |
//! | `k8s_psat:agent_node_name:<name>`, `k8s_psat:agent_node_uid:<uid>` | its node | if the token names it |
//! | `k8s_psat:agent_node_ip:<address>` | the node's address | no |
//! | `k8s_psat:agent_node_label:<key>:<value>` | those of `allowed_node_label_keys` | no |
//! | `k8s_psat:agent_pod_label:<key>:<value>` | those of `allowed_pod_label_keys` | no |
//!
//! **Configuration.** On the server a map `clusters`, see [`ClusterConfig`]; on the agent `cluster` and
//! `token_path`. Of our own is the block `offline`: with `issuer`, and the keys in `jwks_file` or where
//! the issuer publishes them, tokens are verified without the API server.
//!
//! **Rights.** The server's account (that of `kube_config_file`, or of its pod) needs a ClusterRole with
//!
//! | apiGroup | resource | verb |
//! |---|---|---|
//! | `authentication.k8s.io` | `tokenreviews` | `create` |
//! | `""` | `pods` | `get` |
//! | `""` | `nodes` | `get` |
//!
//! and nothing for offline mode. The agent's pod needs a projected volume with a
//! `serviceAccountToken` of the audience `spire-server`.
//!
//! **Limits.**
//! - A token is good until it expires, for whoever reads it: make it short (`expirationSeconds = 600`)
//!   and its service account for the agent alone.
//! - Offline, a token outlives its pod and its node until it expires. Clusters before 1.30 do not name
//!   the node in it: then `use_pod_uid_for_agent_id` is needed.

mod agent;
mod facts;
mod offline;
mod payload;
mod server;

pub use agent::K8sPsatAgent;
pub use facts::FactsError;
pub use offline::{JwksFile, Offline};
pub use payload::{Payload, PayloadError};
pub use server::{
    Cluster, ClusterConfig, EvidenceError, K8sPsatServer, ServiceAccount, Verification,
};

/// The attestor's name on the wire.
pub const KIND: &str = "k8s_psat";
