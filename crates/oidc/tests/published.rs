//! Keys on the web, from servers in this process that do as they should, or not.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's server is a task of its own"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey};
use signet_http::{Addresses, HttpError, Roots};
use signet_oidc::{FetchError, IssuerUrl, KeySet, KeySource, Published, Reach, UrlError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

/// An HTTPS server whose certificate the roots in `directory` vouch for.
struct Web {
    directory: TempDir,
    port: u16,
}

impl Web {
    /// Answers a request for a path with what `page` says; `PORT` in it is the server's.
    async fn serving(page: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = Arc::new(page);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), tcp, page.clone(), port));
            }
        });
        Self { directory, port }
    }

    fn issuer(&self) -> IssuerUrl {
        IssuerUrl::parse(&format!("https://localhost:{}/ci", self.port)).unwrap()
    }

    fn reach(&self, addresses: Addresses) -> Reach {
        Reach {
            roots: Roots::File(self.directory.path().join("ca.pem")),
            addresses,
        }
    }

    async fn discovered(&self) -> Result<KeySet, FetchError> {
        let reach = self.reach(Addresses::Any);
        let source = Published::discovered(self.issuer(), reach).unwrap();
        source.fetch().await
    }
}

async fn answer<P>(acceptor: TlsAcceptor, tcp: TcpStream, page: Arc<P>, port: u16)
where
    P: Fn(&str) -> Option<String>,
{
    let Ok(mut stream) = acceptor.accept(tcp).await else {
        return;
    };
    let mut request = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        request.push(byte);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let path = text.split(' ').nth(1).unwrap();
        let Some(answer) = page(path) else {
            return std::future::pending().await;
        };
        let answer = answer.replace("PORT", &port.to_string());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn ok(body: &str) -> String {
    // The port's digits make no difference to a length that is not announced.
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunked(body)
    )
}

fn chunked(body: &str) -> String {
    let length = body.replace("PORT", "12345").len();
    format!("{length:x}\r\n{body}\r\n0\r\n\r\n")
}

fn discovery() -> Value {
    json!({
        "issuer": "https://localhost:PORT/ci",
        "jwks_uri": "https://localhost:PORT/keys",
    })
}

fn keys() -> Value {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mut members = jose::jwk_members(key.public_key());
    members.insert("kid".to_owned(), "a".into());
    json!({ "keys": [members] })
}

/// A server with a good key set behind this discovery document.
async fn with_discovery(answer: impl Into<Option<String>>) -> Web {
    let answer = answer.into();
    let keys = keys().to_string();
    Web::serving(move |path| match path {
        "/ci/.well-known/openid-configuration" => answer.clone(),
        "/keys" => Some(ok(&keys)),
        _ => Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
    })
    .await
}

#[tokio::test]
async fn the_keys_are_where_the_discovery_document_says() {
    let web = with_discovery(ok(&discovery().to_string())).await;
    let keys = web.discovered().await.unwrap();
    keys.find(Some("a"), JwsAlgorithm::ES256).unwrap();

    let url = format!("https://localhost:{}/keys", web.port);
    let fixed = Published::at(&url, web.reach(Addresses::Any)).unwrap();
    fixed.fetch().await.unwrap();
}

#[tokio::test]
async fn a_private_address_is_not_asked_unless_the_operator_allows_it() {
    let web = with_discovery(ok(&discovery().to_string())).await;
    let source = Published::discovered(web.issuer(), web.reach(Addresses::Public)).unwrap();
    let refused = source.fetch().await.unwrap_err();
    assert!(matches!(
        refused,
        FetchError::Http {
            source: HttpError::Connect { .. },
            ..
        }
    ));
    assert!(
        format!("{refused:?}").contains("is a private"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_document_that_is_not_this_issuers_is_refused() {
    let other = |member: &str, value: Value| {
        let mut document = discovery();
        document[member] = value;
        ok(&document.to_string())
    };
    for (name, answer) in [
        (
            "another issuer",
            other("issuer", json!("https://localhost:PORT")),
        ),
        (
            "a slash more",
            other("issuer", json!("https://localhost:PORT/ci/")),
        ),
        ("no issuer", other("issuer", json!(null))),
        ("no keys", other("jwks_uri", json!(7))),
        (
            "twice",
            ok(&format!(
                r#"{{"issuer":"x",{}"#,
                &discovery().to_string()[1..]
            )),
        ),
        ("a page", ok("<!DOCTYPE html><title>Sign in</title>")),
        ("nothing", ok(" ")),
        ("no list", ok("[]")),
    ] {
        let web = with_discovery(answer).await;
        let refused = web.discovered().await.unwrap_err();
        let fits = matches!(refused, FetchError::OtherIssuer | FetchError::Discovery);
        assert!(fits, "{name}: {refused:?}");
    }
    for url in [
        "http://localhost:PORT/keys",
        "file:///etc/passwd",
        "//localhost:PORT/keys",
    ] {
        let web = with_discovery(other("jwks_uri", json!(url))).await;
        let refused = web.discovered().await.unwrap_err();
        let fits = matches!(
            refused,
            FetchError::KeysUrl(UrlError::NotHttps | UrlError::Malformed)
        );
        assert!(fits, "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused() {
    let elsewhere =
        "HTTP/1.1 302 Found\r\nlocation: https://localhost:PORT/keys\r\ncontent-length: 0\r\n\r\n";
    let web = with_discovery(elsewhere.to_owned()).await;
    let refused = web.discovered().await.unwrap_err();
    assert!(matches!(
        refused,
        FetchError::Http {
            source: HttpError::Redirected { .. },
            ..
        }
    ));

    let web = with_discovery("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let refused = web.discovered().await.unwrap_err();
    assert!(matches!(refused, FetchError::Status { .. }));

    let huge = ok(&format!("\"{}\"", "x".repeat(300 * 1024)));
    let web = with_discovery(huge).await;
    let refused = web.discovered().await.unwrap_err();
    assert!(matches!(
        refused,
        FetchError::Http {
            source: HttpError::TooLong { .. },
            ..
        }
    ));
}

#[tokio::test]
async fn a_server_of_another_name_is_not_believed() {
    let web = with_discovery(ok(&discovery().to_string())).await;
    let issuer = IssuerUrl::parse(&format!("https://127.0.0.1:{}/ci", web.port)).unwrap();
    let source = Published::discovered(issuer, web.reach(Addresses::Any)).unwrap();
    let refused = source.fetch().await.unwrap_err();
    assert!(matches!(
        refused,
        FetchError::Http {
            source: HttpError::Connect { .. },
            ..
        }
    ));
}
