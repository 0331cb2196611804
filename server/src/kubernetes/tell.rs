//! Telling resources what became of them: their status, and an event when something goes wrong or is
//! right again. An API server that is slow holds up nothing else; of several reports on one resource
//! the latest is told.

use serde_json::{Value, json};
use signet_cluster::{Api, ApiError, Collection, Name, Written};
use signet_kubernetes::{Report, Source};
use signet_runtime::{Backoff, Clock, Stop};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

/// Events of objects that are in no namespace are kept in this one.
const EVENTS_IN: &str = "default";
/// Who reports, in events.
const COMPONENT: &str = "signet-server";

/// Reports that are to be told.
#[derive(Debug, Default)]
pub(super) struct Told {
    reports: Mutex<BTreeMap<Source, Report>>,
    more: Notify,
}

impl Told {
    pub(super) fn extend(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        waiting.extend(
            reports
                .into_iter()
                .map(|report| (report.source.clone(), report)),
        );
        drop(waiting);
        self.more.notify_one();
    }

    async fn next(&self) -> Report {
        loop {
            let next = self.waiting().pop_first();
            match next {
                Some((_, report)) => return report,
                None => self.more.notified().await,
            }
        }
    }

    /// A report that could not be told, unless there is a later one.
    fn again(&self, report: Report) {
        let mut waiting = self.waiting();
        waiting.entry(report.source.clone()).or_insert(report);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Source, Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells until the stop signal.
pub(super) async fn tell(
    api: Arc<Api>,
    told: Arc<Told>,
    clock: Arc<dyn Clock>,
    stop: Stop,
) -> Result<(), Infallible> {
    let mut teller = Teller {
        api,
        clock,
        last: HashMap::new(),
        backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30), 2.0),
    };
    tokio::select! {
        () = stop.stopped() => {}
        () = teller.run(&told) => {}
    }
    Ok(())
}

struct Teller {
    api: Arc<Api>,
    clock: Arc<dyn Clock>,
    /// What was told last of each resource.
    last: HashMap<Source, Value>,
    backoff: Backoff,
}

impl Teller {
    async fn run(&mut self, told: &Told) {
        loop {
            let report = told.next().await;
            match self.tell(&report).await {
                Ok(()) => self.backoff.reset(),
                Err(error) if is_final(&error) => {
                    let error = crate::api::types::chain(&error);
                    tracing::warn!(name = %report.name, error, "a resource could not be told its status");
                }
                Err(_) => {
                    told.again(report);
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }

    async fn tell(&mut self, report: &Report) -> Result<(), ApiError> {
        let last = self.last.get(&report.source).unwrap_or(&report.status);
        let now = rfc3339(self.clock.now());
        let status = status(report, last, &now);
        if status == *last {
            return Ok(());
        }
        let event = event(report, last, &status, &now);
        let Ok(name) = Name::parse(&report.name) else {
            return Ok(());
        };
        let collection = Collection {
            api: report.source.kind.api(),
            resource: report.source.kind.plural(),
        };
        let patch = json!({"status": status});
        self.api.patch_status(collection, &name, &patch).await?;
        self.last.insert(report.source.clone(), status);
        match event {
            Some(event) => self.announce(&event).await,
            None => Ok(()),
        }
    }

    async fn announce(&self, event: &Value) -> Result<(), ApiError> {
        let namespace = Name::parse(EVENTS_IN).expect("a good name");
        match self.api.create(Written::Event, &namespace, event).await {
            // An event is a courtesy, and one of this name says the same.
            Ok(_) | Err(ApiError::Conflict { .. }) => Ok(()),
            Err(error @ ApiError::Forbidden { .. }) => {
                let error = crate::api::types::chain(&error);
                tracing::warn!(namespace = EVENTS_IN, error, "an event was not kept");
                Ok(())
            }
            Err(error) => {
                tracing::debug!(
                    error = crate::api::types::chain(&error),
                    "an event was not kept"
                );
                Ok(())
            }
        }
    }
}

/// Trying again does not help: we may not, or the resource is gone.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::NotFound { .. } | ApiError::Forbidden { .. }
    )
}

/// The whole status. The time of the condition is when it last turned.
fn status(report: &Report, last: &Value, now: &str) -> Value {
    let ready = condition(last);
    let is_ready = if report.problem.is_none() {
        "True"
    } else {
        "False"
    };
    let since = match ready["status"] == is_ready {
        true => ready["lastTransitionTime"].as_str().unwrap_or(now),
        false => now,
    };
    let mut status = report.figures.clone();
    status["conditions"] = json!([{
        "type": "Ready",
        "status": is_ready,
        "reason": reason(report),
        "message": report.problem.as_deref().unwrap_or_default(),
        "observedGeneration": report.generation,
        "lastTransitionTime": since,
    }]);
    status
}

fn condition(status: &Value) -> Value {
    let conditions = status["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Ready"));
    ready.cloned().unwrap_or_default()
}

fn reason(report: &Report) -> &'static str {
    match (&report.problem, report.is_refused) {
        (None, _) => "Reconciled",
        (Some(_), true) => "Invalid",
        (Some(_), false) => "Incomplete",
    }
}

/// When it is wrong in a new way, or right again.
fn event(report: &Report, last: &Value, status: &Value, now: &str) -> Option<Value> {
    let (before, after) = (condition(last), condition(status));
    let was_wrong = before["status"] == "False";
    let same = before["message"] == after["message"] && before["status"] == after["status"];
    if same || (report.problem.is_none() && !was_wrong) {
        return None;
    }
    let kind = report.source.kind;
    let stamp: String = now.chars().filter(char::is_ascii_digit).collect();
    Some(json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{stamp}", report.name), "namespace": EVENTS_IN},
        "involvedObject": {
            "apiVersion": "spire.spiffe.io/v1alpha1",
            "kind": kind.singular(),
            "name": &*report.name,
            "uid": &*report.source.uid,
        },
        "type": if report.problem.is_some() { "Warning" } else { "Normal" },
        "reason": reason(report),
        "message": report.problem.as_deref().unwrap_or("all that it declares is there"),
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }))
}

/// To the second, as Kubernetes wants it.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_default()
}
