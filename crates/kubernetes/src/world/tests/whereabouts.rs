//! Which nodes pods are on, and for which agents that holds.

use serde_json::json;
use signet_model::{Entry, EntryId, Selector, SelectorSet};
use signet_spiffe::SpiffeId;

use super::{Scene, node, pod, rule_of, settings};
use crate::objects::Kind;
use crate::settings::Settings;
use crate::whereabouts::{AskingNode, Place};
use crate::world::World;

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
