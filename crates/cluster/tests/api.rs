//! An API server that answers what it should not, over real TLS.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signet_cluster::{Api, ApiError, Collection, Name, Reach, WatchEvent, Written};
use signet_http::HttpError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const NODE: &str = r#"{"metadata":{"name":"n","uid":"u","labels":null}}"#;

/// Serves one answer to each connection, the last one again and again, until it is dropped.
struct FakeServer {
    kubeconfig: tempfile::TempDir,
    asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl FakeServer {
    async fn answering(answers: &[(u16, String)]) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kubeconfig = tempfile::tempdir().unwrap();
        write(kubeconfig.path(), port, &certificate.pem());
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, counted) = (answers.to_vec(), asked.clone());
        let serving = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let (status, body) = &answers[number.min(answers.len() - 1)];
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + body).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a stand-in of a test, ended with it"
        )]
        let serving = tokio::spawn(serving);
        Self {
            kubeconfig,
            asked,
            serving,
        }
    }

    fn api(&self) -> Api {
        Api::new(Reach::Kubeconfig(self.kubeconfig.path().join("config")))
    }

    async fn node(&self) -> Result<signet_cluster::Node, ApiError> {
        self.api().node(&Name::parse("n").unwrap()).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn write(folder: &Path, port: u16, ca: &str) {
    std::fs::write(folder.join("ca.pem"), ca).unwrap();
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: \
         {{server: 'https://127.0.0.1:{port}/', certificate-authority: ca.pem}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    );
    std::fs::write(folder.join("config"), text).unwrap();
}

#[tokio::test]
async fn an_answer_is_read() {
    let server = FakeServer::answering(&[(200, NODE.to_owned())]).await;
    assert_eq!(server.node().await.unwrap().metadata.uid, "u");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_given_up_in_the_end() {
    let busy = (429, "{}".to_owned());
    let server = FakeServer::answering(&[busy.clone(), busy.clone(), (200, NODE.into())]).await;
    server.node().await.unwrap();
    assert_eq!(server.asked(), 3);
    let server = FakeServer::answering(&[busy]).await;
    assert!(matches!(server.node().await, Err(ApiError::Status { .. })));
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn what_is_wrong_with_us_is_not_asked_again() {
    for (status, expected) in [
        (401, "401"),
        (403, "verb get on nodes"),
        (404, "no such object"),
    ] {
        let server = FakeServer::answering(&[(status, "{}".to_owned())]).await;
        let error = server.node().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.asked(), 1);
    }
}

#[tokio::test]
async fn a_page_or_ten_megabytes_in_the_answers_place_are_refused() {
    let server = FakeServer::answering(&[(200, "<html>Sign in</html>".to_owned())]).await;
    assert!(matches!(server.node().await, Err(ApiError::Form)));
    let server = FakeServer::answering(&[(200, " ".repeat(10 << 20))]).await;
    let refused = server.node().await;
    assert!(
        matches!(refused, Err(ApiError::Http(HttpError::TooLong { .. }))),
        "{refused:?}"
    );
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let server = FakeServer::answering(&[(200, NODE.to_owned())]).await;
    let other = FakeServer::answering(&[(200, NODE.to_owned())]).await;
    let ca = other.kubeconfig.path().join("ca.pem");
    std::fs::copy(ca, server.kubeconfig.path().join("ca.pem")).unwrap();
    let refused = server.node().await;
    assert!(matches!(
        refused,
        Err(ApiError::Http(HttpError::Connect { .. }))
    ));
}

#[tokio::test]
async fn a_cluster_without_trust_bundles_is_asked_for_each_version_and_that_is_all() {
    let server = FakeServer::answering(&[(404, "{}".to_owned())]).await;
    let name = Name::parse("signet").unwrap();
    let known = server.api().apply_trust_bundle(&name, "PEM").await;
    assert!(!known.unwrap());
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_account_that_may_not_write_learns_which_verb_it_lacks() {
    let server = FakeServer::answering(&[(403, "{}".to_owned())]).await;
    let name = Name::parse("signet").unwrap();
    let refused = server.api().apply_config_map(&name, &name, "k", "v").await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("the verb patch"), "{text}");
    assert!(text.contains("on configmaps"), "{text}");
    assert_eq!(
        server.asked.load(Ordering::SeqCst),
        1,
        "it is not asked again"
    );
}

const PODS: Collection = Collection {
    api: "/api/v1",
    resource: "pods",
};

#[tokio::test]
async fn a_list_has_pages_and_a_version() {
    let first = r#"{"metadata":{"resourceVersion":"7","continue":"a+b"},"items":[{"metadata":{"name":"x"}}]}"#;
    let last = r#"{"metadata":{"resourceVersion":"7"},"items":null}"#;
    let server = FakeServer::answering(&[(200, first.into()), (200, last.into())]).await;
    let api = server.api();
    let page = api.list(PODS, None).await.unwrap();
    assert_eq!((page.items.len(), &*page.version), (1, "7"));
    let page = api.list(PODS, page.next.as_deref()).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
}

#[tokio::test]
async fn a_watch_tells_what_happens_until_it_ends() {
    let object = |version: u8| format!(r#"{{"metadata":{{"resourceVersion":"{version}"}}}}"#);
    let line =
        |kind: &str, version| format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object(version));
    let body = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
        .into_iter()
        .zip(8..);
    let body: String = body.map(|(kind, version)| line(kind, version)).collect();
    let server = FakeServer::answering(&[(200, body)]).await;
    let mut watch = server.api().watch(PODS, "7").await.unwrap();
    assert!(matches!(watch.next().await, Ok(Some(WatchEvent::Put(_)))));
    assert!(matches!(watch.next().await, Ok(Some(WatchEvent::Put(_)))));
    assert_eq!(watch.version(), "9");
    assert!(matches!(watch.next().await, Ok(Some(WatchEvent::Gone(_)))));
    assert_eq!(watch.next().await.unwrap(), Some(WatchEvent::Bookmark));
    assert_eq!(watch.version(), "11");
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_version_that_is_too_old_is_told_apart() {
    let status = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
    let server = FakeServer::answering(&[(200, format!("{status}\n"))]).await;
    let mut watch = server.api().watch(PODS, "7").await.unwrap();
    assert!(matches!(watch.next().await, Err(ApiError::Gone { .. })));
    let server = FakeServer::answering(&[(410, "{}".into())]).await;
    assert!(matches!(
        server.api().watch(PODS, "7").await,
        Err(ApiError::Gone { .. })
    ));
    assert!(matches!(
        server.api().list(PODS, Some("x")).await,
        Err(ApiError::Gone { .. })
    ));
    for (body, status) in [("{}\n", 200), ("<html>\n", 200)] {
        let server = FakeServer::answering(&[(status, body.into())]).await;
        let mut watch = server.api().watch(PODS, "7").await.unwrap();
        assert!(matches!(watch.next().await, Err(ApiError::Form)), "{body}");
    }
}

#[tokio::test]
async fn what_may_not_be_written_or_is_there_already_is_named() {
    let name = Name::parse("n").unwrap();
    let server = FakeServer::answering(&[(403, "{}".into())]).await;
    let refused = server
        .api()
        .patch_status(PODS, &name, &serde_json::json!({}))
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("verb patch (of the subresource status) on pods"),
        "{refused}"
    );
    let server = FakeServer::answering(&[(409, "{}".into())]).await;
    let object = serde_json::json!({});
    let refused = server.api().create(Written::Lease, &name, &object).await;
    assert!(matches!(refused, Err(ApiError::Conflict { .. })));
}
