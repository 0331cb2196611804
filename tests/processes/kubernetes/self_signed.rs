//! The component `kubelet-self-signed`: the agent's configuration is that of the manifests, and the
//! component puts another file where it looks for who vouches for the kubelet.

use std::path::Path;

use signet_tests::installation::examples;

use super::*;

/// What the configuration of the manifests says of the kubelet, for a pod whose `/run/signet/kubelet` is
/// this folder. Port and token are those of the stand-in.
fn attestor(folder: &Path, port: u16, token: &Path) -> String {
    let whole = std::fs::read_to_string(examples().join("base/agent.conf")).unwrap();
    let begin = whole.find("WorkloadAttestor \"k8s\"").unwrap();
    let end = begin + whole[begin..].find("\n    }").unwrap() + "\n    }".len();
    let folder = folder.display().to_string();
    let block = whole[begin..end].replace("/run/signet/kubelet", &folder);
    assert!(block.contains(&folder), "{block}");
    block.replacen(
        "plugin_data {",
        &format!(
            "plugin_data {{\nkubelet_secure_port = {port}\ntoken_path = \"{}\"",
            token.display()
        ),
        1,
    )
}

/// An agent whose pod has this in place of the certificate that vouches for the kubelet.
async fn scene(name: &str, with_component: bool) -> Option<(Scene, Cgroups, FakeCluster)> {
    let container = "d".repeat(64);
    let inside = cgroups(name, &format!("kubepods/besteffort/pod{POD}/{container}"))?;
    let mut ground = Ground::with("").await;
    let (port, own) = ground.cluster.self_signed_kubelet().await;
    let folder = ground.directory.path().join("kubelet");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("kubelet.crt");
    match with_component {
        true => std::fs::write(file, own).unwrap(),
        false => drop(std::fs::copy(&ground.cluster.ca, file).unwrap()),
    }
    let plugin = attestor(&folder, port, &ground.cluster.kubelet_token);
    let attestation = Attestation::Plugin(FakeCluster::agent_plugin(&ground.token));
    let settings = AgentSettings::new(Maker::Signet, attestation).plugin(plugin);
    ground
        .cluster
        .change(|state| state.pods = vec![pod("shop", POD, &container)]);
    let Ground {
        cluster,
        server,
        directory,
        ..
    } = ground;
    let scene = Scene::around(directory, server, &settings).await;
    entry(&scene, "/shop", &["k8s:ns:shop"]).await;
    Some((scene, inside, cluster))
}

#[test]
fn the_component_puts_the_kubelets_certificate_where_the_configuration_looks() {
    let read = |file: &str| std::fs::read_to_string(examples().join(file)).unwrap();
    let component = read("components/kubelet-self-signed/agent.yaml");
    let path = "/run/signet/kubelet/kubelet.crt";
    assert!(component.contains(&format!("mountPath: {path}\n")));
    assert!(component.contains("path: /var/lib/kubelet/pki/kubelet.crt\n"));
    let configuration = read("base/agent.conf");
    assert!(configuration.contains(&format!("kubelet_ca_path = \"{path}\"")));
}

#[tokio::test]
async fn with_the_component_a_kubelet_that_signed_for_itself_is_believed() {
    let name = "with_the_component_a_kubelet_that_signed_for_itself_is_believed";
    let Some((scene, inside, _cluster)) = scene(name, true).await else {
        return;
    };
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&id("/shop")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_it_that_kubelet_is_refused_and_the_log_names_the_remedy() {
    let name = "without_it_that_kubelet_is_refused_and_the_log_names_the_remedy";
    let Some((scene, inside, _cluster)) = scene(name, false).await else {
        return;
    };
    let fetch = ["api", "fetch", "x509", "-timeout", "3s"];
    let fetched = scene.agent.cli_in(&inside, &fetch).await;
    assert!(!fetched.status.success(), "{fetched:?}");
    wait::until("the remedy", async || {
        let log = scene.agent.log();
        let named = log.contains("UnknownIssuer") && log.contains("kubelet-self-signed");
        named.then_some(())
    })
    .await;
}
