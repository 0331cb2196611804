//! Which entries the objects of a Kubernetes cluster declare: the resources `ClusterSPIFFEID`,
//! `ClusterStaticEntry` and `ClusterFederatedTrustDomain` (`spire.spiffe.io/v1alpha1`), and the pods,
//! nodes, namespaces and services that they are about.
//!
//! Everything here is pure: objects come in as they were watched, and what is to become of entries
//! comes out. Who watches and who writes is the server's `kubernetes` module.
//!
//! ```text
//! JSON ──Object::read──▶ World ──settle──▶ Change: entries to set and to unset
//!                          │  └──reports─▶ Report: status and problems of resources
//!                          └─────────────▶ Whereabouts: which pod runs on which node
//! ```
//!
//! An entry's id is made of its resource's age and UID and of what it says, so the same cluster has the
//! same ids in every run, and the oldest resource's identity is a workload's default one.
//!
//! A resource that is edited into one that cannot be understood takes nobody's identity: what its last
//! good form declares stays, and its status says so. After a restart that form is known to nobody, so
//! the entries that came of it stay as they are, each until its pod ends.

mod federated;
mod labels;
mod objects;
mod resource;
mod rule;
mod settings;
mod template;
mod whereabouts;
mod world;

pub use federated::{Endpoint, Federated};
pub use labels::{LabelSelector, Labels, SelectorFault};
pub use objects::{EndpointSlice, Kind, Namespace, Node, Object, ObjectError, Pod, Resource};
pub use resource::{FederatedSpec, SpiffeIdSpec, StaticSpec};
pub use settings::{DEFAULT_IGNORED, DEFAULT_PARENT_ID_TEMPLATE, IgnoredNamespaces, Settings};
pub use template::{Data, MAX_OUTPUT, MAX_TEMPLATE, Template, TemplateError};
pub use whereabouts::{AskingNode, Place, Whereabouts};
pub use world::{Change, Report, Source, SpiffeIdStats, StaticState, World};
