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

mod ended;
mod join;

pub use ended::{Ended, NoAttestor};

use crate::bootstrap::{Attempt, Bootstrap};
use crate::cache::Standing;
use crate::holdings::Holdings;
use crate::own::{OwnError, OwnStore, OwnSvid};
use crate::rotate::Jitter;
use crate::upstream::{CallError, Connection, GrpcServer, Refused, Server, explained};
use ended::Failure;
use signet_model::AgentReason;
use signet_node_attestor::AgentAttestor;
use signet_runtime::{Backoff, Clock, Stop};
use signet_spiffe::{Bundle, TrustDomain};
use signet_telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// Waits between attempts to renew.
const RENEW_FIRST_WAIT: Duration = Duration::from_secs(5);
const RENEW_MAX_WAIT: Duration = Duration::from_secs(120);
/// Timers stand still while a machine sleeps, so the clock is looked at this often.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Makes a node attestor at the time when one is needed.
pub type MakeAttestor = Arc<dyn Fn() -> Result<Arc<dyn AgentAttestor>, NoAttestor> + Send + Sync>;

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
            let attempt = Attempt::first(self.clock.now());
            self.attest_once(Some(own), &attempt).await
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

#[cfg(test)]
mod tests;
