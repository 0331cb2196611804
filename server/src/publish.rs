//! Keeps our own bundle where others look for it, such as agents that have none yet.
//!
//! Each place has a loop of its own, so that one that is away holds up no other. It writes when the
//! bundle has changed, again and again until it is written, and from time to time without a reason, in
//! case somebody else changed the place.
//!
//! ```text
//! state ─ bundle changed ─▶ keep ─ publish ─▶ Publisher (a cluster)
//!                             └─ failed: again, at growing intervals
//! ```

mod cluster;

pub use cluster::ClusterBundle;

use crate::api::types::chain;
use crate::issuer::Issuer;
use async_trait::async_trait;
use signet_runtime::{Backoff, Stop};
use signet_spiffe::Bundle;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// How often a place is written although the bundle is the same.
const PERIOD: Duration = Duration::from_secs(60);
/// Waits after a failure. Agents may be waiting, so the first is short.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A place for the bundle.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Which place, for the operator.
    fn place(&self) -> String;

    /// Has the place hold this bundle. Writing the same again must do no harm; the implementation
    /// bounds its own time.
    async fn publish(&self, bundle: &Bundle) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Keeps one place current until the stop signal.
pub async fn keep(
    publisher: Arc<dyn Publisher>,
    issuer: Arc<Issuer>,
    stop: Stop,
) -> Result<(), Infallible> {
    let mut keeper = Keeper::new(publisher);
    let mut revisions = issuer.state.revisions();
    loop {
        revisions.borrow_and_update();
        let rest = tokio::select! {
            () = stop.stopped() => return Ok(()),
            rest = keeper.look(issuer.own_bundle()) => rest,
        };
        let sleep = tokio::time::sleep(rest);
        tokio::pin!(sleep);
        // Many revisions leave the bundle alone, and must not hurry a place that is away.
        loop {
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = &mut sleep => break,
                changed = revisions.changed() => match changed {
                    Ok(()) if keeper.is_news(issuer.own_bundle().as_ref()) => break,
                    Ok(()) => {}
                    Err(_) => return Ok(()),
                },
            }
        }
    }
}

/// What one place was last told.
struct Keeper {
    publisher: Arc<dyn Publisher>,
    tried: Option<Arc<Bundle>>,
    failing: bool,
    backoff: Backoff,
}

impl Keeper {
    fn new(publisher: Arc<dyn Publisher>) -> Self {
        Self {
            publisher,
            tried: None,
            failing: false,
            backoff: Backoff::new(FIRST_WAIT, MAX_WAIT, 2.0),
        }
    }

    fn is_news(&self, bundle: Option<&Arc<Bundle>>) -> bool {
        bundle.is_some() && bundle != self.tried.as_ref()
    }

    /// Writes the bundle, and says when to do so again.
    async fn look(&mut self, bundle: Option<Arc<Bundle>>) -> Duration {
        let Some(bundle) = bundle else {
            return PERIOD;
        };
        let news = self.is_news(Some(&bundle));
        self.tried = Some(bundle.clone());
        match self.publisher.publish(&bundle).await {
            Ok(()) => {
                self.succeeded(news, bundle.sequence);
                PERIOD
            }
            Err(error) => {
                self.failed(news, &*error);
                self.backoff.next_delay()
            }
        }
    }

    fn succeeded(&mut self, news: bool, sequence_number: u64) {
        if news || self.failing {
            let place = self.publisher.place();
            tracing::info!(place, sequence_number, "the bundle is published");
        }
        self.failing = false;
        self.backoff.reset();
    }

    /// Loud once for each bundle, then quiet until it works again.
    fn failed(&mut self, news: bool, error: &(dyn Error + 'static)) {
        let (place, error) = (self.publisher.place(), chain(error));
        if news || !self.failing {
            tracing::error!(
                place,
                error,
                "the bundle could not be published; trying again"
            );
        } else {
            tracing::debug!(place, error, "the bundle could still not be published");
        }
        self.failing = true;
    }
}

#[cfg(test)]
mod tests;
