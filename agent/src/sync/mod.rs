//! Keeps the holdings equal to what the server says: over the `Watch` stream of a Signet server, or
//! by polling a SPIRE server.
//!
//! ```text
//! Watch ── Unimplemented ─▶ polling ── after a while ─▶ Watch …
//! ```

mod poll;
mod position;
mod session;
mod status;

pub use position::Position;
pub use status::Freshness;

use crate::holdings::Holdings;
use crate::own::OwnSvid;
use crate::rotate::Jitter;
use crate::upstream::{CallError, GrpcServer};
use poll::Poll;
use session::{Session, Takeover};
use signet_proto::spire::server::agent::v1::PostStatusRequest;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_runtime::{Backoff, Clock, Stop};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Waits between attempts to connect.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A stream that lived this long was a success.
const LIVED: Duration = Duration::from_secs(30);
/// How long a server without `Watch` is polled before it is asked for it again: it may have been
/// replaced by a newer one.
const POLL_FOR: Duration = Duration::from_secs(600);
/// A stream's life: shorter than what load balancers and operators tolerate, and spread, so that a
/// restarted server does not get all agents at once for ever after.
const LIFE_NOMINAL: Duration = Duration::from_secs(45 * 60);
const LIFE_SPREAD: f64 = 1.0 / 3.0;

/// What the sync works with.
#[derive(Clone)]
pub struct Parts {
    /// The server.
    pub server: Arc<GrpcServer>,
    /// Where its truth goes.
    pub holdings: Arc<Holdings>,
    /// Who wants to know how fresh it is.
    pub freshness: Arc<Freshness>,
    /// How many SVIDs are prefetched, to tell when all are served.
    pub cache_max: usize,
    /// The agent's own SVID, which has to be renewed too before an authority is out of use here.
    pub member: watch::Receiver<Option<OwnSvid>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// SPIRE's interval of polling.
    pub interval: Duration,
    /// This program's version.
    pub version: &'static str,
}

/// Keeps the agent in sync.
pub struct Sync {
    parts: Parts,
    position: Arc<Mutex<Position>>,
    jitter: Jitter,
    /// The last word of the server when its loss was reported.
    reported: Option<Option<Instant>>,
}

/// How a way of syncing ended.
enum Outcome {
    /// The server does not know it.
    Unimplemented,
    /// It broke.
    Broken(CallError),
}

impl From<CallError> for Outcome {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unimplemented { .. } => Self::Unimplemented,
            error => Self::Broken(error),
        }
    }
}

impl Sync {
    /// Nothing is in sync yet.
    pub fn new(parts: Parts, jitter: Jitter) -> Self {
        Self {
            parts,
            position: Arc::default(),
            jitter,
            reported: None,
        }
    }

    /// Syncs until stopped.
    pub async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = stop.stopped() => {}
            () = self.live() => {}
        }
    }

    async fn live(&mut self) {
        self.post_status().await;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, 1.5);
        loop {
            let started = Instant::now();
            match self.watch().await {
                Outcome::Unimplemented => {
                    tracing::info!("the server does not push; polling it");
                    Poll::new(&self.parts, &mut self.jitter).run(POLL_FOR).await;
                    self.position = Arc::default();
                }
                Outcome::Broken(error) => {
                    if started.elapsed() >= LIVED {
                        backoff.reset();
                    }
                    self.report(&error);
                    let mut renewed = self.parts.server.renewed();
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_delay()) => {}
                        // It may have been the old certificate that the server did not want.
                        _ = renewed.changed() => {}
                    }
                }
            }
        }
    }

    /// Follows the stream; when its life is over or the agent has a new certificate, a new stream
    /// takes over before the old one ends.
    async fn watch(&mut self) -> Outcome {
        self.parts.freshness.set_tolerance(session::FRESH);
        let mut renewed = self.parts.server.renewed();
        renewed.borrow_and_update();
        let mut session = match self.open(false).await {
            Ok(session) => session,
            Err(outcome) => return outcome,
        };
        loop {
            let life = self.jitter.around(LIFE_NOMINAL, LIFE_SPREAD);
            let has_new_certificate = tokio::select! {
                error = session.follow() => return Outcome::from(error),
                changed = renewed.changed() => changed.is_ok(),
                () = tokio::time::sleep(life) => false,
            };
            session = match self.take_over(session, !has_new_certificate).await {
                Ok(next) => next,
                Err(outcome) => return outcome,
            };
        }
    }

    /// An outage is loud once, until the server has been heard again.
    fn report(&mut self, error: &CallError) {
        let confirmed = self.parts.freshness.last();
        if self.reported == Some(confirmed) {
            tracing::debug!(%error, "the server is still away");
        } else {
            tracing::warn!(%error, "lost the server; what is held is served on");
        }
        self.reported = Some(confirmed);
    }

    async fn open(&self, beside: bool) -> Result<Session, Outcome> {
        let opened = Session::open(&self.parts, self.position.clone(), beside).await;
        opened.map_err(Outcome::from)
    }

    /// Opens a new stream and lets go of the old one once the new one has brought the truth. The
    /// old one may well end meanwhile: the server drops it when it sees the newer certificate. If
    /// there is no new one, the old one is followed on while it lasts.
    async fn take_over(&self, mut old: Session, beside: bool) -> Result<Session, Outcome> {
        let opening = async {
            let mut new = self.open(beside).await?;
            match new.until_confirmed().await {
                Takeover::Confirmed => Ok(new),
                Takeover::Failed(error) => Err(Outcome::from(error)),
            }
        };
        let mut opening = std::pin::pin!(opening);
        tokio::select! {
            new = &mut opening => new.or(Ok(old)),
            _ = old.follow() => opening.await,
        }
    }

    /// Tells the server which version runs here; nothing depends on it.
    async fn post_status(&self) {
        let message = PostStatusRequest {
            current_bundle_serial: 0,
            agent_version: self.parts.version.to_owned(),
        };
        let call = |channel| async move { AgentClient::new(channel).post_status(message).await };
        if let Err(error) = self.parts.server.call(call).await {
            tracing::debug!(%error, "could not tell the server this agent's version");
        }
    }
}

#[cfg(test)]
mod tests;
