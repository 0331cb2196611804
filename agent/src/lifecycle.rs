//! The agent's membership in its trust domain: attests, renews its own SVID, follows the bundle,
//! and does what the server's refusals demand.
//!
//! ```text
//! stored SVID ─┐
//! attestation ─┴▶ member ─ half life, taint ─▶ renew or attest again ─▶ member
//!                   └─ refused ─▶ attest again, or forget the SVID and end
//! ```
//!
//! Workloads go on being served meanwhile from what the agent holds.

use crate::bootstrap::{Bootstrap, BootstrapError};
use crate::cache::Standing;
use crate::holdings::Holdings;
use crate::own::{OwnError, OwnStore, OwnSvid};
use crate::rotate::Jitter;
use crate::upstream::{
    AttestFailed, Attested, CallError, Connection, GrpcServer, Refused, Server, attest, explained,
};
use signet_model::AgentReason;
use signet_node_attestor::AgentAttestor;
use signet_runtime::{Backoff, Clock, Stop};
use signet_spiffe::{Bundle, TrustDomain};
use signet_telemetry::metrics::Metrics;
use signet_tls::{Identity, IdentityError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// Waits between attestations. Workloads may be waiting, so the first is shorter than SPIRE's; jitter
/// and growth keep a thousand nodes that boot together from coming together.
const ATTEST_FIRST_WAIT: Duration = Duration::from_secs(1);
const ATTEST_MAX_WAIT: Duration = Duration::from_secs(60);
/// How long a server may refuse before the agent ends, so that its supervisor shows the error. An
/// outage never ends the agent.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Waits between attempts to renew.
const RENEW_FIRST_WAIT: Duration = Duration::from_secs(5);
const RENEW_MAX_WAIT: Duration = Duration::from_secs(120);
/// Timers stand still while a machine sleeps, so the clock is looked at this often.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The server refused the attestation for good.
    #[error("the server refuses to attest this agent")]
    Refused(#[source] AttestFailed),
    /// An operator banned the agent.
    #[error("this agent is banned: its SVID was removed; ask the operator of the server")]
    Banned,
    /// The server wants a new attestation, and this agent cannot attest again by itself.
    #[error(
        "the server does not accept this agent any more ({0}), and it cannot attest again by itself: start it with a new join token"
    )]
    CannotReattest(AgentReason),
    /// The agent's SVID ran out while the server was out of reach.
    #[error(
        "the SVID of this agent expired before it could be renewed, and it cannot attest again by itself: start it with a new join token"
    )]
    Expired,
    /// The agent has nothing to attest with.
    #[error(transparent)]
    NoAttestor(#[from] NoAttestor),
    /// The agent's own key or files failed.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The agent's certificate cannot be shown.
    #[error("the agent's certificate cannot be used")]
    Identity(#[from] IdentityError),
}

/// Makes a node attestor at the time when one is needed.
pub type MakeAttestor = Arc<dyn Fn() -> Result<Arc<dyn AgentAttestor>, NoAttestor> + Send + Sync>;

/// Why there is no node attestor.
#[derive(Debug, thiserror::Error)]
pub enum NoAttestor {
    /// A join token is needed.
    #[error(
        "this agent has to attest and needs a join token: make one with `signet-server token generate` and give it as --join-token, join_token or join_token_file"
    )]
    NoJoinToken,
    /// The file with the join token cannot be read.
    #[error("could not read the join token from {}", .path.display())]
    JoinToken {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the lifecycle works with.
pub struct Lifecycle {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// Keeps SVID, key and bundle.
    pub own: Arc<OwnStore>,
    /// The first trust in the server.
    pub bootstrap: Arc<Bootstrap>,
    /// Makes what proves which node this is; an agent that is attested already may do without.
    pub attestor: MakeAttestor,
    /// The connection whose identity and trust it keeps.
    pub connection: Arc<Connection>,
    /// The server over that connection.
    pub server: Arc<GrpcServer>,
    /// Where the bundle arrives.
    pub holdings: Arc<Holdings>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Spreads renewals.
    pub jitter: Jitter,
    /// Over how long agents spread the renewal of an SVID whose authority is tainted.
    pub taint_window: Duration,
    /// What is counted.
    pub metrics: Metrics,
    /// Tells who the agent is.
    pub member: watch::Sender<Option<OwnSvid>>,
}

impl Lifecycle {
    /// Keeps the agent a member until it is stopped or the server does not want it any more.
    pub async fn run(mut self, stop: Stop) -> Result<(), Ended> {
        tokio::select! {
            () = stop.stopped() => Ok(()),
            ended = self.live() => ended,
        }
    }

    async fn live(&mut self) -> Result<(), Ended> {
        // Followed from before the first sync can bring anything.
        let mut refusals = self.server.refusals();
        let mut bundle = self.holdings.own_bundle();
        let mut own = self.become_member().await?;
        let mut backoff = Backoff::new(RENEW_FIRST_WAIT, RENEW_MAX_WAIT, 1.5);
        let mut look = self.timer(own.renew_at);
        loop {
            tokio::select! {
                _ = refusals.changed() => {
                    let refused = *refusals.borrow_and_update();
                    if let Some(next) = self.refused(refused, &own).await? {
                        own = next;
                        look = self.timer(own.renew_at);
                    }
                }
                _ = bundle.changed() => {
                    let latest = bundle.borrow_and_update().clone();
                    if let Some(latest) = latest {
                        self.follow(&latest, &mut own)?;
                        look = self.timer(own.renew_at);
                    }
                }
                () = tokio::time::sleep_until(look) => {
                    look = self.renew_if_due(&mut own, &mut backoff).await?;
                }
            }
        }
    }

    /// Renews the SVID when its time has come, and says when to look again.
    async fn renew_if_due(
        &mut self,
        own: &mut OwnSvid,
        backoff: &mut Backoff,
    ) -> Result<Instant, Ended> {
        if self.clock.now() < own.renew_at {
            return Ok(self.timer(own.renew_at));
        }
        let Some(next) = self.renew(own).await? else {
            return Ok(Instant::now() + backoff.next_delay());
        };
        *own = next;
        if self.is_sound(own) {
            backoff.reset();
        } else {
            // The server has not heard of the taint yet.
            let again = self.clock.now() + backoff.next_delay();
            own.renew_at = own.renew_at.min(again);
        }
        Ok(self.timer(own.renew_at))
    }

    /// The stored SVID, or a new attestation for as long as it takes.
    async fn become_member(&mut self) -> Result<OwnSvid, Ended> {
        let draw = self.jitter.draw();
        let stored = self.own.load(self.clock.now(), draw).await?;
        let trusted = self.own.bundle(Bundle::empty(self.trust_domain.clone()));
        match (stored, trusted) {
            (Some(own), Some(bundle)) => {
                self.connection.trust.set(&bundle);
                self.show(&own).await?;
                tracing::info!(spiffe_id = %own.id, "this agent is attested already");
                Ok(own)
            }
            (Some(own), None) => self.trust_anew(own).await,
            (None, _) => self.attest(None).await,
        }
    }

    /// An SVID without bundle: the operator's bundle does.
    async fn trust_anew(&mut self, own: OwnSvid) -> Result<OwnSvid, Ended> {
        match self.bootstrap.bundle().await {
            Ok(Some(bundle)) => {
                self.own.keep_bundle(&bundle)?;
                self.connection.trust.set(&bundle);
                self.show(&own).await?;
                Ok(own)
            }
            _ => self.attest(None).await,
        }
    }

    /// Attests until it works, the server refuses for good, or refuses for a minute.
    async fn attest(&mut self, current: Option<&OwnSvid>) -> Result<OwnSvid, Ended> {
        let mut backoff = Backoff::new(ATTEST_FIRST_WAIT, ATTEST_MAX_WAIT, 1.5);
        let mut refused_since: Option<Instant> = None;
        loop {
            let begun = Instant::now();
            let attested = self.attest_once(current).await;
            self.count("node_attestor_new_svid", attested.is_ok(), begun);
            match attested {
                Ok(own) => return Ok(own),
                Err(Failure::Ended(ended)) => return Err(ended),
                Err(Failure::Attest(failed)) if failed.is_refusal() => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if failed.is_final() || since.elapsed() >= REFUSED_FOR {
                        self.own.forget().await?;
                        return Err(Ended::Refused(failed));
                    }
                    tracing::error!(error = %explained(&failed), "the server did not attest this agent; trying again");
                }
                Err(error) => {
                    refused_since = None;
                    tracing::error!(error = %explained(&error), "could not attest; trying again");
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn attest_once(&mut self, current: Option<&OwnSvid>) -> Result<OwnSvid, Failure> {
        let trust = match self.own.bundle(Bundle::empty(self.trust_domain.clone())) {
            Some(bundle) => Bootstrap::trust_in(&bundle),
            None => self.bootstrap.trust().await?,
        };
        let attestor = (self.attestor)().map_err(Ended::from)?;
        let nobody = Arc::new(Identity::none());
        let channel = self.connection.connector().connect(nobody, trust).await?;
        let (key, csr) = self.own.next_key(current).await.map_err(Ended::from)?;
        let attested = attest(channel, attestor.as_ref(), csr).await;
        let Attested {
            chain,
            reattestable,
            bundle,
        } = attested.map_err(Failure::Attest)?;
        // The bundle first: an SVID without it would be of no use after a crash in between.
        self.own.keep_bundle(&bundle).map_err(Ended::from)?;
        self.connection.trust.set(&bundle);
        let draw = self.jitter.draw();
        let own = self
            .own
            .adopt(&chain, key, reattestable, self.clock.now(), draw);
        let own = own.map_err(Ended::from)?;
        self.show(&own).await?;
        tracing::info!(spiffe_id = %own.id, reattestable, "this agent is attested");
        Ok(own)
    }

    /// From now on the agent shows this SVID.
    async fn show(&self, own: &OwnSvid) -> Result<(), Ended> {
        let key = own.key.local().ok_or(OwnError::NotLocal)?;
        self.connection.identity.set(&own.chain, key)?;
        self.connection.renew().await;
        self.member.send_replace(Some(own.clone()));
        Ok(())
    }

    /// Renews the SVID; nothing when that has to be tried again.
    async fn renew(&mut self, own: &OwnSvid) -> Result<Option<OwnSvid>, Ended> {
        let begun = Instant::now();
        let renewed = if own.reattestable {
            self.attest_once(Some(own)).await
        } else {
            self.renew_once(own).await
        };
        self.count("agent_svid_rotate", renewed.is_ok(), begun);
        match renewed {
            Ok(next) => Ok(Some(next)),
            Err(Failure::Ended(ended)) => Err(ended),
            // It also comes as a refusal, which is where it is dealt with.
            Err(Failure::Call(CallError::Agent(_))) => Ok(None),
            Err(Failure::Attest(failed)) if failed.is_final() => {
                self.own.forget().await?;
                Err(Ended::Refused(failed))
            }
            Err(error) if own.reattestable || self.clock.now() < own.not_after => {
                let error = explained(&error);
                tracing::warn!(%error, "could not renew this agent's SVID; trying again");
                Ok(None)
            }
            Err(error) => {
                let error = explained(&error);
                tracing::error!(%error, "could not renew this agent's SVID in time");
                self.own.forget().await?;
                Err(Ended::Expired)
            }
        }
    }

    async fn renew_once(&mut self, own: &OwnSvid) -> Result<OwnSvid, Failure> {
        let (key, csr) = self.own.next_key(Some(own)).await.map_err(Ended::from)?;
        let chain = self.server.renew_agent(csr).await.map_err(Failure::Call)?;
        let draw = self.jitter.draw();
        let next = self.own.adopt(&chain, key, false, self.clock.now(), draw);
        let next = next.map_err(Ended::from)?;
        self.show(&next).await?;
        tracing::info!(spiffe_id = %next.id, "renewed this agent's SVID");
        Ok(next)
    }

    /// The server refuses the agent: attests again where that is possible.
    async fn refused(
        &mut self,
        refused: Option<Refused>,
        own: &OwnSvid,
    ) -> Result<Option<OwnSvid>, Ended> {
        let Some(refused) = refused else {
            return Ok(None);
        };
        if refused.generation != self.connection.generation().await {
            return Ok(None);
        }
        tracing::warn!(reason = %refused.reason, "the server refuses this agent");
        if refused.reason == AgentReason::Banned {
            self.own.forget().await?;
            return Err(Ended::Banned);
        }
        if !own.reattestable && refused.reason != AgentReason::MustReattest {
            self.own.forget().await?;
            return Err(Ended::CannotReattest(refused.reason));
        }
        Ok(Some(self.attest(Some(own)).await?))
    }

    /// Takes over a new bundle. If it has tainted the authority of the agent's SVID, that is renewed
    /// before the authority goes: afterwards the server would not let the agent in to renew it.
    fn follow(&mut self, bundle: &Bundle, own: &mut OwnSvid) -> Result<(), Ended> {
        if bundle.x509_authorities.is_empty() {
            tracing::error!(
                "the server's bundle has no X.509 authority; keeping the one before to reach it"
            );
            return Ok(());
        }
        self.connection.trust.set(bundle);
        self.own.keep_bundle(bundle)?;
        let now = self.clock.now();
        let renew_at = match own.standing(Some(bundle), now) {
            Standing::Sound => return Ok(()),
            Standing::Tainted => now + self.taint_window.mul_f64(self.jitter.draw()),
            Standing::Gone => now,
        };
        if renew_at < own.renew_at {
            tracing::info!("the authority of this agent's SVID is tainted or gone; renewing it");
            own.renew_at = renew_at;
        }
        Ok(())
    }

    fn is_sound(&self, own: &OwnSvid) -> bool {
        let bundle = self.holdings.own_bundle();
        let bundle = bundle.borrow();
        own.standing(bundle.as_deref(), self.clock.now()) == Standing::Sound
    }

    fn count(&self, name: &str, ok: bool, begun: Instant) {
        let status = if ok { "OK" } else { "Unknown" };
        self.metrics.call(name, status, begun.elapsed());
    }

    fn timer(&self, at: SystemTime) -> Instant {
        let wait = at.duration_since(self.clock.now()).unwrap_or_default();
        Instant::now() + wait.min(LONGEST_REST)
    }
}

/// Why one attestation or renewal did not work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Connect(#[from] signet_tls::ConnectError),
    #[error(transparent)]
    Attest(AttestFailed),
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

#[cfg(test)]
mod tests;
