//! A cluster as far as server and agent see it: an API server and a kubelet behind one HTTPS port, with
//! answers in the shapes that real ones of 1.36 and 1.20 gave.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::objects::{self, Objects};

pub(crate) const NODE_UID: &str = "5d1c2f6e-97a3-4a31-8c50-0b7f3f6f2b11";
pub(crate) const AGENT_POD_UID: &str = "0e3a8a3c-8a4b-4d09-9c1a-5c1f0a9ae210";
pub(crate) const SERVER_TOKEN: &str = "the-server-s-own-token";
pub(crate) const KUBELET_TOKEN: &str = "the-agent-s-token-for-the-kubelet";

/// What the cluster knows.
#[derive(Default)]
pub(crate) struct State {
    /// Tokens that a review accepts, with the status it answers.
    pub(crate) tokens: BTreeMap<String, Value>,
    /// Objects by the path at which they are asked for.
    pub(crate) objects: BTreeMap<String, Value>,
    /// The kubelet's pods.
    pub(crate) pods: Vec<Value>,
    /// Answered instead of everything else, as often as there are some.
    pub(crate) instead: Vec<(u16, String)>,
    /// Methods and parts of paths of requests that are answered by 403.
    pub(crate) forbidden: Vec<(&'static str, &'static str)>,
    /// How long the API server takes for each answer.
    pub(crate) slowness: Duration,
    /// Objects that are listed and watched.
    pub(crate) watched: Objects,
    /// Requests by path.
    pub(crate) asked: BTreeMap<String, usize>,
}

pub(crate) struct FakeCluster {
    pub(crate) port: u16,
    pub(crate) ca: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) kubelet_token: PathBuf,
    state: Arc<Mutex<State>>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
}

impl FakeCluster {
    /// A cluster of one node, `node-1`, on which the agent's pod runs.
    pub(crate) async fn start(directory: &Path) -> Self {
        let (acceptor, ca_pem) = tls("cluster", &["127.0.0.1", "node-1"]);
        let state = Arc::new(Mutex::new(State::default()));
        let (port, accepting) = accept(acceptor, state.clone()).await;
        let cluster = Self {
            port,
            ca: directory.join("cluster-ca.pem"),
            kubeconfig: directory.join("kubeconfig"),
            kubelet_token: directory.join("kubelet-token"),
            state,
            accepting: vec![accepting],
        };
        std::fs::write(&cluster.ca, ca_pem).unwrap();
        std::fs::write(&cluster.kubelet_token, KUBELET_TOKEN).unwrap();
        std::fs::write(&cluster.kubeconfig, cluster.kubeconfig_text()).unwrap();
        cluster.change(|state| {
            let path = "/api/v1/namespaces/spire/pods/agent-x7k2p";
            state.objects.insert(path.into(), agent_pod());
            state.objects.insert("/api/v1/nodes/node-1".into(), node());
        });
        cluster
    }

    /// The kubelet on another port, where it shows what it made itself, as one does that was given no
    /// certificate: an authority and, signed by that, a certificate for the node's name, both of which are
    /// in the file `kubelet.crt`.
    pub(crate) async fn self_signed_kubelet(&mut self) -> (u16, String) {
        let (acceptor, pem) = tls("node-1-ca", &["node-1"]);
        let (port, accepting) = accept(acceptor, self.state.clone()).await;
        self.accepting.push(accepting);
        (port, pem)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// How often the kubelet was asked.
    pub(crate) fn kubelet_calls(&self) -> usize {
        self.change(|state| state.asked.get("/pods").copied().unwrap_or(0))
    }

    /// The server's plugin, with more lines for the cluster.
    pub(crate) fn server_plugin(&self, further: &str) -> String {
        format!(
            "  NodeAttestor \"k8s_psat\" {{\n    plugin_data {{\n      clusters = {{\n        \"demo\" = {{\n          \
             service_account_allow_list = [\"spire:agent\"]\n          kube_config_file = \"{}\"\n          {further}\n        \
             }}\n      }}\n    }}\n  }}",
            self.kubeconfig.display()
        )
    }

    /// The agent's half, with the token in this file.
    pub(crate) fn agent_plugin(token: &Path) -> String {
        format!(
            "  NodeAttestor \"k8s_psat\" {{\n    plugin_data {{\n      cluster = \"demo\"\n      token_path = \
             \"{}\"\n    }}\n  }}\n",
            token.display()
        )
    }

    /// The agent's workload attestor.
    pub(crate) fn workload_plugin(&self) -> String {
        format!(
            "  WorkloadAttestor \"k8s\" {{\n    plugin_data {{\n      kubelet_secure_port = {}\n      \
             kubelet_ca_path = \"{}\"\n      token_path = \"{}\"\n    }}\n  }}",
            self.port,
            self.ca.display(),
            self.kubelet_token.display()
        )
    }

    fn kubeconfig_text(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: demo\n  cluster:\n    server: https://127.0.0.1:{}\n    \
             certificate-authority: cluster-ca.pem\ncontexts:\n- name: demo\n  context:\n    cluster: demo\n    user: \
             server\ncurrent-context: demo\nusers:\n- name: server\n  user:\n    token: {SERVER_TOKEN}\n",
            self.port
        )
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.accepting.iter().for_each(|task| task.abort());
    }
}

/// A review's answer of 1.36, which names the node; that of 1.20 does not.
pub(crate) fn review(names_node: bool) -> Value {
    let mut extra = json!({
        "authentication.kubernetes.io/pod-name": ["agent-x7k2p"],
        "authentication.kubernetes.io/pod-uid": [AGENT_POD_UID],
    });
    if names_node {
        extra["authentication.kubernetes.io/credential-id"] =
            json!(["JTI=7cc83f23-1c4b-4f3e-9f0c-0f4ff7a2a5d1"]);
        extra["authentication.kubernetes.io/node-name"] = json!(["node-1"]);
        extra["authentication.kubernetes.io/node-uid"] = json!([NODE_UID]);
    }
    json!({
        "authenticated": true,
        "user": {
            "username": "system:serviceaccount:spire:agent",
            "uid": "6a2a6a0e-2f6d-4f2c-a2f5-0d5d6d1d7f10",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:spire", "system:authenticated"],
            "extra": extra,
        },
        "audiences": ["spire-server"],
    })
}

fn agent_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "agent-x7k2p", "namespace": "spire", "uid": AGENT_POD_UID, "labels": {"app": "agent"}},
        "spec": {"nodeName": "node-1", "serviceAccountName": "agent", "containers": [{"name": "agent"}]},
        "status": {"phase": "Running", "hostIP": "10.231.0.1", "podIP": "10.231.0.1"},
    })
}

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "node-1", "uid": NODE_UID, "labels": {"kubernetes.io/os": "linux"}},
        "status": {"nodeInfo": {"kubeletVersion": "v1.36.2"}},
    })
}

/// A pod as the kubelet lists it, with one container.
pub(crate) fn pod(namespace: &str, uid: &str, container: &str) -> Value {
    json!({
        "metadata": {
            "name": "shop-7d4b9c", "namespace": namespace, "uid": uid,
            "labels": {"app": "shop"},
            "annotations": {"kubernetes.io/config.seen": "2026-11-29T08:00:00.0Z", "kubernetes.io/config.source": "api"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d4b",
                "uid": "b7a6f5e4-0000-4000-8000-000000000001", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "serviceAccountName": "default", "containers": [{"name": "app"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": "app", "image": "docker.io/test/busybox:1",
                "imageID": format!("sha256:{}", "e".repeat(64)),
                "containerID": format!("containerd://{container}"),
                "state": {"running": {"startedAt": "2026-11-29T08:00:01Z"}}, "ready": true,
            }],
        },
    })
}

/// Serves on a port of its own.
async fn accept(
    acceptor: TlsAcceptor,
    state: Arc<Mutex<State>>,
) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(
        clippy::disallowed_methods,
        reason = "a stand-in of a test, ended with it"
    )]
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, state) = (acceptor.clone(), state.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, &state).await;
                }
            });
        }
    });
    (port, accepting)
}

/// A certificate for these names, and the authority of this name that signed it.
fn tls(authority: &str, names: &[&str]) -> (TlsAcceptor, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, authority);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let pem = leaf.pem() + &ca.pem();
    (TlsAcceptor::from(Arc::new(config)), pem)
}

/// Answers the requests of one connection.
async fn serve<S>(stream: S, state: &Mutex<State>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await {
        let (is_away, slowness) = {
            let state = state.lock().unwrap();
            (state.watched.is_away, state.slowness)
        };
        // The kubelet is another machine.
        if is_away && request.path != "/pods" {
            return;
        }
        if request.path != "/pods" {
            tokio::time::sleep(slowness).await;
        }
        if request.path.contains("?watch=true") && request.bearer == SERVER_TOKEN {
            objects::watch(&mut stream, state, &request.path).await;
            continue;
        }
        let (status, body) = answer(&request, &mut state.lock().unwrap());
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Request {
    method: String,
    path: String,
    bearer: String,
    body: Vec<u8>,
}

impl Request {
    async fn read<S: tokio::io::AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Self> {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut bearer, mut length) = (String::new(), 0);
        loop {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            match &*name.to_ascii_lowercase() {
                "authorization" => bearer = value.trim_start_matches("Bearer ").to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        Some(Self {
            method,
            path,
            bearer,
            body,
        })
    }
}

fn answer(request: &Request, state: &mut State) -> (u16, String) {
    *state.asked.entry(request.path.clone()).or_default() += 1;
    if let Some(instead) = state.instead.pop() {
        return instead;
    }
    let known = match &*request.path {
        "/pods" => KUBELET_TOKEN,
        _ => SERVER_TOKEN,
    };
    if request.bearer != known {
        return (401, json!({"kind": "Status", "code": 401}).to_string());
    }
    let forbids =
        |(method, part): &(&str, &str)| request.method == *method && request.path.contains(part);
    if state.forbidden.iter().any(forbids) {
        return (403, json!({"kind": "Status", "code": 403}).to_string());
    }
    match &*request.path {
        "/pods" => (
            200,
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": state.pods})
                .to_string(),
        ),
        "/apis/authentication.k8s.io/v1/tokenreviews" => (201, reviewed(&request.body, state)),
        path => match state.objects.get(path) {
            Some(object) => (200, object.to_string()),
            None => {
                let watched = &mut state.watched;
                let answer = watched.list(path);
                let answer = answer.or_else(|| watched.write(&request.method, path, &request.body));
                answer.unwrap_or((404, json!({"kind": "Status", "code": 404}).to_string()))
            }
        },
    }
}

fn reviewed(body: &[u8], state: &State) -> String {
    let mut review: Value = match body.strip_prefix(b"k8s\0") {
        Some(protobuf) => asked_in_protobuf(protobuf),
        None => serde_json::from_slice(body).unwrap(),
    };
    let asked = review["spec"]["audiences"].clone();
    let status = review["spec"]["token"]
        .as_str()
        .and_then(|token| state.tokens.get(token));
    let for_us = |status: &&Value| {
        let audiences = status["audiences"].as_array().unwrap();
        audiences
            .iter()
            .any(|one| asked.as_array().unwrap().contains(one))
    };
    review["status"] = match status.filter(for_us) {
        Some(status) => status.clone(),
        None => {
            json!({"user": {}, "error": "[invalid bearer token, token audiences do not match]"})
        }
    };
    review.to_string()
}

/// The review that Go clients send: an envelope with it in field 2, its specification in field 2, and
/// there the token in field 1 and audiences in field 2.
fn asked_in_protobuf(envelope: &[u8]) -> Value {
    let review = fields(envelope, 2).remove(0);
    let specification = fields(review, 2).remove(0);
    let texts = |number| {
        let found = fields(specification, number).into_iter();
        found.map(|text| String::from_utf8(text.to_vec()).unwrap())
    };
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": texts(1).next(), "audiences": texts(2).collect::<Vec<_>>()},
    })
}

/// The fields of a number; the message has fields with a length only.
fn fields(mut message: &[u8], number: u8) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [tag, rest @ ..] = message {
        let (mut length, mut shift, mut rest) = (0, 0, rest);
        while let [byte, behind @ ..] = rest {
            length |= usize::from(byte & 0x7f) << shift;
            (shift, rest) = (shift + 7, behind);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (content, behind) = rest.split_at(length);
        if *tag == number << 3 | 2 {
            found.push(content);
        }
        message = behind;
    }
    found
}
