//! The connection to the server: one channel with the agent's certificate, made anew after each
//! change of it, and short ones without for attestation.

use futures::future::BoxFuture;
use signet_runtime::Clock;
use signet_spiffe::SpiffeId;
use signet_tls::{
    ClientTls, ConnectError, Identity, KeyExchange, ServerAddress, ServerTrust, Trust, connect_over,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;

/// How often a quiet connection is probed, and how long the probe may take: a server that vanished
/// without a word is noticed even between calls.
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// A raw stream to the server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens raw streams to the server: TCP, or memory in a simulation.
pub trait Dial: Send + Sync + 'static {
    /// One new stream.
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// Dials over TCP.
pub struct TcpDial(pub ServerAddress);

impl Dial for TcpDial {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let target = (self.0.host.clone(), self.0.port);
        Box::pin(async move {
            let stream = TcpStream::connect((target.0.as_str(), target.1)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// What it takes to reach the server.
#[derive(Clone)]
pub struct Connector {
    /// Opens streams.
    pub dial: Arc<dyn Dial>,
    /// The server's address, for errors and SNI.
    pub address: ServerAddress,
    /// The only server this agent talks to.
    pub server_id: SpiffeId,
    /// Which key exchanges it agrees to.
    pub key_exchange: KeyExchange,
    /// The time certificates are judged by.
    pub clock: Arc<dyn Clock>,
}

impl Connector {
    /// A channel whose server is verified with `trust`, and to which `identity` is shown.
    pub async fn connect(
        &self,
        identity: Arc<Identity>,
        trust: ServerTrust,
    ) -> Result<Channel, ConnectError> {
        let tls = ClientTls {
            identity,
            trust,
            server_id: self.server_id.clone(),
            key_exchange: self.key_exchange,
            clock: self.clock.clone(),
        };
        let endpoint = self.address.endpoint()?;
        let endpoint = endpoint
            .http2_keep_alive_interval(PROBE_EVERY)
            .keep_alive_timeout(PROBE_TIMEOUT)
            .keep_alive_while_idle(true);
        let dial = self.dial.clone();
        connect_over(endpoint, &self.address, &tls, move || dial.dial()).await
    }
}

/// The connection of an attested agent.
pub struct Connection {
    connector: Connector,
    /// What the server is verified with; follows the bundle.
    pub trust: Arc<Trust>,
    /// The agent's certificate; follows its renewal.
    pub identity: Arc<Identity>,
    current: Mutex<Current>,
    renewed: watch::Sender<u64>,
}

#[derive(Default)]
struct Current {
    generation: u64,
    channel: Option<Channel>,
}

impl Connection {
    /// Nothing is dialled yet.
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            trust: Arc::default(),
            identity: Arc::default(),
            current: Mutex::default(),
            renewed: watch::Sender::new(0),
        }
    }

    /// How to reach the server otherwise.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The channel, dialled at its first use, and the generation of the agent's certificate that it
    /// shows. It dials again by itself when it breaks.
    pub async fn channel(&self) -> Result<(Channel, u64), ConnectError> {
        let mut current = self.current.lock().await;
        if let Some(channel) = &current.channel {
            return Ok((channel.clone(), current.generation));
        }
        let trust = ServerTrust::Bundle(self.trust.clone());
        let channel = self.connector.connect(self.identity.clone(), trust).await?;
        current.channel = Some(channel.clone());
        Ok((channel, current.generation))
    }

    /// A new connection in place of the current one, for a stream that takes over from another.
    /// Calls that are under way on the old one come to their end there.
    pub async fn another(&self) -> Result<(Channel, u64), ConnectError> {
        let trust = ServerTrust::Bundle(self.trust.clone());
        let channel = self.connector.connect(self.identity.clone(), trust).await?;
        let mut current = self.current.lock().await;
        current.channel = Some(channel.clone());
        Ok((channel, current.generation))
    }

    /// The agent has another certificate: calls from now on go over a new connection.
    pub async fn renew(&self) {
        let mut current = self.current.lock().await;
        current.generation += 1;
        current.channel = None;
        self.renewed.send_replace(current.generation);
    }

    /// Changes whenever the agent has another certificate.
    pub fn renewed(&self) -> watch::Receiver<u64> {
        self.renewed.subscribe()
    }

    /// How often the certificate has changed. What the server says about an older one is no news.
    pub async fn generation(&self) -> u64 {
        self.current.lock().await.generation
    }
}
