//! The Workload API as a client sees it: a tonic client over streams in memory, in paused time.

mod bundles;
mod clients;
mod jwt;
mod taint;
mod x509;

use super::{Call, Listening, Options, serve};
use crate::cache::Update;
use crate::holdings::Holdings;
use crate::identify::{DEADLINE, Identify};
use crate::jwt::{JwtConfig, JwtSvids};
use crate::rotate::{Jitter, Rotator, RotatorConfig, SvidPolicy};
use crate::sync::Freshness;
use crate::testing::{FakeServer, noon, td, whole};
use async_trait::async_trait;
use futures::stream;
use hyper_util::rt::TokioIo;
use signet_crypto::KeyType;
use signet_model::{Entry, Selector};
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_runtime::{Blocker, Clock, Readiness, Tasks, TokioClock};
use signet_telemetry::metrics::Metrics;
use signet_workload_attestor::peer::{FakeProcess, Peer, PeerConn};
use signet_workload_attestor::{AttestError, WorkloadAttestor};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Knows the user of a process, until a test makes it say something else.
#[derive(Default)]
struct ByUser {
    says: Mutex<Says>,
    changed: watch::Sender<u64>,
}

#[derive(Clone, Copy, Default)]
enum Says {
    #[default]
    TheUser,
    /// This user instead.
    Another(u32),
    Fails,
    Departed,
}

impl ByUser {
    fn now(&self, says: Says) {
        *self.says.lock().expect("no panic") = says;
        self.changed.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl WorkloadAttestor for ByUser {
    fn kind(&self) -> &'static str {
        "unix"
    }

    async fn attest(&self, peer: &Peer) -> Result<Vec<Selector>, AttestError> {
        let says = *self.says.lock().expect("no panic");
        let user = match says {
            Says::TheUser => peer.uid(),
            Says::Another(user) => user,
            Says::Fails => return Err(AttestError::ProgramChanged),
            Says::Departed => return Err(AttestError::Departed { attestor: "unix" }),
        };
        let text = format!("unix:uid:{user}");
        Ok(vec![Selector::parse(&text).expect("valid")])
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.changed.subscribe())
    }
}

type Client = SpiffeWorkloadApiClient<Channel>;
type Accepted = io::Result<PeerConn<DuplexStream>>;

/// An agent's workload side, with a server that follows a script.
struct World {
    server: Arc<FakeServer>,
    attestor: Arc<ByUser>,
    holdings: Arc<Holdings>,
    freshness: Arc<Freshness>,
    tasks: Tasks,
    connections: mpsc::UnboundedSender<Accepted>,
    not_ready: Option<Blocker>,
}

impl World {
    /// An agent that has not heard of its server yet; the server knows these entries.
    fn unsynced(entries: &[Entry], options: Options) -> Self {
        Self::served_by(entries, options, |_| {})
    }

    fn served_by(
        entries: &[Entry],
        options: Options,
        script: impl FnOnce(&mut FakeServer),
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
        let mut server = FakeServer::new(clock.clone()).knows(entries);
        script(&mut server);
        let server = Arc::new(server);
        let holdings = Arc::new(Holdings::new(td(), clock.clone()));
        let freshness = Arc::new(Freshness::new());
        freshness.set_tolerance(Duration::from_secs(20));
        let tasks = Tasks::new();
        let config = RotatorConfig {
            key_type: KeyType::EcP256,
            cache_max: 1000,
            policy: SvidPolicy::default(),
        };
        let jitter = Jitter::seeded(1);
        let rotator = Rotator::new(
            holdings.clone(),
            server.clone(),
            clock.clone(),
            config,
            jitter,
        );
        tasks.spawn("rotator", rotator.run(tasks.stop()));
        let jwt = JwtConfig::default();
        let attestor = Arc::new(ByUser::default());
        let call = Call {
            holdings: holdings.clone(),
            identify: Arc::new(Identify::new(vec![attestor.clone()], DEADLINE)),
            jwt: JwtSvids::new(
                server.clone(),
                clock.clone(),
                holdings.own_bundle(),
                jwt,
                Jitter::seeded(2),
            ),
            freshness: freshness.clone(),
            clock,
            options,
            metrics: Metrics::new("spire_agent"),
            stop: tasks.stop(),
        };
        let readiness = Readiness::new();
        let not_ready = Some(readiness.block("sync"));
        let listening = Listening {
            call: Some(Arc::new(call)),
            readiness,
            stop: tasks.stop(),
        };
        let (connections, mut accepted) = mpsc::unbounded_channel();
        let incoming = stream::poll_fn(move |cx| accepted.poll_recv(cx));
        tasks.spawn_essential("workload api", serve(listening, incoming));
        Self {
            server,
            attestor,
            holdings,
            freshness,
            tasks,
            connections,
            not_ready,
        }
    }

    /// An agent that holds these entries.
    fn synced(entries: &[Entry]) -> Self {
        Self::with(entries, Options::default())
    }

    fn with(entries: &[Entry], options: Options) -> Self {
        let mut world = Self::unsynced(entries, options);
        world.sync(entries);
        world
    }

    /// The server says that exactly these entries are the agent's.
    fn sync(&mut self, entries: &[Entry]) {
        self.apply(whole(entries.to_vec(), vec![self.server.ca.bundle()]));
    }

    fn apply(&mut self, update: Update) {
        self.holdings.apply(update);
        self.freshness.confirm();
        self.not_ready = None;
    }

    /// A process of this user connects.
    async fn process(&self, uid: u32) -> (FakeProcess, Channel) {
        let process = FakeProcess::new(1000, uid, uid);
        let peer = Arc::new(Peer::fake(&process).expect("alive"));
        let connections = self.connections.clone();
        let connect = tower::service_fn(move |_| {
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            let sent = connections.send(Ok(PeerConn::new(theirs, peer.clone())));
            sent.expect("served");
            async move { Ok::<_, io::Error>(TokioIo::new(ours)) }
        });
        let endpoint = Endpoint::from_static("http://workload.invalid");
        let channel = endpoint
            .connect_with_connector(connect)
            .await
            .expect("connected");
        (process, channel)
    }

    async fn client(&self, uid: u32) -> Client {
        Client::new(self.process(uid).await.1)
    }
}

/// A request with the security header.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = "true".parse().expect("ASCII");
    request.metadata_mut().insert("workload.spiffe.io", value);
    request
}

/// What an error says, in one value to compare.
fn said(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

fn assert_denied(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied);
    let text = status.message();
    assert!(text.starts_with("no identity issued (ref "), "{text}");
}
