//! One GET over HTTPS, verified with the machine's authorities, or over a Unix socket.

use super::MAX_BYTES;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use signet_crypto::pem;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// The time for the whole request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Where the distributions keep the authorities that the machine trusts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL cannot be asked.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// The machine's authorities cannot be found.
    #[error("none of the files with the machine's certificate authorities can be read (looked at {})", SYSTEM_ROOTS.join(", "))]
    NoRoots,
    /// TLS cannot be set up.
    #[error("could not set up TLS")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// The server cannot be reached, or its certificate is refused.
    #[error("could not connect")]
    Connect(#[source] io::Error),
    /// HTTP failed.
    #[error("the HTTP request failed")]
    Http(#[source] hyper::Error),
    /// The server does not have it.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The body is too large or broke off.
    #[error("the answer is larger than {MAX_BYTES} bytes or incomplete")]
    Body,
    /// It took too long.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late,
}

/// Fetches an HTTPS URL.
pub(super) async fn https(url: &Uri) -> Result<Vec<u8>, FetchError> {
    within(async {
        check(url, "https")?;
        let host = url
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host.clone());
        let name = name.map_err(|_| FetchError::Url("its host is no name"))?;
        let tls = TlsConnector::from(Arc::new(client_config()?));
        let port = url.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = tls
            .connect(name, stream.map_err(FetchError::Connect)?)
            .await;
        get(stream.map_err(FetchError::Connect)?, url).await
    })
    .await
}

/// Fetches an HTTP URL over a Unix socket.
pub(super) async fn over_socket(url: &Uri, socket: &Path) -> Result<Vec<u8>, FetchError> {
    within(async {
        check(url, "http")?;
        let stream = UnixStream::connect(socket)
            .await
            .map_err(FetchError::Connect)?;
        get(stream, url).await
    })
    .await
}

async fn within(
    fetch: impl Future<Output = Result<Vec<u8>, FetchError>>,
) -> Result<Vec<u8>, FetchError> {
    let answer = tokio::time::timeout(TIMEOUT, fetch).await;
    answer.unwrap_or(Err(FetchError::Late))
}

fn check(url: &Uri, scheme: &'static str) -> Result<(), FetchError> {
    if url.scheme_str() != Some(scheme) {
        return Err(FetchError::Url("it has the wrong scheme"));
    }
    if url.host().is_none_or(str::is_empty) {
        return Err(FetchError::Url("it has no host"));
    }
    Ok(())
}

fn client_config() -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?;
    Ok(builder
        .with_root_certificates(system_roots()?)
        .with_no_client_auth())
}

fn system_roots() -> Result<RootCertStore, FetchError> {
    let mut roots = RootCertStore::empty();
    for path in SYSTEM_ROOTS {
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        let Ok(blocks) = pem::parse(&text) else {
            continue;
        };
        let ders = blocks
            .iter()
            .map(|b| CertificateDer::from(b.content.expose().to_vec()));
        // Some are of kinds that nobody verifies with; the others do.
        roots.add_parsable_certificates(ders);
        if !roots.is_empty() {
            return Ok(roots);
        }
    }
    Err(FetchError::NoRoots)
}

async fn get<S>(stream: S, uri: &Uri) -> Result<Vec<u8>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(FetchError::Http)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(
            header::HOST,
            uri.authority().map_or("", |host| host.as_str()),
        )
        .body(Empty::<Bytes>::new())
        .expect("a parsed URL makes a request");
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(FetchError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes().to_vec())
    };
    // The connection is driven here, so that it ends with the request.
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(FetchError::Http(error)),
        },
    }
}
