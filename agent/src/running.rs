//! A running agent, made of parts that are ready: a simulation runs the same one on a test clock and
//! over streams in memory.

use crate::admin::AgentAdmin;
use crate::assemble::StartError;
use crate::bootstrap::Bootstrap;
use crate::disk::DataDir;
use crate::holdings::Holdings;
use crate::identify::{DEADLINE, Identify};
use crate::jwt::{JwtConfig, JwtSvids};
use crate::lifecycle::{Lifecycle, MakeAttestor};
use crate::own::{OwnStore, OwnSvid};
use crate::rotate::{Jitter, Rotator, RotatorConfig, SvidPolicy};
use crate::sync::{self, Freshness};
use crate::upstream::{Connection, Connector, Dial, GrpcServer};
use crate::workload_api::{Call, Options};
use signet_crypto::KeyType;
use signet_keys::KeyManager;
use signet_runtime::{Blocker, Clock, Readiness, Tasks};
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_telemetry::metrics::Metrics;
use signet_tls::{KeyExchange, ServerAddress};
use signet_workload_attestor::WorkloadAttestor;
use signet_workload_attestor::peer::ProcRoot;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What an agent is made of; everything that differs between a program and a simulation.
pub struct Parts {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Opens streams to the server.
    pub dial: Arc<dyn Dial>,
    /// The server's address, for errors and SNI.
    pub address: ServerAddress,
    /// The data directory.
    pub data_dir: DataDir,
    /// The agent's own keys.
    pub keys: Arc<dyn KeyManager>,
    /// The first trust.
    pub bootstrap: Bootstrap,
    /// Proves which node this is.
    pub attestor: MakeAttestor,
    /// Find out what a workload is.
    pub workload_attestors: Vec<Arc<dyn WorkloadAttestor>>,
    /// What the operator decided.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
    /// Reproduces jitter; the program takes a random one.
    pub seed: u64,
}

/// What the operator decided, beyond plugins.
#[derive(Debug, Clone)]
pub struct Settings {
    /// When SVIDs are renewed.
    pub policy: SvidPolicy,
    /// The kind of key that workloads get.
    pub workload_key_type: KeyType,
    /// X509-SVIDs kept that nobody subscribes to.
    pub x509_cache_size: usize,
    /// JWT-SVIDs kept.
    pub jwt_cache_size: usize,
    /// The interval of polling a server that does not push.
    pub sync_interval: Duration,
    /// The Workload API.
    pub options: Options,
}

/// An agent, put together and not yet running.
pub struct Agent {
    /// What it holds for workloads.
    pub holdings: Arc<Holdings>,
    /// How fresh that is.
    pub freshness: Arc<Freshness>,
    /// What still keeps it from being ready.
    pub readiness: Readiness,
    /// Who it is, once it is attested.
    pub member: watch::Receiver<Option<OwnSvid>>,
    /// JWT-SVIDs.
    pub jwt: Arc<JwtSvids>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    identify: Arc<Identify>,
    options: Options,
    metrics: Metrics,
    lifecycle: Lifecycle,
    sync: sync::Sync,
    rotator: Rotator,
    blockers: [Blocker; 2],
}

impl Agent {
    /// Puts an agent together.
    pub fn new(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            trust_domain,
            clock,
            settings,
            seed,
            ..
        } = parts;
        let server_id = SpiffeId::new(&trust_domain, "/spire/server");
        let connector = Connector {
            dial: parts.dial,
            address: parts.address,
            server_id: server_id.map_err(StartError::ServerId)?,
            key_exchange: KeyExchange::default(),
            clock: clock.clone(),
        };
        let connection = Arc::new(Connection::new(connector));
        let server = Arc::new(GrpcServer::new(connection.clone()));
        let holdings = Arc::new(Holdings::new(trust_domain.clone(), clock.clone()));
        let freshness = Arc::new(Freshness::new());
        let readiness = Readiness::new();
        let blockers = [readiness.block("attestation"), readiness.block("sync")];
        let jitter = |number: u64| Jitter::seeded(seed.wrapping_add(number));
        let jwt_config = JwtConfig {
            cache_max: settings.jwt_cache_size,
            policy: settings.policy,
        };
        let bundle = holdings.own_bundle();
        let jwt = JwtSvids::new(server.clone(), clock.clone(), bundle, jwt_config, jitter(1));
        let own = OwnStore::open(parts.data_dir, parts.keys, settings.policy)?;
        let (member, follow_member) = watch::channel(None);
        let rotator_config = RotatorConfig {
            key_type: settings.workload_key_type,
            cache_max: settings.x509_cache_size,
            policy: settings.policy,
        };
        let sync_parts = sync::Parts {
            server: server.clone(),
            holdings: holdings.clone(),
            freshness: freshness.clone(),
            cache_max: settings.x509_cache_size,
            member: follow_member.clone(),
            clock: clock.clone(),
            interval: settings.sync_interval,
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Self {
            rotator: Rotator::new(
                holdings.clone(),
                server.clone(),
                clock.clone(),
                rotator_config,
                jitter(2),
            ),
            sync: sync::Sync::new(sync_parts, jitter(3)),
            lifecycle: Lifecycle {
                trust_domain,
                own: Arc::new(own),
                bootstrap: Arc::new(parts.bootstrap),
                attestor: parts.attestor,
                connection,
                server,
                holdings: holdings.clone(),
                clock: clock.clone(),
                jitter: jitter(4),
                taint_window: settings.policy.taint_window,
                metrics: parts.metrics.clone(),
                member,
            },
            identify: Arc::new(Identify::new(parts.workload_attestors, DEADLINE)),
            member: follow_member,
            options: settings.options,
            metrics: parts.metrics,
            holdings,
            freshness,
            readiness,
            jwt,
            clock,
            blockers,
        })
    }

    /// The calls of the Workload API, for a socket to serve.
    pub fn call(&self, tasks: &Tasks) -> Arc<Call> {
        Arc::new(Call {
            holdings: self.holdings.clone(),
            identify: self.identify.clone(),
            jwt: self.jwt.clone(),
            freshness: self.freshness.clone(),
            clock: self.clock.clone(),
            options: self.options.clone(),
            metrics: self.metrics.clone(),
            stop: tasks.stop(),
        })
    }

    /// Answers for the admin socket.
    pub fn admin(&self) -> AgentAdmin {
        AgentAdmin {
            holdings: self.holdings.clone(),
            identify: self.identify.clone(),
            member: self.member.clone(),
            proc: ProcRoot::default(),
        }
    }

    /// Starts everything that talks to the server.
    pub fn start(self, tasks: &Tasks) {
        let stop = tasks.stop();
        tasks.spawn_essential("lifecycle", {
            let stop = stop.clone();
            async move {
                let ended = self.lifecycle.run(stop).await;
                ended.map_err(|error| crate::upstream::explained(&error))
            }
        });
        let [attestation, first_sync] = self.blockers;
        let (mut member, freshness) = (self.member, self.freshness);
        let (sync, rotator) = (self.sync, self.rotator);
        let child = tasks.clone();
        tasks.spawn("start", async move {
            let attested = async { member.wait_for(Option::is_some).await.is_ok() };
            let is_member = tokio::select! {
                is_member = attested => is_member,
                () = stop.stopped() => false,
            };
            if !is_member {
                return;
            }
            drop(attestation);
            child.spawn("sync", sync.run(stop.clone()));
            child.spawn("rotator", rotator.run(stop.clone()));
            tokio::select! {
                () = freshness.first() => drop(first_sync),
                () = stop.stopped() => {}
            }
        });
    }
}
