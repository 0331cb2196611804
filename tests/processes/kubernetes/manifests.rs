//! A real API server takes every form of the manifests and the chart, also into a namespace of the user's.

use serde_json::{Value, json};
use signet_tests::api_server::ApiServer;
use signet_tests::installation::examples;
use signet_tests::scene::directory;
use signet_tests::{Agent, Server, wait};

use super::ground::{Ground, NAMESPACE, kustomization};

#[tokio::test]
async fn the_api_server_takes_every_variant_of_the_manifests() {
    let name = "the_api_server_takes_every_variant_of_the_manifests";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let folder = examples();
    let mut variants = vec![folder.clone(), folder.join("base")];
    for component in std::fs::read_dir(folder.join("components")).unwrap() {
        let component = component.unwrap().file_name();
        let variant = ground.directory.path().join(&component);
        let component = component.display();
        let text =
            format!("resources: [SIGNET/base]\ncomponents: [SIGNET/components/{component}]\n");
        kustomization(&variant, &text);
        variants.push(variant);
    }
    assert!(variants.len() > 4, "{variants:?}");
    for variant in variants {
        let variant = variant.display().to_string();
        let apply = ["apply", "--dry-run=server", "-k", &variant];
        let taken = ground.cluster.kubectl(&apply).await;
        assert!(taken.contains("daemonset.apps/signet-agent"), "{taken}");
    }
}

#[tokio::test]
async fn the_api_server_takes_the_rendered_chart() {
    let name = "the_api_server_takes_the_rendered_chart";
    if tokio::process::Command::new("helm")
        .arg("version")
        .output()
        .await
        .is_err()
    {
        signet_tests::skip::skipped(name, "helm is not on the path");
        return;
    }
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    // Into another namespace than the manifests: both may be there.
    ground
        .cluster
        .kubectl(&["create", "namespace", "chart"])
        .await;
    let chart = examples().join("chart").display().to_string();
    for choice in ["csi.enabled=true", "csi.enabled=false"] {
        let render = [
            "template",
            "c",
            &chart,
            "-n",
            "chart",
            "--kube-version=1.36.0",
            "--set",
            choice,
        ];
        let rendered = signet_tests::command::run("helm", &render).await.ok();
        let path = ground.directory.path().join("chart.yaml");
        std::fs::write(&path, rendered).unwrap();
        let path = path.display().to_string();
        let apply = ["apply", "--dry-run=server", "-n", "chart", "-f", &path];
        let taken = ground.cluster.kubectl(&apply).await;
        assert!(taken.contains("statefulset.apps/signet-server"), "{taken}");
    }
}

/// A pod of this workload's template, in another namespace.
async fn pod_of(ground: &Ground, workload: &str, namespace: &str) -> Value {
    let get = ["get", workload, "-n", NAMESPACE, "-o", "json"];
    let workload: Value = serde_json::from_str(&ground.cluster.kubectl(&get).await).unwrap();
    let mut spec = workload["spec"]["template"]["spec"].clone();
    let claims = workload["spec"]["volumeClaimTemplates"].as_array();
    for claim in claims.into_iter().flatten() {
        let volume = json!({"name": claim["metadata"]["name"], "emptyDir": {}});
        spec["volumes"].as_array_mut().unwrap().push(volume);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": namespace}, "spec": spec,
    })
}

#[tokio::test]
async fn the_server_keeps_to_what_is_restricted_and_the_agent_cannot() {
    let name = "the_server_keeps_to_what_is_restricted_and_the_agent_cannot";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let strict = "apiVersion: v1\nkind: Namespace\nmetadata: {name: strict, labels: \
                  {pod-security.kubernetes.io/enforce: restricted}}\n";
    ground.cluster.create(strict).await;
    for account in ["signet-server", "signet-agent"] {
        let create = ["create", "serviceaccount", account, "-n", "strict"];
        ground.cluster.kubectl(&create).await;
    }
    let judged = async |workload: &str| {
        let pod = pod_of(&ground, workload, "strict").await;
        let path = ground.directory.path().join("pod.json");
        std::fs::write(&path, pod.to_string()).unwrap();
        let path = path.display().to_string();
        let create = ["create", "--dry-run=server", "-f", &path];
        ground.cluster.try_kubectl(&create).await
    };
    let server = judged("statefulset/signet-server").await;
    assert!(server.status.success(), "{}", server.stderr);
    let agent = judged("daemonset/signet-agent").await;
    for needed in ["restricted", "host namespaces", "privileged", "hostPath"] {
        assert!(agent.stderr.contains(needed), "{}", agent.stderr);
    }
}

#[tokio::test]
async fn a_kustomization_of_ones_own_puts_all_of_it_into_another_namespace() {
    let name = "a_kustomization_of_ones_own_puts_all_of_it_into_another_namespace";
    let directory = directory();
    let Some(cluster) = ApiServer::start(directory.path(), name).await else {
        return;
    };
    let own = directory.path().join("own");
    let text = "namespace: other\nresources: [SIGNET]\nconfigMapGenerator:\n- name: signet-settings\n  \
                behavior: merge\n  literals: [TRUST_DOMAIN=prod.example]\n";
    kustomization(&own, text);
    let ground = Ground::of(cluster, directory, &own, "other").await;
    let list = ["get", "all,cm,sa,role,rolebinding,netpol,pdb", "-n"];
    let left = ground
        .cluster
        .kubectl(&[&list[..], &["signet"]].concat())
        .await;
    assert_eq!(left.trim(), "", "what is there of the other namespace");
    let mut server = Server::start(ground.directory.path(), &ground.settings().await).await;
    wait::until("a published bundle", async || {
        (!ground.published().await.is_empty()).then_some(())
    })
    .await;
    let token = ground.token("spire-server").await;
    let _agent = Agent::start(ground.directory.path(), &server, &Ground::agent(&token)).await;
    // A problem of a resource makes an event.
    let wrong = "apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterSPIFFEID\nmetadata: {name: wrong}\nspec: \
                 {spiffeIDTemplate: \"{{ nothing }}\"}\n";
    ground.cluster.create(wrong).await;
    wait::until("the event", async || {
        let events = ["get", "events", "-n", "default", "-o", "name"];
        let kept = ground.cluster.kubectl(&events).await;
        kept.contains("event/wrong.").then_some(())
    })
    .await;
    assert!(!server.log().contains("(403)"), "{}", server.log());
    server.kill().await;
}
