//! The objects of a large cluster, for benchmarks: of this crate alone, and with a server.

use serde_json::{Value, json};

pub(crate) const NODES: usize = 1_000;
pub(crate) const NAMESPACES: usize = 100;
/// Resources that each declare an entry for each pod.
pub(crate) const RULES: usize = 10;

/// A namespace.
pub(crate) fn namespace(at: usize) -> Value {
    json!({"metadata": {"name": format!("ns-{at}"), "uid": format!("ns-{at}")}})
}

/// A node.
pub(crate) fn node(at: usize) -> Value {
    json!({"metadata": {"name": format!("node-{at}"), "uid": format!("node-uid-{at}")}})
}

/// A resource that declares an entry for each pod.
pub(crate) fn rule(at: usize, generation: i64) -> Value {
    json!({
        "metadata": {"name": format!("rule-{at}"), "uid": format!("rule-{at}"), "generation": generation,
            "creationTimestamp": format!("2026-11-29T08:00:{at:02}Z")},
        "spec": {
            "spiffeIDTemplate": format!(
                "spiffe://{{{{ .TrustDomain }}}}/r{at}/ns/{{{{ .PodMeta.Namespace }}}}/sa/{{{{ .PodSpec.ServiceAccountName }}}}"
            ),
            "workloadSelectorTemplates": ["k8s:ns:{{ .PodMeta.Namespace }}"],
            "hint": format!("form {generation}"),
            "dnsNameTemplates": ["{{ .PodMeta.Labels.app }}-{{ .PodMeta.Labels.version }}.{{ .PodMeta.Namespace }}"],
        },
    })
}

/// As large as usual: most of it is nothing to templates.
pub(crate) fn pod(at: usize, version: &str) -> Value {
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1});
    let container = json!({
        "name": "app", "image": "registry.example/team/app:1.2.3", "args": ["--listen", ":8080"],
        "livenessProbe": probe, "readinessProbe": probe, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets"}],
    });
    json!({
        "metadata": {
            "name": format!("app-{at}"), "namespace": format!("ns-{}", at % NAMESPACES), "uid": format!("pod-{at}"),
            "labels": {"app": format!("app-{}", at % 500), "version": version, "pod-template-hash": "5d9c7b8f6"},
            "annotations": {"example.org/config": "x".repeat(64)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "o", "controller": true}],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {}}}}],
        },
        "spec": {"nodeName": format!("node-{}", at % NODES), "serviceAccountName": format!("sa-{}", at % 50),
            "containers": [container], "volumes": [{"name": "kube-api-access", "projected": {"sources": []}}]},
        "status": {"phase": "Running"},
    })
}
