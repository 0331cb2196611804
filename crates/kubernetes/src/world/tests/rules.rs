//! What rules declare: which one speaks, and what is told of one that cannot.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value as Json, json};

use super::{Scene, pod, rule, rule_of, settings};
use crate::objects::Kind;
use crate::settings::Settings;
use crate::template::Template;

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
