//! Which API server of Kubernetes is meant: by a kubeconfig, or that of the cluster we run in.

use signet_cluster::{InCluster, Reach};
use signet_config::{Lookup, Section};

/// `key` names the kubeconfig. `None` where a problem was found.
pub(super) fn reach(data: &Section<'_>, key: &str, environment: Lookup<'_>) -> Option<Reach> {
    if let Some(path) = data.path(key) {
        return Some(Reach::Kubeconfig(path));
    }
    let cluster = InCluster::from_variables(&environment);
    if cluster.is_none() {
        data.problem(
            key,
            "is required outside of the cluster: KUBERNETES_SERVICE_HOST and \
             KUBERNETES_SERVICE_PORT are not in the environment, as they are in a pod",
        );
    }
    cluster.map(Reach::InCluster)
}
