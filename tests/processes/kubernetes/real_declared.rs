//! What a cluster declares, on a real API server: it knows the resources, refuses what cannot be, and the
//! account of the manifests suffices to follow them and to say what became of them.

use serde_json::{Value, json};
use signet_tests::installation::examples;
use signet_tests::{Server, wait};

use super::ground::{Ground, Right, right, says};

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  serviceAccountName: web
  nodeName: node-1
  containers:
  - {name: web, image: web}
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterStaticEntry
metadata: {name: db}
spec:
  spiffeID: spiffe://example.org/db
  parentID: spiffe://example.org/spire/agent/x/y
  selectors: [\"unix:uid:7\"]
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterFederatedTrustDomain
metadata: {name: other}
spec:
  trustDomain: other.org
  bundleEndpointURL: https://other.org/
  bundleEndpointProfile: {type: https_web}
";

const DECLARING: [&str; 3] = [
    "clusterspiffeids",
    "clusterstaticentries",
    "clusterfederatedtrustdomains",
];

const FOLLOWED: [&str; 7] = [
    "pods",
    "nodes",
    "namespaces",
    "endpointslices",
    DECLARING[0],
    DECLARING[1],
    DECLARING[2],
];

const STATUS: [(&str, Right); 3] = [
    (
        "clusterspiffeid/by-app",
        right("clusterrole", "clusterspiffeids/status", "patch"),
    ),
    (
        "clusterstaticentry/db",
        right("clusterrole", "clusterstaticentries/status", "patch"),
    ),
    (
        "clusterfederatedtrustdomain/other",
        right(
            "clusterrole",
            "clusterfederatedtrustdomains/status",
            "patch",
        ),
    ),
];

/// The ground with a pod, one resource of each kind, and the server.
async fn declaring(name: &str) -> Option<(Ground, Server)> {
    let ground = Ground::new(name).await?;
    let sample = examples().join("identities.yaml").display().to_string();
    ground.cluster.kubectl(&["create", "-f", &sample]).await;
    ground.cluster.create(SHOP).await;
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    Some((ground, server))
}

async fn object(ground: &Ground, name: &str) -> Value {
    let text = ground.cluster.kubectl(&["get", name, "-o", "json"]).await;
    serde_json::from_str(&text).unwrap()
}

/// Waits until the status is that of the resource as it is now.
async fn told(ground: &Ground, name: &str) -> Value {
    wait::until("the status", async || {
        let object = object(ground, name).await;
        let status = object["status"].clone();
        let seen = &status["conditions"][0]["observedGeneration"];
        (*seen == object["metadata"]["generation"]).then_some(status)
    })
    .await
}

async fn change(ground: &Ground, name: &str, spec: Value) {
    let patch = json!({"spec": spec}).to_string();
    let arguments = ["patch", name, "--type=merge", "-p", &patch];
    ground.cluster.kubectl(&arguments).await;
}

async fn entries(server: &Server) -> Vec<Value> {
    let shown = server.json(&["entry", "show"]).await;
    shown["entries"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_pod_that_a_resource_selects_has_an_entry_while_it_is_there() {
    let name = "a_pod_that_a_resource_selects_has_an_entry_while_it_is_there";
    let Some((ground, server)) = declaring(name).await else {
        return;
    };
    let parent = format!("/spire/agent/k8s_psat/demo/{}", ground.node_uid);
    let made = wait::until("both entries", async || {
        Some(entries(&server).await).filter(|all| all.len() == 2)
    })
    .await;
    let of_pod = |all: &[Value]| {
        let mut found = all.iter();
        found
            .find(|entry| entry["spiffe_id"]["path"] == "/ns/shop/app/web")
            .cloned()
    };
    assert_eq!(of_pod(&made).unwrap()["parent_id"]["path"], parent);
    let status = told(&ground, "clusterspiffeid/by-app").await;
    assert_eq!(status["conditions"][0]["status"], "True", "{status}");
    assert_eq!(status["stats"]["podsSelected"], 1, "{status}");
    let status = told(&ground, "clusterstaticentry/db").await;
    assert_eq!(status["set"], true, "{status}");
    told(&ground, "clusterfederatedtrustdomain/other").await;
    let delete = [
        "delete",
        "pod",
        "web",
        "-n",
        "shop",
        "--force",
        "--grace-period=0",
    ];
    ground.cluster.kubectl(&delete).await;
    wait::until("the end of the entry", async || {
        of_pod(&entries(&server).await).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_one_command_every_pod_has_an_identity() {
    let name = "after_one_command_every_pod_has_an_identity";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    ground.cluster.create(SHOP).await;
    let paths = async || {
        let all = entries(&server).await.into_iter();
        let paths = all.map(|entry| entry["spiffe_id"]["path"].as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    let has = async |path: &str| paths().await.iter().any(|one| one == path).then_some(());
    wait::until("its entry", async || has("/ns/shop/sa/web").await).await;
    wait::until("the static entry", async || has("/db").await).await;
    // The agent's own pod is in a namespace that gets none.
    assert_eq!(paths().await.len(), 2);
    let special = "apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterSPIFFEID\nmetadata: {name: special}\nspec: \
                   {spiffeIDTemplate: \"spiffe://{{ .TrustDomain }}/special\"}\n";
    ground.cluster.create(special).await;
    wait::until("what a resource says", async || has("/special").await).await;
    assert_eq!(has("/ns/shop/sa/web").await, None);
    ground
        .cluster
        .kubectl(&["delete", "clusterspiffeid", "special"])
        .await;
    wait::until("the default", async || has("/ns/shop/sa/web").await).await;
}

#[tokio::test]
async fn the_api_server_refuses_resources_that_cannot_be() {
    let name = "the_api_server_refuses_resources_that_cannot_be";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let refused = [
        (
            "ClusterSPIFFEID",
            json!({}),
            "spec.spiffeIDTemplate: Required value",
        ),
        (
            "ClusterStaticEntry",
            json!({"spiffeID": "x", "parentID": "y"}),
            "spec.selectors: Required value",
        ),
        (
            "ClusterFederatedTrustDomain",
            json!({
                "trustDomain": "other.org", "bundleEndpointURL": "https://other.org/",
                "bundleEndpointProfile": {"type": "ftp"},
            }),
            "Unsupported value: \"ftp\"",
        ),
    ];
    for (kind, spec, reason) in refused {
        let object = json!({
            "apiVersion": "spire.spiffe.io/v1alpha1", "kind": kind, "metadata": {"name": "wrong"}, "spec": spec,
        });
        let path = ground.directory.path().join("wrong.json");
        std::fs::write(&path, object.to_string()).unwrap();
        let path = path.display().to_string();
        let create = ["create", "--validate=false", "-f", &path];
        let answer = ground.cluster.try_kubectl(&create).await;
        assert!(!answer.status.success(), "{kind}");
        assert!(answer.stderr.contains(reason), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn without_a_verb_of_those_that_follow_and_tell_the_log_names_it() {
    let name = "without_a_verb_of_those_that_follow_and_tell_the_log_names_it";
    let Some((ground, mut server)) = declaring(name).await else {
        return;
    };
    for (resource, _) in &STATUS {
        told(&ground, resource).await;
    }
    assert!(!server.log().contains("(403)"), "{}", server.log());
    for resource in FOLLOWED {
        for verb in ["list", "watch"] {
            let right = right("clusterrole", resource, verb);
            ground
                .without(&right, async || {
                    let since = server.log().len();
                    server.kill().await;
                    server.resume().await;
                    says(&server, since, &format!("the verb {verb} on {resource}")).await;
                })
                .await;
        }
    }
    server.kill().await;
    server.resume().await;
    for (resource, right) in &STATUS {
        let since = server.log().len();
        ground
            .without(right, async || {
                change(&ground, resource, json!({"className": "other"})).await;
                change(&ground, resource, json!({"className": null})).await;
                let (named, _) = right.resource.split_once('/').unwrap();
                let missing = format!("the verb patch (of the subresource status) on {named}");
                says(&server, since, &missing).await;
            })
            .await;
    }
    let since = server.log().len();
    let events = right("clusterrole", "events", "create");
    ground
        .without(&events, async || {
            let wrong = json!({"spiffeIDTemplate": "{{ nothing }}"});
            change(&ground, STATUS[0].0, wrong).await;
            says(&server, since, "the verb create on events").await;
        })
        .await;
}

#[tokio::test]
async fn without_a_verb_on_the_lease_the_log_names_it_and_nothing_is_written() {
    let name = "without_a_verb_on_the_lease_the_log_names_it_and_nothing_is_written";
    let Some(ground) = Ground::with_component(name, "leader-election").await else {
        return;
    };
    ground.cluster.create(SHOP).await;
    let election = "leader_election { namespace = \"signet\" }";
    let settings = ground.settings_with(election).await;
    let mut server = Server::start(ground.directory.path(), &settings).await;
    wait::until("what is declared", async || {
        (!entries(&server).await.is_empty()).then_some(())
    })
    .await;
    assert!(!server.log().contains("(403)"), "{}", server.log());
    for verb in ["get", "update", "create"] {
        let mut since = 0;
        ground
            .without(&right("role", "leases", verb), async || {
                server.kill().await;
                if verb == "create" {
                    let delete = ["delete", "lease", "signet-server", "-n", "signet"];
                    ground.cluster.kubectl(&delete).await;
                }
                since = server.log().len();
                server.resume().await;
                says(&server, since, &format!("the verb {verb} on leases")).await;
            })
            .await;
        says(&server, since, "the lease can be had again").await;
    }
}
