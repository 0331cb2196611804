//! A template of a `ClusterSPIFFEID`, and what it makes of a pod.
//!
//! Whatever is read also runs to an end, within its bounds; text without actions is copied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use signet_kubernetes::{Data, MAX_OUTPUT, Template};

fuzz_target!(|text: &str| {
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let meta = json!({"name": "web-0", "namespace": "shop", "uid": "p", "labels": {"app": "web", "": "x"},
        "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]});
    let pod = json!({"nodeName": "node-1", "priority": 5, "containers": [{"name": "a"}, {"name": "b"}]});
    let node = json!({"podCIDRs": ["10.0.0.0/24", "fd00::/64"]});
    let data = Data {
        trust_domain: "example.org",
        cluster_name: "demo",
        cluster_domain: "cluster.local",
        pod_meta: Some(&meta),
        pod_spec: Some(&pod),
        node_meta: &meta,
        node_spec: &node,
    };
    let rendered = template.render(&data);
    if let Ok(rendered) = &rendered {
        assert!(rendered.len() <= MAX_OUTPUT);
    }
    if !text.contains("{{") && text.len() <= MAX_OUTPUT {
        assert_eq!(rendered.as_deref(), Ok(text));
    }
});
