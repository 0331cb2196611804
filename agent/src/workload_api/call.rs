//! What every call needs before it can be answered: the first sync, and who is calling.

use crate::holdings::Holdings;
use crate::identify::{Identified, Identify, Standing};
use crate::jwt::JwtSvids;
use crate::sync::Freshness;
use rand::Rng;
use signet_runtime::{Clock, Stop};
use signet_telemetry::metrics::Metrics;
use signet_workload_attestor::peer::Peer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Extensions, Status};

/// How long a call waits for the first sync, or for an SVID that is being made.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the operator decided about the Workload API.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether callers without identity get the own trust domain's bundle.
    pub allow_unauthenticated_verifiers: bool,
    /// The claims of foreign tokens that are shown besides `sub`, `aud` and `exp`.
    pub allowed_foreign_jwt_claims: BTreeSet<String>,
}

/// Answers calls.
pub struct Call {
    /// What the agent holds.
    pub holdings: Arc<Holdings>,
    /// Who is calling.
    pub identify: Arc<Identify>,
    /// JWT-SVIDs.
    pub jwt: Arc<JwtSvids>,
    /// How fresh the holdings are.
    pub freshness: Arc<Freshness>,
    /// The time validity is judged by.
    pub clock: Arc<dyn Clock>,
    /// The operator's decisions.
    pub options: Options,
    /// What is counted.
    pub metrics: Metrics,
    /// When to end streams.
    pub stop: Stop,
}

/// A caller whose selectors are known.
pub(super) struct Caller {
    pub(super) peer: Arc<Peer>,
    pub(super) identified: Identified,
    /// Names this call to the caller and in the log.
    pub(super) reference: String,
}

impl Call {
    /// Waits for the first sync and finds out who is calling.
    pub(super) async fn caller(&self, extensions: &Extensions) -> Result<Caller, Status> {
        let peer = extensions.get::<Arc<Peer>>().cloned();
        let peer = peer.ok_or_else(attestation_failed)?;
        self.first_sync().await?;
        let identified = self.identify.identify(&peer).await;
        let identified = identified.map_err(|error| {
            tracing::warn!(pid = peer.pid(), %error, "could not attest a workload");
            attestation_failed()
        })?;
        Ok(Caller {
            peer,
            identified,
            reference: reference(),
        })
    }

    /// Finds out whether a caller that is being served has other selectors now.
    pub(super) async fn again(&self, caller: &mut Caller) -> Result<bool, Status> {
        let before = &caller.identified.selectors;
        match self.identify.again(&caller.peer, before).await {
            Standing::Same => Ok(false),
            Standing::Changed(identified) => {
                tracing::debug!(
                    pid = caller.peer.pid(),
                    "a workload has other selectors now"
                );
                caller.identified = identified;
                Ok(true)
            }
            Standing::Gone(reason) => {
                tracing::info!(pid = caller.peer.pid(), %reason,
                    "a workload is not what it was when it was attested");
                Err(attestation_failed())
            }
        }
    }

    async fn first_sync(&self) -> Result<(), Status> {
        tokio::select! {
            () = self.freshness.first() => Ok(()),
            () = self.stop.stopped() => Err(stopping()),
            () = tokio::time::sleep(PATIENCE) => {
                Err(Status::unavailable("the agent has not reached its server yet"))
            }
        }
    }

    /// Before somebody is denied: what the agent knows may be old.
    pub(super) async fn be_sure(&self) {
        tokio::select! {
            () = self.freshness.refreshed() => {}
            () = self.stop.stopped() => {}
        }
    }
}

impl Caller {
    /// The last look before a secret leaves: a process may have ended, or become another program.
    pub(super) fn still_same(&self) -> Result<(), Status> {
        self.peer.still_same().map_err(|error| {
            tracing::warn!(pid = self.peer.pid(), %error,
                "a workload is not the process it was when it was attested");
            attestation_failed()
        })
    }

    /// Denies, and leaves in the log what an operator needs to find out why.
    pub(super) fn deny(&self) -> Status {
        tracing::warn!(
            reference = %self.reference,
            pid = self.peer.pid(),
            uid = self.peer.uid(),
            selectors = self.identified.selectors.len(),
            "no identity issued: no entry of this agent matches the workload; \
             `signet-agent why --pid {}` tells more", self.peer.pid()
        );
        super::service::denied(&self.reference)
    }
}

/// Four hexadecimal digits: enough to find a line in the log, and they tell nothing.
fn reference() -> String {
    format!("{:04x}", rand::rng().random::<u16>())
}

pub(super) fn attestation_failed() -> Status {
    Status::unavailable("workload attestation failed")
}

pub(super) fn stopping() -> Status {
    Status::unavailable("the agent is stopping")
}
