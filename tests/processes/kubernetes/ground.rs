//! A real API server with the manifests of `examples/kubernetes` applied, and what stands on it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signet_tests::api_server::ApiServer;
use signet_tests::installation::examples;
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Server, ServerSettings, wait};
use tempfile::TempDir;

pub(super) const NAMESPACE: &str = "signet";
pub(super) const SERVER: &str = "system:serviceaccount:signet:signet-server";
pub(super) const AGENT: &str = "system:serviceaccount:signet:signet-agent";

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
    pub(super) async fn of(
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
    pub(super) async fn token(&self, audience: &str) -> PathBuf {
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

    pub(super) fn agent(token: &Path) -> AgentSettings {
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

    pub(super) async fn published(&self) -> String {
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

    pub(super) async fn may(&self, account: &str, verb: &str, subject: &str) -> String {
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
pub(super) fn kustomization(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    // kustomize takes no absolute paths.
    let up = "../".repeat(folder.components().count() - 1);
    let manifests = examples().canonicalize().unwrap();
    let signet = format!("{up}{}", manifests.display()).replace("//", "/");
    let text = text.replace("SIGNET", &signet);
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
}

pub(super) async fn uid(cluster: &ApiServer, object: &[&str]) -> String {
    let arguments = [&["get"], object, &["-o", "jsonpath={.metadata.uid}"]].concat();
    cluster.kubectl(&arguments).await
}

pub(super) fn attestor(verification: &str) -> String {
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
