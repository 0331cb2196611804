//! Google's and Azure's clouds on this machine: metadata services and APIs, documents that OpenSSL signed
//! and tokens that `jsonwebtoken` made, both in the clouds' forms.
//!
//! ```text
//! our programs ──── the URLs of their `experimental` blocks ────┐
//! Go programs ──── the cloud's own names ──▶ a proxy ───────────┴──▶ one web server
//! ```
//!
//! Programs in Go take a proxy and the authorities to trust from their environment, so the names and the
//! metadata service's address, which SPIRE's programs have built in, need no namespace of their own.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod azure;
pub(crate) mod google;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use signet_crypto::{PrivateKey, jose};
use signet_runtime::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::web::{Answer, Asked, Web};

/// Signs the tokens of both clouds.
pub(crate) const TOKEN_KEY: &str =
    include_str!("../../crates/crypto/tests/fixtures/rsa-2048-pkcs1.pem");

/// Whose certificate the cloud shows.
const NAMES: [&str; 5] = [
    "localhost",
    "www.googleapis.com",
    "compute.googleapis.com",
    "login.microsoftonline.com",
    "management.azure.com",
];

/// A cloud: its APIs behind TLS, its metadata service without.
pub(crate) struct Cloud {
    /// Of the APIs.
    pub(crate) url: String,
    /// Who vouches for the APIs.
    pub(crate) ca: PathBuf,
    /// The metadata service.
    pub(crate) plain: Web,
    proxy: String,
}

impl Cloud {
    pub(crate) async fn new(
        directory: &Path,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let plain = Web::new(answer).await;
        let (acceptor, certificate) = tls();
        let ca = directory.join("cloud-ca.pem");
        std::fs::write(&ca, certificate).unwrap();
        let door = Door {
            acceptor,
            behind: plain.host().to_owned(),
        };
        let (through_tls, through_proxy) = (door.clone(), door);
        let apis = listen(move |stream| {
            let door = through_tls.clone();
            async move { door.tls(stream).await }
        });
        let proxy = listen(move |stream| {
            let door = through_proxy.clone();
            async move { door.proxied(stream).await }
        });
        Self {
            url: format!("https://localhost:{}", apis.await),
            proxy: format!("http://127.0.0.1:{}", proxy.await),
            ca,
            plain,
        }
    }

    /// With them a program in Go finds the cloud at its own names.
    pub(crate) fn for_go(&self) -> [(String, PathBuf); 3] {
        let proxy = PathBuf::from(&self.proxy);
        [
            ("HTTP_PROXY".to_owned(), proxy.clone()),
            ("HTTPS_PROXY".to_owned(), proxy),
            ("SSL_CERT_FILE".to_owned(), self.ca.clone()),
        ]
    }
}

/// A way to the web server.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    behind: String,
}

impl Door {
    async fn tls(&self, stream: TcpStream) -> Option<()> {
        let mut stream = self.acceptor.accept(stream).await.ok()?;
        let mut behind = TcpStream::connect(&self.behind).await.ok()?;
        copy_bidirectional(&mut stream, &mut behind).await.ok()?;
        Some(())
    }

    /// A tunnel for `CONNECT`; anything else is a request for the web server.
    async fn proxied(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        if head.starts_with(b"CONNECT ") {
            let answer = b"HTTP/1.1 200 x\r\n\r\n";
            stream.write_all(answer).await.ok()?;
            return self.tls(stream).await;
        }
        let mut behind = TcpStream::connect(&self.behind).await.ok()?;
        behind.write_all(&head).await.ok()?;
        copy_bidirectional(&mut stream, &mut behind).await.ok()?;
        Some(())
    }
}

/// Serves each connection until the test ends; gives the port.
async fn listen<F: Future<Output = Option<()>> + 'static>(
    serve: impl Fn(TcpStream) -> F + 'static,
) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    port
}

fn tls() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// The key that verifies [`signed`].
fn key_set() -> Vec<u8> {
    let key = PrivateKey::from_pem(TOKEN_KEY).unwrap();
    let mut members = jose::jwk_members(key.public_key());
    members.insert("kid".to_owned(), json!("k1"));
    json!({ "keys": [members] }).to_string().into_bytes()
}

/// A token by another's library.
fn signed(claims: &Value) -> String {
    let pem = signet_crypto::pem::parse(TOKEN_KEY).unwrap().remove(0);
    let key = EncodingKey::from_rsa_der(pem.content.expose());
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    encode(&header, claims, &key).unwrap()
}

fn json_of(value: &Value) -> Answer {
    Answer::Ok(value.to_string().into_bytes())
}

fn now() -> u64 {
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}
