//! The API server of a Kubernetes cluster, as far as attestors ask it: whose token this is, and the
//! facts of one pod, node or namespace.
//!
//! Four requests do not take a client of the whole API. Nothing is watched and nothing written; each
//! answer is bounded in size and time, and a server that is busy is asked again a few times.
//!
//! ```text
//! Reach: in the cluster ─┐
//!        kubeconfig ─────┴▶ Access ──▶ Api ── review_token, pod, node, namespace
//! ```

mod access;
mod api;
mod kubeconfig;
mod name;
mod objects;

pub use access::{Access, AccessError, Credentials, InCluster, Reach};
pub use api::{Api, ApiError};
pub use kubeconfig::KubeconfigError;
pub use name::{Name, NameError};
pub use objects::{
    HostStatus, Metadata, Namespace, Node, Pod, PodSpec, ReviewStatus, ReviewedUser,
};
