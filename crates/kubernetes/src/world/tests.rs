//! Worlds of a few objects, and what they declare.

mod properties;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use signet_model::{Entry, EntryId, Selector, SelectorSet};
use signet_spiffe::{SpiffeId, TrustDomain};

use super::{Change, World};
use crate::objects::{Kind, Object};
use crate::settings::{IgnoredNamespaces, Settings};
use crate::template::Template;
use crate::whereabouts::{AskingNode, Place};

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
fn the_oldest_of_those_that_say_the_same_wins_and_the_next_takes_over() {
    let mut scene = Scene::new();
    scene.put(
        Kind::SpiffeIds,
        rule_of("young", 9, "web", json!({"hint": "young"})),
    );
    scene.put(
        Kind::SpiffeIds,
        rule_of("old", 2, "web", json!({"hint": "old"})),
    );
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.settle();
    let hints = |scene: &Scene| -> Vec<_> {
        scene
            .entries
            .values()
            .map(|entry| entry.hint.clone())
            .collect()
    };
    assert_eq!(hints(&scene), ["old"]);
    assert_eq!(scene.world.stats("uid-young").unwrap().entries_masked, 1);
    scene.gone(Kind::SpiffeIds, "uid-old");
    scene.settle();
    assert_eq!(hints(&scene), ["young"]);
    assert_eq!(scene.world.stats("uid-young").unwrap().entries_masked, 0);
    assert_eq!(scene.world.stats("uid-old"), None);
}

#[test]
fn a_fallback_is_silent_where_another_has_spoken() {
    let mut scene = Scene::new();
    scene.put(
        Kind::SpiffeIds,
        rule_of("rest", 1, "rest", json!({"fallback": true})),
    );
    let selector = json!({"podSelector": {"matchLabels": {"app": "web"}}});
    scene.put(Kind::SpiffeIds, rule_of("web", 2, "web", selector));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    let mut other = pod("shop", "p2", "node-1");
    other["metadata"]["labels"] = json!({});
    scene.put(Kind::Pods, other);
    assert_eq!(scene.ids(), ["/rest", "/web"]);
    assert_eq!(scene.world.stats("uid-rest").unwrap().pods_selected, 2);
    scene.gone(Kind::SpiffeIds, "uid-web");
    assert_eq!(scene.ids(), ["/rest", "/rest"]);
}

/// A scene in whose configuration this is the SPIFFE ID of the rest, with a pod.
fn configured(spiffe_id: &str) -> Scene {
    let mut scene = Scene::with(Settings {
        default_id: Some(Template::parse(spiffe_id).unwrap()),
        ..settings()
    });
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene
}

#[test]
fn what_no_resource_has_an_identity_for_gets_that_of_the_configuration() {
    let mut scene = configured("spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}");
    scene.put(Kind::Pods, pod("kube-system", "p2", "node-1"));
    assert_eq!(scene.ids(), ["/ns/shop"]);
    scene.put(Kind::SpiffeIds, rule_of("web", 2, "web", json!({})));
    assert_eq!(scene.ids(), ["/web"]);
    scene.gone(Kind::SpiffeIds, "uid-web");
    assert_eq!(scene.ids(), ["/ns/shop"]);
    // A new list of resources is not about it.
    scene.world.listed(Kind::SpiffeIds, &HashSet::new());
    assert_eq!(scene.ids(), ["/ns/shop"]);
    let entries: Vec<_> = scene.entries.values().cloned().collect();
    assert_eq!(scene.world.audit(&entries), []);
    assert!(scene.world.is_settled());
}

#[test]
fn a_pod_that_does_not_go_with_the_configuration_is_reported_as_its_fault() {
    let mut scene = configured("spiffe://{{ .TrustDomain }}/{{ .PodMeta.Labels.nothing }}");
    assert_eq!(scene.ids(), Vec::<String>::new());
    let reports = scene.world.reports();
    let [report] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert!(report.source.is_configuration());
    let problem = report.problem.as_ref().unwrap();
    assert!(problem.contains("is no SPIFFE ID"), "{problem}");
}

#[test]
fn a_resource_that_cannot_be_understood_says_why_and_hinders_no_other() {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("good", 1, "web", json!({})));
    scene.put(
        Kind::SpiffeIds,
        rule("broken", 2, json!({"spiffeIDTemplate": "{{ .PodMeta.Name"})),
    );
    scene.put(
        Kind::SpiffeIds,
        rule(
            "unknown",
            3,
            json!({"spiffeIDTemplate": "{{ lower .PodMeta.Name }}"}),
        ),
    );
    scene.put(Kind::SpiffeIds, rule("empty", 4, json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    assert_eq!(scene.ids(), ["/web"]);
    let problems: BTreeMap<_, _> = scene
        .world
        .reports()
        .into_iter()
        .map(|one| (one.name, one.problem))
        .collect();
    assert_eq!(problems["good"], None);
    for (name, problem) in [
        ("broken", "spiffeIDTemplate: an action is not closed"),
        (
            "unknown",
            "spiffeIDTemplate: there is no function \"lower\"",
        ),
        ("empty", "spec: missing field `spiffeIDTemplate`"),
    ] {
        assert!(
            problems[name].as_ref().unwrap().starts_with(problem),
            "{:?}",
            problems[name]
        );
    }
}

#[test]
fn a_template_that_does_not_go_with_a_pod_is_counted_and_named() {
    let mut scene = Scene::new();
    let path = "{{ .PodMeta.Labels.version }}";
    scene.put(Kind::SpiffeIds, rule_of("v", 1, path, json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    let problem = scene.problem_of("v").unwrap();
    assert!(
        problem
            .starts_with("pod shop/web-p1: spiffeIDTemplate: \"spiffe://example.org/<no value>\""),
        "{problem}"
    );
    assert_eq!(
        scene
            .world
            .stats("uid-v")
            .unwrap()
            .pod_entry_render_failures,
        1
    );
    let mut labelled = pod("shop", "p1", "node-1");
    labelled["metadata"]["labels"]["version"] = json!("2");
    scene.put(Kind::Pods, labelled);
    assert_eq!(scene.problem_of("v"), None);
    assert_eq!(scene.ids(), ["/2"]);
}

#[test]
fn no_template_selects_another_pod_or_names_another_trust_domain() {
    let mut scene = Scene::new();
    let other = json!({"workloadSelectorTemplates": ["k8s:pod-uid:p2"]});
    scene.put(Kind::SpiffeIds, rule_of("other", 1, "web", other));
    scene.put(
        Kind::SpiffeIds,
        rule(
            "foreign",
            2,
            json!({"spiffeIDTemplate": "spiffe://other.org/web"}),
        ),
    );
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    assert!(scene.ids().is_empty());
    assert_eq!(
        scene
            .world
            .stats("uid-other")
            .unwrap()
            .pod_entry_render_failures,
        1
    );
    assert_eq!(
        scene
            .world
            .stats("uid-foreign")
            .unwrap()
            .pod_entry_render_failures,
        1
    );
}

#[test]
fn names_of_services_follow_the_pod() {
    let mut scene = Scene::new();
    let names = json!({"dnsNameTemplates": ["a.{{ .ClusterDomain }}", "web"], "autoPopulateDNSNames": true});
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", names));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    let slice = |pods: Json| {
        json!({"metadata": {"name": "web-x", "namespace": "shop", "uid": "s1",
            "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": pods})
    };
    let target = json!([{"targetRef": {"kind": "Pod", "uid": "p1"}}, {"addresses": ["10.0.0.1"]}]);
    scene.put(Kind::EndpointSlices, slice(target));
    scene.settle();
    let names = |scene: &Scene| scene.entries.values().next().unwrap().dns_names.clone();
    assert_eq!(
        names(&scene),
        [
            "a.cluster.local",
            "web",
            "web.shop",
            "web.shop.svc",
            "web.shop.svc.cluster.local"
        ]
    );
    scene.put(Kind::EndpointSlices, slice(json!(null)));
    scene.settle();
    assert_eq!(names(&scene), ["a.cluster.local", "web"]);
}

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

#[test]
fn whereabouts_tell_the_nodes_of_pods() {
    let mut scene = Scene::new();
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.put(Kind::Pods, pod("shop", "p2", "node-2"));
    let whereabouts = scene.world.whereabouts();
    let by_uid = |uid| AskingNode {
        uid: Some(uid),
        name: None,
    };
    let by_name = |name| AskingNode {
        uid: None,
        name: Some(name),
    };
    for (pod, asking, place) in [
        ("p1", by_uid("n1"), Place::Here),
        ("p1", by_uid("n2"), Place::Elsewhere),
        ("p1", by_name("node-1"), Place::Here),
        ("p1", by_name("node-2"), Place::Elsewhere),
        (
            "p1",
            AskingNode {
                uid: Some("n2"),
                name: Some("node-1"),
            },
            Place::Elsewhere,
        ),
        ("p1", AskingNode::default(), Place::Unplaced),
        ("p2", by_uid("n1"), Place::Unplaced),
        ("p2", by_name("node-2"), Place::Here),
        ("p3", by_uid("n1"), Place::Nowhere),
    ] {
        assert_eq!(whereabouts.of(pod, asking), place, "{pod} {asking:?}");
    }
    scene.gone(Kind::Pods, "p1");
    assert_eq!(whereabouts.of("p1", by_uid("n1")), Place::Nowhere);
}

fn attested(selectors: &[&str]) -> SelectorSet {
    let all = selectors.iter().map(|text| Selector::parse(text).unwrap());
    all.collect()
}

#[test]
fn a_pod_s_entry_is_for_the_agent_that_k8s_psat_placed_on_its_node() {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
    scene.put(Kind::Nodes, node("node-2", "n2"));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.settle();
    let entry = scene.entries.values().next().unwrap().clone();
    let whereabouts = scene.world.whereabouts();
    // Whatever its SPIFFE ID is: it may stand below an alias.
    let agent = SpiffeId::parse("spiffe://example.org/any").unwrap();
    let on = |cluster: &str, name: &str, uid: &str| {
        let selectors = [
            format!("k8s_psat:cluster:{cluster}"),
            format!("k8s_psat:agent_node_name:{name}"),
            format!("k8s_psat:agent_node_uid:{uid}"),
        ];
        attested(&selectors.each_ref().map(|one| &**one))
    };
    for (selectors, place) in [
        (on("demo", "node-1", "n1"), Place::Here),
        (on("demo", "node-2", "n2"), Place::Elsewhere),
        // The node was made again under its name.
        (on("demo", "node-1", "n0"), Place::Elsewhere),
        (on("other", "node-1", "n1"), Place::Elsewhere),
        (attested(&["k8s_psat:cluster:demo"]), Place::Unplaced),
        (attested(&["unix:agent_node_name:node-1"]), Place::Unplaced),
        (attested(&[]), Place::Unplaced),
    ] {
        assert_eq!(
            whereabouts.of_entry(&entry, &agent, &selectors),
            place,
            "{selectors:?}"
        );
    }
    let by_hand = Entry {
        id: EntryId::parse("by-hand").unwrap(),
        ..entry.clone()
    };
    let place = whereabouts.of_entry(&by_hand, &agent, &attested(&[]));
    assert_eq!(place, Place::Unknown);
    scene.gone(Kind::Pods, "p1");
    let place = whereabouts.of_entry(&entry, &agent, &on("demo", "node-1", "n1"));
    assert_eq!(place, Place::Nowhere);
}

#[test]
fn an_agent_that_attests_otherwise_is_on_the_one_node_that_the_template_names_it_for() {
    let by_cloud = "spiffe://example.org/spire/agent/cloud/{{ slice .NodeSpec.ProviderID 7 }}";
    let world = World::new(Settings {
        parent_id: Settings::parent_id_template(by_cloud).unwrap(),
        ..settings()
    });
    let mut scene = Scene::of(world);
    let instance = |name: &str, number: u8| {
        let mut node = node(name, name);
        node["spec"]["providerID"] = json!(format!("demo://{number}"));
        node
    };
    scene.put(Kind::Nodes, instance("node-1", 1));
    scene.put(Kind::Nodes, instance("node-2", 2));
    scene.put(Kind::SpiffeIds, rule_of("all", 1, "web", json!({})));
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.settle();
    let entry = scene.entries.values().next().unwrap().clone();
    let whereabouts = scene.world.whereabouts();
    let place = |agent: &str| {
        let agent = SpiffeId::parse(&format!("spiffe://example.org/{agent}")).unwrap();
        whereabouts.of_entry(&entry, &agent, &attested(&[]))
    };
    assert_eq!(place("spire/agent/cloud/1"), Place::Here);
    assert_eq!(place("spire/agent/cloud/2"), Place::Elsewhere);
    assert_eq!(place("spire/agent/cloud/3"), Place::Unplaced);
    // Two nodes that share an agent say nothing of either.
    scene.put(Kind::Nodes, instance("node-2", 1));
    assert_eq!(place("spire/agent/cloud/1"), Place::Unplaced);
    scene.gone(Kind::Nodes, "node-2");
    assert_eq!(place("spire/agent/cloud/1"), Place::Here);
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

fn federated(name: &str, created: u8, spec: Json) -> Json {
    rule(name, created, spec)
}

fn web(trust_domain: &str) -> Json {
    json!({"trustDomain": trust_domain, "bundleEndpointURL": "https://bundle.other.org/",
        "bundleEndpointProfile": {"type": "https_web"}})
}

#[test]
fn the_oldest_resource_speaks_for_a_trust_domain() {
    let mut scene = Scene::new();
    scene.put(
        Kind::FederatedTrustDomains,
        federated("young", 2, web("other.org")),
    );
    let mut old = web("other.org");
    old["bundleEndpointURL"] = json!("https://older.other.org/");
    scene.put(Kind::FederatedTrustDomains, federated("old", 1, old));
    let urls = |scene: &Scene| -> Vec<_> {
        scene
            .world
            .federated()
            .values()
            .map(|one| one.endpoint.url.clone())
            .collect()
    };
    assert_eq!(urls(&scene), ["https://older.other.org/"]);
    assert!(
        scene
            .problem_of("young")
            .unwrap()
            .contains("older resource")
    );
    scene.gone(Kind::FederatedTrustDomains, "uid-old");
    assert_eq!(urls(&scene), ["https://bundle.other.org/"]);
    let problem = scene.problem_of("young").unwrap();
    assert!(problem.contains("is not followed"), "{problem}");
}

#[test]
fn a_federated_trust_domain_that_cannot_be_is_refused() {
    let with = |key: &str, value: Json| {
        let mut spec = web("other.org");
        spec[key] = value;
        spec
    };
    let profile = |value: Json| with("bundleEndpointProfile", value);
    for (spec, problem) in [
        (web("Other"), "trustDomain"),
        (web("example.org"), "trustDomain: it is this server's own"),
        (
            with("bundleEndpointURL", json!("http://a")),
            "bundleEndpointURL",
        ),
        (
            with("bundleEndpointURL", json!("https:///x")),
            "bundleEndpointURL",
        ),
        (
            with("bundleEndpointURL", json!("https://u:p@a")),
            "bundleEndpointURL",
        ),
        (with("trustDomainBundle", json!("{}")), "trustDomainBundle"),
        (profile(json!({"type": "http"})), "bundleEndpointProfile"),
        (
            profile(json!({"type": "https_spiffe"})),
            "bundleEndpointProfile",
        ),
        (
            profile(json!({"type": "https_web", "endpointSPIFFEID": "spiffe://a/b"})),
            "bundleEndpointProfile",
        ),
    ] {
        let mut scene = Scene::new();
        scene.put(Kind::FederatedTrustDomains, federated("it", 1, spec));
        let found = scene.problem_of("it").unwrap();
        assert!(found.starts_with(problem), "{found}");
        assert!(scene.world.federated().is_empty());
    }
}

fn generation(mut object: Json, generation: i64) -> Json {
    object["metadata"]["generation"] = json!(generation);
    object
}

/// No resource of these kinds can be understood like this.
fn spoiled(name: &str, created: u8, number: i64) -> Json {
    let spec = json!({"spiffeIDTemplate": "{{ lower .PodMeta.Name }}", "spiffeID": "x", "parentID": "y",
        "selectors": ["z"]});
    generation(rule(name, created, spec), number)
}

/// A rule and a static entry, and two pods.
fn declared() -> Scene {
    let mut scene = Scene::new();
    scene.put(Kind::SpiffeIds, rule_of("all", 1, BY_ACCOUNT, json!({})));
    scene.put(
        Kind::StaticEntries,
        static_entry("db", 2, "db", &["unix:uid:7"]),
    );
    scene.put(Kind::Pods, pod("shop", "p1", "node-1"));
    scene.put(Kind::Pods, pod("shop", "p2", "node-1"));
    scene.settle();
    scene
}

#[test]
fn a_typo_in_a_resource_takes_nobodys_identity() {
    let mut scene = declared();
    let before = scene.entries.clone();
    assert_eq!(before.len(), 3);
    scene.put(Kind::SpiffeIds, spoiled("all", 1, 2));
    scene.put(Kind::StaticEntries, spoiled("db", 2, 2));
    assert_eq!(scene.settle(), 0);
    let problem = scene.problem_of("all").unwrap();
    assert!(
        problem.starts_with("spiffeIDTemplate: there is no function \"lower\"")
            && problem.ends_with("; what generation 1 declares stays"),
        "{problem}"
    );
    let state = scene.world.static_state("uid-db").unwrap();
    assert_eq!((state.rendered, state.set), (false, true));
    assert!(scene.world.audit(before.values()).is_empty());
    assert!(scene.world.is_settled());
    // Pods come and go meanwhile.
    scene.gone(Kind::Pods, "p1");
    scene.put(Kind::Pods, pod("shop", "p3", "node-1"));
    assert_eq!(scene.ids(), ["/ns/shop/sa/web", "/ns/shop/sa/web", "/db"]);
    scene.put(
        Kind::SpiffeIds,
        generation(rule_of("all", 1, "mended", json!({})), 3),
    );
    scene.gone(Kind::StaticEntries, "uid-db");
    assert_eq!(scene.ids(), ["/mended", "/mended"]);
    assert_eq!(scene.problem_of("all"), None);
    scene.put(Kind::SpiffeIds, spoiled("all", 1, 4));
    scene.gone(Kind::SpiffeIds, "uid-all");
    assert!(scene.ids().is_empty());
}

/// A server that begins anew beside these entries, with the resources spoiled.
fn begun_anew(entries: &BTreeMap<EntryId, Entry>, pods: &[&str]) -> Scene {
    let mut scene = Scene::new();
    scene.entries = entries.clone();
    scene.put(Kind::SpiffeIds, spoiled("all", 1, 2));
    scene.put(Kind::StaticEntries, spoiled("db", 2, 2));
    for uid in pods {
        scene.put(Kind::Pods, pod("shop", uid, "node-1"));
    }
    let owned: Vec<_> = entries.values().cloned().map(Arc::new).collect();
    scene.world.keep(&owned);
    let orphans = scene.world.audit(entries.values());
    scene.entries.retain(|id, _| !orphans.contains(id));
    scene
}

fn declared_before() -> BTreeMap<EntryId, Entry> {
    declared().entries
}

#[test]
fn after_a_restart_the_entries_of_a_resource_that_is_refused_stay_until_their_pods_end() {
    let before = declared_before();
    let mut scene = begun_anew(&before, &["p1", "p2", "p3"]);
    assert_eq!(scene.settle(), 0);
    assert_eq!(scene.entries, before);
    assert_eq!(scene.world.stats("uid-all").unwrap().entries_to_set, 2);
    for name in ["all", "db"] {
        let problem = scene.problem_of(name).unwrap();
        assert!(problem.ends_with(super::report::STAYS), "{problem}");
        scene.world.report_all();
    }
    scene.gone(Kind::Pods, "p1");
    assert_eq!(scene.ids(), ["/ns/shop/sa/web", "/db"]);
    // One that ended while nobody looked has nothing either.
    assert_eq!(begun_anew(&before, &["p2"]).ids().len(), 2);
    // Only what is declared once it is understood again.
    scene.put(
        Kind::SpiffeIds,
        generation(rule_of("all", 1, "mended", json!({})), 3),
    );
    assert_eq!(scene.ids(), ["/mended", "/mended", "/db"]);
    scene.gone(Kind::StaticEntries, "uid-db");
    assert_eq!(scene.ids(), ["/mended", "/mended"]);
}

#[test]
fn what_stays_after_a_restart_is_only_what_the_refused_resource_declared() {
    let before = declared_before();
    let mut others = before.clone();
    for (id, entry) in &before {
        // Of another resource that is no more, made in the same second; and one that was changed by hand.
        let other = id
            .as_str()
            .replace("uid-all", "another")
            .replace("uid-db", "other");
        let other = EntryId::parse(&other).unwrap();
        others.insert(
            other.clone(),
            Entry {
                id: other,
                ..entry.clone()
            },
        );
        let mut hash = id.as_str().to_owned();
        hash.replace_range(hash.len() - 4.., "0000");
        let hash = EntryId::parse(&hash).unwrap();
        others.insert(
            hash.clone(),
            Entry {
                id: hash,
                ..entry.clone()
            },
        );
    }
    let mut scene = begun_anew(&others, &["p1", "p2"]);
    scene.settle();
    assert_eq!(scene.entries, before);
    // Nor does anything stay of a resource that is gone.
    scene.gone(Kind::SpiffeIds, "uid-all");
    assert_eq!(scene.ids(), ["/db"]);
}

#[test]
fn others_go_on_beside_what_stays() {
    let before = declared_before();
    let mut scene = begun_anew(&before, &["p1", "p3"]);
    scene.put(
        Kind::SpiffeIds,
        rule_of("rest", 5, "rest", json!({"fallback": true})),
    );
    scene.put(Kind::SpiffeIds, rule_of("young", 6, "young", json!({})));
    assert_eq!(scene.ids(), ["/ns/shop/sa/web", "/db", "/young", "/young"]);
    scene.gone(Kind::SpiffeIds, "uid-young");
    assert_eq!(scene.ids(), ["/ns/shop/sa/web", "/db", "/rest"]);
}
