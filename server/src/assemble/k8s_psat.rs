//! The node attestor `k8s_psat` as configured.

use super::StartError;
use crate::config::{IssuerKeysPlace, K8sClusterSettings, K8sPsatSettings, K8sVerification};
use crate::running::Parts;
use signet_cluster::Api;
use signet_http::{Addresses, Roots};
use signet_node_attestor::k8s_psat::{
    ClusterConfig, JwksFile, K8sPsatServer, Offline, Verification,
};
use signet_oidc::{IssuerKeys, IssuerUrl, Published, Reach};
use std::path::PathBuf;
use std::sync::Arc;

pub(super) fn attestor(
    settings: &K8sPsatSettings,
    parts: &Parts,
) -> Result<K8sPsatServer, StartError> {
    let clusters = settings.clusters.iter().map(|(name, cluster)| {
        let config = config(cluster, parts)?;
        Ok::<_, StartError>((name.clone(), config))
    });
    let clusters: Result<_, _> = clusters.collect();
    Ok(K8sPsatServer::new(parts.trust_domain.clone(), clusters?))
}

fn config(settings: &K8sClusterSettings, parts: &Parts) -> Result<ClusterConfig, StartError> {
    Ok(ClusterConfig {
        allowed: settings.allowed.clone(),
        audience: settings.audience.clone(),
        node_label_keys: settings.node_label_keys.clone(),
        pod_label_keys: settings.pod_label_keys.clone(),
        use_pod_uid: settings.use_pod_uid,
        verification: match &settings.verification {
            K8sVerification::Online(reach) => {
                Verification::Online(Arc::new(Api::new(reach.clone())))
            }
            K8sVerification::Offline { issuer, keys } => {
                let keys = issuer_keys(issuer, keys, parts)?;
                let clock = parts.clock.clone();
                Verification::Offline(Offline::new(issuer.clone(), keys, clock))
            }
        },
    })
}

fn issuer_keys(
    issuer: &str,
    place: &IssuerKeysPlace,
    parts: &Parts,
) -> Result<IssuerKeys, StartError> {
    let tasks = parts.tasks.clone();
    Ok(match place {
        IssuerKeysPlace::File(path) => IssuerKeys::new(JwksFile::new(path), tasks),
        IssuerKeysPlace::Published { authorities } => {
            let issuer = IssuerUrl::parse(issuer).expect("checked with the configuration");
            let published = Published::discovered(issuer, reach(authorities));
            IssuerKeys::new(published.map_err(StartError::K8sPsat)?, tasks)
        }
    })
}

/// The operator names the issuer, which may well be inside of the cluster.
fn reach(authorities: &Option<PathBuf>) -> Reach {
    Reach {
        roots: authorities.clone().map_or(Roots::System, Roots::File),
        addresses: Addresses::Any,
    }
}
