//! The API server of a Kubernetes cluster, as far as we ask it: whose token this is, the facts of one
//! pod, node or namespace, and to keep a bundle.
//!
//! A few requests do not take a client of the whole API. Nothing is watched; each answer is bounded in
//! size and time, and a server that is busy is asked again a few times.
//!
//! ```text
//! Reach: in the cluster ─┐
//!        kubeconfig ─────┴▶ Access ──▶ Api ─┬ review_token, pod, node, namespace
//!                                           └ apply_config_map, apply_trust_bundle
//! ```

mod access;
mod api;
mod apply;
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
