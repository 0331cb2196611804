//! Making one connection: over TCP with or without TLS, or over a Unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::proxy::{self, Proxy};
use crate::{Addresses, addresses};

/// How connections are made, and to where.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) route: Route,
    pub(crate) addresses: Addresses,
    pub(crate) proxy: Proxy,
}

/// What connections are made over.
#[derive(Clone)]
pub(crate) enum Route {
    Tls(Arc<ClientConfig>),
    Tcp,
    Socket(Arc<PathBuf>),
}

impl Route {
    /// The only scheme of URL that is asked.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::Tcp | Self::Socket(_) => "http",
        }
    }
}

impl Dial {
    async fn dial(self, uri: Uri) -> io::Result<TokioIo<Stream>> {
        let stream = match &self.route {
            Route::Tls(config) => {
                let name = ServerName::try_from(host(&uri).to_owned()).map_err(io::Error::other)?;
                let tcp = match self.proxy.to(&uri) {
                    Some(proxy) => proxy::tunnel(&proxy, &uri, self.addresses).await?,
                    None => connect(&uri, 443, self.addresses).await?,
                };
                let connector = TlsConnector::from(Arc::clone(config));
                Stream(Box::pin(connector.connect(name, tcp).await?))
            }
            Route::Tcp => Stream(Box::pin(connect(&uri, 80, self.addresses).await?)),
            Route::Socket(path) => Stream(Box::pin(UnixStream::connect(&**path).await?)),
        };
        Ok(TokioIo::new(stream))
    }
}

/// A connection to the host of `uri`, at one of these addresses.
pub(crate) async fn connect(
    uri: &Uri,
    default_port: u16,
    reachable: Addresses,
) -> io::Result<TcpStream> {
    let port = uri.port_u16().unwrap_or(default_port);
    let found = tokio::net::lookup_host((host(uri), port)).await?;
    let reachable = match reachable {
        Addresses::Any => found.collect(),
        Addresses::Public => addresses::public_only(found)?,
    };
    let stream = TcpStream::connect(&*reachable).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The host of a URL, an IPv6 address without its brackets.
pub(crate) fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

impl tower::Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// Any of the streams.
pub(crate) struct Stream(Pin<Box<dyn Io>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}
