//! The `k8s` attestor: pod, container and namespace of the process.
//!
//! **What it proves.** The kernel says in which cgroup the process is, and its path names the pod and
//! the container ([`locate`]); the kubelet of the node says what they are. The cgroup was that of the
//! process when it connected, and the caller checks that it still is before a key leaves
//! ([`Peer::still_same`]). The process's own mount table, which it can arrange, is never read.
//!
//! | selector | value |
//! |---|---|
//! | `k8s:ns:<namespace>`, `k8s:sa:<service account>` | of the pod |
//! | `k8s:ns-label:<key>:<value>` | of its namespace, only with `enable_namespace_labels` |
//! | `k8s:node-name:<name>` | its node |
//! | `k8s:pod-name:<name>`, `k8s:pod-uid:<uid>`, `k8s:pod-label:<key>:<value>` | the pod itself |
//! | `k8s:pod-owner:<kind>:<name>`, `k8s:pod-owner-uid:<kind>:<uid>` | each owner |
//! | `k8s:pod-image:<image>`, `k8s:pod-image-count:<n>` | of its containers, by name and by ID |
//! | `k8s:pod-init-image:<image>`, `k8s:pod-init-image-count:<n>` | of its init containers |
//! | `k8s:container-name:<name>`, `k8s:container-image:<image>` | the container that the process is in: init and ephemeral ones too |
//!
//! A process in no pod has no selectors, at once. One in a container that the kubelet does not list yet
//! waits for it; its status comes within a second or two of the start. Two pods that claim a container,
//! or another pod than the kernel names, fail the attestation.
//!
//! **Configuration.** The keys of SPIRE, with its defaults, see [`K8sConfig`] and [`KubeletConfig`].
//!
//! **Rights.** The agent's service account needs, in its ClusterRole:
//!
//! | what for | apiGroup, resource | verb |
//! |---|---|---|
//! | the kubelet's pods, Kubernetes 1.33 and later | `""`, `nodes/pods` | `get` |
//! | the same before | `""`, `nodes/proxy` (which reaches `exec` in each pod of the node, too) | `get` |
//! | `enable_namespace_labels` | `""`, `namespaces` | `get` |
//!
//! and `hostPID`, to see the processes of the pods.
//!
//! **Limits.**
//! - Whoever may add an ephemeral container to a pod gets the pod's selectors.
//! - Root on the node can put any process into any cgroup. So can whoever may write the cgroup tree
//!   outside of his own container, for instance from a privileged pod.
//! - Labels of pods are seen after a second or two, those of namespaces after half a minute and at the
//!   next connection.

mod held;
mod kubelet;
mod namespaces;
mod place;
mod pods;
mod selectors;

use std::sync::Arc;

use async_trait::async_trait;
use signet_model::Selector;
use tokio::sync::watch;

use crate::peer::Peer;
use crate::{AttestError, WorkloadAttestor};
use namespaces::Namespaces;
use pods::{Look, Pod};
use selectors::Workload;

pub use held::HeldPods;
pub use kubelet::{
    Kubelet, KubeletConfig, KubeletCredentials, KubeletError, KubeletPort, KubeletVerification,
    PodSource,
};
pub use namespaces::NamespaceSource;
pub use place::{Place, PlaceError, locate};
pub use pods::{NotPods, Pods};

/// The attestor's name.
const KIND: &str = "k8s";

/// What an operator can set, beside how the kubelet is reached.
pub struct K8sConfig {
    /// `max_poll_attempts`: how many lists an unknown container waits for.
    pub max_poll_attempts: u32,
    /// `disable_container_selectors`: none for the container, so that it need not be listed yet.
    pub disable_container_selectors: bool,
    /// `enable_namespace_labels`: where they come from.
    pub namespaces: Option<Box<dyn NamespaceSource>>,
}

/// The `k8s` attestor.
pub struct K8sAttestor {
    pods: Arc<HeldPods>,
    max_poll_attempts: u32,
    container_selectors: bool,
    namespaces: Option<Namespaces>,
}

/// Why a process in a container cannot be attested.
#[derive(Debug, thiserror::Error)]
enum K8sError {
    #[error("the kubelet's pods are not known")]
    Kubelet(#[source] Arc<KubeletError>),
    #[error("the kubelet does not know the container after {0} lists")]
    Unknown(u32),
    #[error("the kubelet says that another pod, or several, have the container")]
    Contradicted,
    #[error("the labels of the namespace are not known")]
    Namespace(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A pod, and which of its containers, if that is known.
type Found = (Arc<Pod>, Option<usize>);

impl K8sAttestor {
    /// An attestor over the kubelet's list, whose [`HeldPods::run`] the caller starts.
    pub fn new(config: K8sConfig, pods: Arc<HeldPods>) -> Self {
        Self {
            pods,
            max_poll_attempts: config.max_poll_attempts,
            container_selectors: !config.disable_container_selectors,
            namespaces: config.namespaces.map(Namespaces::new),
        }
    }

    /// The pod and container at a place; `None` if no pod is there.
    async fn find(&self, place: &Place) -> Result<Option<Found>, AttestError> {
        let (mut seen, mut latest) = self.pods.list().await;
        let mut left = self.attempts(place);
        loop {
            if let Ok(pods) = &latest
                && let Some(found) = self.look(pods, place)?
            {
                return Ok(Some(found));
            }
            if self.is_gone(place) {
                return Err(AttestError::Departed { attestor: KIND });
            }
            if left == 0 {
                return match latest {
                    Err(error) => Err(failed(K8sError::Kubelet(error))),
                    Ok(_) if place.may_be_docker() => Ok(None),
                    Ok(_) => Err(failed(K8sError::Unknown(self.max_poll_attempts))),
                };
            }
            left -= 1;
            (seen, latest) = self.pods.newer(seen).await;
        }
    }

    /// A container that nothing marks as one of Kubernetes is looked for in one fresh list only.
    fn attempts(&self, place: &Place) -> u32 {
        match place.may_be_docker() {
            true => 1,
            false => self.max_poll_attempts,
        }
    }

    fn look(&self, pods: &Pods, place: &Place) -> Result<Option<Found>, AttestError> {
        match pods.look(place, !self.container_selectors) {
            Look::Found(pod, container) => Ok(Some((pod, container))),
            Look::Unknown => Ok(None),
            Look::Contradicted => Err(failed(K8sError::Contradicted)),
        }
    }

    fn is_gone(&self, place: &Place) -> bool {
        let container = place.container.as_ref();
        container.is_some_and(|id| self.pods.is_gone(id))
    }

    async fn selectors(&self, (pod, container): Found) -> Result<Vec<Selector>, AttestError> {
        let namespace_labels = match &self.namespaces {
            None => Arc::default(),
            Some(namespaces) => {
                let labels = namespaces.labels(&pod.namespace).await;
                labels.map_err(|error| failed(K8sError::Namespace(error)))?
            }
        };
        let container = container.filter(|_| self.container_selectors);
        Workload {
            pod: &pod,
            container: container.map(|number| &pod.containers[number]),
            namespace_labels: &namespace_labels,
        }
        .selectors()
    }
}

#[async_trait]
impl WorkloadAttestor for K8sAttestor {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(&self, peer: &Peer) -> Result<Vec<Selector>, AttestError> {
        let place = locate(&peer.facts().cgroup).map_err(failed)?;
        let place = place.filter(|place| place.container.is_some() || !self.container_selectors);
        let Some(place) = place else {
            return Ok(Vec::new());
        };
        match self.find(&place).await? {
            Some(found) => self.selectors(found).await,
            None => Ok(Vec::new()),
        }
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.pods.changes())
    }
}

impl Place {
    /// Whether another engine than that of Kubernetes may have made the container.
    fn may_be_docker(&self) -> bool {
        self.pod.is_none() && !self.is_cri
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AttestError {
    AttestError::Other {
        attestor: KIND,
        source: error.into(),
    }
}
