//! Entries and bundles that a Kubernetes cluster declares: its objects are watched, `signet_kubernetes`
//! works out what they declare, and here it is written and told.
//!
//! Entries that are declared have ids of their own ("k8s.", then the cluster's name); no other entry is
//! touched, and nobody has to list or compare anything when one pod changes. Nothing is removed before
//! everything was listed, so an API server that is away changes nothing; nor is what a resource declared
//! before it became one that cannot be understood. Of several servers one writes: the one that holds the
//! lease.
//!
//! ```text
//! API server ──follow (a task a kind)──▶ World ──settle──▶ declare ──▶ state ──▶ agents
//!     ▲                                    │ reports
//!     └───── status, events ◀── tell ◀─────┘        lease ──▶ whether we write
//! ```

mod bundles;
mod declare;
mod follow;
mod lease;
mod tell;

use crate::issuer::Issuer;
use crate::state::StateError;
use bundles::Bundles;
use follow::Seen;
use lease::Lease;
pub use lease::LeaseSettings;
use signet_cluster::{Api, Reach};
use signet_kubernetes::{Change, Kind, Settings, World};
use signet_model::Entry;
use signet_runtime::{Backoff, Stop, Tasks};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tell::Told;
use tokio::sync::{mpsc, watch};

/// Objects that were read and not yet looked at: what is over this waits at the API server.
const MAX_SEEN: usize = 1024;
/// Groups that are worked out between two looks at what was seen, unless they make a whole batch before.
const GROUPS: usize = 250;
/// Entries of one commit.
const BATCH: usize = 500;
/// What the server has is compared with what is declared this often: somebody may have changed an entry
/// by hand.
const AUDIT: Duration = Duration::from_secs(60);
/// What the server did not take, such as an entry that federates with a bundle that is not there, is
/// tried again this often.
const RETRY: Duration = Duration::from_secs(5);
/// Several changes of a resource within this time are told at once.
const TELL: Duration = Duration::from_millis(500);

/// The cluster whose objects declare entries.
#[derive(Debug)]
pub struct Cluster {
    /// Where its API server is.
    pub reach: Reach,
    /// What the operator chose.
    pub settings: Settings,
    /// The lease that says which server writes; without one this server always does.
    pub lease: Option<LeaseSettings>,
}

/// Starts everything for one cluster.
pub(crate) fn start(cluster: Cluster, issuer: &Arc<Issuer>, tasks: &Tasks) {
    let api = Arc::new(Api::new(cluster.reach));
    let world = World::new_with(cluster.settings, issuer.pods.clone());
    let (sender, seen) = mpsc::channel(MAX_SEEN);
    for kind in Kind::ALL {
        let following = follow::follow(api.clone(), kind, sender.clone(), tasks.stop());
        tasks.spawn_essential("kubernetes watch", following);
    }
    let (leads, leading) = watch::channel(cluster.lease.is_none());
    if let Some(settings) = cluster.lease {
        let lease = Lease::new(api.clone(), settings, issuer.clock.clone());
        tasks.spawn_essential("kubernetes lease", lease.run(leads, tasks.stop()));
    }
    let told = Arc::new(Told::default());
    let telling = tell::tell(api, told.clone(), issuer.clock.clone(), tasks.stop());
    tasks.spawn_essential("kubernetes status", telling);
    let reconciler = Reconciler {
        issuer: issuer.clone(),
        world,
        seen,
        leading,
        led: false,
        told,
        bundles: Bundles::default(),
        waiting: VecDeque::new(),
        is_kept: false,
        is_audited: false,
    };
    tasks.spawn_essential("kubernetes entries", reconciler.run(tasks.stop()));
}

struct Reconciler {
    issuer: Arc<Issuer>,
    world: World,
    seen: mpsc::Receiver<Seen>,
    leading: watch::Receiver<bool>,
    led: bool,
    told: Arc<Told>,
    bundles: Bundles,
    /// Changes that are worked out and not yet written.
    waiting: VecDeque<Change>,
    /// Whether the world knows, since we began to lead, which entries stay although nobody declares them.
    is_kept: bool,
    /// Whether what the server has was compared since we began to lead.
    is_audited: bool,
}

impl Reconciler {
    async fn run(mut self, stop: Stop) -> Result<(), Infallible> {
        let mut seen = Vec::new();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30), 2.0);
        let [mut audit, mut retry, mut tell] = [AUDIT, RETRY, TELL].map(periodic);
        loop {
            self.lead();
            let is_busy = self.led && (!self.waiting.is_empty() || self.has_work());
            tokio::select! {
                biased;
                () = stop.stopped() => return Ok(()),
                _ = audit.tick() => self.is_audited = false,
                _ = retry.tick() => self.world.retry(),
                _ = tell.tick() => self.tell(),
                () = turned(&mut self.leading), if !is_busy => {}
                count = self.seen.recv_many(&mut seen, MAX_SEEN) => {
                    if count == 0 { stop.stopped().await }
                    seen.drain(..).for_each(|seen| self.look(seen));
                }
                () = std::future::ready(()), if is_busy => {}
            }
            if !self.led {
                continue;
            }
            match self.step().await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    let error = crate::api::types::chain(&error);
                    tracing::warn!(error, "declared entries could not be written; trying again");
                    tokio::select! {
                        () = stop.stopped() => return Ok(()),
                        () = tokio::time::sleep(backoff.next_delay()) => {}
                    }
                }
            }
        }
    }

    fn look(&mut self, seen: Seen) {
        match seen {
            Seen::Put(object) => self.world.put(*object),
            Seen::Gone(kind, key) => self.world.gone(kind, &key),
            Seen::Listed(kind, keys) => self.world.listed(kind, &keys),
        }
    }

    /// Who begins to lead does not know what the one before wrote.
    fn lead(&mut self) {
        let leads = *self.leading.borrow_and_update();
        if leads && !self.led {
            (self.is_kept, self.is_audited) = (false, false);
            self.bundles = Bundles::default();
            self.world.report_all();
        }
        if !leads {
            self.waiting.clear();
        }
        self.led = leads;
    }

    fn has_work(&self) -> bool {
        self.world.is_complete() && (!self.world.is_settled() || !self.is_audited)
    }

    /// Bundles first: entries may federate with them.
    async fn step(&mut self) -> Result<(), StateError> {
        if !self.world.is_complete() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_kept, true) {
            let owned = self.owned();
            self.world.keep(&owned);
        }
        self.bundles.follow(&self.issuer, &self.world).await?;
        if self.waiting.is_empty() {
            self.waiting.extend(self.world.settle(GROUPS, BATCH));
        }
        if self.waiting.is_empty() && self.world.is_settled() && !self.is_audited {
            self.audit();
        }
        self.write().await
    }

    /// The entries that the server has of this cluster's declaring.
    fn owned(&self) -> Vec<Arc<Entry>> {
        let prefix = self.world.settings().id_prefix();
        let snapshot = self.issuer.state.read();
        let all = snapshot.index.entries();
        let owned = all.filter(|entry| entry.id.as_str().starts_with(&prefix));
        owned.cloned().collect()
    }

    fn audit(&mut self) {
        let owned = self.owned();
        let orphans = self.world.audit(owned.iter().map(AsRef::as_ref));
        self.waiting.extend(orphans.into_iter().map(Change::Unset));
        self.is_audited = true;
    }

    async fn write(&mut self) -> Result<(), StateError> {
        let count = self.waiting.len().min(BATCH);
        if count == 0 {
            return Ok(());
        }
        let batch: Vec<_> = self.waiting.iter().take(count).cloned().collect();
        let prefix = self.world.settings().id_prefix();
        let outcomes = self.issuer.declare_entries(&prefix, &batch).await?;
        self.waiting.drain(..count);
        for (change, failure) in batch.iter().zip(outcomes) {
            if let Change::Set { entry, by } = change {
                self.world.outcome(by, &entry.id, failure);
            }
        }
        Ok(())
    }

    /// While entries are being written their number changes all the time.
    fn tell(&mut self) {
        if self.led && self.world.is_settled() && self.waiting.is_empty() {
            self.told.extend(self.world.reports());
        }
    }
}

/// Waits until we begin or cease to lead, which never happens without a lease.
async fn turned(leading: &mut watch::Receiver<bool>) {
    if leading.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn periodic(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
