//! A resource that is refused takes away nothing that it declared before.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use signet_model::{Entry, EntryId};

use super::{BY_ACCOUNT, Scene, pod, rule, rule_of, static_entry};
use crate::objects::Kind;
use crate::world::report::STAYS;

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
        assert!(problem.ends_with(STAYS), "{problem}");
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
