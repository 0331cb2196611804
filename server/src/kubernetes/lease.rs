//! Which of several servers writes: the one that holds a lease (`coordination.k8s.io/v1`), as is usual
//! in Kubernetes. Who cannot renew it in time stops before another may begin.

use super::tell::rfc3339;
use serde_json::{Value, json};
use signet_cluster::{Api, ApiError, Name, Written};
use signet_runtime::{Backoff, Clock, Stop};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Who does not renew for this long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// Who has not renewed for this long stops writing.
const RENEWED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is renewed, or looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// What this server calls itself in it.
    pub holder: String,
}

pub(super) struct Lease {
    api: Arc<Api>,
    settings: LeaseSettings,
    clock: Arc<dyn Clock>,
    /// The form in which another's lease was first seen, and when: clocks of machines differ, so what
    /// counts is how long it did not change.
    others: Option<(Value, Instant)>,
    renewed: Option<Instant>,
    is_failing: bool,
}

impl Lease {
    pub(super) fn new(api: Arc<Api>, settings: LeaseSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            api,
            settings,
            clock,
            others: None,
            renewed: None,
            is_failing: false,
        }
    }

    /// Holds it whenever it can, and says whether it does, until the stop signal; then gives it back.
    pub(super) async fn run(
        mut self,
        leads: watch::Sender<bool>,
        stop: Stop,
    ) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(PERIOD, PERIOD, 1.0);
        loop {
            let took = tokio::time::timeout(RENEWED_WITHIN - PERIOD, self.take()).await;
            let took = took.unwrap_or(Err(ApiError::Late));
            let held = self.held(took);
            if leads.send_replace(held) != held {
                let holder = &self.settings.holder;
                tracing::info!(
                    holder,
                    held,
                    "the lease for writing what the cluster declares"
                );
            }
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
        leads.send_replace(false);
        self.give_back().await;
        Ok(())
    }

    /// What an attempt means: a failed one is no loss before its time.
    fn held(&mut self, took: Result<bool, ApiError>) -> bool {
        match took {
            Ok(true) => {
                self.renewed = Some(Instant::now());
                self.succeeded();
            }
            Ok(false) => self.succeeded(),
            Err(ApiError::Conflict { .. }) => self.renewed = None,
            Err(error) => self.failed(&error),
        }
        self.renewed.is_some_and(|at| at.elapsed() < RENEWED_WITHIN)
    }

    /// Once loud, then quiet.
    fn failed(&mut self, error: &ApiError) {
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        let error = crate::api::types::chain(error);
        if std::mem::replace(&mut self.is_failing, true) {
            tracing::debug!(error, "the lease still cannot be had");
        } else {
            tracing::warn!(
                %namespace, lease = %name, error,
                "the lease can be neither taken nor renewed, and without it nothing that the cluster \
                 declares is written; trying again"
            );
        }
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the lease can be had again");
        }
    }

    /// Whether it was taken or renewed.
    async fn take(&mut self) -> Result<bool, ApiError> {
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        let found = self.api.read(Written::Lease, namespace, name).await;
        let mut lease = match found {
            Ok(lease) => lease,
            Err(ApiError::NotFound { .. }) => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": name.as_str(), "namespace": namespace.as_str()},
                    "spec": self.spec(&Value::Null),
                });
                self.api.create(Written::Lease, namespace, &lease).await?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if !self.may_take(&lease) {
            self.renewed = None;
            return Ok(false);
        }
        lease["spec"] = self.spec(&lease["spec"]);
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        self.api
            .replace(Written::Lease, namespace, name, &lease)
            .await?;
        Ok(true)
    }

    /// Ours, nobody's, or one that did not change for as long as it may not.
    fn may_take(&mut self, lease: &Value) -> bool {
        let spec = &lease["spec"];
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        if holder.is_empty() || holder == self.settings.holder {
            return true;
        }
        let now = Instant::now();
        match &self.others {
            Some((seen, since)) if seen == spec => {
                let duration = spec["leaseDurationSeconds"].as_u64();
                let duration = duration.map_or(DURATION, Duration::from_secs);
                now.duration_since(*since) > duration
            }
            _ => {
                self.others = Some((spec.clone(), now));
                false
            }
        }
    }

    fn spec(&self, old: &Value) -> Value {
        let now = rfc3339(self.clock.now()).replace('Z', ".000000Z");
        let ours = old["holderIdentity"] == *self.settings.holder;
        let transitions = old["leaseTransitions"].as_u64().unwrap_or(0);
        json!({
            "holderIdentity": self.settings.holder,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": if ours { old["acquireTime"].clone() } else { json!(now) },
            "renewTime": now,
            "leaseTransitions": transitions + u64::from(!ours && !old.is_null()),
        })
    }

    /// So that another need not wait.
    async fn give_back(&self) {
        if self.renewed.is_none() {
            return;
        }
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        let give_back = async {
            let mut lease = self.api.read(Written::Lease, namespace, name).await?;
            if lease["spec"]["holderIdentity"] == *self.settings.holder {
                lease["spec"]["holderIdentity"] = json!("");
                lease["spec"]["leaseDurationSeconds"] = json!(1);
                self.api
                    .replace(Written::Lease, namespace, name, &lease)
                    .await?;
            }
            Ok::<_, ApiError>(())
        };
        let _late = tokio::time::timeout(PERIOD, give_back).await;
    }
}
