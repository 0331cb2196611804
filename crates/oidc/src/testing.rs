//! An issuer for tests: an HTTPS server in this process, with keys and a certificate of its own.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test may stop at the first surprise"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::IssuerUrl;

/// An OpenID Connect issuer on a port of this machine.
pub struct TestIssuer {
    key: PrivateKey,
    port: u16,
    directory: TempDir,
}

impl TestIssuer {
    /// Starts to serve its discovery document and its key.
    pub async fn start() -> Self {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&directory);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = Self {
            key,
            port,
            directory,
        };
        let pages = Arc::new([
            (issuer.url().discovery_url(), issuer.discovery()),
            (issuer.page("/keys"), issuer.keys()),
        ]);
        let base = issuer.page("");
        let serving = async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let answering = answer(acceptor.clone(), tcp, pages.clone(), base.clone());
                let _connection = spawn(answering);
            }
        };
        let _listener = spawn(serving);
        issuer
    }

    /// Its name.
    pub fn url(&self) -> IssuerUrl {
        IssuerUrl::parse(&self.page("/ci")).unwrap()
    }

    /// The PEM file of the authority that vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A token for the audience `signet` that is good for an hour from `now`, with these claims more.
    pub fn token(&self, now: SystemTime, more: Value) -> String {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = object(json!({
            "iss": self.url().as_str(), "aud": "signet", "iat": seconds(now),
            "exp": seconds(now + Duration::from_secs(3600)),
        }));
        claims.extend(object(more));
        let header = object(json!({"alg": "ES256", "kid": "a"}));
        let input = jose::encode_signing_input(&header, &claims);
        let algorithm = JwsAlgorithm::ES256;
        let signature = self
            .key
            .sign(algorithm.signature_algorithm(), input.as_bytes());
        jose::attach_signature(input, algorithm, &signature.unwrap()).unwrap()
    }

    fn page(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn discovery(&self) -> String {
        json!({"issuer": self.url().as_str(), "jwks_uri": self.page("/keys")}).to_string()
    }

    fn keys(&self) -> String {
        let mut key = jose::jwk_members(self.key.public_key());
        key.insert("kid".to_owned(), "a".into());
        json!({ "keys": [key] }).to_string()
    }
}

fn acceptor(directory: &TempDir) -> TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn answer(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    pages: Arc<[(String, String); 2]>,
    base: String,
) {
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
        let url = format!("{base}{}", text.split(' ').nth(1).unwrap());
        let page = pages.iter().find(|(at, _)| *at == url);
        let answer = match page {
            Some((_, body)) => format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's server is a task of its own"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}
