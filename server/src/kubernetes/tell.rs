//! Telling resources what became of them: their status, and an event when something goes wrong or is
//! right again. What is wrong with the rule in the configuration is logged. An API server that is slow
//! holds up nothing else; of several reports on one resource the latest is told.

use serde_json::{Value, json};
use signet_cluster::{Api, ApiError, Collection, Name, Written};
use signet_kubernetes::{Kind, Report, Source};
use signet_runtime::{Backoff, Clock, Stop};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Events of objects that are in no namespace are kept in this one.
const EVENTS_IN: &str = "default";
/// Who reports, in events.
const COMPONENT: &str = "signet-server";

/// A resource that could not be told is tried again after this time, and hinders no other: somebody has
/// to give a right, or to mend something, first.
const LATER: Duration = Duration::from_secs(20);

/// Reports that are to be told.
#[derive(Debug, Default)]
pub(super) struct Told {
    reports: Mutex<Reports>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Reports {
    now: BTreeMap<Source, Report>,
    /// Those that are not told before their time.
    later: BTreeMap<Source, (Instant, Report)>,
}

impl Told {
    pub(super) fn extend(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        for report in reports {
            match waiting.later.get_mut(&report.source) {
                Some((_, late)) => *late = report,
                None => {
                    waiting.now.insert(report.source.clone(), report);
                }
            }
        }
        drop(waiting);
        self.more.notify_one();
    }

    async fn next(&self) -> Report {
        loop {
            let due = match self.waiting().next(Instant::now()) {
                Ok(report) => return report,
                Err(due) => due,
            };
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.more.notified() => {}
                () = due => {}
            }
        }
    }

    /// A report that could not be told, unless there is a later one.
    fn again(&self, report: Report) {
        let mut waiting = self.waiting();
        waiting.now.entry(report.source.clone()).or_insert(report);
    }

    /// The same, at that time.
    fn later(&self, report: Report, at: Instant) {
        let mut waiting = self.waiting();
        let source = report.source.clone();
        let newer = waiting.now.remove(&source);
        waiting.later.insert(source, (at, newer.unwrap_or(report)));
    }

    fn waiting(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reports {
    /// The next one, or when there is one.
    fn next(&mut self, now: Instant) -> Result<Report, Option<Instant>> {
        let due = self.later.iter().find(|(_, (at, _))| *at <= now);
        if let Some(source) = due.map(|(source, _)| source.clone())
            && let Some((_, report)) = self.later.remove(&source)
        {
            return Ok(report);
        }
        match self.now.pop_first() {
            Some((_, report)) => Ok(report),
            None => Err(self.later.values().map(|(at, _)| *at).min()),
        }
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
        later: Backoff::new(LATER, LATER, 1.0),
        failing: BTreeSet::new(),
        are_events_failing: false,
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
    later: Backoff,
    /// Kinds of which one could not be told, as the log knows.
    failing: BTreeSet<Kind>,
    are_events_failing: bool,
}

impl Teller {
    async fn run(&mut self, told: &Told) {
        loop {
            let report = told.next().await;
            if report.source.is_configuration() {
                self.log(report);
                continue;
            }
            match self.tell(&report).await {
                Ok(()) => self.succeeded(report.source.kind),
                // It is gone, and with it whom to tell.
                Err(ApiError::NotFound { .. }) => {
                    tracing::debug!(name = %report.name, "a resource is gone before it was told its status");
                }
                Err(error) if is_its_own(&error) => {
                    self.failed(&report, &error);
                    told.later(report, Instant::now() + self.later.next_delay());
                }
                Err(_) => {
                    told.again(report);
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }

    /// Once loud for a kind, then quiet.
    fn failed(&mut self, report: &Report, error: &ApiError) {
        let (name, resource) = (&report.name, report.source.kind.plural());
        let error = crate::api::types::chain(error);
        if self.failing.insert(report.source.kind) {
            tracing::warn!(%name, resource, error, "a resource could not be told its status; trying again");
        } else {
            tracing::debug!(%name, resource, error, "a resource still could not be told its status");
        }
    }

    fn succeeded(&mut self, kind: Kind) {
        self.backoff.reset();
        if self.failing.remove(&kind) {
            tracing::info!(
                resource = kind.plural(),
                "resources are told their status again"
            );
        }
    }

    /// What is wrong with the configuration's own rule stands in the log, once.
    fn log(&mut self, report: Report) {
        let problem = json!(report.problem);
        let last = self.last.insert(report.source, problem.clone());
        if last.unwrap_or_default() == problem {
            return;
        }
        match report.problem {
            Some(problem) => {
                tracing::warn!(problem, "a pod does not go with default_spiffe_id_template");
            }
            None => tracing::info!("all pods go with default_spiffe_id_template"),
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
        if let Some(event) = event {
            self.announce(&event).await;
        }
        Ok(())
    }

    /// An event is a courtesy, and one of this name says the same.
    async fn announce(&mut self, event: &Value) {
        let namespace = Name::parse(EVENTS_IN).expect("a good name");
        let error = match self.api.create(Written::Event, &namespace, event).await {
            Ok(_) | Err(ApiError::Conflict { .. }) => {
                self.are_events_failing = false;
                return;
            }
            Err(error) => crate::api::types::chain(&error),
        };
        if std::mem::replace(&mut self.are_events_failing, true) {
            tracing::debug!(namespace = EVENTS_IN, error, "another event was not kept");
        } else {
            tracing::warn!(namespace = EVENTS_IN, error, "an event was not kept");
        }
    }
}

/// Whether it is about this resource alone, or its kind, so that others may be told meanwhile.
fn is_its_own(error: &ApiError) -> bool {
    match error {
        ApiError::Forbidden { .. } | ApiError::Conflict { .. } | ApiError::Form => true,
        ApiError::Status { status, .. } => !error.is_transient() && status.is_client_error(),
        _ => false,
    }
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
        "message": report.problem.as_deref().or(report.note).unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, generation: i64) -> Report {
        Report {
            source: Source {
                created: "20261129080000".into(),
                uid: name.into(),
                kind: Kind::SpiffeIds,
            },
            name: name.into(),
            generation,
            figures: json!({}),
            problem: None,
            note: None,
            is_refused: false,
            status: Value::Null,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_not_be_told_waits_for_its_time_and_hinders_no_other() {
        let told = Told::default();
        told.extend(vec![report("a", 1)]);
        let first = told.next().await;
        told.later(first, Instant::now() + LATER);
        // News of it waits as well, in its place.
        told.extend(vec![report("a", 2), report("b", 1)]);
        let began = Instant::now();
        assert_eq!(&*told.next().await.name, "b");
        assert!(began.elapsed() < LATER);
        let again = told.next().await;
        assert_eq!((&*again.name, again.generation), ("a", 2));
        assert!(began.elapsed() >= LATER);
        told.extend(vec![report("a", 3)]);
        assert_eq!(told.next().await.generation, 3);
    }

    #[test]
    fn what_is_wrong_with_one_resource_is_told_from_an_api_server_that_is_away() {
        let (verb, resource) = ("patch", "clusterspiffeids");
        let status = |status: u16| ApiError::Status {
            verb,
            resource,
            status: status.try_into().unwrap(),
        };
        for (error, own) in [
            (ApiError::Forbidden { verb, resource }, true),
            (status(422), true),
            (status(429), false),
            (status(503), false),
            (ApiError::Late, false),
            (ApiError::Unauthorized, false),
        ] {
            assert_eq!(is_its_own(&error), own, "{error}");
        }
    }
}
