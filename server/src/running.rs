//! A running server, made of parts that are ready: a simulation starts the same one on a test clock,
//! a store in memory and streams in memory.

use crate::api::{self, AuthorizeLayer, Origin};
use crate::assemble::{StartError, attestors};
use crate::audit::Audit;
use crate::authority::{
    Authorities, AuthorityFault, AuthoritySettings, Outlook, Parent, Reconciler, Turns, Upstream,
};
use crate::config::NodeAttestorSettings;
use crate::identity;
use crate::issuer::{Issuer, Settings};
use crate::kubernetes::{self, Cluster};
use crate::limits::Limits;
use crate::prune;
use crate::state::State;
use crate::sync::Online;
use signet_connections::{Lenient, unix};
use signet_crypto::Random;
use signet_datastore::Store;
use signet_keys::KeyManager;
use signet_runtime::{Clock, Tasks};
use signet_spiffe::TrustDomain;
use signet_telemetry::metrics::Metrics;
use signet_tls::{
    Acceptor, Identity, KeyExchange, Listener, MAX_ANONYMOUS, MAX_HANDSHAKES, ServerTls, Trust,
};
use signet_upstream::UpstreamAuthority;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio_stream::StreamExt;
use tonic::transport::server::Server as GrpcServer;

/// A connection whose other end is silent this long is asked for a sign of life, and closed when
/// none comes: half-open connections must not pile up.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Calls of one connection that run at once; an agent needs a handful.
const MAX_STREAMS: u32 = 256;

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
    /// Who signs X.509 authorities; without one each signs itself.
    pub upstream: Option<Arc<dyn UpstreamAuthority>>,
    /// Which nodes are let in.
    pub attestors: Vec<NodeAttestorSettings>,
    /// What the operator chose for issuing.
    pub settings: Settings,
    /// What the operator chose for authorities.
    pub authority: AuthoritySettings,
    /// The cluster whose objects declare entries.
    pub kubernetes: Option<Cluster>,
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
        let alternative_for = parts.authority.alternative_for();
        let authorities = Arc::new(Authorities::new(alternative_for));
        let ca_key_type = parts.authority.ca_key_type;
        let rotation = Arc::new(Reconciler {
            state: state.clone(),
            keys: parts.keys.clone(),
            authorities: authorities.clone(),
            online: online.clone(),
            clock: clock.clone(),
            random: parts.random.clone(),
            trust_domain: trust_domain.clone(),
            server_id: parts.server_id.clone(),
            specs: parts.authority.specs(!parts.settings.disable_jwt_svids),
            ttl: parts.authority.ttl,
            parent: parent(&parts),
            turns: Turns::default(),
        });
        must_have_an_authority(rotation.settle().await, &authorities)?;
        let attestors = attestors(&parts, &state)?;
        let issuer = Arc::new(Issuer {
            trust_domain: trust_domain.clone(),
            state,
            authorities,
            rotation,
            trust: Arc::new(Trust::default()),
            online,
            limits: parts.limits,
            attestors,
            clock: clock.clone(),
            random: parts.random.clone(),
            audit: parts.audit,
            pods: Arc::default(),
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
        server.spawn_loops(ca_key_type, held);
        if let Some(cluster) = parts.kubernetes {
            kubernetes::start(cluster, &server.issuer, &server.tasks);
        }
        Ok(server)
    }

    fn spawn_loops(&self, key_type: signet_crypto::KeyType, held: identity::Held) {
        let (issuer, tasks) = (&self.issuer, &self.tasks);
        let rotation = issuer.rotation.clone();
        if let Some(upstream) = rotation.parent.upstream() {
            let (port, stop) = (upstream.port.clone(), tasks.stop());
            let following = async move {
                port.follow(stop).await;
                Ok::<_, Infallible>(())
            };
            tasks.spawn_essential("upstream authority", following);
            let taking_over = rotation.clone().follow_upstream(tasks.stop());
            tasks.spawn_essential("upstream bundle", taking_over);
        }
        tasks.spawn_essential("authorities", rotation.run(tasks.stop()));
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
        let (handshakes, anonymous) = strangers(signet_runtime::process::open_files());
        let incoming = Acceptor::new(&tls, &self.tasks)?
            .with_max_handshakes(handshakes)
            .with_max_anonymous(anonymous)
            .listen(listener);
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
        let incoming = unix::connections(listener).map(|stream| stream.map(Lenient::new));
        let serving = grpc()
            .layer(self.layer(Origin::Local))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move { stop.stopped().await });
        self.tasks.spawn_essential("admin API", serving);
    }

    /// Where its loops run.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn layer(&self, origin: Origin) -> AuthorizeLayer {
        AuthorizeLayer::new(self.issuer.clone(), self.metrics.clone(), origin)
    }
}

fn parent(parts: &Parts) -> Parent {
    let subject = parts.authority.subject.clone();
    match parts.upstream.clone() {
        None => Parent::SelfSigned {
            subject,
            composers: parts.settings.composers.clone(),
        },
        Some(port) => Parent::Upstream(Upstream {
            port,
            subject,
            clock: parts.clock.clone(),
        }),
    }
}

/// An authority from before is enough to start with: what failed is tried again and again.
fn must_have_an_authority(
    settled: Result<Outlook, AuthorityFault>,
    authorities: &Authorities,
) -> Result<(), StartError> {
    match settled {
        Err(error) if authorities.x509().is_err() => Err(error.into()),
        Err(error) => {
            let error = api::types::chain(&error);
            tracing::error!(
                error,
                "the authorities are not in order; an older one signs"
            );
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// How many handshakes and how many connections without a certificate there may be. Where few files
/// may be open, at most half go to strangers, so that agents and the store have the rest.
fn strangers(open_files: u64) -> (usize, usize) {
    let quarter = usize::try_from(open_files / 4).unwrap_or(usize::MAX);
    (MAX_HANDSHAKES.min(quarter), MAX_ANONYMOUS.min(quarter))
}

fn grpc() -> GrpcServer {
    GrpcServer::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(MAX_STREAMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_half_of_the_files_to_the_rest() {
        assert_eq!(strangers(u64::MAX), (MAX_HANDSHAKES, MAX_ANONYMOUS));
        assert_eq!(strangers(1024), (256, 256));
        assert_eq!(strangers(6000), (MAX_HANDSHAKES, 1500));
    }
}
