//! Puts the server together: the only file that names concrete stores, key managers and attestors.
//!
//! [`Server::start`] takes its parts ready made, so that a simulation starts the same server on a
//! test clock, a store in memory and streams in memory.

use crate::api::{self, AuthorizeLayer, Origin};
use crate::audit::Audit;
use crate::authority::{Authorities, AuthorityFault, AuthoritySettings, Reconciler};
use crate::config::{self, KeySettings, NodeAttestorSettings, ServerConfig, StoreSettings};
use crate::identity::{self, IdentityFault};
use crate::issuer::{Issuer, Settings};
use crate::limits::Limits;
use crate::prune;
use crate::state::{State, StateError};
use crate::sync::Online;
use signet_crypto::{Random, SystemRandom};
use signet_datastore::{MemoryStore, RedbStore, Store, StoreError};
use signet_keys::KeyManager;
use signet_keys::disk::{DiskError, DiskKeys};
use signet_keys::memory::MemoryKeys;
use signet_model::Policy;
use signet_model::approve::{Attribute, Subject};
use signet_model::{JoinToken, TokenId};
use signet_node_attestor::join_token::{JoinTokenServer, TokenState, Tokens};
use signet_node_attestor::x509pop::{
    ChainError, ConfigError, Limits as ChainLimits, Mode, Roots, TrustBundle, X509PopConfig,
    X509PopServer,
};
use signet_node_attestor::{BoxError, ServerAttestor};
use signet_runtime::{Clock, Readiness, SystemClock, Tasks};
use signet_spiffe::{Bundle, TrustDomain, pem};
use signet_telemetry::audit::{AuditError, AuditLog};
use signet_telemetry::health::Health;
use signet_telemetry::http::{self, Answer, Pages};
use signet_telemetry::metrics::{self, Metrics};
use signet_tls::{Acceptor, Identity, KeyExchange, Listener, ServerTls, TlsError, Trust};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::Server as GrpcServer;

/// The admin socket is for its owner and group, as SPIRE's.
const SOCKET_MODE: u32 = 0o770;
/// The directory of the admin socket, if the server makes it.
const SOCKET_DIR_MODE: u32 = 0o750;
/// The data directory, if the server makes it: keys are in it.
const DATA_DIR_MODE: u32 = 0o750;
/// A connection whose other end is silent this long is asked for a sign of life, and closed when
/// none comes: half-open connections must not pile up.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Calls of one connection that run at once; an agent needs a handful.
const MAX_STREAMS: u32 = 256;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory cannot be used.
    #[error("{what} {path}: {source}")]
    File {
        /// What for.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server has this data directory.
    #[error(
        "{0} is in use by another signet-server: stop that one, or give this one its own data_dir"
    )]
    InUse(PathBuf),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    State(#[from] StateError),
    /// The key manager cannot be opened.
    #[error("the key manager cannot be opened")]
    Keys(#[from] DiskError),
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened")]
    Audit(#[from] AuditError),
    /// The server has no authority.
    #[error("the authorities could not be brought in order")]
    Authority(#[from] AuthorityFault),
    /// The server has no SVID.
    #[error("the server has no X509-SVID of its own")]
    Identity(#[from] IdentityFault),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another server running?")]
    Listen {
        /// The address or path.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A node attestor's settings are no good.
    #[error("node attestor x509pop")]
    X509Pop(#[from] ConfigError),
    /// A CA file is no good.
    #[error("node attestor x509pop: CA bundle {path}")]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// A certificate of a CA file is no good.
    #[error("node attestor x509pop: CA bundle")]
    CaChain(#[from] ChainError),
    /// The store was built out of this program.
    #[error("this build has no sled store: build with --features sled, or use redb")]
    NoSled,
}

/// What a server is made of.
pub struct Parts {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// Which server of the trust domain this is.
    pub server_id: String,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where the authorities' keys are.
    pub keys: Arc<dyn KeyManager>,
    /// Which nodes are let in.
    pub attestors: Vec<NodeAttestorSettings>,
    /// What the operator chose for issuing.
    pub settings: Settings,
    /// What the operator chose for authorities.
    pub authority: AuthoritySettings,
    /// How much each caller may ask for.
    pub limits: Limits,
    /// Where decisions are recorded.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Serials, tokens, ids.
    pub random: Arc<dyn Random>,
    /// Where everything runs.
    pub tasks: Tasks,
}

/// A running server.
pub struct Server {
    issuer: Arc<Issuer>,
    identity: Arc<Identity>,
    metrics: Metrics,
    tasks: Tasks,
}

impl Server {
    /// Reads the store, brings the authorities in order and starts the loops. Nothing listens yet.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let (tasks, clock) = (parts.tasks.clone(), parts.clock.clone());
        let trust_domain = parts.trust_domain.clone();
        let (state, feed) = State::load(parts.store.clone(), trust_domain.clone()).await?;
        tasks.spawn_essential("change feed", state.clone().follow(feed, tasks.stop()));
        let online = Arc::new(Online::default());
        let authorities = Arc::new(Authorities::default());
        let ca_key_type = parts.authority.ca_key_type;
        let reconciler = Reconciler {
            state: state.clone(),
            keys: parts.keys.clone(),
            authorities: authorities.clone(),
            online: online.clone(),
            clock: clock.clone(),
            random: parts.random.clone(),
            trust_domain: trust_domain.clone(),
            server_id: parts.server_id.clone(),
            settings: parts.authority.clone(),
        };
        reconciler.settle().await?;
        let attestors = attestors(&parts, &state)?;
        let issuer = Arc::new(Issuer {
            trust_domain: trust_domain.clone(),
            state,
            authorities,
            trust: Arc::new(Trust::default()),
            online,
            limits: parts.limits,
            attestors,
            clock: clock.clone(),
            random: parts.random.clone(),
            audit: parts.audit,
            settings: parts.settings,
            tasks: parts.tasks.clone(),
            started_at: clock.now(),
        });
        identity::trust_bundles(&issuer);
        let identity = Arc::new(Identity::none());
        let held = identity::renew(&issuer, &identity, ca_key_type).await?;
        let server = Self {
            issuer,
            identity,
            metrics: parts.metrics,
            tasks: parts.tasks,
        };
        server.spawn_loops(reconciler, ca_key_type, held);
        Ok(server)
    }

    fn spawn_loops(
        &self,
        reconciler: Reconciler,
        key_type: signet_crypto::KeyType,
        held: identity::Held,
    ) {
        let (issuer, tasks) = (&self.issuer, &self.tasks);
        tasks.spawn_essential("authorities", reconciler.run(tasks.stop()));
        let bundles = identity::follow_bundles(issuer.clone(), tasks.stop());
        tasks.spawn_essential("bundles", bundles);
        let identity = self.identity.clone();
        let renewal =
            identity::keep_renewed(issuer.clone(), identity, key_type, held, tasks.stop());
        tasks.spawn_essential("server identity", renewal);
        tasks.spawn_essential("expiry", prune::watch_expiry(issuer.clone(), tasks.stop()));
        tasks.spawn_essential("pruning", prune::prune(issuer.clone(), tasks.stop()));
    }

    /// The use cases, for tests and simulations.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Serves agents and remote administrators.
    pub fn serve_remote<L: Listener>(&self, listener: L) -> Result<(), StartError> {
        let tls = ServerTls {
            identity: self.identity.clone(),
            trust: self.issuer.trust.clone(),
            trust_domain: self.issuer.trust_domain.clone(),
            foreign: self.issuer.settings.admin_ids.clone(),
            key_exchange: KeyExchange::default(),
            clock: self.issuer.clock.clone(),
        };
        let incoming = Acceptor::new(&tls, &self.tasks)?.listen(listener);
        let stop = self.tasks.stop();
        let routes = api::remote_routes(&self.issuer, &stop);
        let serving = grpc()
            .layer(self.layer(Origin::Remote))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move { stop.stopped().await });
        self.tasks.spawn_essential("agent API", serving);
        Ok(())
    }

    /// Serves the admin socket.
    pub fn serve_local(&self, listener: UnixListener) {
        let stop = self.tasks.stop();
        let routes = api::local_routes(&self.issuer, &stop);
        let incoming = UnixListenerStream::new(listener);
        let serving = grpc()
            .layer(self.layer(Origin::Local))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move { stop.stopped().await });
        self.tasks.spawn_essential("admin API", serving);
    }

    fn layer(&self, origin: Origin) -> AuthorizeLayer {
        AuthorizeLayer::new(self.issuer.clone(), self.metrics.clone(), origin)
    }
}

fn grpc() -> GrpcServer {
    GrpcServer::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(MAX_STREAMS)
}

/// Starts the whole server as configured.
pub async fn run(config: ServerConfig, tasks: Tasks) -> Result<DataDirLock, StartError> {
    let lock = DataDirLock::take(&config.data_dir)?;
    let readiness = Readiness::new();
    let starting = readiness.block("server");
    let metrics = Metrics::new(&config.telemetry.metric_prefix);
    let parts = parts(&config, &metrics, &tasks).await?;
    let audit = parts.audit.clone();
    let server = Server::start(parts).await?;
    let listener = TcpListener::bind(config.bind).await;
    let listener = listener.map_err(|source| StartError::Listen {
        address: config.bind.to_string(),
        source,
    })?;
    let admin = admin_socket(&config.socket_path)?;
    serve_http(
        &config,
        &server,
        &metrics,
        health(readiness, &server, audit),
    )
    .await?;
    server.serve_remote(listener)?;
    server.serve_local(admin);
    drop(starting);
    tracing::info!(
        trust_domain = %config.trust_domain,
        address = %config.bind,
        socket_path = %config.socket_path.display(),
        entries = server.issuer.state.read().index.entry_count(),
        "server started"
    );
    Ok(lock)
}

async fn parts(
    config: &ServerConfig,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Result<Parts, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = AuditLog::open(&config.data_dir.join("audit"), clock.clone())?;
    tasks.spawn_essential("audit log", log.clone().run(tasks.stop()));
    let server_id = server_id(&config.data_dir)?;
    Ok(Parts {
        trust_domain: config.trust_domain.clone(),
        server_id,
        store: open_store(&config.store)?,
        keys: open_keys(&config.keys)?,
        attestors: config.node_attestors.clone(),
        settings: settings(config),
        authority: authority_settings(&config.authority),
        limits: Limits::new(config.rate_limits.attestation, config.rate_limits.signing),
        audit: Audit::Disk(log),
        metrics: metrics.clone(),
        clock,
        random: Arc::new(SystemRandom::new()),
        tasks: tasks.clone(),
    })
}

fn settings(config: &ServerConfig) -> Settings {
    let pruning = config.agent_pruning;
    Settings {
        admin_ids: config.admin_ids.clone(),
        policy: Policy {
            trust_domain: config.trust_domain.clone(),
            default_x509_svid_ttl: config.svids.x509_ttl,
            default_jwt_svid_ttl: config.svids.jwt_ttl,
            agent_ttl: Some(config.svids.agent_ttl),
            jwt_issuer: config.svids.jwt_issuer.clone(),
            wit_issuer: None,
        },
        log_calls: config.audit_log_enabled,
        disable_jwt_svids: !config.svids.jwt_enabled,
        prune_agents_after: pruning.map(|pruning| pruning.expired_for),
        prune_tofu_agents: pruning.is_some_and(|pruning| pruning.tofu),
        prune_agents_batch: pruning.map_or(0, |pruning| pruning.batch_size),
    }
}

fn authority_settings(settings: &config::AuthoritySettings) -> AuthoritySettings {
    AuthoritySettings {
        ttl: settings.ttl,
        ca_key_type: settings.ca_key_type,
        jwt_key_type: settings.jwt_key_type,
        subject: ca_subject(&settings.subject),
    }
}

fn ca_subject(subject: &config::CaSubject) -> Option<Subject> {
    let countries = subject
        .country
        .iter()
        .map(|text| (Attribute::Country, text.clone()));
    let organizations = subject
        .organization
        .iter()
        .map(|text| (Attribute::Organization, text.clone()));
    let name = subject
        .common_name
        .iter()
        .map(|text| (Attribute::CommonName, text.clone()));
    let named = Subject::new(countries.chain(organizations).chain(name));
    (!named.is_empty()).then_some(named)
}

fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, StartError> {
    match settings {
        StoreSettings::Redb { path } => Ok(Arc::new(RedbStore::open(path)?)),
        StoreSettings::Memory => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sled")]
        StoreSettings::Sled { path } => Ok(Arc::new(signet_datastore::SledStore::open(path)?)),
        #[cfg(not(feature = "sled"))]
        StoreSettings::Sled { .. } => Err(StartError::NoSled),
    }
}

fn open_keys(settings: &KeySettings) -> Result<Arc<dyn KeyManager>, StartError> {
    match settings {
        KeySettings::Disk { path } => Ok(Arc::new(DiskKeys::open(path)?)),
        KeySettings::Memory => Ok(Arc::new(MemoryKeys::new())),
    }
}

type Attestors = BTreeMap<&'static str, Arc<dyn ServerAttestor>>;

fn attestors(parts: &Parts, state: &Arc<State>) -> Result<Attestors, StartError> {
    let mut attestors = Attestors::new();
    // Join tokens are the server's own: they need no block, as in SPIRE.
    let tokens = Arc::new(StateView(state.clone(), parts.trust_domain.clone()));
    let join_token = JoinTokenServer::new(
        parts.trust_domain.clone(),
        tokens.clone(),
        parts.clock.clone(),
    );
    attestors.insert("join_token", Arc::new(join_token));
    for settings in &parts.attestors {
        if let NodeAttestorSettings::X509Pop(settings) = settings {
            let config = x509pop_config(settings, &tokens)?;
            let x509pop = X509PopServer::new(
                parts.trust_domain.clone(),
                config,
                parts.clock.clone(),
                parts.random.clone(),
            )?;
            attestors.insert("x509pop", Arc::new(x509pop));
        }
    }
    Ok(attestors)
}

fn x509pop_config(
    settings: &config::X509PopSettings,
    own: &Arc<StateView>,
) -> Result<X509PopConfig, StartError> {
    let mode = match &settings.roots {
        config::X509PopRoots::Files(paths) => Mode::ExternalPki(read_roots(paths)?),
        config::X509PopRoots::OwnBundle { prefix } => Mode::Spiffe {
            bundle: own.clone(),
            prefix: prefix.clone(),
        },
    };
    Ok(X509PopConfig {
        mode,
        limits: ChainLimits {
            max_intermediates: settings.max_intermediates,
            max_rsa_key_size: settings.max_rsa_key_bits,
        },
        agent_path_template: settings.agent_path_template.clone(),
        verify_client_ip: settings.verify_client_ip,
    })
}

fn read_roots(paths: &[PathBuf]) -> Result<Roots, StartError> {
    let mut certificates = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(at("node attestor x509pop: CA bundle", path))?;
        let parsed = pem::parse_pem_certs(&text).map_err(|error| StartError::CaBundle {
            path: path.clone(),
            source: error.into(),
        })?;
        certificates.extend(parsed);
    }
    Ok(Roots::new(certificates)?)
}

/// What attestors may see of the state.
struct StateView(Arc<State>, TrustDomain);

#[async_trait::async_trait]
impl Tokens for StateView {
    async fn find(&self, id: &TokenId, now: SystemTime) -> Result<TokenState, BoxError> {
        let find = || {
            let snapshot = self.0.read();
            let token: Option<&JoinToken> = snapshot.index.token(id).map(AsRef::as_ref);
            TokenState::of(token, now)
        };
        let found = find();
        if !matches!(found, TokenState::Unknown) {
            return Ok(found);
        }
        self.0.catch_up().await;
        Ok(find())
    }
}

impl TrustBundle for StateView {
    fn bundle(&self) -> Arc<Bundle> {
        let own = self.0.read().index.bundle(&self.1).cloned();
        own.unwrap_or_else(|| Arc::new(Bundle::empty(self.1.clone())))
    }
}

fn health(readiness: Readiness, server: &Server, audit: Audit) -> Health {
    let issuer = server.issuer.clone();
    let bundle = move || match issuer.own_bundle() {
        Some(_) => Ok(()),
        None => Err("the trust domain has no bundle".to_owned()),
    };
    let audit = move || match &audit {
        Audit::Disk(log) if log.is_behind() => Err("records wait for the disk".to_owned()),
        _ => Ok(()),
    };
    Health::new(readiness)
        .with("bundle", bundle)
        .with("audit", audit)
}

async fn serve_http(
    config: &ServerConfig,
    server: &Server,
    metrics: &Metrics,
    health: Health,
) -> Result<(), StartError> {
    if let Some(settings) = &config.health {
        let pages = Pages::new().with_health(&settings.live_path, &settings.ready_path, health);
        serve_pages(
            &settings.bind_address,
            settings.bind_port,
            pages,
            &server.tasks,
        )
        .await?;
    }
    if let Some(settings) = &config.telemetry.prometheus {
        let issuer = server.issuer.clone();
        let connected = metrics.gauge("connected_agents", "Agents with an open sync stream");
        let entries = metrics.gauge("entries", "Registration entries");
        let metrics = metrics.clone();
        let page = move || {
            connected.set(i64::try_from(issuer.online.count()).unwrap_or(i64::MAX));
            let count = issuer.state.read().index.entry_count();
            entries.set(i64::try_from(count).unwrap_or(i64::MAX));
            Answer {
                ok: true,
                content_type: metrics::CONTENT_TYPE,
                body: metrics.encode(),
            }
        };
        let pages = Pages::new().with("/metrics", page.clone()).with("/", page);
        serve_pages(&settings.host, settings.port, pages, &server.tasks).await?;
    }
    Ok(())
}

async fn serve_pages(host: &str, port: u16, pages: Pages, tasks: &Tasks) -> Result<(), StartError> {
    let address = format!("{host}:{port}");
    let bound = http::bind(host, port).await;
    let listener = bound.map_err(|source| StartError::Listen { address, source })?;
    tasks.spawn_essential("http listener", http::serve(listener, pages, tasks.clone()));
    Ok(())
}

/// Binds the admin socket. A socket file that nobody listens on any more is replaced.
fn admin_socket(path: &Path) -> Result<UnixListener, StartError> {
    if let Some(directory) = path.parent() {
        make_dir(directory, SOCKET_DIR_MODE, "the admin socket's directory")?;
    }
    let listen = |source| StartError::Listen {
        address: path.display().to_string(),
        source,
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(listen(io::ErrorKind::AddrInUse.into()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(listen(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(listen)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(listen)?;
    Ok(listener)
}

fn make_dir(path: &Path, mode: u32, what: &'static str) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(at(what, path))
}

/// The data directory is ours while this lives.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    fn take(directory: &Path) -> Result<Self, StartError> {
        make_dir(directory, DATA_DIR_MODE, "data_dir")?;
        let path = directory.join(".signet-server.lock");
        let file = File::create(&path).map_err(at("lock file", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(directory.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => Err(at("lock file", &path)(error)),
        }
    }
}

/// Which server this is: drawn once, kept in the data directory.
fn server_id(directory: &Path) -> Result<String, StartError> {
    let path = directory.join("server-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at("server id", &path)(error));
        }
        _ => {}
    }
    let id = uuid::Uuid::new_v4().to_string();
    std::fs::write(&path, format!("{id}\n")).map_err(at("server id", &path))?;
    Ok(id)
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { what, path, source }
}
