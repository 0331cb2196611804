//! Accepts connections and makes their handshakes, each in a task of its own, a bounded number at a
//! time, so that no peer can keep another waiting.
//!
//! ```text
//! listener ─▶ accept loop ─▶ handshake task ─▶ Incoming (what tonic serves)
//!                  └ over the bound: the oldest unfinished handshake gives way; so does the oldest
//!                    finished connection of the same peer, or of those without a certificate
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use rustls::ServerConfig;
use signet_runtime::Tasks;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::conn::TlsConn;
use crate::established::{Established, MAX_ANONYMOUS};
use crate::listener::Listener;
use crate::peer::{PeerInfo, VerifiedPeer};
use crate::refusals::Refusals;
use crate::refused::PeerRefused;
use crate::server::{ALPN, ServerTls, server_config};
use crate::{TlsError, Trust};

/// The time a peer has for its handshake. Slow links need one or two seconds.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many handshakes may be unfinished at once: at some 20 kB each they take 20 MB. Honest ones end
/// in milliseconds, so what fills this is peers that do not go on, the oldest of which give way.
pub const MAX_HANDSHAKES: usize = 1024;

/// Finished handshakes that tonic has not taken yet.
const FINISHED_QUEUE: usize = 64;

/// The pause after an accept error that is not the connection's own, such as no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Makes the server's side of handshakes.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    trust: Arc<Trust>,
    tasks: Tasks,
    max_handshakes: usize,
    established: Established,
    refusals: Arc<Refusals>,
}

impl Acceptor {
    /// An acceptor that goes by `tls` and runs its handshakes in `tasks`.
    ///
    /// # Errors
    /// [`TlsError`] if this build cannot do what `tls` asks.
    pub fn new(tls: &ServerTls, tasks: &Tasks) -> Result<Self, TlsError> {
        Ok(Self {
            config: server_config(tls)?,
            trust: Arc::clone(&tls.trust),
            tasks: tasks.clone(),
            max_handshakes: MAX_HANDSHAKES,
            established: Established::new(MAX_ANONYMOUS),
            refusals: Arc::default(),
        })
    }

    /// Allows `max_handshakes` unfinished handshakes instead of [`MAX_HANDSHAKES`].
    #[must_use]
    pub fn with_max_handshakes(self, max_handshakes: usize) -> Self {
        Self {
            max_handshakes,
            ..self
        }
    }

    /// Allows `max_anonymous` connections without a certificate instead of [`MAX_ANONYMOUS`].
    #[must_use]
    pub fn with_max_anonymous(self, max_anonymous: usize) -> Self {
        Self {
            established: Established::new(max_anonymous),
            ..self
        }
    }

    /// Accepts from `listener` until the tasks are stopped; then the stream ends, and connections
    /// already handed out go on.
    pub fn listen<L: Listener>(self, listener: L) -> Incoming<L::Io> {
        let (finished, connections) = mpsc::channel(FINISHED_QUEUE);
        let tasks = self.tasks.clone();
        tasks.spawn_essential("tls acceptor", async move {
            self.accept(listener, finished).await;
            Ok::<(), Infallible>(())
        });
        Incoming(connections)
    }

    async fn accept<L: Listener>(
        self,
        mut listener: L,
        finished: mpsc::Sender<io::Result<TlsConn<L::Io>>>,
    ) {
        let stop = self.tasks.stop();
        let mut unfinished = Unfinished::new(self.max_handshakes);
        loop {
            let accepted = tokio::select! {
                () = stop.stopped() => return,
                () = finished.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                None => return stop.stopped().await,
                Some(Ok((io, addr))) => {
                    let give_way = unfinished.begin();
                    self.spawn_handshake(io, addr, finished.clone(), give_way);
                }
                Some(Err(error)) => accept_failed(&error).await,
            }
        }
    }

    fn spawn_handshake<Io>(
        &self,
        io: Io,
        addr: Option<SocketAddr>,
        finished: mpsc::Sender<io::Result<TlsConn<Io>>>,
        mut give_way: oneshot::Receiver<Infallible>,
    ) where
        Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let acceptor = self.clone();
        let stop = self.tasks.stop();
        self.tasks.spawn("tls handshake", async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.handshake(io, addr));
            let outcome = tokio::select! {
                () = stop.stopped() => return,
                _ = &mut give_way => Err(HandshakeFailed::GaveWay),
                outcome = handshake => outcome.unwrap_or(Err(HandshakeFailed::TimedOut)),
            };
            match outcome {
                // Still counted as unfinished while tonic does not take it; it gives way no more.
                Ok(connection) => tokio::select! {
                    () = stop.stopped() => {}
                    _ = finished.send(Ok(connection)) => {}
                },
                Err(failed) => failed.log(addr, &acceptor.refusals),
            }
        });
    }

    async fn handshake<Io>(
        &self,
        io: Io,
        addr: Option<SocketAddr>,
    ) -> Result<TlsConn<Io>, HandshakeFailed>
    where
        Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        // Read before the handshake: see VerifiedPeer::after_handshake.
        let generation = self.trust.generation();
        let stream = TlsAcceptor::from(Arc::clone(&self.config))
            .accept(io)
            .await
            .map_err(HandshakeFailed::from_io)?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeFailed::NoHttp2);
        }
        let peer = match session.peer_certificates() {
            None | Some([]) => None,
            Some(chain) => Some(Arc::new(
                VerifiedPeer::after_handshake(chain, generation)
                    .map_err(|refused| HandshakeFailed::Refused(refused.into()))?,
            )),
        };
        let place = self.established.enter(peer.as_ref().map(|peer| peer.id()));
        Ok(TlsConn::new(stream, PeerInfo { addr, peer }, place))
    }
}

/// The handshakes that are not finished, oldest first. A finished one has dropped its receiver.
struct Unfinished {
    limit: usize,
    begun: VecDeque<oneshot::Sender<Infallible>>,
}

impl Unfinished {
    fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            begun: VecDeque::new(),
        }
    }

    /// Counts one more in, if need be in place of the oldest; the receiver resolves when it must end.
    fn begin(&mut self) -> oneshot::Receiver<Infallible> {
        if self.begun.len() >= self.limit {
            self.begun.retain(|handshake| !handshake.is_closed());
        }
        if self.begun.len() >= self.limit {
            self.begun.pop_front();
        }
        let (running, give_way) = oneshot::channel();
        self.begun.push_back(running);
        give_way
    }
}

/// The finished connections of an [`Acceptor`], for tonic's `serve_with_incoming`.
#[derive(Debug)]
pub struct Incoming<Io>(mpsc::Receiver<io::Result<TlsConn<Io>>>);

impl<Io> Stream for Incoming<Io> {
    type Item = io::Result<TlsConn<Io>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
enum HandshakeFailed {
    #[error("the peer's certificate was refused")]
    Refused(#[source] rustls::Error),
    #[error("the peer does not speak TLS as we do")]
    Tls(#[source] rustls::Error),
    #[error("the peer does not offer HTTP/2")]
    NoHttp2,
    #[error("the peer took too long")]
    TimedOut,
    #[error("too many handshakes are unfinished and this was the oldest")]
    GaveWay,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
}

impl HandshakeFailed {
    fn from_io(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(refused @ rustls::Error::InvalidCertificate(_)) => Self::Refused(refused),
            Ok(other) => Self::Tls(other),
            Err(error) => Self::Broken(error),
        }
    }

    /// The one record of a failed handshake. Load balancers connect and close all the time, so a
    /// broken connection is no news.
    fn log(&self, addr: Option<SocketAddr>, refusals: &Refusals) {
        let peer_addr = addr.map_or_else(|| "memory".to_owned(), |addr| addr.to_string());
        let reason = self.reason();
        match self {
            Self::Broken(_) => tracing::debug!(peer_addr, reason, "a TLS handshake broke off"),
            _ => match refusals.one_more(Instant::now()) {
                Some(untold) => {
                    tracing::warn!(peer_addr, reason, untold, "a TLS handshake was refused");
                }
                None => tracing::debug!(peer_addr, reason, "a TLS handshake was refused"),
            },
        }
    }

    /// The whole chain of causes in words of ours; nothing in it comes from a certificate.
    fn reason(&self) -> String {
        let mut reason = self.to_string();
        let mut next = match self {
            Self::Refused(error) => match PeerRefused::find(error) {
                Some(refused) => Some(refused as &(dyn std::error::Error + 'static)),
                None => Some(error as _),
            },
            other => std::error::Error::source(other),
        };
        while let Some(error) = next {
            reason.push_str(": ");
            reason.push_str(&error.to_string());
            next = crate::refused::cause(error);
        }
        reason
    }
}

async fn accept_failed(error: &io::Error) {
    let one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
    );
    if one_connection {
        return;
    }
    tracing::warn!(%error, "could not accept a connection; check the limit on open files");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
