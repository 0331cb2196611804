//! Puts the agent together. The only file that names concrete plugins.

use crate::admin::{self, AgentAdmin};
use crate::bootstrap::Bootstrap;
use crate::config::{
    AgentConfig, JoinTokenSource, KeySettings, NodeAttestorSettings, ProgramHash, UnixSettings,
    WorkloadAttestorSettings,
};
use crate::disk::{DataDir, DiskError};
use crate::holdings::Holdings;
use crate::identify::{DEADLINE, Identify};
use crate::jwt::{JwtConfig, JwtSvids};
use crate::lifecycle::{Lifecycle, MakeAttestor, NoAttestor};
use crate::own::{OwnError, OwnStore, OwnSvid};
use crate::rotate::{Jitter, Rotator, RotatorConfig, SvidPolicy};
use crate::sync::{self, Freshness};
use crate::upstream::{Connection, Connector, Dial, GrpcServer, TcpDial};
use crate::workload_api::{self, Call, Listening, Options};
use signet_config::sections::HealthSettings;
use signet_crypto::{KeyType, SecretString, SystemRandom};
use signet_keys::disk::DiskKeys;
use signet_keys::memory::MemoryKeys;
use signet_keys::{KeyManager, disk};
use signet_node_attestor::AgentAttestor;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_node_attestor::x509pop::{X509PopAgent, X509PopFiles};
use signet_runtime::{Blocker, Clock, Readiness, SystemClock, Tasks};
use signet_spiffe::{IdError, SpiffeId, TrustDomain};
use signet_telemetry::health::Health;
use signet_telemetry::http::{self, Answer, Pages};
use signet_telemetry::metrics::{CONTENT_TYPE, Metrics};
use signet_tls::{KeyExchange, ServerAddress};
use signet_workload_attestor::WorkloadAttestor;
use signet_workload_attestor::peer::{Access, BindError, PeerListener, ProcRoot};
use signet_workload_attestor::unix::{SizeLimit, UnixAttestor, UnixConfig};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// After this much silence of the server, the agent says that it is not well: three times what a
/// stream may be silent.
const STALE: Duration = Duration::from_secs(135);

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The agent's own SVID or key cannot be used.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The key manager's file cannot be used.
    #[error("could not open the agent's keys")]
    Keys(#[source] disk::DiskError),
    /// A socket cannot be opened.
    #[error("could not open a socket of the agent")]
    Socket(#[from] BindError),
    /// The listener for probes or metrics cannot be opened.
    #[error("could not open the listener for probes and metrics")]
    Listener(#[source] io::Error),
    /// The trust domain is too long to name its server.
    #[error("the server's SPIFFE ID cannot be formed")]
    ServerId(#[source] IdError),
}

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
    identify: Arc<Identify>,
    clock: Arc<dyn Clock>,
    options: Options,
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
                member,
            },
            identify: Arc::new(Identify::new(parts.workload_attestors, DEADLINE)),
            member: follow_member,
            options: settings.options,
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

/// Starts the agent that the configuration describes. The workload socket opens first: a workload
/// that starts before the agent reached its server waits instead of failing.
pub async fn run(config: AgentConfig, tasks: &Tasks) -> Result<(), StartError> {
    let metrics = Metrics::new(&config.telemetry.metric_prefix);
    let serves_workloads = config.workload_api;
    let (health, prometheus) = (config.health.clone(), config.telemetry.prometheus.clone());
    let (public, private) = (config.socket_path.clone(), config.admin_socket_path.clone());
    // The data directory first: a second agent must not touch anything of the first.
    let agent = Agent::new(parts(config)?)?;
    let public = PeerListener::bind(public, Access::Public)?;
    let private = private.map(|path| PeerListener::bind(path, Access::Admin));
    let private = private.transpose()?;
    let listening = Listening {
        call: serves_workloads.then(|| agent.call(tasks)),
        readiness: agent.readiness.clone(),
        stop: tasks.stop(),
    };
    tracing::info!(path = %public.path().display(), "the Workload API listens");
    let served = workload_api::serve(listening, public.into_stream());
    tasks.spawn_essential("workload api", served);
    if let Some(listener) = private {
        let served = admin::serve(agent.admin(), listener, tasks.stop());
        tasks.spawn_essential("admin api", served);
    }
    if let Some(settings) = health {
        serve_probes(&settings, well(&agent), tasks).await?;
    }
    if let Some(settings) = prometheus {
        let pages = Pages::new().with("/metrics", metrics_page(metrics, &agent));
        serve_pages(&settings.host, settings.port, pages, tasks).await?;
    }
    agent.start(tasks);
    Ok(())
}

fn well(agent: &Agent) -> Health {
    let freshness = agent.freshness.clone();
    let (member, clock) = (agent.member.clone(), agent.clock.clone());
    Health::new(agent.readiness.clone())
        .with("agent", move || {
            let member = member.borrow();
            let expired = member
                .as_ref()
                .is_some_and(|own| own.not_after <= clock.now());
            if expired {
                Err("the SVID of this agent has expired".to_owned())
            } else {
                Ok(())
            }
        })
        .with("sync", move || match freshness.age() {
            Some(age) if age > STALE => Err(format!(
                "the server was last heard of {} s ago",
                age.as_secs()
            )),
            _ => Ok(()),
        })
}

fn metrics_page(metrics: Metrics, agent: &Agent) -> impl Fn() -> Answer + Send + Sync + 'static {
    let entries = metrics.gauge("entries", "Entries this agent may serve");
    let svids = metrics.gauge("cached_x509_svids", "X509-SVIDs held");
    let tokens = metrics.gauge("jwt_svid_cache_size", "JWT-SVIDs held");
    let age = metrics.gauge(
        "sync_age_seconds",
        "Seconds since the server confirmed what is held",
    );
    let (holdings, jwt) = (agent.holdings.clone(), agent.jwt.clone());
    let freshness = agent.freshness.clone();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    move || {
        holdings.read(|cache| {
            entries.set(count(cache.held().count()));
            svids.set(count(
                cache.held().filter(|held| held.svid.is_some()).count(),
            ));
        });
        tokens.set(count(jwt.len()));
        let seconds = freshness
            .age()
            .map_or(-1, |age| age.as_secs().cast_signed());
        age.set(seconds);
        Answer {
            ok: true,
            content_type: CONTENT_TYPE,
            body: metrics.encode(),
        }
    }
}

async fn serve_probes(
    settings: &HealthSettings,
    health: Health,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let pages = Pages::new().with_health(&settings.live_path, &settings.ready_path, health);
    serve_pages(&settings.bind_address, settings.bind_port, pages, tasks).await
}

async fn serve_pages(host: &str, port: u16, pages: Pages, tasks: &Tasks) -> Result<(), StartError> {
    let listener = http::bind(host, port).await.map_err(StartError::Listener)?;
    tasks.spawn_essential(
        "probes and metrics",
        http::serve(listener, pages, tasks.clone()),
    );
    Ok(())
}

fn parts(config: AgentConfig) -> Result<Parts, StartError> {
    let address = ServerAddress {
        host: config.server.host,
        port: config.server.port,
    };
    let data_dir = DataDir::open(&config.data_dir)?;
    let attestors = config.workload_attestors.into_iter();
    Ok(Parts {
        clock: Arc::new(SystemClock),
        dial: Arc::new(TcpDial(address.clone())),
        address: address.clone(),
        data_dir,
        keys: keys(config.keys)?,
        bootstrap: Bootstrap {
            trust_domain: config.trust_domain.clone(),
            source: config.bootstrap,
            server: address,
        },
        trust_domain: config.trust_domain,
        attestor: Arc::new(move || {
            node_attestor(&config.node_attestor, config.join_token.as_ref())
        }),
        workload_attestors: attestors.map(workload_attestor).collect(),
        settings: Settings {
            policy: SvidPolicy {
                availability_target: config.availability_target,
                taint_window: config.taint_window,
            },
            workload_key_type: config.workload_key_type,
            x509_cache_size: config.x509_cache_size,
            jwt_cache_size: config.jwt_cache_size,
            sync_interval: config.sync_interval,
            options: Options {
                allow_unauthenticated_verifiers: config.allow_unauthenticated_verifiers,
                allowed_foreign_jwt_claims: config.allowed_foreign_jwt_claims,
            },
        },
        seed: rand::random(),
    })
}

fn keys(settings: KeySettings) -> Result<Arc<dyn KeyManager>, StartError> {
    Ok(match settings {
        KeySettings::Disk { directory } => {
            let keys = DiskKeys::open_in(&directory).map_err(StartError::Keys)?;
            for warning in keys.warnings() {
                tracing::warn!("{warning}");
            }
            Arc::new(keys)
        }
        KeySettings::Memory => Arc::new(MemoryKeys::new()),
    })
}

/// A join token, when there is one, wins over the configured attestor, as in SPIRE.
fn node_attestor(
    settings: &NodeAttestorSettings,
    token: Option<&JoinTokenSource>,
) -> Result<Arc<dyn AgentAttestor>, NoAttestor> {
    Ok(match (token, settings) {
        (Some(token), _) => Arc::new(JoinTokenAgent::new(read_token(token)?)),
        (None, NodeAttestorSettings::JoinToken) => return Err(NoAttestor::NoJoinToken),
        (None, NodeAttestorSettings::X509Pop(settings)) => {
            let files = X509PopFiles {
                private_key: settings.private_key_path.clone(),
                certificate: settings.certificate_path.clone(),
                intermediates: settings.intermediates_path.clone(),
            };
            Arc::new(X509PopAgent::new(files, Arc::new(SystemRandom::new())))
        }
    })
}

fn read_token(source: &JoinTokenSource) -> Result<SecretString, NoAttestor> {
    let text = match source {
        JoinTokenSource::Text(token) => token.expose().to_owned(),
        JoinTokenSource::File(path) => {
            let read = std::fs::read_to_string(path);
            read.map_err(|source| NoAttestor::JoinToken {
                path: path.clone(),
                source,
            })?
        }
    };
    Ok(SecretString::new(text.trim().to_owned()))
}

fn workload_attestor(settings: WorkloadAttestorSettings) -> Arc<dyn WorkloadAttestor> {
    match settings {
        WorkloadAttestorSettings::Unix(UnixSettings {
            discover_workload_path,
            program_hash,
        }) => Arc::new(UnixAttestor::new(UnixConfig {
            discover_workload_path,
            workload_size_limit: match program_hash {
                ProgramHash::Always => SizeLimit::Unlimited,
                ProgramHash::UpTo(bytes) => SizeLimit::AtMost(bytes),
                ProgramHash::Never => SizeLimit::NoHash,
            },
        })),
    }
}
