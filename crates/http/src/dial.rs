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

/// How connections are made.
#[derive(Clone)]
pub(crate) enum Dial {
    Tls(Arc<ClientConfig>),
    Tcp,
    Socket(Arc<PathBuf>),
}

impl Dial {
    /// The only scheme of URL that is asked.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::Tcp | Self::Socket(_) => "http",
        }
    }

    async fn dial(self, uri: Uri) -> io::Result<TokioIo<Stream>> {
        let stream = match self {
            Self::Tls(config) => {
                let name = ServerName::try_from(host(&uri).to_owned()).map_err(io::Error::other)?;
                let tcp = tcp(&uri, 443).await?;
                Stream(Box::pin(
                    TlsConnector::from(config).connect(name, tcp).await?,
                ))
            }
            Self::Tcp => Stream(Box::pin(tcp(&uri, 80).await?)),
            Self::Socket(path) => Stream(Box::pin(UnixStream::connect(&*path).await?)),
        };
        Ok(TokioIo::new(stream))
    }
}

/// The host of a URL, an IPv6 address without its brackets.
pub(crate) fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

async fn tcp(uri: &Uri, default_port: u16) -> io::Result<TcpStream> {
    let port = uri.port_u16().unwrap_or(default_port);
    let stream = TcpStream::connect((host(uri), port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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
