//! Entries that were declared for pods: their identities go to the node that runs the pod.

use crate::harness::{Node, World, create, csr, entry, key, selector};
use serde_json::json;
use signet_kubernetes::{IgnoredNamespaces, Kind, Object, Settings, World as Cluster};
use signet_model::{Agent, Change, Selector};
use signet_proto::spire::server::svid::v1::{BatchNewX509svidRequest, NewX509svidParams};
use signet_proto::spire::types::Entry;
use signet_server::state::{Plan, Snapshot, StateError};
use signet_spiffe::{SpiffeId, TrustDomain};
use std::collections::HashSet;
use std::sync::Arc;
use tonic::Code;

/// A cluster whose whereabouts are the server's.
fn cluster(world: &World) -> Cluster {
    let settings = Settings {
        trust_domain: TrustDomain::parse("example.org").unwrap(),
        cluster_name: "demo".to_owned(),
        cluster_domain: String::new(),
        ignored: IgnoredNamespaces::default(),
        class_name: String::new(),
        watch_classless: true,
        parent_id: Settings::default_parent_id(),
        default_id: None,
    };
    Cluster::new_with(settings, world.server.issuer().pods.clone())
}

fn list(cluster: &mut Cluster, pods: &[(&str, &str)]) {
    for kind in Kind::ALL {
        let mut seen = HashSet::new();
        let mut put = |object| {
            let object = Object::read(kind, object).unwrap();
            seen.insert(object.key().clone());
            cluster.put(object);
        };
        match kind {
            Kind::Nodes => put(json!({"metadata": {"name": "node-1", "uid": "n1"}})),
            Kind::Pods => pods.iter().for_each(|(uid, node)| {
                put(json!({"metadata": {"name": uid, "uid": uid}, "spec": {"nodeName": node}}));
            }),
            _ => {}
        }
        cluster.listed(kind, &seen);
    }
}

/// As if the agent had attested by `k8s_psat`.
async fn on_node(world: &World, node: &Node, facts: &[&str]) {
    let agent_id = SpiffeId::parse(&format!("spiffe://example.org{}", node.id.path)).unwrap();
    let put = |snapshot: &Snapshot| {
        let agent = snapshot.index.agent(&agent_id).unwrap();
        let selectors = facts
            .iter()
            .map(|fact| Selector::new("k8s_psat", fact).unwrap());
        let agent = Agent {
            selectors: selectors.collect(),
            ..Agent::clone(agent)
        };
        Ok((
            Plan::default().change(Change::PutAgent(Arc::new(agent))),
            (),
        ))
    };
    let state = &world.server.issuer().state;
    state.change::<_, StateError, _>(put).await.unwrap();
}

async fn outcome(node: &Node, entry: &Entry) -> Code {
    let params = vec![NewX509svidParams {
        entry_id: entry.id.clone(),
        csr: csr(&key(), &[]).into(),
    }];
    let request = BatchNewX509svidRequest { params };
    let answer = node.svids().batch_new_x509svid(request).await.unwrap();
    Code::from(answer.into_inner().results.remove(0).status.unwrap().code)
}

async fn declared(world: &World, node: &Node, entry_id: &str) -> Entry {
    let mut given = entry("/web", &node.id);
    given.id = entry_id.to_owned();
    given.selectors = vec![selector("k8s:pod-uid:p1")];
    create(&world.local().await, vec![given]).await.remove(0)
}

#[tokio::test]
async fn a_pods_identity_is_signed_for_its_node_alone() {
    let world = World::new().await;
    let node = world.agent().await;
    let entry = declared(&world, &node, "k8s.demo.0.x").await;
    on_node(&world, &node, &["cluster:demo", "agent_node_uid:n1"]).await;
    let mut cluster = cluster(&world);
    // What was known goes on until the cluster was read.
    assert_eq!(outcome(&node, &entry).await, Code::Ok);
    list(&mut cluster, &[("p1", "node-1")]);
    assert_eq!(outcome(&node, &entry).await, Code::Ok);
    for (facts, code) in [
        (&["cluster:demo", "agent_node_uid:n2"][..], Code::NotFound),
        (&["cluster:demo", "agent_node_name:node-2"], Code::NotFound),
        (&["cluster:demo", "agent_node_name:node-1"], Code::Ok),
        (&["cluster:other", "agent_node_uid:n1"], Code::NotFound),
        (&["agent_sa:agent"], Code::NotFound),
    ] {
        on_node(&world, &node, facts).await;
        assert_eq!(outcome(&node, &entry).await, code, "{facts:?}");
    }
    list(&mut cluster, &[]);
    assert_eq!(outcome(&node, &entry).await, Code::Unavailable);
}

#[tokio::test]
async fn entries_of_others_are_not_asked_about() {
    let world = World::new().await;
    let node = world.agent().await;
    let entry = declared(&world, &node, "by-hand").await;
    on_node(&world, &node, &["cluster:demo", "agent_node_uid:n2"]).await;
    list(&mut cluster(&world), &[]);
    assert_eq!(outcome(&node, &entry).await, Code::Ok);
}
