//! What is declared follows pods, their nodes and their namespaces.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::{BY_ACCOUNT, Scene, namespace, node, pod, read, rule_of, settings};
use crate::objects::Kind;
use crate::world::{Change, World};

#[test]
fn each_selected_pod_has_an_entry_under_the_agent_of_its_node() {
    let mut scene = Scene::new();
    scene.put(
        Kind::SpiffeIds,
        rule_of("all", 1, BY_ACCOUNT, json!({"ttl": "1h", "hint": "web"})),
    );
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.put(Kind::Pods, pod("kube-system", "p2", "node-1"));
    assert_eq!(scene.ids(), ["/ns/shop/sa/web"]);
    let entry = scene.entries.values().next().unwrap();
    assert_eq!(entry.parent_id.path(), "/spire/agent/k8s_psat/demo/n1");
    let selectors: Vec<_> = entry.selectors.iter().map(|one| one.expose()).collect();
    assert_eq!(selectors, ["k8s:pod-uid:p1"]);
    assert_eq!(entry.x509_svid_ttl.map(|ttl| ttl.as_secs()), Some(3600));
    assert_eq!(entry.hint, "web");
    assert!(entry.id.as_str().starts_with("k8s.demo.20261129080001."));
    let stats = scene.world.stats("uid-all").unwrap();
    assert_eq!(
        (stats.namespaces_selected, stats.namespaces_ignored),
        (2, 1)
    );
    assert_eq!((stats.pods_selected, stats.entries_to_set), (1, 1));
}

#[test]
fn nothing_is_declared_before_everything_was_listed() {
    let mut world = World::new(settings());
    world.put(read(Kind::Namespaces, &namespace("shop", &[])));
    world.put(read(Kind::Nodes, &node("node-1", "n1")));
    world.put(read(Kind::SpiffeIds, &rule_of("all", 1, "web", json!({}))));
    world.put(read(Kind::Pods, &pod("shop", "p1", "node-1")));
    for kind in Kind::ALL {
        assert!(world.settle(10, 10).is_empty());
        assert!(!world.whereabouts().is_complete());
        let key = match kind {
            Kind::Namespaces => "shop",
            Kind::Nodes => "node-1",
            Kind::SpiffeIds => "uid-all",
            _ => "p1",
        };
        world.listed(kind, &HashSet::from([Arc::from(key)]));
    }
    assert_eq!(world.settle(10, 10).len(), 1);
    assert!(world.is_settled());
}

#[test]
fn an_entry_goes_with_its_pod_and_with_its_end() {
    for over in [false, true] {
        let mut scene = Scene::new();
        scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
        scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
        assert_eq!(scene.ids(), ["/web"]);
        let mut ended = pod("shop", "p1", "node-1");
        ended["status"]["phase"] = json!("Succeeded");
        match over {
            true => scene.put(Kind::Pods, ended),
            false => scene.gone(Kind::Pods, "p1"),
        }
        assert!(scene.ids().is_empty());
        assert_eq!(scene.world.stats("uid-all").unwrap().pods_selected, 0);
    }
}

#[test]
fn a_change_of_status_alone_works_nothing_out() {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.settle();
    let mut again = pod("shop", "p1", "node-1");
    again["metadata"]["resourceVersion"] = json!("8");
    again["status"]["conditions"] = json!([{"type": "Ready"}]);
    again["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"port": 80}});
    scene.put(Kind::Pods, again);
    assert!(scene.world.is_settled());
}

#[test]
fn a_node_made_again_under_its_name_gets_its_pods_anew() {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.settle();
    scene.gone(Kind::Nodes, "node-1");
    assert!(scene.ids().is_empty());
    let stats = scene.world.stats("uid-all").unwrap();
    assert_eq!(
        (stats.pods_selected, stats.pod_entry_render_failures),
        (1, 0)
    );
    scene.put(Kind::Nodes, node("node-1", "n2"));
    scene.settle();
    let entry = scene.entries.values().next().unwrap();
    assert_eq!(entry.parent_id.path(), "/spire/agent/k8s_psat/demo/n2");
}

#[test]
fn entries_follow_the_labels_of_namespaces() {
    let mut scene = Scene::new();
    let selector = json!({"namespaceSelector": {"matchLabels": {"team": "shop"}}});
    scene.put(Kind::SpiffeIds, rule_of("team", 1, "web", selector));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    assert_eq!(scene.ids(), ["/web"]);
    scene.put(Kind::Namespaces, namespace("shop", &[("team", "bank")]));
    assert!(scene.ids().is_empty());
    assert_eq!(
        scene.world.stats("uid-team").unwrap().namespaces_selected,
        0
    );
    scene.put(Kind::Namespaces, namespace("shop", &[("team", "shop")]));
    assert_eq!(scene.ids(), ["/web"]);
}

#[test]
fn a_pod_does_not_wait_for_a_resource_that_concerns_all() {
    let mut scene = Scene::new();
    let all: Vec<_> = (100..500).map(|at| format!("p{at}")).collect();
    for uid in &all {
        scene.put(Kind::Pods, pod("shop", uid, "node-1"));
    }
    scene.settle();
    scene.put(
        Kind::SpiffeIds,
        rule_of("all", 1, "{{ .PodMeta.UID }}", json!({})),
    );
    let made = |scene: &mut Scene| -> Vec<_> {
        let changes = scene.world.settle(10, 10).into_iter();
        let paths = changes.map(|change| match change {
            Change::Set { entry, .. } => entry.spiffe_id.path().to_owned(),
            Change::Unset(id) => panic!("{id}"),
        });
        paths.collect()
    };
    assert_eq!(made(&mut scene).len(), 10);
    scene.put(Kind::Pods, pod("shop", "p999", "node-1"));
    let mut changed = pod("shop", "p450", "node-1");
    changed["metadata"]["labels"]["app"] = json!("other");
    scene.put(Kind::Pods, changed);
    assert_eq!(made(&mut scene)[..2], ["/p450", "/p999"]);
    let mut count = 20;
    while !scene.world.is_settled() {
        count += made(&mut scene).len();
    }
    assert_eq!(count, all.len() + 1);
}
