//! Keeps the X509-SVIDs of the agent's entries fresh: what is due now gets a new key and a CSR,
//! the server signs a batch, the cache takes over what came back.
//!
//! [`plan`] decides, [`Rotator`] acts. The old SVID stands until the new one is in the cache.

mod asked;
mod batch;
mod csr;
mod schedule;
mod taint;

pub use batch::{BATCH_MAX, BatchSize};
pub use csr::{CsrError, make_request, request_for};
pub use schedule::{DEFAULT_TAINT_WINDOW, Jitter, SvidPolicy, rotate_at};
pub use taint::{AffectedSvid, affected, replacements};

use crate::cache::{Cache, Due, HeldSvid};
use crate::holdings::Holdings;
use crate::upstream::{CallError, Server, Signed};
use asked::{Asked, batch_limit, make_all};
use signet_crypto::KeyType;
use signet_model::{Entry, EntryId};
use signet_runtime::{Backoff, Clock, Stop};
use signet_spiffe::x509_svid;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the rotator rests at most: time passes without anybody saying so.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// The waits after a call that failed.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the operator decided about X509-SVIDs.
#[derive(Debug, Clone)]
pub struct RotatorConfig {
    /// The kind of key that workloads get.
    pub key_type: KeyType,
    /// How many SVIDs are held when nobody subscribes to them.
    pub cache_max: usize,
    /// When an SVID is replaced.
    pub policy: SvidPolicy,
}

/// An entry that needs a new SVID.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Why.
    pub reason: Due,
    /// Whether the server refused it so recently that it is not asked again yet.
    pub waits: bool,
}

/// The entries that need a new SVID now: those somebody waits for first, then those that nobody
/// asked for yet while there is room.
pub fn plan(
    cache: &Cache,
    now: SystemTime,
    cache_max: usize,
    wanted: impl Fn(&Entry) -> bool,
) -> Vec<Planned> {
    let mut room = cache_max;
    let mut urgent = Vec::new();
    let mut idle = Vec::new();
    for held in cache.held().filter(|held| held.is_served(now)) {
        let is_wanted = wanted(&held.entry);
        if is_wanted || held.valid_svid(now).is_some() {
            room = room.saturating_sub(1);
        }
        let Some(reason) = held.due(now) else {
            continue;
        };
        let planned = Planned {
            entry: held.entry.clone(),
            reason,
            waits: held.is_waiting(now),
        };
        let missing = reason == Due::Missing;
        if is_wanted || !missing {
            urgent.push((reason, !is_wanted, planned));
        } else if !held.entry.disable_x509_svid_prefetch {
            idle.push(planned);
        }
    }
    // Stable, so that within a rank the order is that of the entries.
    urgent.sort_by_key(|(reason, is_idle, _)| (*reason, *is_idle));
    idle.truncate(room);
    let urgent = urgent.into_iter().map(|(_, _, planned)| planned);
    urgent.chain(idle).collect()
}

/// Renews SVIDs until it is stopped.
pub struct Rotator {
    holdings: Arc<Holdings>,
    server: Arc<dyn Server>,
    clock: Arc<dyn Clock>,
    config: RotatorConfig,
    jitter: Jitter,
}

impl Rotator {
    /// A rotator for these holdings.
    pub fn new(
        holdings: Arc<Holdings>,
        server: Arc<dyn Server>,
        clock: Arc<dyn Clock>,
        config: RotatorConfig,
        jitter: Jitter,
    ) -> Self {
        Self {
            holdings,
            server,
            clock,
            config,
            jitter,
        }
    }

    /// Works until stopped.
    pub async fn run(self, stop: Stop) {
        let (holdings, clock) = (self.holdings.clone(), self.clock.clone());
        tokio::select! {
            () = stop.stopped() => {}
            () = keep_expired_out(&holdings, &*clock) => {}
            () = self.keep_renewed() => {}
        }
    }

    /// Renews at once when the holdings change, at least every few seconds.
    async fn keep_renewed(mut self) {
        let mut size = BatchSize::default();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, 1.5);
        let mut work = self.holdings.work();
        loop {
            work.borrow_and_update();
            if let Err(error) = self.pass(&mut size).await {
                tracing::warn!(%error, "could not renew X509-SVIDs; the old ones stay");
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
            backoff.reset();
            tokio::select! {
                _ = work.changed() => {}
                () = tokio::time::sleep(self.rest()) => {}
            }
        }
    }

    /// Renews everything that is due now, batch after batch. What is due is asked before each, as
    /// somebody may have come meanwhile who must not wait for what nobody uses.
    async fn pass(&mut self, size: &mut BatchSize) -> Result<(), CallError> {
        let phase = self.jitter.draw();
        let window = self.config.policy.taint_window;
        self.holdings.plan_replacements(window, phase);
        loop {
            let batch = self.next_batch(size.current());
            if batch.is_empty() {
                break;
            }
            let renewed = self.renew(&batch).await;
            renewed.inspect_err(|_| size.shrink())?;
            size.grow();
        }
        self.holdings.evict(self.config.cache_max);
        self.holdings.settle();
        Ok(())
    }

    fn next_batch(&self, size: usize) -> Vec<Arc<Entry>> {
        let due = self.holdings.plan(self.config.cache_max);
        let due = due.into_iter().filter(|planned| !planned.waits);
        let limit = size.min(batch_limit(self.config.key_type));
        due.map(|planned| planned.entry).take(limit).collect()
    }

    async fn renew(&mut self, batch: &[Arc<Entry>]) -> Result<(), CallError> {
        let asked = self.prepare(batch).await;
        if asked.is_empty() {
            return Ok(());
        }
        let requests = asked.iter().map(|one| one.request.clone()).collect();
        let answers = self.server.new_x509_svids(requests).await?;
        let mut missing: BTreeSet<EntryId> = asked
            .iter()
            .skip(answers.len())
            .map(|one| one.entry.id.clone())
            .collect();
        let mut done = Vec::new();
        for (asked, answer) in asked.into_iter().zip(answers) {
            done.push((asked.entry.id.clone(), self.judge(asked, answer)));
        }
        while let Some(id) = missing.pop_first() {
            done.push((
                id,
                Err("the server did not answer for this entry".to_owned()),
            ));
        }
        self.holdings.issued(done);
        Ok(())
    }

    async fn prepare(&self, batch: &[Arc<Entry>]) -> Vec<Asked> {
        let mut asked = Vec::new();
        for made in make_all(batch, self.config.key_type).await {
            match made {
                Ok(one) => asked.push(one),
                Err((entry_id, error)) => {
                    tracing::error!(%entry_id, %error, "could not make a key for an entry");
                    let failed = Err(error.to_string());
                    self.holdings.issued(vec![(entry_id, failed)]);
                }
            }
        }
        asked
    }

    /// Takes an answer only if it is what was asked for.
    fn judge(&mut self, asked: Asked, answer: Signed) -> Result<HeldSvid, String> {
        let chain = answer.map_err(|refused| refused.to_string())?;
        let svid = x509_svid::parse(&chain).map_err(|error| error.to_string())?;
        if svid.id != asked.entry.spiffe_id {
            return Err("the server signed another SPIFFE ID than the entry's".to_owned());
        }
        if svid.public_key != *asked.key.public_key() {
            return Err("the server signed another key than the one it was sent".to_owned());
        }
        let now = self.clock.now();
        let draw = self.jitter.draw();
        Ok(HeldSvid {
            rotate_at: rotate_at(
                &self.config.policy,
                now,
                svid.not_before,
                svid.not_after,
                draw,
            ),
            id: svid.id,
            chain: svid.chain,
            key: asked.key,
            not_after: svid.not_after,
            made_for: asked.entry,
        })
    }

    fn rest(&self) -> Duration {
        let now = self.clock.now();
        let next = self.holdings.next_due(now);
        let until = next.and_then(|at| at.duration_since(now).ok());
        until.unwrap_or(LONGEST_REST).min(LONGEST_REST)
    }
}

/// Whatever becomes of the renewals, an SVID goes out of the views when it expires.
async fn keep_expired_out(holdings: &Holdings, clock: &dyn Clock) {
    loop {
        holdings.expire();
        let now = clock.now();
        let next = holdings.read(|cache| cache.next_expiry(now));
        let until = next.and_then(|at| at.duration_since(now).ok());
        tokio::select! {
            () = holdings.new_ends() => {}
            () = tokio::time::sleep(until.unwrap_or(LONGEST_REST).min(LONGEST_REST)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
