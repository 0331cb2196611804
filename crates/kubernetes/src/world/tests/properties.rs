//! A world kept current by changes is the one that is made from zero.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{BY_ACCOUNT, Scene, namespace, node, pod, read, rule_of, settings, static_entry};
use crate::objects::Kind;
use crate::world::World;

/// An object that comes, changes or goes; few of each kind, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Put(Kind, String, Json),
    Gone(Kind, String),
    Settle(usize),
    /// All is listed anew, as after a watch that expired.
    Relist(Kind),
}

fn pods() -> impl Strategy<Value = Step> {
    let parts = (0..4_u8, 0..3_u8, 0..3_u8, 0..2_u8, any::<bool>());
    parts.prop_map(|(uid, in_, on, app, is_over)| {
        let uid = format!("p{uid}");
        let namespace = ["shop", "bank", "kube-system"][usize::from(in_)];
        let mut object = pod(namespace, &uid, ["node-1", "node-2", ""][usize::from(on)]);
        object["metadata"]["labels"] = json!({"app": (["web", "db"][usize::from(app)])});
        object["status"]["phase"] = json!(if is_over { "Failed" } else { "Running" });
        Step::Put(Kind::Pods, uid, object)
    })
}

fn rules() -> impl Strategy<Value = Step> {
    let parts = (0..4_u8, 0..4_u8, any::<[bool; 4]>(), any::<i32>());
    parts.prop_map(
        |(name, path, [fallback, by_app, by_team, services], generation)| {
            let path = [
                "web",
                BY_ACCOUNT,
                "{{ .PodMeta.Labels.version }}",
                "{{ .Nothing }}",
            ][usize::from(path)];
            let mut further = json!({"fallback": fallback, "autoPopulateDNSNames": services});
            if by_app {
                further["podSelector"] = json!({"matchLabels": {"app": "web"}});
            }
            if by_team {
                further["namespaceSelector"] =
                    json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]});
            }
            let created = name / 2;
            let name = format!("r{name}");
            let mut object = rule_of(&name, created, path, further);
            object["metadata"]["generation"] = json!(generation);
            Step::Put(Kind::SpiffeIds, format!("uid-{name}"), object)
        },
    )
}

fn statics() -> impl Strategy<Value = Step> {
    (0..3_u8, 0..3_u8, any::<i32>()).prop_map(|(name, selects, generation)| {
        let selector = ["k8s:pod-uid:p0", "k8s:pod-uid:p1", "unix:uid:7"][usize::from(selects)];
        let name = format!("s{name}");
        let mut object = static_entry(&name, 0, "web", &[selector]);
        object["metadata"]["generation"] = json!(generation);
        Step::Put(Kind::StaticEntries, format!("uid-{name}"), object)
    })
}

fn others() -> impl Strategy<Value = Step> {
    let namespaces = (0..3_u8, any::<bool>()).prop_map(|(name, labelled)| {
        let name = ["shop", "bank", "kube-system"][usize::from(name)];
        let labels: &[_] = if labelled { &[("team", "x")] } else { &[] };
        Step::Put(Kind::Namespaces, name.to_owned(), namespace(name, labels))
    });
    let nodes = (1..3_u8, 0..3_u8).prop_map(|(name, uid)| {
        let name = format!("node-{name}");
        let object = node(&name, &format!("n{uid}"));
        Step::Put(Kind::Nodes, name, object)
    });
    let slices =
        (0..2_u8, proptest::collection::btree_set(0..4_u8, 0..3)).prop_map(|(service, pods)| {
            let name = format!("svc{service}");
            let targets: Vec<_> = pods
                .iter()
                .map(|pod| json!({"targetRef": {"kind": "Pod", "uid": format!("p{pod}")}}))
                .collect();
            let object = json!({"metadata": {"name": name, "namespace": "shop", "uid": name,
            "labels": {"kubernetes.io/service-name": name}}, "endpoints": targets});
            Step::Put(Kind::EndpointSlices, format!("shop/{name}"), object)
        });
    prop_oneof![namespaces, nodes, slices]
}

fn gone() -> impl Strategy<Value = Step> {
    let keys = [
        "p0",
        "p1",
        "p2",
        "uid-r0",
        "uid-r1",
        "uid-s0",
        "uid-s1",
        "shop",
        "node-1",
        "shop/svc0",
    ];
    let kinds = [
        Kind::Pods,
        Kind::Pods,
        Kind::Pods,
        Kind::SpiffeIds,
        Kind::SpiffeIds,
        Kind::StaticEntries,
        Kind::StaticEntries,
        Kind::Namespaces,
        Kind::Nodes,
        Kind::EndpointSlices,
    ];
    (0..keys.len()).prop_map(move |at| Step::Gone(kinds[at], keys[at].to_owned()))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => pods(),
        3 => rules(),
        1 => statics(),
        2 => others(),
        2 => gone(),
        1 => (0..4_usize).prop_map(Step::Settle),
        1 => (0..Kind::ALL.len()).prop_map(|at| Step::Relist(Kind::ALL[at])),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changes_add_up_to_what_is_made_from_zero(steps in steps()) {
        let mut scene = Scene { world: World::new(settings()), entries: BTreeMap::new() };
        for kind in Kind::ALL {
            scene.world.listed(kind, &HashSet::new());
        }
        // With all forms of a resource: the last that can be understood holds.
        let mut objects: BTreeMap<(Kind, String), Vec<Json>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(kind, key, object) => {
                    scene.put(kind, object.clone());
                    objects.entry((kind, key)).or_default().push(object);
                }
                Step::Gone(kind, key) => {
                    scene.gone(kind, &key);
                    objects.remove(&(kind, key));
                }
                Step::Settle(most) => {
                    for change in scene.world.settle(most, most) {
                        match change {
                            crate::Change::Set { entry, .. } => { scene.entries.insert(entry.id.clone(), *entry); }
                            crate::Change::Unset(id) => prop_assert!(scene.entries.remove(&id).is_some()),
                        }
                    }
                }
                Step::Relist(kind) => {
                    let all: Vec<_> = objects.iter().filter(|((of, _), _)| *of == kind).collect();
                    for object in all.iter().filter_map(|(_, forms)| forms.last()) {
                        scene.world.put(read(kind, object));
                    }
                    let seen = all.iter().map(|((_, key), _)| Arc::from(&**key)).collect();
                    scene.world.listed(kind, &seen);
                }
            }
        }
        scene.settle();

        let mut fresh = Scene { world: World::new(settings()), entries: BTreeMap::new() };
        for ((kind, _), forms) in &objects {
            let skipped = if *kind == Kind::SpiffeIds { 0 } else { forms.len() - 1 };
            for object in &forms[skipped..] {
                fresh.put(*kind, object.clone());
            }
        }
        for kind in Kind::ALL {
            let keys = objects.keys().filter(|(of, _)| *of == kind);
            fresh.world.listed(kind, &keys.map(|(_, key)| Arc::from(&**key)).collect());
        }
        fresh.settle();

        prop_assert_eq!(&scene.entries, &fresh.entries);
        let uids: BTreeSet<_> = objects.keys().map(|(_, key)| key.clone()).collect();
        for uid in uids {
            prop_assert_eq!(scene.world.stats(&uid), fresh.world.stats(&uid), "{}", uid);
            prop_assert_eq!(scene.world.static_state(&uid), fresh.world.static_state(&uid), "{}", uid);
        }
        let owned: Vec<_> = scene.entries.into_values().collect();
        prop_assert!(scene.world.audit(&owned).is_empty());
        prop_assert!(scene.world.is_settled());
    }
}
