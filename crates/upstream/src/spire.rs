//! The upstream that is another SPIFFE server of the same trust domain, ours or SPIRE's: this server
//! shows it the X509-SVID that it gets, as a workload, from an agent on its node.
//!
//! ```text
//! agent ── Workload API ──▶ SVID, bundle ──▶ session (mTLS) ──▶ NewDownstreamX509CA
//!   (socket of this node)                        │              PublishJWT-/WITAuthority
//!                                                └── every 5 s: GetBundle, taints included
//! ```

mod convert;
mod session;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::bundle::v1::{
    GetBundleRequest, PublishJwtAuthorityRequest, PublishWitAuthorityRequest,
};
use signet_proto::spire::server::svid::v1::NewDownstreamX509caRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_runtime::{Backoff, Clock, Stop};
use signet_spiffe::{JwtAuthority, TrustDomain, csr};
use signet_tls::{KeyExchange, ServerAddress};
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};
pub use convert::BadBundle;
use session::Sessions;
pub use workload::WorkloadError;

/// How often the upstream's bundle is asked for; as SPIRE does.
const PERIOD: Duration = Duration::from_secs(5);
/// The longest pause between attempts while the upstream does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the upstream may take to tell its bundle.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the upstream and the agent are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpireSettings {
    /// The upstream server.
    pub server: ServerAddress,
    /// The Workload API socket of the agent.
    pub workload_api_socket: PathBuf,
    /// Which key exchanges the connection agrees to.
    pub key_exchange: KeyExchange,
}

/// An upstream server.
pub struct SpireUpstream {
    sessions: Sessions,
    address: ServerAddress,
    bundle: watch::Sender<Option<Arc<UpstreamBundle>>>,
}

impl SpireUpstream {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(settings: SpireSettings, trust_domain: TrustDomain, clock: Arc<dyn Clock>) -> Self {
        Self {
            address: settings.server.clone(),
            sessions: Sessions::new(settings, trust_domain, clock),
            bundle: watch::Sender::new(None),
        }
    }

    /// Makes a call. After one that failed the next goes over a new connection with the latest SVID:
    /// the upstream may have moved on from the authority that this one hangs on.
    async fn call<T, F>(&self, call: impl FnOnce(Channel) -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let channel = self.sessions.channel().await?;
        match call(channel).await {
            Ok(answer) => Ok(answer),
            Err(status) => {
                self.sessions.forget().await;
                Err(self.failed(status))
            }
        }
    }

    fn failed(&self, status: Status) -> UpstreamError {
        match status.code() {
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::NotFound => UpstreamError::Refused(Box::new(status)),
            _ => UpstreamError::Unreachable {
                address: self.address.to_string(),
                source: Box::new(status),
            },
        }
    }

    /// Asks for the bundle, taints included, and makes it known.
    async fn poll(&self) -> Result<Arc<UpstreamBundle>, UpstreamError> {
        let asked = self.call(|channel| async move {
            let request = GetBundleRequest::default();
            Ok(BundleClient::new(channel)
                .get_bundle(request)
                .await?
                .into_inner())
        });
        let answer = tokio::time::timeout(POLL_TIMEOUT, asked)
            .await
            .unwrap_or(Err(UpstreamError::TimedOut {
                after: POLL_TIMEOUT,
            }))?;
        let read = convert::bundle(&answer).map_err(bad)?;
        let latest = Arc::new(read);
        self.bundle.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&latest);
            if changed {
                *known = Some(Arc::clone(&latest));
            }
            changed
        });
        Ok(latest)
    }
}

/// The answer; none of an upstream that keeps no such keys.
fn if_kept<T>(answer: Result<Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::Unimplemented => Ok(None),
        Err(status) => Err(status),
    }
}

fn bad(source: BadBundle) -> UpstreamError {
    UpstreamError::Refused(Box::new(source))
}

#[async_trait]
impl UpstreamAuthority for SpireUpstream {
    fn kind(&self) -> &'static str {
        "spire"
    }

    async fn mint_x509_ca(
        &self,
        request: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError> {
        csr::verify(request).map_err(|source| UpstreamError::Request(Box::new(source)))?;
        let asked = NewDownstreamX509caRequest {
            csr: Bytes::copy_from_slice(request),
            preferred_ttl: i32::try_from(preferred_ttl.as_secs()).unwrap_or(i32::MAX),
        };
        let answer = self
            .call(|channel| async move {
                let answer = SvidClient::new(channel)
                    .new_downstream_x509ca(asked)
                    .await?;
                Ok(answer.into_inner())
            })
            .await?;
        let roots = match self.poll().await {
            Ok(known) => known.x509_authorities.clone(),
            // The answer has the same roots, only without their taints.
            Err(_) => convert::roots(&answer.x509_authorities).map_err(bad)?,
        };
        let chain = answer.ca_cert_chain.iter().map(|der| Arc::from(&der[..]));
        Ok(MintedCa {
            chain: chain.collect(),
            roots,
        })
    }

    async fn publish_jwt_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        let request = PublishJwtAuthorityRequest {
            jwt_authority: Some(convert::to_wire(key)),
        };
        let published = self
            .call(|channel| async move {
                let mut client = BundleClient::new(channel);
                if_kept(client.publish_jwt_authority(request).await)
            })
            .await?;
        published
            .map(|answer| convert::keys(&answer.jwt_authorities).map_err(bad))
            .transpose()
    }

    async fn publish_wit_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        let request = PublishWitAuthorityRequest {
            wit_authority: Some(convert::wit_to_wire(key)),
        };
        let published = self
            .call(|channel| async move {
                let mut client = BundleClient::new(channel);
                if_kept(client.publish_wit_authority(request).await)
            })
            .await?;
        published
            .map(|answer| convert::wit_keys(&answer.wit_authorities).map_err(bad))
            .transpose()
    }

    fn bundle(&self) -> watch::Receiver<Option<Arc<UpstreamBundle>>> {
        self.bundle.subscribe()
    }

    async fn follow(&self, stop: Stop) {
        let mut backoff = Backoff::new(PERIOD, LONGEST_PAUSE, 2.0);
        let mut failing = false;
        loop {
            let polled = tokio::select! {
                () = stop.stopped() => return,
                polled = self.poll() => polled,
            };
            failing = crate::note(polled.map(drop), failing, self.kind());
            let pause = match failing {
                true => backoff.next_delay(),
                false => {
                    backoff.reset();
                    PERIOD
                }
            };
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
