//! Entries of pods, through what pods, nodes and namespaces do.

use super::*;

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
