//! What is read of the objects that are watched. Templates say what can matter of a pod or node; the
//! rest is dropped, so that most changes of a pod's status are none here.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::labels::Labels;
use crate::resource::{FederatedSpec, SpiffeIdSpec, StaticSpec};
use crate::template::{kept_meta, kept_node_spec, kept_pod_spec};

/// Which objects are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Namespaces: their labels select.
    Namespaces,
    /// Nodes: agents are known by their UIDs.
    Nodes,
    /// Pods.
    Pods,
    /// Endpoint slices: which services a pod stands behind.
    EndpointSlices,
    /// `ClusterSPIFFEID`
    SpiffeIds,
    /// `ClusterStaticEntry`
    StaticEntries,
    /// `ClusterFederatedTrustDomain`
    FederatedTrustDomains,
}

impl Kind {
    /// All of them, in the order in which they are best read first.
    pub const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::Nodes,
        Self::SpiffeIds,
        Self::StaticEntries,
        Self::FederatedTrustDomains,
        Self::EndpointSlices,
        Self::Pods,
    ];

    /// What it is called in URLs and in rules of RBAC.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::EndpointSlices => "endpointslices",
            Self::SpiffeIds => "clusterspiffeids",
            Self::StaticEntries => "clusterstaticentries",
            Self::FederatedTrustDomains => "clusterfederatedtrustdomains",
        }
    }

    /// The group and version of its API, as they stand in URLs.
    #[must_use]
    pub fn api(self) -> &'static str {
        match self {
            Self::Namespaces | Self::Nodes | Self::Pods => "/api/v1",
            Self::EndpointSlices => "/apis/discovery.k8s.io/v1",
            _ => "/apis/spire.spiffe.io/v1alpha1",
        }
    }

    /// `kind` of one object.
    #[must_use]
    pub fn singular(self) -> &'static str {
        match self {
            Self::Namespaces => "Namespace",
            Self::Nodes => "Node",
            Self::Pods => "Pod",
            Self::EndpointSlices => "EndpointSlice",
            Self::SpiffeIds => "ClusterSPIFFEID",
            Self::StaticEntries => "ClusterStaticEntry",
            Self::FederatedTrustDomains => "ClusterFederatedTrustDomain",
        }
    }
}

/// An object, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A namespace.
    Namespace(Namespace),
    /// A node.
    Node(Node),
    /// A pod.
    Pod(Pod),
    /// An endpoint slice.
    EndpointSlice(EndpointSlice),
    /// A `ClusterSPIFFEID`.
    SpiffeId(Resource<SpiffeIdSpec>),
    /// A `ClusterStaticEntry`.
    StaticEntry(Resource<StaticSpec>),
    /// A `ClusterFederatedTrustDomain`.
    FederatedTrustDomain(Resource<FederatedSpec>),
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Another node of the same name has another.
    pub uid: Arc<str>,
    /// `{"metadata", "spec"}` as templates see it.
    pub(crate) seen: Json,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Another pod of the same name has another.
    pub uid: Arc<str>,
    /// Where it belongs.
    pub namespace: Arc<str>,
    /// The node that runs it; empty before it was given to one.
    pub node_name: Arc<str>,
    /// Whether all its containers ended for good.
    pub is_over: bool,
    /// `{"metadata", "spec"}` as templates see it.
    pub(crate) seen: Box<str>,
}

/// Some of the pods behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `namespace/name`
    pub key: Arc<str>,
    /// The service's namespace.
    pub namespace: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The UIDs of its pods.
    pub pods: BTreeSet<Arc<str>>,
}

/// One of our resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource<S> {
    /// Its name.
    pub name: Arc<str>,
    /// Its UID.
    pub uid: Arc<str>,
    /// When it was created, as digits `YYYYMMDDhhmmss`: older ones come first.
    pub created: Arc<str>,
    /// Which form of it this is.
    pub generation: i64,
    /// What is asked for, or why it cannot be understood.
    pub spec: Result<S, String>,
    /// `status` as it stands there.
    pub status: Json,
}

/// An object that has no name or UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object of the kind that was asked for")]
pub struct ObjectError;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    metadata: Json,
    spec: Json,
    status: Json,
    endpoints: Json,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    labels: Option<Labels>,
    creation_timestamp: Option<String>,
    generation: i64,
}

impl Object {
    /// Reads an object.
    ///
    /// # Errors
    /// [`ObjectError`] for what is none of this kind. A resource of ours that cannot be understood is
    /// one all the same.
    pub fn read(kind: Kind, object: Json) -> Result<Self, ObjectError> {
        let raw: Raw = serde_json::from_value(object).map_err(|_| ObjectError)?;
        let meta = Meta::deserialize(&raw.metadata).map_err(|_| ObjectError)?;
        if meta.name.is_empty() || meta.uid.is_empty() {
            return Err(ObjectError);
        }
        Ok(match kind {
            Kind::Namespaces => Self::Namespace(Namespace {
                name: meta.name.into(),
                labels: meta.labels.unwrap_or_default(),
            }),
            Kind::Nodes => Self::Node(Node {
                name: meta.name.into(),
                uid: meta.uid.into(),
                seen: json!({"metadata": kept_meta(&raw.metadata), "spec": kept_node_spec(&raw.spec)}),
            }),
            Kind::Pods => Self::Pod(pod(meta, &raw)),
            Kind::EndpointSlices => Self::EndpointSlice(slice(meta, &raw)),
            Kind::SpiffeIds => Self::SpiffeId(resource(meta, raw)),
            Kind::StaticEntries => Self::StaticEntry(resource(meta, raw)),
            Kind::FederatedTrustDomains => Self::FederatedTrustDomain(resource(meta, raw)),
        })
    }

    /// What it is found by in lists of its kind.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Namespace(namespace) => &namespace.name,
            Self::Node(node) => &node.name,
            Self::Pod(pod) => &pod.uid,
            Self::EndpointSlice(slice) => &slice.key,
            Self::SpiffeId(resource) => &resource.uid,
            Self::StaticEntry(resource) => &resource.uid,
            Self::FederatedTrustDomain(resource) => &resource.uid,
        }
    }
}

fn seen(metadata: &Json, spec: Json) -> Box<str> {
    let seen = json!({"metadata": kept_meta(metadata), "spec": spec});
    seen.to_string().into()
}

fn pod(meta: Meta, raw: &Raw) -> Pod {
    let text = |json: &Json, key: &str| json[key].as_str().unwrap_or_default().to_owned();
    Pod {
        uid: meta.uid.into(),
        namespace: meta.namespace.into(),
        node_name: text(&raw.spec, "nodeName").into(),
        is_over: matches!(raw.status["phase"].as_str(), Some("Succeeded" | "Failed")),
        seen: seen(&raw.metadata, kept_pod_spec(&raw.spec)),
    }
}

fn slice(meta: Meta, raw: &Raw) -> EndpointSlice {
    let labels = meta.labels.unwrap_or_default();
    let service = labels.get("kubernetes.io/service-name").cloned();
    let endpoints = raw.endpoints.as_array().into_iter().flatten();
    let targets = endpoints.map(|endpoint| &endpoint["targetRef"]);
    let pods = targets.filter(|target| target["kind"] == "Pod");
    EndpointSlice {
        key: format!("{}/{}", meta.namespace, meta.name).into(),
        namespace: meta.namespace.into(),
        service: service.unwrap_or_default().into(),
        pods: pods
            .filter_map(|target| target["uid"].as_str().map(Arc::from))
            .collect(),
    }
}

fn resource<S: for<'a> Deserialize<'a>>(meta: Meta, raw: Raw) -> Resource<S> {
    let created = meta.creation_timestamp.unwrap_or_default();
    let digits: String = created
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    Resource {
        name: meta.name.into(),
        uid: meta.uid.into(),
        created: format!("{digits:0>14}").into(),
        generation: meta.generation,
        spec: serde_json::from_value(raw.spec).map_err(|error| format!("spec: {error}")),
        status: raw.status,
    }
}
