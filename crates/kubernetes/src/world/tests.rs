//! Worlds of a few objects, and what they declare.

mod federated;
mod kept;
mod pods;
mod properties;
mod rules;
mod whereabouts;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use signet_model::{Entry, EntryId};
use signet_spiffe::TrustDomain;

use super::{Change, World};
use crate::objects::{Kind, Object};
use crate::settings::{IgnoredNamespaces, Settings};

fn settings() -> Settings {
    Settings {
        trust_domain: TrustDomain::parse("example.org").unwrap(),
        cluster_name: "demo".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ignored: IgnoredNamespaces::parse(["kube-system"]).unwrap(),
        class_name: String::new(),
        watch_classless: true,
        parent_id: Settings::default_parent_id(),
        default_id: None,
    }
}

/// A world that was listed, and the entries that it has come to.
struct Scene {
    world: World,
    entries: BTreeMap<EntryId, Entry>,
}

impl Scene {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        Self::of(World::new(settings))
    }

    fn of(world: World) -> Self {
        let mut scene = Self {
            world,
            entries: BTreeMap::new(),
        };
        for kind in Kind::ALL {
            scene.world.listed(kind, &HashSet::new());
        }
        for name in ["shop", "kube-system"] {
            scene.put(Kind::Namespaces, namespace(name, &[("team", name)]));
        }
        scene.put(Kind::Nodes, node("node-1", "n1"));
        scene
    }

    fn put(&mut self, kind: Kind, object: Json) {
        self.world.put(read(kind, &object));
    }

    fn gone(&mut self, kind: Kind, key: &str) {
        self.world.gone(kind, &Arc::from(key));
    }

    /// How many changes that made.
    fn settle(&mut self) -> usize {
        let changes = self.world.settle(usize::MAX, usize::MAX);
        for change in &changes {
            match change {
                Change::Set { entry, .. } => {
                    self.entries.insert(entry.id.clone(), Entry::clone(entry));
                }
                Change::Unset(id) => assert!(self.entries.remove(id).is_some()),
            }
        }
        changes.len()
    }

    fn ids(&mut self) -> Vec<String> {
        self.settle();
        let ids = self
            .entries
            .values()
            .map(|entry| entry.spiffe_id.path().to_owned());
        ids.collect()
    }

    fn problem_of(&mut self, name: &str) -> Option<String> {
        self.settle();
        let mut reports = self.world.reports().into_iter();
        let report = reports.find(|report| &*report.name == name);
        report.expect("reported").problem
    }
}

fn read(kind: Kind, object: &Json) -> Object {
    Object::read(kind, object.clone()).unwrap()
}

fn namespace(name: &str, labels: &[(&str, &str)]) -> Json {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": labels}})
}

fn node(name: &str, uid: &str) -> Json {
    json!({"metadata": {"name": name, "uid": uid}, "spec": {"providerID": "demo://1"}})
}

fn pod(namespace: &str, uid: &str, node: &str) -> Json {
    json!({
        "metadata": {"name": format!("web-{uid}"), "namespace": namespace, "uid": uid, "labels": {"app": "web"},
            "managedFields": [{"manager": "x"}], "resourceVersion": "7"},
        "spec": {"nodeName": node, "serviceAccountName": "web", "containers": [{"name": "app", "image": "img"}]},
        "status": {"phase": "Running"},
    })
}

fn rule(name: &str, created: u8, spec: Json) -> Json {
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": format!("2026-11-29T08:00:{created:02}Z")},
        "spec": spec,
    })
}

/// `spiffe://example.org/<path>`, with what else is in the specification.
fn rule_of(name: &str, created: u8, path: &str, mut further: Json) -> Json {
    further["spiffeIDTemplate"] = json!(format!("spiffe://{{{{ .TrustDomain }}}}/{path}"));
    rule(name, created, further)
}

const BY_ACCOUNT: &str = "ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";

fn static_entry(name: &str, created: u8, path: &str, selectors: &[&str]) -> Json {
    rule(
        name,
        created,
        json!({
            "spiffeID": format!("spiffe://example.org/{path}"),
            "parentID": "spiffe://example.org/spire/agent/k8s_psat/demo/n1",
            "selectors": selectors, "x509SVIDTTL": "0s",
        }),
    )
}

#[test]
fn a_static_entry_is_there_as_written_and_masks_by_age() {
    let mut scene = Scene::new();
    scene.put(
        Kind::StaticEntries,
        static_entry("own", 3, "db", &["unix:uid:7"]),
    );
    scene.put(
        Kind::StaticEntries,
        static_entry("same", 4, "db", &["unix:uid:7"]),
    );
    scene.put(
        Kind::StaticEntries,
        static_entry("bad", 5, "", &["unix:uid:7"]),
    );
    scene.put(
        Kind::StaticEntries,
        static_entry("for-pod", 1, "web", &["k8s:pod-uid:p1"]),
    );
    scene.put(Kind::SpiffeIds, rule_of("all", 2, "web", json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    assert_eq!(scene.ids(), ["/web", "/db"]);
    let state = |uid: &str| {
        let state = scene.world.static_state(uid).unwrap();
        (state.rendered, state.masked, state.set)
    };
    assert_eq!(state("uid-own"), (true, false, true));
    assert_eq!(state("uid-same"), (true, true, false));
    assert_eq!(state("uid-bad"), (false, false, false));
    assert_eq!(scene.world.stats("uid-all").unwrap().entries_masked, 1);
    scene.gone(Kind::StaticEntries, "uid-for-pod");
    scene.gone(Kind::StaticEntries, "uid-own");
    assert_eq!(scene.ids(), ["/web", "/db"]);
    assert_eq!(scene.world.stats("uid-all").unwrap().entries_masked, 0);
}

#[test]
fn resources_of_other_classes_are_not_ours() {
    let mut scene = Scene::new();
    scene.put(
        Kind::SpiffeIds,
        rule_of("theirs", 1, "web", json!({"className": "theirs"})),
    );
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    assert!(scene.ids().is_empty());
    let mut world = World::new(Settings {
        class_name: "mine".to_owned(),
        watch_classless: false,
        ..settings()
    });
    world.put(read(
        Kind::SpiffeIds,
        &rule_of("classless", 1, "web", json!({})),
    ));
    world.put(read(
        Kind::SpiffeIds,
        &rule_of("mine", 1, "web", json!({"className": "mine"})),
    ));
    assert_eq!(world.stats("uid-classless"), None);
    assert!(world.stats("uid-mine").is_some());
}

#[test]
fn an_audit_finds_what_is_missing_what_differs_and_what_nobody_declares() {
    let mut scene = Scene::new();
    scene.put(
        Kind::SpiffeIds,
        rule_of("all", 1, "{{ .PodMeta.UID }}", json!({})),
    );
    for uid in ["p1", "p2", "p3"] {
        scene.put(Kind::Pods, pod("shop", uid, "node-1"));
    }
    scene.settle();
    let all: Vec<_> = scene.entries.values().cloned().collect();
    assert!(scene.world.audit(&all).is_empty());
    assert!(scene.world.is_settled());
    let mut owned = all.clone();
    owned.remove(0);
    owned[0].hint = "changed by hand".to_owned();
    owned[1].disabled = true;
    let stale = Entry {
        id: EntryId::parse("k8s.demo.0.x").unwrap(),
        ..all[0].clone()
    };
    owned.push(stale.clone());
    assert_eq!(scene.world.audit(&owned), [stale.id]);
    assert_eq!(scene.settle(), 2);
}

#[test]
fn what_the_server_does_not_take_is_told_and_tried_again() {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    let changes = scene.world.settle(10, 10);
    let [Change::Set { entry, by }] = &changes[..] else {
        panic!("{changes:?}");
    };
    scene
        .world
        .outcome(by, &entry.id, Some("no bundle".to_owned()));
    assert_eq!(scene.problem_of("all"), Some("no bundle".to_owned()));
    assert_eq!(scene.world.stats("uid-all").unwrap().entry_failures, 1);
    scene.world.retry();
    assert_eq!(scene.world.settle(10, 10), changes);
    scene.world.outcome(by, &entry.id, None);
    assert_eq!(scene.world.stats("uid-all").unwrap().entry_failures, 0);
    assert!(!scene.world.has_failures());
}
