//! Dials a server and gives a tonic channel that verifies it at each (re)connection.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::client::{ClientTls, client_config};
use crate::provider::TlsError;
use crate::refused::{PeerRefused, cause};
use crate::server::ALPN;

/// The time for dialling one server, over all its addresses.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for a handshake; as the server gives it.
const HANDSHAKE_TIMEOUT: Duration = crate::acceptor::HANDSHAKE_TIMEOUT;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Host name or IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl ServerAddress {
    /// An endpoint for this address, to put timeouts and limits on before [`connect_over`].
    ///
    /// # Errors
    /// [`ConnectError::Address`] if the host cannot stand in a URI.
    pub fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        // tonic refuses the scheme https without its own TLS; the origin sets what requests say.
        let bad = || ConnectError::Address {
            address: self.clone(),
        };
        let uri = |scheme: &str| {
            format!("{scheme}://{self}")
                .parse::<Uri>()
                .map_err(|_| bad())
        };
        Ok(Endpoint::from(uri("http")?).origin(uri("https")?))
    }

    /// The name for SNI, by which a proxy may route; the verifier ignores it.
    fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).unwrap_or_else(|_| {
            ServerName::try_from("spiffe.invalid").expect("a constant name is well-formed")
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be dialled.
    #[error("{address} is no address of a server")]
    Address {
        /// The address.
        address: ServerAddress,
    },
    /// TLS could not be set up on this side.
    #[error("could not set up TLS")]
    Configure(#[from] TlsError),
    /// Nobody listens there, or the network does not let us.
    #[error("could not reach {address}")]
    Dial {
        /// The address.
        address: ServerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server's certificate was refused by us.
    #[error("refused the server at {address}")]
    Refused {
        /// The address.
        address: ServerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The handshake failed for another reason, perhaps because the server refused our certificate.
    #[error("the TLS handshake with {address} failed")]
    Handshake {
        /// The address.
        address: ServerAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other end does not speak HTTP/2, so it is no gRPC server.
    #[error("{address} does not speak HTTP/2: check the port")]
    NoHttp2 {
        /// The address.
        address: ServerAddress,
    },
    /// It took too long.
    #[error("{address} did not answer in time")]
    TimedOut {
        /// The address.
        address: ServerAddress,
    },
    /// The channel could not be made, for a reason that is not the connection's.
    #[error("could not make a channel to {address}")]
    Channel {
        /// The address.
        address: ServerAddress,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

impl ConnectError {
    /// The connect error inside `error` or one of its causes: a `tonic::Status` of a call for which
    /// no connection could be made carries one.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = cause(error);
        }
        None
    }

    /// Why the server's certificate was refused, if that is what happened.
    #[must_use]
    pub fn refused(&self) -> Option<&PeerRefused> {
        PeerRefused::find(self)
    }
}

/// Dials `address` over TCP and gives a channel once the server is verified. The channel dials again
/// by itself when the connection breaks, with the trust and identity of that moment.
///
/// # Errors
/// [`ConnectError`] says which step failed.
pub async fn connect(address: &ServerAddress, tls: &ClientTls) -> Result<Channel, ConnectError> {
    connect_over(address.endpoint()?, address, tls, tcp(address)).await
}

/// As [`connect`], but dials at the first call only.
///
/// # Errors
/// [`ConnectError::Address`] and [`ConnectError::Configure`].
pub fn connect_lazy(address: &ServerAddress, tls: &ClientTls) -> Result<Channel, ConnectError> {
    let connector = connector(address, tls, tcp(address))?;
    Ok(address.endpoint()?.connect_with_connector_lazy(connector))
}

/// As [`connect`], with an `endpoint` of the caller's making and raw streams from `dial`, which may be
/// streams in memory.
///
/// # Errors
/// [`ConnectError`] says which step failed.
pub async fn connect_over<D, F, Io>(
    endpoint: Endpoint,
    address: &ServerAddress,
    tls: &ClientTls,
    dial: D,
) -> Result<Channel, ConnectError>
where
    D: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<Io>> + Send + 'static,
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    endpoint
        .connect_with_connector(connector(address, tls, dial)?)
        .await
        .map_err(|source| unwrap(address, source))
}

/// Makes the client's side of one handshake over `io`.
///
/// # Errors
/// [`ConnectError`] says which step failed.
pub async fn connect_tls<Io>(
    address: &ServerAddress,
    tls: &ClientTls,
    io: Io,
) -> Result<TlsStream<Io>, ConnectError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    handshake(&TlsConnector::from(client_config(tls)?), address, io).await
}

fn tcp(
    address: &ServerAddress,
) -> impl Fn() -> futures::future::BoxFuture<'static, io::Result<TcpStream>> + Clone + use<> {
    let target = (address.host.clone(), address.port);
    move || {
        let (host, port) = target.clone();
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

fn connector<D, F, Io>(
    address: &ServerAddress,
    tls: &ClientTls,
    dial: D,
) -> Result<
    impl tower::Service<Uri, Response = TokioIo<TlsStream<Io>>, Error = ConnectError, Future: Send>
    + Send
    + use<D, F, Io>,
    ConnectError,
>
where
    D: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<Io>> + Send + 'static,
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connector = TlsConnector::from(client_config(tls)?);
    let address = Arc::new(address.clone());
    Ok(tower::service_fn(move |_: Uri| {
        let (connector, address, dial) = (connector.clone(), Arc::clone(&address), dial.clone());
        async move {
            let io = tokio::time::timeout(DIAL_TIMEOUT, dial())
                .await
                .map_err(|_| ConnectError::TimedOut {
                    address: (*address).clone(),
                })?
                .map_err(|source| ConnectError::Dial {
                    address: (*address).clone(),
                    source,
                })?;
            Ok(TokioIo::new(handshake(&connector, &address, io).await?))
        }
    }))
}

async fn handshake<Io>(
    connector: &TlsConnector,
    address: &ServerAddress,
    io: Io,
) -> Result<TlsStream<Io>, ConnectError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let connecting = connector.connect(address.server_name(), io);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| ConnectError::TimedOut {
            address: address.clone(),
        })?
        .map_err(|source| handshake_failed(address, source))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(ConnectError::NoHttp2 {
            address: address.clone(),
        });
    }
    Ok(stream)
}

fn handshake_failed(address: &ServerAddress, source: io::Error) -> ConnectError {
    let address = address.clone();
    if PeerRefused::find(&source).is_some() {
        ConnectError::Refused { address, source }
    } else {
        ConnectError::Handshake { address, source }
    }
}

/// tonic wraps what the connector said; [`ConnectError::find`] still finds it in the source.
fn unwrap(address: &ServerAddress, source: tonic::transport::Error) -> ConnectError {
    ConnectError::Channel {
        address: address.clone(),
        source,
    }
}
