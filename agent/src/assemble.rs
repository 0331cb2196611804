//! Puts the agent together as configured: the only file that names concrete plugins.
//!
//! What it opens becomes the [`Parts`] of an [`Agent`], which runs on any parts.

mod csi;
mod pages;

use crate::admin;
use crate::bootstrap::Bootstrap;
use crate::config::{
    AgentConfig, JoinTokenSource, K8sSettings, KeySettings, NodeAttestorSettings, ProgramHash,
    UnixSettings, WorkloadAttestorSettings,
};
use crate::disk::{DataDir, DiskError};
use crate::lifecycle::NoAttestor;
use crate::own::OwnError;
use crate::rotate::SvidPolicy;
use crate::running::{Agent, Parts, Settings};
use crate::upstream::TcpDial;
use crate::workload_api::{self, Listening, Options};
use signet_cloud::aws::InstanceMetadata;
use signet_cluster::{Api, Reach};
use signet_crypto::{SecretString, SystemRandom};
use signet_keys::disk::DiskKeys;
use signet_keys::memory::MemoryKeys;
use signet_keys::{KeyManager, disk};
use signet_node_attestor::aws_iid::AwsIidAgent;
use signet_node_attestor::azure_imds::AzureImdsAgent;
use signet_node_attestor::azure_msi::AzureMsiAgent;
use signet_node_attestor::combined::CombinedAgent;
use signet_node_attestor::gcp_iit::GcpIitAgent;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_node_attestor::k8s_psat::K8sPsatAgent;
use signet_node_attestor::oidc::OidcAgent;
use signet_node_attestor::x509pop::{X509PopAgent, X509PopFiles};
use signet_node_attestor::{AgentAttestor, AgentError, Finding};
use signet_runtime::{Clock as _, Readiness, SystemClock, Tasks};
use signet_spiffe::IdError;
use signet_telemetry::metrics::Metrics;
use signet_tls::ServerAddress;
use signet_workload_attestor::WorkloadAttestor;
use signet_workload_attestor::k8s::{HeldPods, K8sAttestor, K8sConfig, Kubelet, NamespaceSource};
use signet_workload_attestor::peer::{Access, BindError, PeerListener};
use signet_workload_attestor::unix::{SizeLimit, UnixAttestor, UnixConfig};
use std::io;
use std::sync::Arc;

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

/// Starts the agent that the configuration describes. The workload socket opens first: a workload
/// that starts before the agent reached its server waits instead of failing.
pub async fn run(config: AgentConfig, tasks: &Tasks) -> Result<Readiness, StartError> {
    let metrics = Metrics::new(&config.telemetry.metric_prefix);
    let serves_workloads = config.workload_api;
    let (health, prometheus) = (config.health.clone(), config.telemetry.prometheus.clone());
    let csi = config.csi.clone();
    let (public, private) = (config.socket_path.clone(), config.admin_socket_path.clone());
    // The data directory first: a second agent must not touch anything of the first.
    let agent = Agent::new(parts(config, metrics.clone(), tasks)?)?;
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
    if let Some(settings) = csi {
        csi::serve(settings, tasks)?;
    }
    if let Some(settings) = health {
        pages::serve_probes(&settings, &agent, tasks).await?;
    }
    if let Some(settings) = prometheus {
        pages::serve_metrics(&settings, metrics, &agent, tasks).await?;
    }
    let readiness = agent.readiness.clone();
    agent.start(tasks);
    Ok(readiness)
}

/// What this node can prove, and what it finds of that itself.
pub struct Evidence {
    /// The attestor.
    pub attestor: &'static str,
    /// What can be said of the evidence.
    pub findings: Vec<Finding>,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidence {
    /// No attestor can be made.
    #[error(transparent)]
    NoAttestor(#[from] NoAttestor),
    /// It has no proof.
    #[error("the {attestor} node attestor could not make its proof")]
    Proof {
        /// The attestor.
        attestor: &'static str,
        /// Why.
        #[source]
        source: AgentError,
    },
}

/// Collects the evidence that the agent would send.
pub async fn evidence(config: &AgentConfig) -> Result<Evidence, NoEvidence> {
    let token = config.join_token.as_ref();
    let attestor = node_attestor(&config.node_attestor, token, config.environment)?;
    let findings = async {
        let payload = attestor.payload().await?;
        attestor.findings(&payload, SystemClock.now()).await
    };
    let findings = findings.await.map_err(|source| NoEvidence::Proof {
        attestor: attestor.kind(),
        source,
    })?;
    Ok(Evidence {
        attestor: attestor.kind(),
        findings,
    })
}

fn parts(config: AgentConfig, metrics: Metrics, tasks: &Tasks) -> Result<Parts, StartError> {
    let address = ServerAddress {
        host: config.server.host,
        port: config.server.port,
    };
    let data_dir = DataDir::open(&config.data_dir)?;
    let attestors = config.workload_attestors.into_iter();
    Ok(Parts {
        clock: Arc::new(SystemClock),
        metrics,
        dial: Arc::new(TcpDial(address.clone())),
        address: address.clone(),
        data_dir,
        keys: keys(config.keys)?,
        bootstrap: Bootstrap {
            trust_domain: config.trust_domain.clone(),
            source: config.bootstrap,
            server: address,
            authorities: config.web_authorities,
        },
        trust_domain: config.trust_domain,
        attestor: Arc::new(move || {
            node_attestor(
                &config.node_attestor,
                config.join_token.as_ref(),
                config.environment,
            )
        }),
        workload_attestors: attestors
            .map(|settings| workload_attestor(settings, tasks))
            .collect(),
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

/// A join token, when there is one, wins over a configured attestor, as in SPIRE; not over a
/// combination, which must stay whole.
fn node_attestor(
    settings: &NodeAttestorSettings,
    token: Option<&JoinTokenSource>,
    environment: fn(&str) -> Option<String>,
) -> Result<Arc<dyn AgentAttestor>, NoAttestor> {
    if let NodeAttestorSettings::Combined(parts) = settings {
        let one = |part: &NodeAttestorSettings| {
            let token = token.filter(|_| *part == NodeAttestorSettings::JoinToken);
            node_attestor(part, token, environment)
        };
        let parts = parts.iter().map(one).collect::<Result<_, _>>()?;
        return Ok(Arc::new(CombinedAgent::new(parts)));
    }
    Ok(match (token, settings) {
        (Some(token), _) => Arc::new(JoinTokenAgent::new(read_token(token)?)),
        (None, NodeAttestorSettings::JoinToken | NodeAttestorSettings::Combined(_)) => {
            return Err(NoAttestor::NoJoinToken);
        }
        (None, NodeAttestorSettings::Oidc(source)) => {
            Arc::new(OidcAgent::new(source.clone(), Arc::new(environment)))
        }
        (None, NodeAttestorSettings::X509Pop(settings)) => {
            let files = X509PopFiles {
                private_key: settings.private_key_path.clone(),
                certificate: settings.certificate_path.clone(),
                intermediates: settings.intermediates_path.clone(),
            };
            Arc::new(X509PopAgent::new(files, Arc::new(SystemRandom::new())))
        }
        (None, NodeAttestorSettings::GcpIit(settings)) => {
            Arc::new(GcpIitAgent::new(&settings.host, &settings.service_account))
        }
        (None, NodeAttestorSettings::AzureImds(settings)) => {
            let (url, domain) = (&settings.metadata_url, &settings.tenant_domain);
            Arc::new(AzureImdsAgent::new(url, domain))
        }
        (None, NodeAttestorSettings::AzureMsi(settings)) => {
            let (url, resource) = (&settings.metadata_url, &settings.resource_id);
            Arc::new(AzureMsiAgent::new(url, resource))
        }
        (None, NodeAttestorSettings::K8sPsat(settings)) => Arc::new(K8sPsatAgent::new(
            settings.cluster.clone(),
            settings.token_path.clone(),
            Arc::new(SystemClock),
        )),
        (None, NodeAttestorSettings::AwsIid(settings)) => {
            let metadata = InstanceMetadata::at(&settings.endpoint);
            Arc::new(AwsIidAgent::new(metadata.map_err(NoAttestor::Http)?))
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

fn workload_attestor(
    settings: WorkloadAttestorSettings,
    tasks: &Tasks,
) -> Arc<dyn WorkloadAttestor> {
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
        WorkloadAttestorSettings::K8s(settings) => Arc::new(k8s(*settings, tasks)),
    }
}

fn k8s(settings: K8sSettings, tasks: &Tasks) -> K8sAttestor {
    let kubelet = Kubelet::new(settings.kubelet);
    let pods = Arc::new(HeldPods::new(kubelet, settings.poll_retry_interval));
    tasks.spawn("kubelet", pods.clone().run(tasks.stop()));
    let namespaces = settings.namespaces.map(|cluster| {
        let api = Api::new(Reach::InCluster(cluster));
        Box::new(api) as Box<dyn NamespaceSource>
    });
    let config = K8sConfig {
        max_poll_attempts: settings.max_poll_attempts,
        disable_container_selectors: settings.disable_container_selectors,
        namespaces,
    };
    K8sAttestor::new(config, pods)
}
