//! An API server that is away, slow, busy with itself or forbids something; several servers.

use super::*;

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
    let it = Declaring::over(directory, cluster, election).await;
    it.put("clusterspiffeids", object("all", by_account(json!({}))));
    it.put("pods", running("web", "web"));
    it.logs("the verb create on leases").await;
    wait::until("a second try", async || {
        let path = "/apis/coordination.k8s.io/v1/namespaces/signet/leases";
        let asked = |state: &mut super::super::cluster::State| state.asked.get(path).copied();
        (it.cluster.change(asked) >= Some(2)).then_some(())
    })
    .await;
    assert_eq!(it.server.log().matches("can be neither taken").count(), 1);
    assert!(entries(&it.server).await.is_empty());
    it.cluster.change(|state| state.forbidden.clear());
    it.has(&["/ns/shop/sa/web"]).await;
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
    let it = Declaring::over(directory, cluster, "").await;
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
        let change = |objects: &mut super::super::objects::Objects| {
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
    let it = Declaring::over(directory, cluster, "").await;
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
