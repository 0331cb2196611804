//! The first bundle from files.

use super::*;
use crate::testing::{Ca, td};
use signet_spiffe::pem::encode_pem_certs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

fn bootstrap(source: BundleSource) -> Bootstrap {
    Bootstrap {
        trust_domain: td(),
        source,
        server: ServerAddress {
            host: "server.example".to_owned(),
            port: 8081,
        },
        authorities: None,
    }
}

/// The third, of a node that came up at 2027-01-15T08:00:00Z.
fn attempt() -> Attempt {
    let began = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_800_000_000_500);
    Attempt::first(began).next().next()
}

async fn read_from(content: &str, format: BundleFormat) -> Result<Option<Bundle>, BootstrapError> {
    let dir = tempfile::tempdir().expect("made");
    let path = dir.path().join("bundle");
    std::fs::write(&path, content).expect("written");
    let source = BundleSource::File { path, format };
    bootstrap(source).bundle(&attempt()).await
}

#[tokio::test]
async fn a_pem_file_and_a_spiffe_document_give_the_same_authority() {
    let ca = Ca::new();
    let pem = encode_pem_certs([&ca.authority().der]);
    let from_pem = read_from(&pem, BundleFormat::Pem)
        .await
        .expect("read")
        .expect("some");
    let document = jwks::encode(&ca.bundle(), jwks::Flavor::Spiffe);
    let from_document = read_from(&document, BundleFormat::Spiffe)
        .await
        .expect("read");
    let from_document = from_document.expect("some");
    assert_eq!(from_pem.x509_authorities, from_document.x509_authorities);
}

#[tokio::test]
async fn a_file_without_authority_or_in_the_other_form_is_refused() {
    let ca = Ca::new();
    let document = jwks::encode(&ca.bundle(), jwks::Flavor::Spiffe);
    for (content, format) in [
        ("", BundleFormat::Pem),
        (document.as_str(), BundleFormat::Pem),
        ("{\"keys\":[]}", BundleFormat::Spiffe),
        ("-----BEGIN", BundleFormat::Spiffe),
    ] {
        read_from(content, format).await.expect_err("no bundle");
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let source = BundleSource::File {
        path: "/nonexistent/bundle".into(),
        format: BundleFormat::Pem,
    };
    let error = bootstrap(source)
        .bundle(&attempt())
        .await
        .expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/bundle"));
}

#[tokio::test]
async fn a_file_is_awaited_until_something_is_in_it() {
    let dir = tempfile::tempdir().expect("made");
    let path = dir.path().join("bundle");
    let bootstrap = bootstrap(BundleSource::File {
        path: path.clone(),
        format: BundleFormat::Pem,
    });
    assert_eq!(bootstrap.awaited().await, Some(&*path), "no file");
    std::fs::write(&path, "\n").expect("written");
    assert_eq!(bootstrap.awaited().await, Some(&*path), "an empty one");
    std::fs::write(&path, "x").expect("written");
    assert_eq!(bootstrap.awaited().await, None, "a wrong one is an error");
}

/// Answers one HTTP request on a Unix socket and gives its first line.
async fn answer_once(listener: UnixListener, answer: String) -> String {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(answer.as_bytes()).await.expect("a reader");
    let text = String::from_utf8(request).expect("text");
    text.lines().next().unwrap_or_default().to_owned()
}

async fn fetch_from(answer: String) -> (Result<Option<Bundle>, BootstrapError>, String) {
    let dir = tempfile::tempdir().expect("made");
    let socket = dir.path().join("http.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    let bootstrap = bootstrap(BundleSource::UnixSocket {
        url: "http://local/bundle?a=b".parse().expect("a URL"),
        socket,
        format: BundleFormat::Pem,
    });
    let attempt = attempt();
    tokio::join!(bootstrap.bundle(&attempt), answer_once(listener, answer))
}

#[tokio::test]
async fn a_bundle_comes_over_a_unix_socket_and_the_other_side_is_told_for_whom() {
    let pem = encode_pem_certs([&Ca::new().authority().der]);
    let length = pem.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{pem}");
    let (bundle, request) = fetch_from(answer).await;
    assert_eq!(
        bundle
            .expect("fetched")
            .expect("some")
            .x509_authorities
            .len(),
        1
    );
    assert_eq!(
        request,
        "GET /bundle?a=b&spire-attest-mode=bootstrap&spire-connection-attempts=3\
         &spire-attest-start-time=2027-01-15T08:00:00Z&spire-server-address=server.example\
         &spire-server-port=8081&spiffe-trust-domain=example.org HTTP/1.1"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_success_or_too_large_is_refused() {
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (bundle, _) = fetch_from(missing).await;
    assert!(matches!(
        bundle,
        Err(BootstrapError::Fetch {
            source: FetchError::Status(_),
            ..
        })
    ));
    let length = MAX_BYTES + 1;
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let (bundle, _) = fetch_from(large).await;
    assert!(matches!(
        bundle,
        Err(BootstrapError::Fetch {
            source: FetchError::Http(signet_http::HttpError::TooLong { .. }),
            ..
        })
    ));
}
