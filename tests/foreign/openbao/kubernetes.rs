//! Logging in with the token of a Kubernetes service account. The cluster is the one API that
//! OpenBao's method asks: who is this token's?

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use signet_crypto::KeyType;
use signet_keys::KeyManager;
use signet_tests::openbao::OpenBao;
use signet_vault::{Auth, Vault};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::keys::{open, settings, signs};
use super::with_transit;

#[tokio::test]
async fn a_service_account_logs_in_and_a_token_that_the_cluster_does_not_know_does_not() {
    let name = "a_service_account_logs_in_and_a_token_that_the_cluster_does_not_know_does_not";
    let Some((directory, bao)) = with_transit(name).await else {
        return;
    };
    let (reviewer, ours) = (service_account("openbao"), service_account("signet"));
    let mut cluster = JoinSet::new();
    let host = Cluster::start(&mut cluster, &reviewer, &ours).await;
    trust(&bao, &host, &reviewer).await;

    let file = directory.path().join("token");
    std::fs::write(&file, format!("{ours}\n")).unwrap();
    let vault = Vault::connect(settings(&bao, auth("signet", &file))).await;
    let keys = open(&vault.unwrap(), "one").await;
    signs(&*keys.generate("id", KeyType::EcP256).await.unwrap()).await;

    let other_role = Vault::connect(settings(&bao, auth("another", &file))).await;
    assert!(!other_role.unwrap_err().is_transient());
    // It names the same account, but the cluster has not issued it.
    std::fs::write(&file, service_account("signet")).unwrap();
    let forged = Vault::connect(settings(&bao, auth("signet", &file))).await;
    let forged = forged.unwrap_err();
    assert!(!forged.is_transient(), "{forged}");
    let missing = PathBuf::from("/nonexistent/token");
    let refused = Vault::connect(settings(&bao, auth("signet", &missing))).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/token")
    );
}

fn auth(role: &str, token_path: &Path) -> Auth {
    Auth::Kubernetes {
        mount: "kubernetes".parse().unwrap(),
        role: role.to_owned(),
        token_path: token_path.to_owned(),
    }
}

/// OpenBao takes the account `signet` of this cluster for the policy.
async fn trust(bao: &OpenBao, host: &str, reviewer: &str) {
    bao.cli(&["auth", "enable", "kubernetes"]).await.ok();
    let (host, reviewer) = (
        format!("kubernetes_host={host}"),
        format!("token_reviewer_jwt={reviewer}"),
    );
    // It wants one, though this cluster speaks no TLS.
    let authority = format!("kubernetes_ca_cert=@{}", bao.authority.display());
    let outside = "disable_local_ca_jwt=true";
    let line = ["write", "auth/kubernetes/config", &host, &reviewer];
    let line = [&line[..], &[outside, &authority]].concat();
    bao.cli(&line).await.ok();
    for (role, account) in [("signet", "signet"), ("another", "somebody")] {
        let role = format!("auth/kubernetes/role/{role}");
        let account = format!("bound_service_account_names={account}");
        let namespace = "bound_service_account_namespaces=spire";
        let line = ["write", &role, &account, namespace, "token_policies=signet"];
        bao.cli(&line).await.ok();
    }
}

/// A token as a cluster issues it into a pod; each is signed with another key.
fn service_account(name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": format!("system:serviceaccount:spire:{name}"),
        "nbf": 1_700_000_000_u64,
        "exp": 4_102_444_800_u64,
        "kubernetes.io": {
            "namespace": "spire",
            "serviceaccount": { "name": name, "uid": format!("uid of {name}") },
        },
    });
    let header = Header::new(Algorithm::ES256);
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&key)).unwrap()
}

/// A cluster that answers token reviews, and only to the account that may ask for them.
struct Cluster {
    reviewer: String,
    known: String,
}

impl Cluster {
    /// Starts it, and gives its URL.
    async fn start(tasks: &mut JoinSet<()>, reviewer: &str, known: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cluster = Self {
            reviewer: reviewer.to_owned(),
            known: known.to_owned(),
        };
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who hangs up early asks again.
                let _ = cluster.answer(stream).await;
            }
        });
        format!("http://{address}")
    }

    async fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await?;
        }
        let mut body = vec![0; content_length(&head)];
        stream.read_exact(&mut body).await?;
        let asks = head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews ");
        let may_ask = head.contains(&format!("Bearer {}\r\n", self.reviewer));
        let (status, answer) = match asks && may_ask {
            true => ("201 Created", self.review(&serde_json::from_slice(&body)?)),
            false => ("403 Forbidden", json!({"kind": "Status", "code": 403})),
        };
        let answer = answer.to_string();
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{answer}"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    fn review(&self, asked: &Value) -> Value {
        let status = match asked["spec"]["token"] == *self.known {
            true => json!({
                "authenticated": true,
                "user": {
                    "username": "system:serviceaccount:spire:signet",
                    "uid": "uid of signet",
                    "groups": ["system:serviceaccounts"],
                },
            }),
            false => json!({ "authenticated": false, "error": "invalid bearer token" }),
        };
        json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "status": status,
        })
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths
        .next()
        .map_or(0, |(_, length)| length.parse().unwrap())
}
