//! What resources declare, rightly and wrongly.

use super::*;

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
    it.put("clusterfederatedtrustdomains", federated("other").await);
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
