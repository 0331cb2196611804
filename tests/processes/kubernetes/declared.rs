//! Entries that the cluster's objects declare, in a real server.

use std::time::Duration;

use serde_json::{Value, json};
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id, wait};
use tempfile::TempDir;

use super::cluster::{FakeCluster, NODE_UID};
use super::objects::Midway;
use super::{FETCH, Ground, POD, cgroups, pod};

/// A cluster with a namespace and a node, and a server that follows it.
struct Declaring {
    cluster: FakeCluster,
    server: Server,
    _directory: TempDir,
}

fn block(cluster: &FakeCluster, further: &str) -> String {
    format!(
        "kubernetes {{\n  cluster_name = \"demo\"\n  kube_config_file = \"{}\"\n  {further}\n  }}",
        cluster.kubeconfig.display()
    )
}

impl Declaring {
    async fn start(further: &str) -> Self {
        let directory = directory();
        let cluster = cluster_in(&directory).await;
        let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, further));
        let server = Server::start(directory.path(), &settings).await;
        Self {
            cluster,
            server,
            _directory: directory,
        }
    }

    fn put(&self, resource: &str, object: Value) {
        self.cluster
            .change(|state| state.watched.put(resource, object));
    }

    fn delete(&self, resource: &str, name: &str) {
        self.cluster
            .change(|state| state.watched.delete(resource, name));
    }

    fn status(&self, resource: &str, name: &str) -> Value {
        let read = |state: &mut super::cluster::State| state.watched.get(resource, name).cloned();
        self.cluster.change(read).unwrap()["status"].clone()
    }

    /// Waits until the status of a `ClusterSPIFFEID` holds this.
    async fn says(&self, name: &str, message: &str) {
        self.told("clusterspiffeids", name, message).await;
    }

    async fn told(&self, resource: &str, name: &str, message: &str) {
        wait::until(message, async || {
            let status = self.status(resource, name);
            let found = status["conditions"][0]["message"].as_str();
            found
                .is_some_and(|found| found.contains(message))
                .then_some(())
        })
        .await;
    }

    async fn logs(&self, text: &str) {
        wait::until(text, async || {
            self.server.log().contains(text).then_some(())
        })
        .await;
    }

    /// Records of the server's own acts, by their action.
    fn acts(&self, action: &str, target: &str) -> usize {
        let records = self.server.audit().into_iter();
        let found = records.filter(|one| one["action"] == action && one["target"] == target);
        found.count()
    }

    /// Waits until the server has entries of these paths, and no others.
    async fn has(&self, expected: &[&str]) {
        has(&self.server, expected).await;
    }
}

async fn cluster_in(directory: &TempDir) -> FakeCluster {
    let cluster = FakeCluster::start(directory.path()).await;
    cluster.change(|state| {
        state.watched.put("namespaces", object("shop", json!({})));
        state.watched.put("nodes", node("node-1", NODE_UID));
    });
    cluster
}

async fn entries(server: &Server) -> Vec<Value> {
    let shown = server.json(&["entry", "show"]).await;
    shown["entries"].as_array().cloned().unwrap_or_default()
}

async fn has(server: &Server, expected: &[&str]) {
    let mut last = Vec::new();
    let probe = async || {
        last = entries(server).await;
        let mut paths: Vec<_> = last
            .iter()
            .map(|entry| entry["spiffe_id"]["path"].as_str().unwrap())
            .collect();
        paths.sort_unstable();
        (paths == expected).then_some(())
    };
    wait::until(&format!("the entries {expected:?}"), probe).await;
}

fn object(name: &str, spec: Value) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "labels": {"name": name},
            "creationTimestamp": "2026-11-29T08:00:00Z"},
        "spec": spec,
    })
}

fn of_generation(mut object: Value, generation: u64) -> Value {
    object["metadata"]["generation"] = json!(generation);
    object
}

fn node(name: &str, uid: &str) -> Value {
    json!({"metadata": {"name": name, "uid": uid}, "spec": {}})
}

fn by_account(further: Value) -> Value {
    let mut spec = further;
    spec["spiffeIDTemplate"] = json!(
        "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
    );
    spec
}

fn running(name: &str, account: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": {"nodeName": "node-1", "serviceAccountName": account, "containers": [{"name": "app", "image": "i"}]},
        "status": {"phase": "Running"},
    })
}

#[tokio::test]
async fn pods_have_entries_as_long_as_they_are_there() {
    let it = Declaring::start("").await;
    let made = [
        "-parentID",
        &id("/parent"),
        "-spiffeID",
        &id("/by-hand"),
        "-selector",
        "unix:uid:7",
    ];
    let made: Vec<_> = ["entry", "create"].into_iter().chain(made).collect();
    it.server.cli(&made).await.ok();
    for at in 0..5 {
        it.put("pods", running(&format!("web-{at}"), &format!("web-{at}")));
    }
    it.has(&["/by-hand"]).await;
    it.put(
        "clusterspiffeids",
        object("all", by_account(json!({"hint": "internal"}))),
    );
    let all: Vec<_> = (0..5).map(|at| format!("/ns/shop/sa/web-{at}")).collect();
    let all: Vec<_> = std::iter::once("/by-hand")
        .chain(all.iter().map(String::as_str))
        .collect();
    it.has(&all).await;
    let entries = entries(&it.server).await;
    let first = entries
        .iter()
        .find(|entry| entry["spiffe_id"]["path"] == "/ns/shop/sa/web-0");
    let first = first.unwrap();
    assert_eq!(
        first["parent_id"]["path"],
        format!("/spire/agent/k8s_psat/demo/{NODE_UID}")
    );
    assert_eq!(
        first["selectors"],
        json!([{"type": "k8s", "value": "pod-uid:uid-web-0"}])
    );
    assert_eq!(first["hint"], "internal");
    for at in 1..5 {
        it.delete("pods", &format!("web-{at}"));
    }
    it.has(&["/by-hand", "/ns/shop/sa/web-0"]).await;
    wait::until("the status", async || {
        let status = it.status("clusterspiffeids", "all");
        (status["stats"]["entriesToSet"] == 1 && status["conditions"][0]["status"] == "True")
            .then_some(())
    })
    .await;
    it.delete("clusterspiffeids", "all");
    it.has(&["/by-hand"]).await;
}

#[tokio::test]
async fn nothing_changes_while_the_api_server_is_away_and_a_restart_keeps_the_ids() {
    let mut it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.put("pods", running("db", "db"));
    it.has(&["/ns/shop/sa/db", "/ns/shop/sa/web"]).await;
    let before = entries(&it.server).await;
    it.cluster.change(|state| {
        state.watched.is_away = true;
        state.watched.delete("pods", "db");
        state.watched.expire();
    });
    it.server.kill().await;
    it.server.resume().await;
    wait::until("the server to say that the cluster is away", async || {
        it.server.log().contains("cannot be followed").then_some(())
    })
    .await;
    assert_eq!(entries(&it.server).await, before);
    it.cluster.change(|state| state.watched.is_away = false);
    it.has(&["/ns/shop/sa/web"]).await;
    let web = |entries: &[Value]| {
        entries
            .iter()
            .find(|entry| entry["spiffe_id"]["path"] == "/ns/shop/sa/web")
            .cloned()
    };
    assert_eq!(web(&entries(&it.server).await), web(&before));
}

#[tokio::test]
async fn an_expired_watch_is_followed_by_a_list() {
    let it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    it.cluster.change(|state| {
        state.watched.delete("pods", "web");
        state.watched.put("pods", running("db", "db"));
        state.watched.expire();
    });
    it.has(&["/ns/shop/sa/db"]).await;
    // Nor does the plain end of a watch lose anything.
    it.cluster.change(|state| {
        state.watched.end_watches();
        state.watched.put("pods", running("web", "web"));
    });
    it.has(&["/ns/shop/sa/db", "/ns/shop/sa/web"]).await;
    let busy = (429, "{}".to_owned());
    it.cluster.change(|state| {
        state.instead = vec![busy; 3];
        state.watched.delete("pods", "db");
        state.watched.expire();
    });
    it.has(&["/ns/shop/sa/web"]).await;
}

#[tokio::test]
async fn a_node_made_again_under_its_name_gets_its_entries_anew() {
    let it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    it.delete("nodes", "node-1");
    it.has(&[]).await;
    it.put("nodes", node("node-1", "another"));
    it.has(&["/ns/shop/sa/web"]).await;
    let parent = entries(&it.server).await[0]["parent_id"]["path"].clone();
    assert_eq!(parent, "/spire/agent/k8s_psat/demo/another");
}

#[tokio::test]
async fn a_resource_that_is_wrong_is_told_so_and_others_go_on() {
    let it = Declaring::start("").await;
    it.put(
        "clusterspiffeids",
        object(
            "broken",
            json!({"spiffeIDTemplate": "{{ lower .PodMeta.Name }}"}),
        ),
    );
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    wait::until("the status", async || {
        let condition = it.status("clusterspiffeids", "broken")["conditions"][0].clone();
        let message = condition["message"].as_str().unwrap_or_default();
        (condition["reason"] == "Invalid" && message.contains("there is no function \"lower\""))
            .then_some(())
    })
    .await;
    let event = wait::until("the event", async || {
        it.cluster
            .change(|state| state.watched.events.first().cloned())
    })
    .await;
    assert_eq!(event["involvedObject"]["name"], "broken");
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&json!("Warning"), &json!("Invalid"))
    );
    let mut mended = object(
        "broken",
        json!({"spiffeIDTemplate": "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}"}),
    );
    mended["metadata"]["generation"] = json!(2);
    it.put("clusterspiffeids", mended);
    it.has(&["/ns/shop/sa/web", "/web"]).await;
    wait::until("the good news", async || {
        let events = it.cluster.change(|state| state.watched.events.clone());
        events
            .iter()
            .any(|event| event["type"] == "Normal")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_typo_takes_nobodys_identity_not_even_after_a_restart() {
    let mut it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    let before = entries(&it.server).await;
    let broken = json!({"spiffeIDTemplate": "spiffe://{{ .TrustDomain }/x"});
    it.put("clusterspiffeids", of_generation(object("all", broken), 2));
    it.says("all", "; what generation 1 declares stays").await;
    // A rollout goes on meanwhile.
    it.put("pods", running("db", "db"));
    it.has(&["/ns/shop/sa/db", "/ns/shop/sa/web"]).await;
    it.server.kill().await;
    it.cluster
        .change(|state| state.watched.delete("pods", "db"));
    it.server.resume().await;
    it.says("all", "; the entries of an earlier generation stay")
        .await;
    // The pod's end and the comparison with what is declared have come by.
    it.has(&["/ns/shop/sa/web"]).await;
    assert_eq!(entries(&it.server).await, before);
    it.delete("pods", "web");
    it.has(&[]).await;
    it.put("pods", running("api", "api"));
    let mended = of_generation(object("all", by_account(json!({}))), 3);
    it.put("clusterspiffeids", mended);
    it.has(&["/ns/shop/sa/api"]).await;
}

#[tokio::test]
async fn static_entries_and_federated_trust_domains_are_followed() {
    let it = Declaring::start("").await;
    let spec = json!({
        "spiffeID": id("/db"), "parentID": id("/spire/agent/x/y"), "selectors": ["unix:uid:7"],
        "federatesWith": ["other.org"], "x509SVIDTTL": "1h",
    });
    it.put("clusterstaticentries", object("db", spec));
    wait::until("the lack of a bundle to be told", async || {
        let status = it.status("clusterstaticentries", "db");
        let message = status["conditions"][0]["message"]
            .as_str()
            .unwrap_or_default();
        let told = message.contains("no bundle of \"other.org\"");
        (told && status["rendered"] == true && status["set"] == false).then_some(())
    })
    .await;
    it.has(&[]).await;
    let other = directory();
    let foreign = Server::start(other.path(), &ServerSettings::new(Maker::Signet)).await;
    let bundle = foreign
        .cli(&["bundle", "show", "-format", "spiffe"])
        .await
        .ok();
    let spec = json!({
        "trustDomain": "other.org", "bundleEndpointURL": "https://bundle.other.org/",
        "bundleEndpointProfile": {"type": "https_web"}, "trustDomainBundle": bundle,
    });
    it.put("clusterfederatedtrustdomains", object("other", spec));
    it.has(&["/db"]).await;
    wait::until("the status", async || {
        (it.status("clusterstaticentries", "db")["set"] == true).then_some(())
    })
    .await;
    let entry = entries(&it.server).await.remove(0);
    assert_eq!(entry["federates_with"], json!(["other.org"]));
    let condition = it.status("clusterfederatedtrustdomains", "other")["conditions"][0].clone();
    assert_eq!(condition["status"], "True", "{condition}");
    it.told(
        "clusterfederatedtrustdomains",
        "other",
        "bundleEndpointURL is not followed",
    )
    .await;
    // The bundle outlives its resource as long as somebody needs it.
    it.delete("clusterfederatedtrustdomains", "other");
    it.logs("stays until no entry federates with it").await;
    it.has(&["/db"]).await;
    assert_eq!(bundles(&it.server).await, ["other.org"]);
    it.delete("clusterstaticentries", "db");
    wait::until("the end of the bundle", async || {
        bundles(&it.server).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(it.acts("bundle.set", "other.org"), 1);
    assert_eq!(it.acts("bundle.delete", "other.org"), 1);
}

/// The trust domains of all federated bundles.
async fn bundles(server: &Server) -> Vec<String> {
    let shown = server.json(&["bundle", "list"]).await;
    let all = shown["bundles"].as_array().cloned().unwrap_or_default();
    let names = all.iter().map(|one| one["trust_domain"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

async fn federated(name: &str) -> Value {
    let other = directory();
    let foreign = Server::start(other.path(), &ServerSettings::new(Maker::Signet)).await;
    let bundle = foreign
        .cli(&["bundle", "show", "-format", "spiffe"])
        .await
        .ok();
    let spec = json!({
        "trustDomain": format!("{name}.org"), "bundleEndpointURL": "https://bundle.other.org/",
        "bundleEndpointProfile": {"type": "https_web"}, "trustDomainBundle": bundle,
    });
    object(name, spec)
}

#[tokio::test]
async fn a_bundle_goes_with_its_resource_also_while_nobody_looked_and_only_if_it_is_the_cluster_s()
{
    let mut it = Declaring::start("").await;
    let (one, two, three) = (
        federated("one").await,
        federated("two").await,
        federated("three").await,
    );
    let by_hand = one["spec"]["trustDomainBundle"]
        .as_str()
        .unwrap()
        .to_owned();
    for (name, object) in [("one", one), ("two", two), ("three", three)] {
        it.put("clusterfederatedtrustdomains", object);
        it.told("clusterfederatedtrustdomains", name, "is not followed")
            .await;
    }
    wait::until("the bundles", async || {
        (bundles(&it.server).await.len() == 3).then_some(())
    })
    .await;
    // An administrator replaces one, a typo spoils another, and one is deleted: all while nobody looks.
    let file = it._directory.path().join("by-hand.json");
    std::fs::write(&file, by_hand).unwrap();
    let set = [
        "bundle", "set", "-id", "two.org", "-format", "spiffe", "-path",
    ];
    let set: Vec<_> = set.into_iter().chain([file.to_str().unwrap()]).collect();
    it.server.cli(&set).await.ok();
    it.server.kill().await;
    it.delete("clusterfederatedtrustdomains", "one");
    it.delete("clusterfederatedtrustdomains", "two");
    let spoiled = object("three", json!({"trustDomain": "Three"}));
    it.put("clusterfederatedtrustdomains", of_generation(spoiled, 2));
    it.server.resume().await;
    it.told("clusterfederatedtrustdomains", "three", "missing field")
        .await;
    assert_eq!(bundles(&it.server).await.len(), 3);
    // Nothing goes before it is known what that one declares.
    let mut mended = federated("three").await;
    mended["spec"]["trustDomainBundle"] = json!("");
    it.put("clusterfederatedtrustdomains", of_generation(mended, 3));
    wait::until("the end of one bundle", async || {
        (bundles(&it.server).await == ["three.org", "two.org"]).then_some(())
    })
    .await;
    it.told(
        "clusterfederatedtrustdomains",
        "three",
        "set it with \"bundle set\"",
    )
    .await;
}

#[tokio::test]
async fn a_status_that_may_not_be_told_hinders_no_other_and_is_told_once_it_may() {
    let it = Declaring::start("").await;
    it.cluster.change(|state| {
        state.forbidden = vec![("PATCH", "/clusterspiffeids/"), ("POST", "/events")];
    });
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    let wrong = json!({"spiffeID": "x", "parentID": "y", "selectors": []});
    it.put("clusterstaticentries", object("db", wrong));
    it.told("clusterstaticentries", "db", "is no SPIFFE ID")
        .await;
    it.logs("the verb patch (of the subresource status) on clusterspiffeids")
        .await;
    it.logs("the verb create on events").await;
    it.put("clusterspiffeids", object("more", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    it.cluster.change(|state| state.forbidden.clear());
    for name in ["all", "more"] {
        wait::within(Duration::from_secs(60), "the status", async || {
            let status = it.status("clusterspiffeids", name);
            (status["stats"]["podsSelected"] == 1).then_some(())
        })
        .await;
    }
    let log = it.server.log();
    assert_eq!(
        log.matches("could not be told its status; trying again")
            .count(),
        1,
        "{log}"
    );
    assert!(
        log.contains("resources are told their status again"),
        "{log}"
    );
}

#[tokio::test]
async fn a_lease_that_may_not_be_had_is_named_once_and_taken_when_it_may() {
    let election = "leader_election { namespace = \"signet\" }";
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    cluster.change(|state| state.forbidden = vec![("POST", "/leases")]);
    let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, election));
    let server = Server::start(directory.path(), &settings).await;
    let it = Declaring {
        cluster,
        server,
        _directory: directory,
    };
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.logs("the verb create on leases").await;
    wait::until("a second try", async || {
        let path = "/apis/coordination.k8s.io/v1/namespaces/signet/leases";
        let asked = |state: &mut super::cluster::State| state.asked.get(path).copied();
        (it.cluster.change(asked) >= Some(2)).then_some(())
    })
    .await;
    assert_eq!(it.server.log().matches("can be neither taken").count(), 1);
    assert!(entries(&it.server).await.is_empty());
    it.cluster.change(|state| state.forbidden.clear());
    it.has(&["/ns/shop/sa/web"]).await;
}

#[tokio::test]
async fn entries_follow_the_labels_of_namespaces() {
    let it = Declaring::start("").await;
    let selector = json!({"namespaceSelector": {"matchLabels": {"team": "shop"}}});
    it.put("clusterspiffeids", object("team", by_account(selector)));
    it.put("pods", running("web", "web"));
    let mut namespace = object("shop", json!({}));
    for team in ["bank", "shop", "bank"] {
        namespace["metadata"]["labels"]["team"] = json!(team);
        it.put("namespaces", namespace.clone());
        let expected: &[&str] = match team {
            "shop" => &["/ns/shop/sa/web"],
            _ => &[],
        };
        it.has(expected).await;
        let selected = usize::from(team == "shop");
        wait::until("the status", async || {
            let stats = it.status("clusterspiffeids", "team")["stats"].clone();
            let is_told =
                stats["namespacesSelected"] == selected && stats["podsSelected"] == selected;
            is_told.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn pods_that_come_and_go_fifty_a_second_leave_what_is_right() {
    const PODS: usize = 250;
    let it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    let mut paces = tokio::time::interval(Duration::from_millis(20));
    for at in 0..PODS {
        paces.tick().await;
        it.put("pods", running(&format!("p{at:03}"), &format!("a{at:03}")));
        // Most live for a fifth of a second; every tenth stays.
        if let Some(old) = at.checked_sub(10).filter(|old| old % 10 != 0) {
            it.delete("pods", &format!("p{old:03}"));
        }
    }
    for old in (PODS - 10..PODS).filter(|old| old % 10 != 0) {
        it.delete("pods", &format!("p{old:03}"));
    }
    let left = (0..PODS)
        .step_by(10)
        .map(|at| format!("/ns/shop/sa/a{at:03}"));
    let left: Vec<_> = left.collect();
    it.has(&left.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    wait::until("the status", async || {
        let status = it.status("clusterspiffeids", "all");
        (status["stats"]["entriesToSet"] == left.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_api_server_is_waited_for() {
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    cluster.change(|state| {
        state.slowness = Duration::from_secs(2);
        for name in ["a", "b", "c", "d", "e"] {
            state.watched.put("pods", running(name, name));
        }
        state
            .watched
            .put("clusterspiffeids", object("all", by_account(json!({}))));
    });
    let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, ""));
    let server = Server::start(directory.path(), &settings).await;
    let it = Declaring {
        cluster,
        server,
        _directory: directory,
    };
    let all = ["a", "b", "c", "d", "e"].map(|name| format!("/ns/shop/sa/{name}"));
    it.has(&all.each_ref().map(|path| &**path)).await;
    it.delete("pods", "e");
    it.has(&all[..4].iter().map(|path| &**path).collect::<Vec<_>>())
        .await;
    wait::until("the status", async || {
        let status = it.status("clusterspiffeids", "all");
        (status["stats"]["entriesToSet"] == 4).then_some(())
    })
    .await;
    assert!(!it.server.log().contains("cannot be followed"));
}

#[tokio::test]
async fn what_changes_between_the_pages_of_a_list_is_not_lost() {
    let it = Declaring::start("").await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    for name in ["b", "c", "d", "e", "f"] {
        it.put("pods", running(name, name));
    }
    let paths = |names: &str| -> Vec<String> {
        names
            .chars()
            .map(|name| format!("/ns/shop/sa/{name}"))
            .collect()
    };
    let has = async |names: &str| {
        let paths = paths(names);
        it.has(&paths.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
    };
    has("bcdef").await;
    it.cluster.change(|state| {
        let change = |objects: &mut super::objects::Objects| {
            objects.delete("pods", "b");
            objects.delete("pods", "f");
            objects.put("pods", running("a", "a"));
            objects.put("pods", running("g", "g"));
        };
        state.watched.midway = Some(Midway::Changes(Box::new(change)));
        state.watched.expire();
    });
    has("acdeg").await;
    it.cluster.change(|state| {
        state.watched.midway = Some(Midway::Forgets);
        state.watched.delete("pods", "c");
        state.watched.expire();
    });
    has("adeg").await;
}

#[tokio::test]
async fn definitions_that_come_after_the_server_are_noticed() {
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    let kinds = [
        "clusterspiffeids",
        "clusterstaticentries",
        "clusterfederatedtrustdomains",
    ];
    cluster.change(|state| {
        state.watched.unknown = kinds.to_vec();
        state.watched.put("pods", running("web", "web"));
    });
    let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, ""));
    let server = Server::start(directory.path(), &settings).await;
    let it = Declaring {
        cluster,
        server,
        _directory: directory,
    };
    it.logs("apply examples/kubernetes/crds").await;
    it.cluster.change(|state| state.watched.unknown.clear());
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.has(&["/ns/shop/sa/web"]).await;
}

#[tokio::test]
async fn of_several_servers_the_one_with_the_lease_writes() {
    let election = "leader_election { namespace = \"signet\" }";
    let mut it = Declaring::start(election).await;
    let other = directory();
    let settings = ServerSettings::new(Maker::Signet).line(&block(&it.cluster, election));
    let standby = Server::start(other.path(), &settings).await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.has(&["/ns/shop/sa/web"]).await;
    assert_eq!(entries(&standby).await, Vec::<Value>::new());
    it.server.kill().await;
    wait::within(
        Duration::from_secs(90),
        "the other to take over",
        async || (entries(&standby).await.len() == 1).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn a_pod_gets_its_identity_without_an_entry_by_hand() {
    const NAME: &str = "a_pod_gets_its_identity_without_an_entry_by_hand";
    let container = "c".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{container}")) else {
        return;
    };
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    let settings = ServerSettings::new(Maker::Signet)
        .plugin(cluster.server_plugin(""))
        .line(&block(&cluster, ""));
    let server = Server::start(directory.path(), &settings).await;
    let (scene, cluster) = Ground::of(directory, cluster, server).scene().await;
    let of_kubelet = pod("shop", POD, &container);
    cluster.change(|state| {
        state.pods = vec![of_kubelet.clone()];
        state
            .watched
            .put("clusterspiffeids", object("all", by_account(json!({}))));
        state.watched.put("pods", of_kubelet);
    });
    let identity = id("/ns/shop/sa/default");
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&identity).then_some(())
    })
    .await;
    // An API server that is away stops nothing that is known, not even for a server that starts meanwhile.
    cluster.change(|state| {
        state.watched.is_away = true;
        state.watched.end_watches();
    });
    let mut scene = scene;
    for audience in ["before", "after"] {
        let fetch = [
            "api",
            "fetch",
            "jwt",
            "-audience",
            audience,
            "-timeout",
            "20s",
        ];
        wait::until("a new JWT-SVID", async || {
            let fetched = scene.agent.cli_in(&inside, &fetch).await;
            fetched.stdout.contains(&identity).then_some(())
        })
        .await;
        scene.server.kill().await;
        scene.server.resume().await;
    }
    cluster.change(|state| state.watched.is_away = false);
    cluster.change(|state| state.watched.delete("pods", "shop-7d4b9c"));
    wait::until("the end of the identity", async || {
        let fetched = scene
            .agent
            .cli_in(&inside, &["api", "fetch", "x509", "-timeout", "1s"])
            .await;
        (!fetched.stdout.contains(&identity)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_s_identity_is_not_signed_for_an_agent_that_nothing_places() {
    const NAME: &str = "a_pod_s_identity_is_not_signed_for_an_agent_that_nothing_places";
    let container = "d".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{container}")) else {
        return;
    };
    // An agent that attests by join token, under an alias that is the parent of all.
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    let parent = "parent_id_template = \"spiffe://example.org/nodes\"";
    let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, parent));
    let server = Server::start(directory.path(), &settings).await;
    let made = ["token", "generate", "-spiffeID", &id("/nodes")];
    let token = server.json(&made).await["value"]
        .as_str()
        .unwrap()
        .to_owned();
    let settings = AgentSettings::new(Maker::Signet, Attestation::JoinToken(token))
        .plugin(cluster.workload_plugin());
    let scene = Scene::around(directory, server, &settings).await;
    let of_kubelet = pod("shop", POD, &container);
    cluster.change(|state| {
        state.pods = vec![of_kubelet.clone()];
        state
            .watched
            .put("clusterspiffeids", object("all", by_account(json!({}))));
        state.watched.put("pods", of_kubelet);
    });
    has(&scene.server, &["/nodes", "/ns/shop/sa/default"]).await;
    wait::until("the refusal", async || {
        let fetched = scene
            .agent
            .cli_in(&inside, &["api", "fetch", "x509", "-timeout", "1s"])
            .await;
        assert!(!fetched.stdout.contains(&id("/ns/shop")), "{fetched:?}");
        let records = scene.server.audit().into_iter();
        let why = "nothing tells whether its pod runs on the agent's node";
        let mut refused = records.filter(|one| one["decision"] == "refused");
        let is_why = |one: Value| {
            one["reason"]
                .as_str()
                .is_some_and(|text| text.contains(why))
        };
        refused.any(is_why).then_some(())
    })
    .await;
    assert!(
        scene.agent.log().contains("nothing tells whether its pod"),
        "{}",
        scene.agent.log()
    );
}
