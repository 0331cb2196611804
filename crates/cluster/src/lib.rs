//! The API server of a Kubernetes cluster, as far as attestors and the server ask it: whose token this
//! is, the facts of one pod, node or namespace; whole lists of objects and what becomes of them; and
//! the few things that are written.
//!
//! These requests do not take a client of the whole API, which would bring its own TLS with trust in
//! whatever the machine trusts. Each answer is bounded in size and time, and a server that is busy is
//! asked again a few times.
//!
//! ```text
//! Reach: in the cluster ─┐
//!        kubeconfig ─────┴▶ Access ──▶ Api ── review_token, pod, node, namespace
//!                                       ├──── list, watch
//!                                       ├──── patch_status; create, replace, read of events and leases
//!                                       └──── apply_config_map, apply_trust_bundle
//! ```

mod access;
mod api;
mod apply;
mod kubeconfig;
mod name;
mod objects;
mod watch;
mod write;

pub use access::{Access, AccessError, Credentials, InCluster, Reach};
pub use api::{Api, ApiError};
pub use kubeconfig::KubeconfigError;
pub use name::{Name, NameError};
pub use objects::{
    HostStatus, Metadata, Namespace, Node, Pod, PodSpec, ReviewStatus, ReviewedUser,
};
pub use watch::{Collection, Page, Watch, WatchEvent};
pub use write::Written;
