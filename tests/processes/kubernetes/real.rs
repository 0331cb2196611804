//! The manifests of `examples/kubernetes` on a real API server: it takes them, agents attest by the tokens
//! that it gives, and the accounts in them have every right they need and no other.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signet_tests::api_server::{ApiServer, ISSUER};
use signet_tests::installation::examples;
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, wait};
use tempfile::TempDir;

const NAMESPACE: &str = "signet";
const SERVER: &str = "system:serviceaccount:signet:signet-server";
const AGENT: &str = "system:serviceaccount:signet:signet-agent";

/// A right that the manifests give, as its RBAC object states it.
pub(super) struct Right {
    /// `role` or `clusterrole`.
    pub(super) kind: &'static str,
    pub(super) resource: &'static str,
    pub(super) verb: &'static str,
}

pub(super) const fn right(kind: &'static str, resource: &'static str, verb: &'static str) -> Right {
    Right {
        kind,
        resource,
        verb,
    }
}

impl Right {
    /// What is left of a rule without it.
    fn out_of(&self, rule: &Value) -> Vec<Value> {
        let less = |key: &str, value: &str| {
            let mut all = rule[key].as_array().unwrap().clone();
            all.retain(|one| one != value);
            all
        };
        let (mut others, mut verbs) = (rule.clone(), rule.clone());
        others["resources"] = json!(less("resources", self.resource));
        verbs["resources"] = json!([self.resource]);
        verbs["verbs"] = json!(less("verbs", self.verb));
        let mut rules = vec![others, verbs];
        rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));
        rules
    }
}

/// All that the server asks when an agent attests.
const ATTESTING: [Right; 3] = [
    right("clusterrole", "tokenreviews", "create"),
    right("clusterrole", "nodes", "get"),
    right("role", "pods", "get"),
];

/// All that it asks to publish a bundle, with what must be away for the right to matter.
const PUBLISHING: [(Right, Option<&str>); 3] = [
    (right("role", "configmaps", "patch"), None),
    (right("clusterrole", "clustertrustbundles", "patch"), None),
    (
        right("clusterrole", "clustertrustbundles", "create"),
        Some("clustertrustbundle/signet"),
    ),
];

/// The cluster with the manifests applied, and a node with an agent's pod.
pub(super) struct Ground {
    pub(super) cluster: ApiServer,
    namespace: &'static str,
    pub(super) directory: TempDir,
    pub(super) node_uid: String,
}

impl Ground {
    pub(super) async fn new(name: &str) -> Option<Self> {
        let directory = directory();
        let cluster = ApiServer::start(directory.path(), name).await?;
        Some(Self::of(cluster, directory, &examples(), NAMESPACE).await)
    }

    /// With a component of the manifests.
    pub(super) async fn with_component(name: &str, component: &str) -> Option<Self> {
        let directory = directory();
        let cluster = ApiServer::start(directory.path(), name).await?;
        let own = directory.path().join("own");
        let text = format!("resources: [SIGNET]\ncomponents: [SIGNET/components/{component}]\n");
        kustomization(&own, &text);
        Some(Self::of(cluster, directory, &own, NAMESPACE).await)
    }

    /// What comes of one command, as the guide gives it.
    async fn of(
        cluster: ApiServer,
        directory: TempDir,
        manifests: &Path,
        namespace: &'static str,
    ) -> Self {
        let manifests = manifests.display().to_string();
        cluster.kubectl(&["apply", "-k", &manifests]).await;
        let node_with_agent = NODE_WITH_AGENT.replace("NAMESPACE", namespace);
        cluster.create(&node_with_agent).await;
        let node_uid = uid(&cluster, &["node", "node-1"]).await;
        Self {
            cluster,
            namespace,
            directory,
            node_uid,
        }
    }

    /// A token for the agent's pod, as the kubelet would ask for it.
    async fn token(&self, audience: &str) -> PathBuf {
        let pod = uid(
            &self.cluster,
            &["pod", "-n", self.namespace, "signet-agent-x7k2p"],
        )
        .await;
        let token = self
            .cluster
            .kubectl(&[
                "create",
                "token",
                "signet-agent",
                "-n",
                self.namespace,
                "--audience",
                audience,
                "--bound-object-kind=Pod",
                "--bound-object-name=signet-agent-x7k2p",
                "--bound-object-uid",
                &pod,
            ])
            .await;
        let path = self.directory.path().join(format!("token-for-{audience}"));
        std::fs::write(&path, token.trim()).unwrap();
        path
    }

    fn agent(token: &Path) -> AgentSettings {
        let plugin = format!(
            "  NodeAttestor \"k8s_psat\" {{\n    plugin_data {{\n      cluster = \"demo\"\n      token_path = \
             \"{}\"\n    }}\n  }}\n",
            token.display()
        );
        AgentSettings::new(Maker::Signet, Attestation::Plugin(plugin))
    }

    /// Our server with the account of the manifests and what their configuration says.
    pub(super) async fn settings(&self) -> ServerSettings {
        self.settings_with("").await
    }

    /// The same, with more lines in the block `kubernetes`.
    pub(super) async fn settings_with(&self, further: &str) -> ServerSettings {
        let account = self
            .cluster
            .kubeconfig_of(self.namespace, "signet-server")
            .await;
        let account = account.display();
        let whole = std::fs::read_to_string(examples().join("base/server.conf")).unwrap();
        let whole = whole
            .replace("$POD_NAMESPACE", self.namespace)
            .replace("$CLUSTER_NAME", "demo");
        let between = |from: &str, to: &str| {
            let (_, block) = whole.split_once(from).unwrap();
            block.split_once(to).unwrap().0.to_owned()
        };
        // It is in no pod.
        let declared = between("kubernetes {", "\n    }");
        let plugins = between("plugins {", "\n}").replacen(
            "service_account_allow_list",
            &format!("kube_config_file = \"{account}\"\nservice_account_allow_list"),
            1,
        );
        let plugins = plugins.replacen(
            "configmap_name",
            &format!("kubeconfig_path = \"{account}\"\nconfigmap_name"),
            1,
        );
        ServerSettings::new(Maker::Signet)
            .line(&format!(
                "kubernetes {{\n kube_config_file = \"{account}\"{declared}\n {further}\n }}"
            ))
            .plugin(plugins)
    }

    async fn published(&self) -> String {
        let text = self
            .cluster
            .kubectl(&[
                "get",
                "configmap",
                "-n",
                self.namespace,
                "signet-bundle",
                "-o",
                "jsonpath={.data.bundle\\.pem}",
            ])
            .await;
        text.trim().to_owned()
    }

    /// Takes one right away for as long as `within` runs.
    pub(super) async fn without(&self, right: &Right, within: impl AsyncFnOnce()) {
        let get = ["get", right.kind, "signet-server", "-n", NAMESPACE];
        let get = [&get[..], &["-o", "json"]].concat();
        let whole = self.cluster.kubectl(&get).await;
        let mut less: Value = serde_json::from_str(&whole).unwrap();
        let rules = less["rules"].as_array_mut().unwrap();
        let gives = |rule: &Value| {
            let has = |key: &str, value: &str| {
                let all = rule[key].as_array().unwrap();
                all.iter().any(|one| one == value)
            };
            has("resources", right.resource) && has("verbs", right.verb)
        };
        let taken = rules.iter().filter(|rule| gives(rule)).count();
        *rules = rules
            .drain(..)
            .flat_map(|rule| {
                if gives(&rule) {
                    right.out_of(&rule)
                } else {
                    vec![rule]
                }
            })
            .collect();
        assert_eq!(taken, 1, "{} {} is in no rule", right.verb, right.resource);
        self.replace(&less.to_string()).await;
        self.until_allowed(right, "no").await;
        within().await;
        self.replace(&whole).await;
        self.until_allowed(right, "yes").await;
    }

    async fn replace(&self, object: &str) {
        let mut object: Value = serde_json::from_str(object).unwrap();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        let path = self.directory.path().join("role.json");
        std::fs::write(&path, object.to_string()).unwrap();
        let path = path.display().to_string();
        self.cluster.kubectl(&["replace", "-f", &path]).await;
    }

    /// The API server follows its roles a moment later.
    async fn until_allowed(&self, right: &Right, answer: &str) {
        let subject = match right.resource {
            "configmaps" => "configmaps/signet-bundle".to_owned(),
            "leases" if right.verb != "create" => "leases/signet-server".to_owned(),
            "clustertrustbundles" if right.verb == "patch" => {
                "clustertrustbundles/signet".to_owned()
            }
            other => other.to_owned(),
        };
        wait::until("a change of rights", async || {
            let (resource, subresource) = subject
                .split_once("/status")
                .map_or((&*subject, ""), |(resource, _)| (resource, "status"));
            let subresource = format!("--subresource={subresource}");
            let arguments = [
                "auth",
                "can-i",
                right.verb,
                resource,
                &subresource,
                "-n",
                NAMESPACE,
                "--as",
                SERVER,
            ];
            let may = self.cluster.try_kubectl(&arguments).await;
            (may.stdout.trim() == answer).then_some(())
        })
        .await;
    }

    async fn may(&self, account: &str, verb: &str, subject: &str) -> String {
        let arguments = [
            "auth", "can-i", verb, subject, "-n", NAMESPACE, "--as", account,
        ];
        self.cluster
            .try_kubectl(&arguments)
            .await
            .stdout
            .trim()
            .to_owned()
    }
}

const NODE_WITH_AGENT: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-1}
---
apiVersion: v1
kind: Pod
metadata:
  name: signet-agent-x7k2p
  namespace: NAMESPACE
spec:
  serviceAccountName: signet-agent
  nodeName: node-1
  containers:
  - {name: signet-agent, image: signet-agent}
";

/// A kustomization of a user in a folder of its own.
fn kustomization(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    // kustomize takes no absolute paths.
    let up = "../".repeat(folder.components().count() - 1);
    let manifests = examples().canonicalize().unwrap();
    let signet = format!("{up}{}", manifests.display()).replace("//", "/");
    let text = text.replace("SIGNET", &signet);
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
}

async fn uid(cluster: &ApiServer, object: &[&str]) -> String {
    let arguments = [&["get"], object, &["-o", "jsonpath={.metadata.uid}"]].concat();
    cluster.kubectl(&arguments).await
}

fn attestor(verification: &str) -> String {
    format!(
        "  NodeAttestor \"k8s_psat\" {{ plugin_data {{ clusters = {{ \"demo\" = {{\n    \
         service_account_allow_list = [\"{NAMESPACE}:signet-agent\"]\n    {verification}\n  }} }} }} }}\n"
    )
}

/// What the log gained while something happened.
pub(super) async fn says(server: &Server, since: usize, text: &str) {
    wait::until(text, async || {
        server.log()[since..].contains(text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_accounts_of_the_manifests_suffice_and_one_verb_less_does_not() {
    let name = "the_accounts_of_the_manifests_suffice_and_one_verb_less_does_not";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let mut server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let bundle = ground.directory.path().join("shown.pem");
    server.bundle_to(&bundle).await;
    let shown = std::fs::read_to_string(&bundle).unwrap().trim().to_owned();
    wait::until("a published bundle", async || {
        (ground.published().await == shown).then_some(())
    })
    .await;
    let get = [
        "get",
        "clustertrustbundle",
        "signet",
        "-o",
        "jsonpath={.spec.trustBundle}",
    ];
    assert_eq!(ground.cluster.kubectl(&get).await.trim(), shown);

    let token = ground.token("spire-server").await;
    for right in &ATTESTING {
        ground
            .without(right, async || {
                let since = server.log().len();
                let apart = ground.directory.path().join(right.resource);
                let agent = Agent::launch(&apart, &server, &Ground::agent(&token)).await;
                let missing = format!("the verb {} on {}", right.verb, right.resource);
                says(&server, since, &missing).await;
                assert!(server.agents().await.is_empty());
                drop(agent);
            })
            .await;
    }
    let _agent = Agent::start(ground.directory.path(), &server, &Ground::agent(&token)).await;
    let id = server.only_agent().await;
    assert!(
        id.ends_with(&format!("/k8s_psat/demo/{}", ground.node_uid)),
        "{id}"
    );

    for (right, away) in &PUBLISHING {
        ground
            .without(right, async || {
                if let Some(object) = away {
                    ground.cluster.kubectl(&["delete", object]).await;
                }
                let since = server.log().len();
                server.kill().await;
                server.resume().await;
                says(&server, since, &format!("on {}", right.resource)).await;
            })
            .await;
    }
    // The kubelet asks the API server whether the agent may have its pods.
    assert_eq!(
        ground.may(AGENT, "get", "nodes/pods").await,
        "no",
        "a name, not a subresource"
    );
    let pods = [
        "auth",
        "can-i",
        "get",
        "nodes",
        "--subresource=pods",
        "--as",
        AGENT,
    ];
    assert_eq!(ground.cluster.kubectl(&pods).await.trim(), "yes");
}

#[tokio::test]
async fn a_changed_bundle_is_published_at_once() {
    let name = "a_changed_bundle_is_published_at_once";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let first = wait::until("a published bundle", async || {
        Some(ground.published().await).filter(|text| !text.is_empty())
    })
    .await;
    server
        .cli(&["localauthority", "x509", "prepare"])
        .await
        .ok();
    let count = |text: &str| text.matches("BEGIN CERTIFICATE").count();
    wait::until("the next authority in the ConfigMap", async || {
        (count(&ground.published().await) > count(&first)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_by_the_api_server() {
    let name = "a_token_for_another_audience_is_refused_by_the_api_server";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let token = ground.token("somebody-else").await;
    let _agent = Agent::launch(ground.directory.path(), &server, &Ground::agent(&token)).await;
    says(&server, 0, "does not accept the token for this audience").await;
    assert!(server.agents().await.is_empty());
}

#[tokio::test]
async fn without_the_api_server_a_token_is_verified_by_the_keys_that_it_published() {
    let name = "without_the_api_server_a_token_is_verified_by_the_keys_that_it_published";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let keys = ground.directory.path().join("jwks.json");
    let published = ground
        .cluster
        .kubectl(&["get", "--raw", "/openid/v1/jwks"])
        .await;
    std::fs::write(&keys, published).unwrap();
    let offline = format!(
        "offline = {{ issuer = \"{ISSUER}\", jwks_file = \"{}\" }}",
        keys.display()
    );
    let settings = ServerSettings::new(Maker::Signet).plugin(attestor(&offline));
    let server = Server::start(ground.directory.path(), &settings).await;
    let token = ground.token("spire-server").await;
    let Ground {
        cluster,
        directory,
        node_uid,
        ..
    } = ground;
    drop(cluster);
    let _agent = Agent::start(directory.path(), &server, &Ground::agent(&token)).await;
    assert!(server.only_agent().await.ends_with(&node_uid));
}

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
