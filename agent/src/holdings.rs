//! The agent's state behind one short lock, and who is told when it changes.
//!
//! ```text
//! sync ─ apply ─▶ ┌ Cache ┐ ─▶ Views ─▶ watch<Arc<View>> ─▶ Workload API
//! rotate ─ issued ▶└───────┘ ─▶ work (wakes the rotator)
//! ```
//!
//! Nothing waits while it holds the lock.

use crate::cache::{Cache, Changed, Due, HeldSvid, Update};
use crate::rotate::{self, Planned};
use crate::views::{View, Views, X509Answer};
use signet_model::{EntryId, SelectorSet};
use signet_runtime::Clock;
use signet_spiffe::{Bundle, TrustDomain};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};

/// Everything the agent holds for its workloads.
pub struct Holdings {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    work: watch::Sender<u64>,
    settled: watch::Sender<u64>,
    ends: Notify,
    bundle: watch::Sender<Option<Arc<Bundle>>>,
}

struct Inner {
    cache: Cache,
    views: Views,
    /// When something that is held expires next.
    next_expiry: Option<SystemTime>,
}

/// What the server says about one request for an SVID: the SVID, or why there is none.
pub type Outcome = (EntryId, Result<HeldSvid, String>);

impl Holdings {
    /// Nothing is held yet.
    pub fn new(trust_domain: TrustDomain, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            inner: Mutex::new(Inner {
                cache: Cache::new(trust_domain),
                views: Views::default(),
                next_expiry: None,
            }),
            work: watch::Sender::new(0),
            settled: watch::Sender::new(0),
            ends: Notify::new(),
            bundle: watch::Sender::new(None),
        }
    }

    /// Takes over what the server says, as a whole, and tells those whom it concerns.
    pub fn apply(&self, update: Update) -> bool {
        let now = self.clock.now();
        let mut inner = self.lock();
        let changed = inner.cache.apply(update, now);
        inner.refresh(&changed, now);
        self.bundle.send_if_modified(|bundle| {
            let differs = bundle.as_ref() != inner.cache.own_bundle();
            *bundle = inner.cache.own_bundle().cloned();
            differs
        });
        drop(inner);
        self.ends.notify_one();
        self.stir(!changed.is_empty());
        !changed.is_empty()
    }

    /// Takes over the answers to a batch of requests, all at once.
    pub fn issued(&self, outcomes: Vec<Outcome>) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let mut changed = Changed::default();
        for (id, outcome) in outcomes {
            let one = match outcome {
                Ok(svid) => inner.cache.put_svid(&id, Arc::new(svid), now),
                Err(why) => {
                    tracing::warn!(entry_id = %id, reason = %why, "no X509-SVID for an entry");
                    inner.cache.put_refusal(&id, &why, now)
                }
            };
            changed.entries.extend(one.entries);
        }
        inner.refresh(&changed, now);
        self.ends.notify_one();
    }

    /// Lets what has expired go out of the views.
    pub fn expire(&self) {
        let now = self.clock.now();
        let mut inner = self.lock();
        if inner.next_expiry.is_none_or(|at| now < at) {
            return;
        }
        let Inner { cache, views, .. } = &mut *inner;
        views.refresh_all(cache, now);
        inner.note_expiry(now);
    }

    /// Follows what a workload with these selectors gets.
    pub fn subscribe(&self, selectors: &SelectorSet) -> watch::Receiver<Arc<View>> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Inner { cache, views, .. } = &mut *inner;
        cache.touch(selectors, now);
        let view = views.subscribe(cache, selectors, now);
        drop(inner);
        let waits = matches!(view.borrow().x509, X509Answer::Pending);
        self.stir(waits);
        view
    }

    /// The entries that need a new SVID now.
    pub fn plan(&self, cache_max: usize) -> Vec<Planned> {
        let now = self.clock.now();
        let inner = self.lock();
        let wanted = inner.views.wanted(&inner.cache, now);
        rotate::plan(&inner.cache, now, cache_max, |entry| {
            wanted.contains(&entry.id)
        })
    }

    /// Whether everything that the server said so far is served, and nothing is that an authority
    /// signed which is tainted or gone.
    pub fn is_settled(&self, cache_max: usize) -> bool {
        let now = self.clock.now();
        let plan = self.plan(cache_max);
        plan.iter().all(|planned| planned.reason == Due::Expiring)
            && self.read(|cache| !cache.held().any(|held| held.serves_unsound(now)))
    }

    /// Plans when the SVIDs are replaced whose authority was tainted since the last time.
    pub fn plan_replacements(&self, window: Duration, phase: f64) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let wanted = inner.views.wanted(&inner.cache, now);
        let affected = rotate::affected(&inner.cache, now, |entry| wanted.contains(&entry.id));
        if affected.is_empty() {
            return;
        }
        tracing::info!(
            svids = affected.len(),
            window_s = window.as_secs(),
            "replacing the X509-SVIDs of a tainted authority"
        );
        let plan = rotate::replacements(affected, now, window, phase);
        inner.cache.replace_at(plan);
    }

    /// The rotator did what it could for now.
    pub fn settle(&self) {
        self.settled
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes whenever the rotator did what it could.
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// When the next SVID is due, the next refusal may be asked again or something expires.
    pub fn next_due(&self, now: SystemTime) -> Option<SystemTime> {
        let inner = self.lock();
        let held = || inner.cache.held();
        let rotations = held().filter_map(|held| Some(held.svid.as_ref()?.rotate_at));
        let retries = held().filter_map(|held| Some(held.refused.as_ref()?.retry_at()));
        let replacements = held().filter_map(|held| held.replace_at);
        let expiry = inner.cache.next_expiry(now);
        let all = rotations.chain(retries).chain(replacements).chain(expiry);
        all.filter(|at| *at > now).min()
    }

    /// Waits until something came that may end before everything that was held.
    pub async fn new_ends(&self) {
        self.ends.notified().await;
    }

    /// Drops SVIDs beyond the limit that nobody subscribes to.
    pub fn evict(&self, cache_max: usize) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let wanted = inner.views.wanted(&inner.cache, now);
        let dropped = inner
            .cache
            .evict(cache_max, |entry| wanted.contains(&entry.id));
        if dropped > 0 {
            tracing::debug!(dropped, "dropped X509-SVIDs that nobody uses");
        }
    }

    /// Reads the cache.
    pub fn read<T>(&self, question: impl FnOnce(&Cache) -> T) -> T {
        question(&self.lock().cache)
    }

    /// Changes whenever there may be work for the rotator.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Follows the bundle of the own trust domain.
    pub fn own_bundle(&self) -> watch::Receiver<Option<Arc<Bundle>>> {
        self.bundle.subscribe()
    }

    fn stir(&self, something: bool) {
        if something {
            self.work
                .send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held ends the program anyway; the state is plain data.
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Inner {
    fn refresh(&mut self, changed: &Changed, now: SystemTime) {
        if !changed.is_empty() {
            self.views.refresh(&self.cache, changed, now);
            self.note_expiry(now);
        }
    }

    fn note_expiry(&mut self, now: SystemTime) {
        self.next_expiry = self.cache.next_expiry(now);
    }
}
