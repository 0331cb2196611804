//! Puts the server together as configured: the only module that names concrete stores, key managers
//! and attestors.
//!
//! What it opens becomes the [`Parts`] of a [`Server`], which runs on any parts.

mod attestors;
mod clouds;
mod data_dir;
mod k8s_psat;
mod keys;
mod kubernetes;
mod pages;
mod upstream;
mod vault;

use crate::audit::Audit;
use crate::authority::{AuthorityFault, AuthoritySettings, JwtAlternative};
use crate::config::{self, ComposerSettings, ServerConfig, StoreSettings};
use crate::identity::IdentityFault;
use crate::issuer::Settings;
use crate::limits::Limits;
use crate::publish::{self, ClusterBundle};
use crate::running::{Parts, Server};
use crate::state::StateError;
use crate::uniqueid::UniqueId;
use data_dir::server_id;
use signet_crypto::SystemRandom;
use signet_datastore::{MemoryStore, RedbStore, Store, StoreError};
use signet_keys::disk::DiskError;
use signet_keys_pkcs11::{IdentifierError, Pkcs11Error};
use signet_model::approve::{Attribute, Subject};
use signet_model::{Composer, Composers, Policy};
use signet_node_attestor::BoxError;
use signet_node_attestor::x509pop::{ChainError, ConfigError};
use signet_runtime::{Clock, Readiness, SystemClock, Tasks};
use signet_telemetry::audit::{AuditError, AuditLog};
use signet_telemetry::metrics::Metrics;
use signet_tls::TlsError;
use signet_vault::VaultError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(crate) use attestors::attestors;
pub use data_dir::DataDirLock;

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
    /// The keys of an issuer cannot be asked for.
    #[error("node attestor oidc: issuer {issuer}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// Why.
        source: BoxError,
    },
    /// The attestors to combine are not there, or too few or too many.
    #[error("node attestor combined: needs two to four attestors that are configured")]
    Combined,
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
    /// The token with the keys cannot be used.
    #[error("key manager pkcs11")]
    Pkcs11(#[from] Pkcs11Error),
    /// The server's id cannot stand in the labels of keys.
    #[error("key manager pkcs11: the server's id {0:?} does not do as key_identifier_value")]
    KeyIdentifier(String, #[source] IdentifierError),
    /// The server does not know which keys of the engine are its own.
    #[error("key manager hashicorp_vault")]
    TransitIdentifier(#[from] signet_vault::IdentifierError),
    /// A Vault does not do its part.
    #[error("{plugin}")]
    Vault {
        /// For whom.
        plugin: &'static str,
        /// Why.
        source: VaultError,
    },
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
    /// A node attestor cannot be made of its settings.
    #[error("node attestor {attestor}")]
    Attestor {
        /// Which.
        attestor: &'static str,
        /// Why.
        source: BoxError,
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
    /// The keys of a cluster's tokens cannot be asked for.
    #[error("node attestor k8s_psat")]
    K8sPsat(#[source] signet_http::SetupError),
    /// The store was built out of this program.
    #[error("this build has no sled store: build with --features sled, or use redb")]
    NoSled,
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
    publish_bundle(&config, &server);
    let listener = TcpListener::bind(config.bind).await;
    let listener = listener.map_err(|source| StartError::Listen {
        address: config.bind.to_string(),
        source,
    })?;
    let admin = data_dir::admin_socket(&config.socket_path)?;
    pages::serve(
        &config,
        &server,
        &metrics,
        pages::health(readiness, &server, audit),
    )
    .await?;
    server.serve_remote(listener)?;
    server.serve_local(admin);
    drop(starting);
    tracing::info!(
        trust_domain = %config.trust_domain,
        address = %config.bind,
        socket_path = %config.socket_path.display(),
        entries = server.issuer().state.read().index.entry_count(),
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
    let keys = keys::open(&config.keys, &server_id, tasks).await?;
    Ok(Parts {
        trust_domain: config.trust_domain.clone(),
        store: open_store(&config.store)?,
        keys,
        upstream: upstream::open(config, &clock, tasks).await?,
        attestors: config.node_attestors.clone(),
        settings: settings(config),
        authority: authority_settings(config),
        kubernetes: config
            .kubernetes
            .as_ref()
            .map(|settings| kubernetes::cluster(settings, &config.trust_domain, &server_id)),
        server_id,
        limits: Limits::new(config.rate_limits.attestation, config.rate_limits.signing),
        audit: Audit::Disk(log),
        metrics: metrics.clone(),
        clock,
        random: Arc::new(SystemRandom::new()),
        tasks: tasks.clone(),
    })
}

fn publish_bundle(config: &ServerConfig, server: &Server) {
    for settings in &config.publishers {
        let publisher = Arc::new(ClusterBundle::new(settings.clone()));
        let tasks = server.tasks();
        let keeping = publish::keep(publisher, server.issuer().clone(), tasks.stop());
        tasks.spawn_essential("bundle publisher", keeping);
    }
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
            wit_issuer: config.wit.as_ref().and_then(|wit| wit.issuer.clone()),
        },
        ca_ttl: config.authority.ttl,
        composers: composers(&config.composers),
        log_calls: config.audit_log_enabled,
        disable_jwt_svids: !config.svids.jwt_enabled,
        prune_agents_after: pruning.map(|pruning| pruning.expired_for),
        prune_tofu_agents: pruning.is_some_and(|pruning| pruning.tofu),
        prune_agents_batch: pruning.map_or(0, |pruning| pruning.batch_size),
    }
}

fn authority_settings(config: &ServerConfig) -> AuthoritySettings {
    let settings = &config.authority;
    AuthoritySettings {
        ttl: settings.ttl,
        ca_key_type: settings.ca_key_type,
        jwt_key_type: settings.jwt_key_type,
        jwt_alternative: settings.jwt_alternative.as_ref().map(jwt_alternative),
        wit_key_type: config.wit.as_ref().map(|wit| wit.key_type),
        subject: ca_subject(&settings.subject),
    }
}

fn jwt_alternative(settings: &config::JwtAlternativeSettings) -> JwtAlternative {
    JwtAlternative {
        key_type: settings.key_type,
        audiences: settings.audiences.clone(),
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

fn composers(settings: &[ComposerSettings]) -> Composers {
    let one = |settings: &ComposerSettings| -> Arc<dyn Composer> {
        match settings {
            ComposerSettings::UniqueId => Arc::new(UniqueId),
        }
    };
    Composers::new(settings.iter().map(one).collect())
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
