//! The connection to the upstream server, made anew whenever there is a newer SVID to show.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use signet_runtime::Clock;
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use signet_tls::{ClientTls, Identity, ServerTrust, Trust};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use super::SpireSettings;
use super::workload::{self, Svid, WorkloadError};
use crate::UpstreamError;

/// Connections to one upstream, one at a time.
pub(super) struct Sessions {
    settings: SpireSettings,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Session>>,
}

struct Session {
    channel: Channel,
    /// When the SVID is half over: the agent has a newer one then, or soon.
    renew_at: SystemTime,
    not_after: SystemTime,
}

impl Sessions {
    pub(super) fn new(
        settings: SpireSettings,
        trust_domain: TrustDomain,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings,
            trust_domain,
            clock,
            current: Mutex::default(),
        }
    }

    /// A channel to the upstream. If no newer SVID is to be had, the present one does while it is
    /// valid.
    pub(super) async fn channel(&self) -> Result<Channel, UpstreamError> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(session) = current.as_ref().filter(|session| now < session.renew_at) {
            return Ok(session.channel.clone());
        }
        match (self.open(now).await, current.as_ref()) {
            (Ok(session), _) => {
                let channel = session.channel.clone();
                *current = Some(session);
                Ok(channel)
            }
            (Err(_), Some(session)) if now < session.not_after => Ok(session.channel.clone()),
            (Err(error), _) => Err(error),
        }
    }

    /// The next call goes over a new connection.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    async fn open(&self, now: SystemTime) -> Result<Session, UpstreamError> {
        let socket = &self.settings.workload_api_socket;
        let svid = workload::fetch(socket, &self.trust_domain).await;
        let svid = svid.map_err(|source| from_workload(socket.clone(), source))?;
        let identity = Identity::new(&svid.chain, &svid.key);
        let identity = identity.map_err(|source| UpstreamError::Configured {
            what: socket.display().to_string(),
            source: Box::new(source),
        })?;
        let channel = signet_tls::connect(&self.settings.server, &self.tls(identity, &svid)).await;
        let channel = channel.map_err(|source| UpstreamError::Unreachable {
            address: self.settings.server.to_string(),
            source: Box::new(source),
        })?;
        let left = svid.not_after.duration_since(now).unwrap_or_default();
        Ok(Session {
            channel,
            renew_at: now + left / 2,
            not_after: svid.not_after,
        })
    }

    fn tls(&self, identity: Identity, svid: &Svid) -> ClientTls {
        let mut bundle = Bundle::empty(self.trust_domain.clone());
        bundle.x509_authorities.clone_from(&svid.roots);
        let server_id = SpiffeId::new(&self.trust_domain, "/spire/server")
            .expect("a constant path of plain segments makes a SPIFFE ID in any trust domain");
        ClientTls {
            identity: Arc::new(identity),
            trust: ServerTrust::Bundle(Arc::new(Trust::new([&bundle]))),
            server_id,
            key_exchange: self.settings.key_exchange,
            clock: Arc::clone(&self.clock),
        }
    }
}

fn from_workload(socket: PathBuf, source: WorkloadError) -> UpstreamError {
    UpstreamError::Unreachable {
        address: format!("through the Workload API at {}", socket.display()),
        source: Box::new(source),
    }
}
