//! The kubelet's list of pods, kept as far as selectors need it and found by container.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::Place;

/// One answer of the kubelet.
#[derive(Debug, Default)]
pub struct Pods {
    pods: Vec<Arc<Pod>>,
    by_uid: HashMap<String, usize>,
    by_container: HashMap<String, Claim>,
}

/// Who says to have a container.
#[derive(Clone, Copy, Debug)]
enum Claim {
    One { pod: usize, container: usize },
    Several,
}

/// What a list says of a place.
#[derive(Debug)]
pub(super) enum Look {
    /// This pod, and in it the container with this number, if that is known too.
    Found(Arc<Pod>, Option<usize>),
    /// Nothing (yet).
    Unknown,
    /// Another pod, or several.
    Contradicted,
}

/// A text that is no list of pods.
#[derive(Debug, thiserror::Error)]
#[error("not a list of pods")]
pub struct NotPods(#[source] serde_json::Error);

/// What is kept of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) owners: Vec<Owner>,
    pub(super) node_name: String,
    pub(super) service_account: String,
    /// Of all kinds; the kubelet lists each with its status.
    pub(super) containers: Vec<Container>,
    /// Whether the kubelet has it from the API server, and not from a file of its own.
    is_from_api: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) kind: ContainerKind,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) image_id: String,
    /// Empty before it started.
    id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerKind {
    Init,
    Plain,
    Ephemeral,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Pods {
    /// Reads the kubelet's answer.
    ///
    /// # Errors
    /// [`NotPods`] if it is none.
    pub fn parse(json: &[u8]) -> Result<Self, NotPods> {
        let list: List = serde_json::from_slice(json).map_err(NotPods)?;
        let mut pods = Self::default();
        for item in list.items {
            pods.add(item.into());
        }
        Ok(pods)
    }

    fn add(&mut self, pod: Pod) {
        let number = self.pods.len();
        for (container, id) in pod.containers.iter().map(|one| &one.id).enumerate() {
            if !id.is_empty() {
                let claim = Claim::One {
                    pod: number,
                    container,
                };
                self.by_container
                    .entry(id.clone())
                    .and_modify(|claim| *claim = Claim::Several)
                    .or_insert(claim);
            }
        }
        self.by_uid.entry(pod.uid.clone()).or_insert(number);
        self.pods.push(Arc::new(pod));
    }

    /// What is known of a place. With `pod_suffices` its container need not be listed yet.
    pub(super) fn look(&self, place: &Place, pod_suffices: bool) -> Look {
        let claim = place.container.as_ref();
        let claim = claim.and_then(|id| self.by_container.get(id));
        match claim {
            Some(Claim::Several) => Look::Contradicted,
            Some(Claim::One { pod, container }) => {
                let pod = &self.pods[*pod];
                match place.pod.as_ref().is_none_or(|uid| *uid == pod.uid) {
                    true => Look::Found(pod.clone(), Some(*container)),
                    false => Look::Contradicted,
                }
            }
            None => {
                let known = place.pod.as_ref().and_then(|uid| self.by_uid.get(uid));
                match known.filter(|_| pod_suffices) {
                    Some(pod) => Look::Found(self.pods[*pod].clone(), None),
                    None => Look::Unknown,
                }
            }
        }
    }

    /// The containers that `later` has no more.
    pub(super) fn gone_in<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a String> {
        let ids = self.by_container.keys();
        ids.filter(|id| !later.by_container.contains_key(*id))
    }

    pub(super) fn has_container(&self, id: &str) -> bool {
        self.by_container.contains_key(id)
    }

    /// Whether this can be everything that runs here. After its start a kubelet lists the pods of its
    /// own files, or none, until it has heard from the API server.
    pub(super) fn may_be_whole(&self) -> bool {
        self.pods.iter().any(|pod| pod.is_from_api)
    }

    /// Whether every selector that follows from the one follows from the other.
    pub(super) fn tells_the_same(&self, other: &Self) -> bool {
        self.pods.len() == other.pods.len()
            && self.by_uid.iter().all(|(uid, number)| {
                let theirs = other.by_uid.get(uid).map(|number| &other.pods[*number]);
                theirs == Some(&self.pods[*number])
            })
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(deserialize_with = "or_default")]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    name: String,
    namespace: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    /// Where the kubelet has the pod from.
    #[serde(default, rename = "kubernetes.io/config.source")]
    source: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    service_account_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "imageID")]
    image_id: String,
    /// `containerd://<id>`.
    #[serde(rename = "containerID")]
    container_id: String,
}

impl From<Item> for Pod {
    fn from(item: Item) -> Self {
        let Status {
            container_statuses,
            init_container_statuses,
            ephemeral_container_statuses,
        } = item.status;
        let of = |kind, statuses: Vec<ContainerStatus>| {
            statuses.into_iter().map(move |status| Container {
                kind,
                id: match status.container_id.split_once("://") {
                    Some((_, id)) => id.to_owned(),
                    None => status.container_id,
                },
                name: status.name,
                image: status.image,
                image_id: status.image_id,
            })
        };
        let containers = of(ContainerKind::Plain, container_statuses)
            .chain(of(ContainerKind::Init, init_container_statuses))
            .chain(of(ContainerKind::Ephemeral, ephemeral_container_statuses));
        Self {
            containers: containers.collect(),
            is_from_api: matches!(&*item.metadata.annotations.source, "" | "api"),
            uid: item.metadata.uid,
            name: item.metadata.name,
            namespace: item.metadata.namespace,
            labels: item.metadata.labels,
            owners: item.metadata.owner_references,
            node_name: item.spec.node_name,
            service_account: item.spec.service_account_name,
        }
    }
}

/// Go writes an absent map or list as `null` at times.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
